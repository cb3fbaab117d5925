#pragma once
/// A plan as people see it: one page, the front as a drawing, one sentence on what the trades beside it would be. Pure.

#include "planning/planner.h"

#include <string>
#include <vector>

namespace rtmdl {

struct PlanPage {
  std::string workload;  ///< names the page
  const Plan* plan = nullptr;
  const PlanProblem* problem = nullptr;
  std::vector<std::string> changes;  ///< "--set faces.period=20ms": what is not as the task file says
};

/// The strategy with its reason, the front, misses against limits, what each processor is used for; if nothing is
/// feasible what would be enough. One HTML page that needs nothing else.
[[nodiscard]] std::string plan_page(const PlanPage& page);

/// Accuracy loss against jobs missed (its root, so that small rates are told apart): a mark per point of the front,
/// hollow where a limit is broken, the chosen one ringed. Inline SVG whose colours come from the page's style sheet;
/// `standalone`: a file of its own, light and dark.
[[nodiscard]] std::string plan_front_svg(const Plan& plan, const PlanProblem& problem, bool standalone = false);

/// "0.4 points more loss would halve the misses (1.2 % to 0.6 %); 0.3 points less would miss 12 %, beyond a limit".
/// Empty without points beside the chosen one.
[[nodiscard]] std::string front_sentence(const Plan& plan);

/// What a point does otherwise than the chosen one: "faces int8 instead of source, text on gpu". Empty if nothing.
[[nodiscard]] std::string difference(const ParetoPoint& point, const Plan& plan, const PlanProblem& problem);

}  // namespace rtmdl
