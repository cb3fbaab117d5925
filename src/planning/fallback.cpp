#include "planning/fallback.h"

#include <algorithm>
#include <set>

namespace rtmdl {
namespace {

/// Of an option's infer stage.
std::set<int> inference_processors(const TaskOption& option) {
  std::set<int> processors;
  for (std::size_t s = 1; s + 1 < option.stages.size(); ++s) processors.insert(option.stages[s].processor);
  return processors;
}

std::set<int> accelerators_among(const PlanProblem& problem, std::set<int> processors) {
  std::erase_if(processors, [&](int p) { return !problem.processors[index(p)].accelerator; });
  return processors;
}

/// The fastest that is another variant on the same processors (`elsewhere` false), or the same one that runs on none of
/// those that `planned` may lose: its accelerators, or all where it has none.
const TaskOption* fastest_other(const PlanProblem& problem, const PlanTask& task, const TaskOption& planned,
                                bool elsewhere) {
  const std::set<int> here = inference_processors(planned), accelerators = accelerators_among(problem, here);
  const std::set<int>& lost = accelerators.empty() ? here : accelerators;
  const TaskOption* best = nullptr;
  for (const TaskOption& option : task.options) {
    const std::set<int> there = inference_processors(option);
    const bool leaves = std::none_of(there.begin(), there.end(), [&](int p) { return lost.contains(p); });
    if ((option.variant == planned.variant) != elsewhere || (elsewhere ? !leaves : there != here)) continue;
    if (!best || mean_time(option) < mean_time(*best)) best = &option;
  }
  return best;
}

}  // namespace

const TaskOption* fallback_of(const PlanProblem& problem, const Choices& choices, std::size_t t) {
  const PlanTask& task = problem.tasks[t];
  const TaskOption& planned = task.options[index(choices[t].option)];
  const FallbackTo to = task.fallback.to;
  if (task.fallback.after == 0) return nullptr;
  const bool loses = !accelerators_among(problem, inference_processors(planned)).empty();
  const bool elsewhere_first = to == FallbackTo::processor || (to == FallbackTo::any && loses);
  const TaskOption* found = fastest_other(problem, task, planned, elsewhere_first);
  return found || to != FallbackTo::any ? found : fastest_other(problem, task, planned, !elsewhere_first);
}

}  // namespace rtmdl
