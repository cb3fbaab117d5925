#include "scaling/convolutional_head.h"

#include "data/random.h"
#include "scaling/softmax_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

namespace rtmdl {
namespace {

using Eigen::Index;

constexpr std::size_t kHidden = 48;
constexpr Index kSide = 3, kWindow = kSide * kSide, kFewCells = 4;  // up to kFewCells a side none is skipped
constexpr Index kBatch = 32;
constexpr Index kEpochs = 12, kLeastSteps = 600, kLooks = 16;
constexpr float kRate = 2e-3F, kDecay = 0.05F, kFirstMoment = 0.9F, kSecondMoment = 0.999F, kTinyStep = 1e-8F;

/// All weights one behind the other, and the views of them.
class HeadWeights {
 public:
  HeadWeights(Index inputs, Index hidden, Index places, Index classes)
      : inputs_(inputs), hidden_(hidden), features_(places * hidden), classes_(classes) {
    all = Eigen::VectorXf::Zero(inputs_ * hidden_ + hidden_ + features_ * classes_ + classes_);
  }
  Eigen::Map<Eigen::MatrixXf> convolution() { return {all.data(), inputs_, hidden_}; }
  Eigen::Map<Eigen::RowVectorXf> shift() { return {all.data() + inputs_ * hidden_, hidden_}; }
  Eigen::Map<Eigen::MatrixXf> linear() { return {shift().data() + hidden_, features_, classes_}; }
  Eigen::Map<Eigen::RowVectorXf> bias() { return {linear().data() + features_ * classes_, classes_}; }

  Eigen::VectorXf all;

 private:
  Index inputs_, hidden_, features_, classes_;
};

class HeadFit {
 public:
  HeadFit(std::span<const Eigen::half> x, std::span<const float> targets, const PictureShape& shape,
          std::size_t classes, std::uint64_t seed)
      : shape_(shape),
        x_(x),
        y_(targets.data(), static_cast<Index>(targets.size() / classes), static_cast<Index>(classes)),
        rows_(y_.rows() - y_.rows() / kHeldOut),
        stride_(std::min(shape.rows, shape.columns) > static_cast<std::size_t>(kFewCells) ? 2 : 1),
        out_rows_((static_cast<Index>(shape.rows) - 1) / stride_ + 1),
        out_columns_((static_cast<Index>(shape.columns) - 1) / stride_ + 1),
        now_(static_cast<Index>(shape.channels) * kWindow, kHidden, places(), y_.cols()),
        slope_(now_),
        best_(now_),
        random_(seed) {
    measure_channels();
    draw_weights();
  }

  ConvolutionalClassifier run(const std::function<bool()>& stopping) {
    std::vector<Index> order(static_cast<std::size_t>(rows_));
    std::iota(order.begin(), order.end(), Index{0});
    const Index batch = std::min(kBatch, rows_);
    const Index steps = std::max(kEpochs * rows_ / batch, kLeastSteps);
    Eigen::ArrayXf first = Eigen::ArrayXf::Zero(now_.all.size()), second = first;
    Index next = rows_;
    for (Index step = 0; step < steps && !(stopping && stopping()); ++step) {
      if (next + batch > rows_) shuffle(order, random_), next = 0;
      descend(std::span(order).subspan(static_cast<std::size_t>(next), static_cast<std::size_t>(batch)));
      next += batch;
      const float done = static_cast<float>(step) / static_cast<float>(steps);
      const float rate = kRate * (1 + std::cos(std::numbers::pi_v<float> * done)) / 2;
      const auto slope = slope_.all.array();
      first = kFirstMoment * first + (1 - kFirstMoment) * slope;
      second = kSecondMoment * second + (1 - kSecondMoment) * slope.square();
      const auto t = static_cast<float>(step + 1);
      const float unbiased = std::sqrt(1 - std::pow(kSecondMoment, t)) / (1 - std::pow(kFirstMoment, t));
      now_.all.array() -= rate * (unbiased * first / (second.sqrt() + kTinyStep) + kDecay * now_.all.array());
      if ((step + 1) % std::max<Index>(1, steps / kLooks) == 0 || step + 1 == steps) keep_best();
    }
    return classifier();
  }

 private:
  [[nodiscard]] Index places() const { return out_rows_ * out_columns_; }

  /// Channels are brought to one size. A shift would not do: the border is zeros.
  void measure_channels() {
    const auto cells = static_cast<Index>(shape_.rows * shape_.columns);
    Eigen::ArrayXd squares = Eigen::ArrayXd::Zero(static_cast<Index>(shape_.channels));
    for (Index r = 0; r < rows_; ++r) {
      const Eigen::half* from = picture(r);
      for (Index c = 0; c < squares.size(); ++c)
        for (Index k = 0; k < cells; ++k) {
          const auto v = static_cast<double>(static_cast<float>(from[c * cells + k]));
          squares[c] += v * v;
        }
    }
    const Eigen::ArrayXd size = (squares / static_cast<double>(std::max<Index>(1, rows_ * cells))).sqrt();
    scale_ = (size > 1e-6).select(size.inverse(), 0.0).cast<float>();
  }

  [[nodiscard]] const Eigen::half* picture(Index row) const {
    return x_.data() + static_cast<std::size_t>(row) * shape_.size();
  }

  void draw_weights() {
    const auto normal = [&](Eigen::Map<Eigen::MatrixXf> weights, double deviation) {  // Box & Muller 1958
      for (Index k = 0; k < weights.size(); ++k) {
        const double radius = deviation * std::sqrt(-2 * std::log(1 - random_.unit()));
        weights.data()[k] = static_cast<float>(radius * std::cos(2 * std::numbers::pi * random_.unit()));
      }
    };
    normal(now_.convolution(), std::sqrt(2.0 / static_cast<double>(now_.convolution().rows())));
    normal(now_.linear(), std::sqrt(1.0 / static_cast<double>(now_.linear().rows())));
    best_ = now_;
  }

  /// What the convolution sees at each place of each picture, one row each.
  void look_at(std::span<const Index> pictures) {
    const auto channels = static_cast<Index>(shape_.channels), rows = static_cast<Index>(shape_.rows),
               columns = static_cast<Index>(shape_.columns);
    windows_.setZero(static_cast<Index>(pictures.size()) * places(), channels * kWindow);
    float* to = windows_.data();
    for (const Index index : pictures)
      for (Index y = 0; y < out_rows_; ++y)
        for (Index x = 0; x < out_columns_; ++x, to += channels * kWindow)
          for (Index ky = 0; ky < kSide; ++ky)
            for (Index kx = 0; kx < kSide; ++kx) {
              const Index row = y * stride_ + ky - 1, column = x * stride_ + kx - 1;
              if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
              const Eigen::half* from = picture(index) + row * columns + column;
              for (Index c = 0; c < channels; ++c)
                to[c * kWindow + ky * kSide + kx] = scale_[c] * static_cast<float>(from[c * rows * columns]);
            }
  }

  /// Rows of `hidden_` read as one per picture are its features, [place][hidden].
  [[nodiscard]] Eigen::Map<FeatureRows> features(Index pictures) {
    return {hidden_.data(), pictures, places() * static_cast<Index>(kHidden)};
  }

  [[nodiscard]] FeatureRows answers(std::span<const Index> pictures) {
    look_at(pictures);
    hidden_.noalias() = windows_ * now_.convolution();
    hidden_ = (hidden_.rowwise() + Eigen::RowVectorXf(now_.shift())).cwiseMax(0.0F);
    FeatureRows p = features(static_cast<Index>(pictures.size())) * now_.linear();
    p.rowwise() += Eigen::RowVectorXf(now_.bias());
    to_probabilities(p);
    return p;
  }

  /// The gradient of a batch.
  void descend(std::span<const Index> pictures) {
    const auto count = static_cast<Index>(pictures.size());
    FeatureRows error = answers(pictures);
    for (Index k = 0; k < count; ++k) error.row(k) -= y_.row(pictures[static_cast<std::size_t>(k)]);
    error /= static_cast<float>(count);
    slope_.linear().noalias() = features(count).transpose() * error;
    slope_.bias() = error.colwise().sum();
    FeatureRows back = error * now_.linear().transpose();
    const Eigen::Map<FeatureRows> by_place(back.data(), hidden_.rows(), hidden_.cols());
    hidden_ = (hidden_.array() > 0).select(by_place.array(), 0.0F).matrix();
    slope_.convolution().noalias() = windows_.transpose() * hidden_;
    slope_.shift() = hidden_.colwise().sum();
  }

  void keep_best() {
    double sum = 0;
    std::vector<Index> some;
    for (Index r = rows_; r < y_.rows(); r += kBatch) {
      some.resize(static_cast<std::size_t>(std::min(kBatch, y_.rows() - r)));
      std::iota(some.begin(), some.end(), r);
      const auto count = static_cast<Index>(some.size());
      sum += cross_entropy(y_.middleRows(r, count), answers(some)) * static_cast<double>(count);
    }
    if (!(sum < least_loss_)) return;
    least_loss_ = sum;
    best_ = now_;
  }

  /// For features as they come, in the order in which a convolution leaves them.
  [[nodiscard]] ConvolutionalClassifier classifier() {
    ConvolutionalClassifier out;
    const auto hidden = static_cast<Index>(kHidden);
    out.convolution.hidden = kHidden;
    out.convolution.stride = static_cast<std::size_t>(stride_);
    for (Index c = 0; c < scale_.size(); ++c) best_.convolution().middleRows(c * kWindow, kWindow) *= scale_[c];
    const auto kernels = best_.convolution();
    out.convolution.weights.assign(kernels.data(), kernels.data() + kernels.size());  // by columns: [hidden][channels]…
    out.convolution.bias.assign(best_.shift().data(), best_.shift().data() + hidden);
    out.last.features = static_cast<std::size_t>(places() * hidden);
    out.last.classes = static_cast<std::size_t>(y_.cols());
    for (Index k = 0; k < y_.cols(); ++k)
      for (Index h = 0; h < hidden; ++h)
        for (Index place = 0; place < places(); ++place)
          out.last.weights.push_back(best_.linear()(place * hidden + h, k));
    out.last.bias.assign(best_.bias().data(), best_.bias().data() + y_.cols());
    return out;
  }

  PictureShape shape_;
  std::span<const Eigen::half> x_;
  Eigen::Map<const FeatureRows> y_;
  Index rows_;  ///< that are fitted to
  Index stride_, out_rows_, out_columns_;
  HeadWeights now_, slope_, best_;
  Random random_;
  Eigen::ArrayXf scale_;  ///< by channel
  FeatureRows windows_, hidden_;
  double least_loss_ = std::numeric_limits<double>::infinity();
};

}  // namespace

ConvolutionalClassifier fit_convolutional_classifier(std::span<const Eigen::half> x, std::span<const float> targets,
                                                     const PictureShape& shape, std::size_t classes, std::uint64_t seed,
                                                     const std::function<bool()>& stopping) {
  return HeadFit(x, targets, shape, classes, seed).run(stopping);
}

}  // namespace rtmdl
