#pragma once
/// A linear classifier on features that somebody else computes, fitted to probabilities. Convex, so no rate or schedule
/// has to be found, and equal input gives equal weights.

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace rtmdl {

struct LinearClassifier {
  std::size_t features = 0, classes = 0;
  std::vector<float> weights;  ///< [classes][features]
  std::vector<float> bias;     ///< [classes]
};

/// `x`: [rows][features]; `targets`: [rows][classes], each row a distribution. The last seventh of the rows is held out
/// to choose the ridge and where to stop. Steps on Böhning's bound of the Hessian (Böhning 1992: ½ XᵀX bounds it
/// whatever the weights are, so one factorisation serves all steps and each of them descends), accelerated (Nesterov
/// 1983, restarted). O(rows · features²) once, O(rows · features · classes) a step. Returns early, with what it has,
/// when `stopping` says so.
[[nodiscard]] LinearClassifier fit_softmax_regression(std::span<const float> x, std::span<const float> targets,
                                                      std::size_t features, std::size_t classes,
                                                      const std::function<bool()>& stopping = {});

}  // namespace rtmdl
