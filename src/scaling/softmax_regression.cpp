#include "scaling/softmax_regression.h"

#include "scaling/softmax_rows.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace rtmdl {
namespace {

using Weights = Eigen::MatrixXf;  // features × classes

constexpr std::array<float, 4> kSoftmaxRidges{1e-1F, 1e-2F, 1e-3F, 1e-4F};  // of features of variance 1
constexpr int kSteps = 20;                                                  // for each ridge, from the one before
constexpr int kLookEvery = 5;
constexpr float kLeastDeviation = 1e-5F;

class SoftmaxFit {
 public:
  SoftmaxFit(std::span<const float> x, std::span<const float> targets, std::size_t features, std::size_t classes) {
    const auto n = static_cast<Eigen::Index>(features), k = static_cast<Eigen::Index>(classes);
    const auto rows = static_cast<Eigen::Index>(x.size() / features);
    const Eigen::Index held_out = rows / kHeldOut;
    const Eigen::Map<const FeatureRows> all(x.data(), rows, n), wanted(targets.data(), rows, k);
    x_ = all.topRows(rows - held_out), y_ = wanted.topRows(rows - held_out);
    test_x_ = all.bottomRows(held_out), test_y_ = wanted.bottomRows(held_out);
    standardise();
    bias_ = Eigen::RowVectorXf::Zero(k);
    weights_ = Weights::Zero(n, k);
    keep_best();
  }

  LinearClassifier run(const std::function<bool()>& stopping) {
    const auto stop = [&] { return stopping && stopping(); };
    Eigen::MatrixXf covariance = Eigen::MatrixXf::Zero(x_.cols(), x_.cols());
    covariance.selfadjointView<Eigen::Lower>().rankUpdate(x_.transpose(), 0.5F / static_cast<float>(x_.rows()));
    for (const float ridge : kSoftmaxRidges) {
      const double before = least_loss_;
      Eigen::MatrixXf bound = covariance;
      bound.diagonal().array() += ridge;
      if (stop() || !descend(Eigen::LLT<Eigen::MatrixXf>(bound), ridge, stop)) break;
      if (ridge != kSoftmaxRidges.front() && least_loss_ >= before) break;  // a smaller one fits noise only
    }
    return classifier();
  }

 private:
  void standardise() {
    mean_ = x_.colwise().mean();
    x_.rowwise() -= mean_;
    const Eigen::RowVectorXf deviation = x_.array().square().colwise().mean().sqrt();
    scale_ = (deviation.array() > kLeastDeviation).select(deviation.array().inverse(), 0.0F);  // constants say nothing
    x_ = x_.array().rowwise() * scale_.array();
    test_x_ = (test_x_.rowwise() - mean_).array().rowwise() * scale_.array();
  }

  /// From where it is. False if it was stopped.
  template <typename Stop>
  bool descend(const Eigen::LLT<Eigen::MatrixXf>& bound, float ridge, const Stop& stop) {
    Weights ahead = weights_, last = weights_;
    Eigen::RowVectorXf bias_ahead = bias_, last_bias = bias_;
    double momentum = 1;
    for (int step = 1; step <= kSteps; ++step) {
      if (stop()) return false;
      FeatureRows p = x_ * ahead;
      p.rowwise() += bias_ahead;
      to_probabilities(p);
      p = y_ - p;
      const auto rows = static_cast<float>(x_.rows());
      const Weights uphill = x_.transpose() * p / rows - ridge * ahead;
      weights_ = ahead + bound.solve(uphill);
      bias_ = bias_ahead + 2 * p.colwise().sum() / rows;
      const bool overshot = (uphill.array() * (weights_ - last).array()).sum() < 0;
      const double next = overshot ? 1 : (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
      const auto carry = overshot ? 0.0F : static_cast<float>((momentum - 1) / next);
      ahead = weights_ + carry * (weights_ - last);
      bias_ahead = bias_ + carry * (bias_ - last_bias);
      last = weights_, last_bias = bias_;
      momentum = next;
      if (step % kLookEvery == 0) keep_best();
    }
    return true;
  }

  void keep_best() {
    const double loss = held_out_loss();
    if (!(loss < least_loss_)) return;
    least_loss_ = loss;
    best_ = weights_, best_bias_ = bias_;
  }

  [[nodiscard]] double held_out_loss() const {
    FeatureRows p = test_x_ * weights_;
    p.rowwise() += bias_;
    to_probabilities(p);
    return cross_entropy(test_y_, p);
  }

  /// For features as they come.
  [[nodiscard]] LinearClassifier classifier() const {
    LinearClassifier out;
    out.features = static_cast<std::size_t>(best_.rows());
    out.classes = static_cast<std::size_t>(best_.cols());
    const Weights scaled = best_.array().colwise() * scale_.transpose().array();
    const Eigen::RowVectorXf bias = best_bias_ - mean_ * scaled;
    out.weights.assign(scaled.data(), scaled.data() + scaled.size());  // by columns: [classes][features]
    out.bias.assign(bias.data(), bias.data() + bias.size());
    return out;
  }

  FeatureRows x_, y_, test_x_, test_y_;
  Eigen::RowVectorXf mean_, scale_;
  Weights weights_, best_;
  Eigen::RowVectorXf bias_, best_bias_;
  double least_loss_ = std::numeric_limits<double>::infinity();
};

}  // namespace

LinearClassifier fit_softmax_regression(std::span<const float> x, std::span<const float> targets, std::size_t features,
                                        std::size_t classes, const std::function<bool()>& stopping) {
  return SoftmaxFit(x, targets, features, classes).run(stopping);
}

}  // namespace rtmdl
