#pragma once
/// What a task's jobs may run instead of the planned variant while load is higher than planned.

#include "planning/problem.h"

#include <vector>

namespace rtmdl {

/// Options for each task, from the lightest loss to the heaviest, at most `most` each: on the planned processors, with
/// no stage that may last longer than planned (so that every proof holds whatever is chosen), each worth having: less
/// loss than those that are faster. None for hard tasks: they do not give way. With a bound on memory: the first of
/// every task before the second of any, as long as they fit beside the plan.
[[nodiscard]] std::vector<std::vector<int>> lighter_options(const PlanProblem& problem, const Choices& choices,
                                                            int most = kMaxModes - 2);

}  // namespace rtmdl
