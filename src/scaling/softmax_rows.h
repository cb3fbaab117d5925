#pragma once
/// What fits of classifiers have in common: rows of logits and of probabilities.

#include <Eigen/Core>

#include <algorithm>

namespace rtmdl {

using FeatureRows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One row of so many, the last ones, is held out of a fit.
inline constexpr Eigen::Index kHeldOut = 7;

inline void to_probabilities(FeatureRows& logits) {
  for (Eigen::Index r = 0; r < logits.rows(); ++r) {
    auto row = logits.row(r).array();
    row = (row - row.maxCoeff()).exp();
    row /= row.sum();
  }
}

/// Mean over the rows.
[[nodiscard]] inline double cross_entropy(const FeatureRows& targets, const FeatureRows& probabilities) {
  constexpr float kTiny = 1e-12F;
  return -static_cast<double>((targets.array() * probabilities.array().max(kTiny).log()).sum()) /
         static_cast<double>(std::max<Eigen::Index>(1, targets.rows()));
}

}  // namespace rtmdl
