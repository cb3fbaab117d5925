#pragma once
/// What a task's jobs may run instead of the planned variant while load is higher than planned.

#include "planning/problem.h"

#include <algorithm>
#include <vector>

namespace rtmdl {

/// Options for each task, from the least loss to the most, at most `most` each: on the planned processors, with no
/// inference stage that may last longer than planned, each worth having: less loss than those that are faster. None for
/// hard tasks, which do not give way, nor for tasks more urgent than one: its proof also rests on their shortest times.
/// With a bound on memory: the first of every task before the second of any, as long as they fit beside the plan.
[[nodiscard]] std::vector<std::vector<int>> lighter_options(const PlanProblem& problem, const Choices& choices,
                                                            int most = kMaxModes - 2);

/// What a job loses that runs `option` and not the planned one, weighted (SchedulerMode::loss).
[[nodiscard]] inline double weighted_loss(const PlanTask& task, const TaskOption& option, const TaskOption& planned) {
  return task.weight * std::max(0.0, option.accuracy_loss - planned.accuracy_loss);
}

}  // namespace rtmdl
