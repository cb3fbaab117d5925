#pragma once
/// Predicted against measured miss rates, as a drawing. Pure.

#include <string>
#include <vector>

namespace rtmdl {

struct PredictedTask {
  std::string series;    ///< what told apart by colour: the policy
  std::string label;     ///< shown when pointed at: set and task
  double predicted = 0;  ///< miss rates, 0..1
  double measured = 0;
  double unstalled = 0;  ///< measured without misses that machine stalls explain
};

/// A mark per task, and a hollow one where it would be without machine stalls; the diagonal and the band of `points`
/// around it. Axes grow with the square root, so that the small rates that matter have room. Standalone SVG.
[[nodiscard]] std::string prediction_svg(const std::vector<PredictedTask>& tasks, double points = 0.015);

}  // namespace rtmdl
