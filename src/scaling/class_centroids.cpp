#include "scaling/class_centroids.h"

#include "scaling/softmax_rows.h"

#include <limits>

namespace rtmdl {
namespace {

constexpr float kLeastRows = 1e-3F, kLeastSpread = 1e-5F, kLeastWithin = 1e-3F;  // the last of the whole variance

/// −d² · features without |x|², of features from which `mean` was taken.
struct Centroids {
  Eigen::RowVectorXf mean;
  Eigen::MatrixXf weights;  ///< features × classes
  Eigen::RowVectorXf bias;

  Centroids(const FeatureRows& x, const FeatureRows& y) : mean(x.colwise().mean()) {
    const FeatureRows centred = x.rowwise() - mean;
    const Eigen::RowVectorXf counts = y.colwise().sum();
    const Eigen::MatrixXf sums = centred.transpose() * y;
    const Eigen::MatrixXf at = sums.array().rowwise() / counts.array().max(kLeastRows);
    const auto rows = static_cast<float>(x.rows());
    const Eigen::ArrayXf all = centred.array().square().colwise().mean().transpose();
    const Eigen::ArrayXf between = (sums.array() * at.array()).rowwise().sum() / rows;
    const Eigen::ArrayXf within = all - between;
    const Eigen::ArrayXf unit =
        (all > kLeastSpread * kLeastSpread).select(within.max(kLeastWithin * all).inverse(), 0.0F);
    weights = (2 * at.array()).colwise() * unit;
    bias = -(at.array().square().colwise() * unit).colwise().sum();
  }
};

}  // namespace

LinearClassifier fit_class_centroids(std::span<const float> x, std::span<const float> targets, std::size_t features,
                                     std::size_t classes) {
  const auto n = static_cast<Eigen::Index>(features), k = static_cast<Eigen::Index>(classes);
  const auto rows = static_cast<Eigen::Index>(x.size() / features);
  const Eigen::Map<const FeatureRows> all(x.data(), rows, n), wanted(targets.data(), rows, k);
  const Eigen::Index held_out = rows / kHeldOut;
  const Centroids centroids(all.topRows(rows - held_out), wanted.topRows(rows - held_out));
  const FeatureRows tested = wanted.bottomRows(held_out);
  FeatureRows logits = (all.bottomRows(held_out).rowwise() - centroids.mean) * centroids.weights;
  logits.rowwise() += centroids.bias;

  float best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (float temperature = 0.25F; temperature < 8 * static_cast<float>(features); temperature *= 1.25F) {
    FeatureRows p = logits / temperature;
    to_probabilities(p);
    const double loss = cross_entropy(tested, p);
    if (loss < least) least = loss, best = temperature;
  }
  LinearClassifier out;
  out.features = features;
  out.classes = classes;
  const Eigen::MatrixXf weights = centroids.weights / best;
  const Eigen::RowVectorXf bias = centroids.bias / best - centroids.mean * weights;
  out.weights.assign(weights.data(), weights.data() + weights.size());  // by columns: [classes][features]
  out.bias.assign(bias.data(), bias.data() + bias.size());
  return out;
}

}  // namespace rtmdl
