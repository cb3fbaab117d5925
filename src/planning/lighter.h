#pragma once
/// What a task's jobs may run instead of the planned variant while load is higher than planned.

#include "planning/problem.h"

#include <algorithm>
#include <vector>

namespace rtmdl {

/// Options for each task, from the least loss to the most, at most `most` each: on the planned processors, with no
/// inference stage that may last longer than planned (of early exits: no unit longer than the longest piece planned),
/// each worth having: less loss than those that are faster. None for hard tasks, which do not give way, nor for tasks
/// more urgent than one: its proof also rests on their shortest times. With a bound on memory: the lightest of every
/// task before the next of any, as long as they fit beside the plan and what tasks fall back to.
[[nodiscard]] std::vector<std::vector<int>> lighter_options(const PlanProblem& problem, const Choices& choices,
                                                            int most = kMaxModes - 2);

/// Fills in SchedulerMode's figures of early exits; `by_load`: jobs that are not sure may be made to leave.
template <typename Stages>
void take_exits(const PlanTask& task, const TaskOption& option, bool by_load, Stages& to) {
  to.optional_from = option.optional_from;
  to.reaches.clear();
  to.leave_losses.clear();
  if (option.optional_from == 0) return;
  for (const StageOption& stage : option.stages) {
    to.reaches.push_back(stage.reach);
    const int ran = static_cast<int>(to.reaches.size()) - 1, all = segments_of(option);
    if (!by_load) continue;
    const bool may_leave = ran >= option.optional_from - 1 && ran < all;
    const double most = may_leave ? source_accuracy(option) : 0;
    to.leave_losses.push_back(most > 0 ? -task.weight * accuracy_change(option, ran, all) / most : 0);
  }
}

/// Heavier than planned, where there is room: for each task that may have lighter options the most accurate one in
/// whose place the planned one may stand, as lighter_options() of these choices have it; all together within the bound
/// on memory, or all as planned.
[[nodiscard]] Choices roomy_choices(const PlanProblem& problem, const Choices& planned);

/// The problem with only the chosen option of each task and its lighter ones, in this order. They are in memory, and
/// were stored: no bounds on that.
[[nodiscard]] PlanProblem loaded_problem(PlanProblem problem, const Choices& choices,
                                         const std::vector<std::vector<int>>& lighter);
/// Times of proofs that hold whichever of the options with no less loss a job runs instead.
void prove_with_lighter(PlanProblem& problem);

/// What a job loses that runs `option` and not the planned one, weighted (SchedulerMode::loss).
[[nodiscard]] inline double weighted_loss(const PlanTask& task, const TaskOption& option, const TaskOption& planned) {
  return task.weight * std::max(0.0, option.accuracy_loss - planned.accuracy_loss);
}

}  // namespace rtmdl
