#include "planning/lighter.h"

#include <algorithm>

namespace rtmdl {
namespace {

Duration longest(const StageOption& stage) { return std::max(stage.longest, stage.times.max()); }

/// In the same places, and no stage may last longer.
bool stage_by_stage(const TaskOption& option, const TaskOption& planned) {
  for (std::size_t s = 0; s < option.stages.size(); ++s) {
    const StageOption &o = option.stages[s], &p = planned.stages[s];
    if (o.processor != p.processor || o.slots > p.slots) return false;
    const bool inner = s > 0 && s + 1 < option.stages.size();  // pre and post are the same work, measured twice
    if (inner && longest(o) > longest(p)) return false;
  }
  return true;
}

/// With another number of stages: infers where all of the planned does, and in no longer pieces than its longest.
bool piece_by_piece(const TaskOption& option, const TaskOption& planned) {
  if (option.stages.size() < 3 || planned.stages.size() < 3 || is_split(option) || is_split(planned)) return false;
  const StageOption& place = planned.stages[1];
  Duration most{};
  for (std::size_t s = 1; s + 1 < planned.stages.size(); ++s) most = std::max(most, longest(planned.stages[s]));
  return option.stages.front().processor == planned.stages.front().processor &&
         option.stages.back().processor == planned.stages.back().processor &&
         std::all_of(option.stages.begin() + 1, option.stages.end() - 1, [&](const StageOption& o) {
           return o.processor == place.processor && o.slots <= place.slots && longest(o) <= most;
         });
}

bool stands_in(const TaskOption& option, const TaskOption& planned) {
  if (option.variant == planned.variant || option.threads != planned.threads) return false;
  const bool alike = option.stages.size() == planned.stages.size();
  return (alike ? stage_by_stage(option, planned) : piece_by_piece(option, planned)) &&
         mean_time(option) < mean_time(planned);
}

std::vector<int> of_task(const PlanTask& task, const TaskOption& planned, std::size_t most) {
  std::vector<int> found;
  for (std::size_t o = 0; o < task.options.size(); ++o)
    if (stands_in(task.options[o], planned)) found.push_back(static_cast<int>(o));
  const auto option = [&](int o) -> const TaskOption& { return task.options[index(o)]; };
  std::sort(found.begin(), found.end(), [&](int a, int b) {
    const Duration x = mean_time(option(a)), y = mean_time(option(b));
    return x != y ? x < y : option(a).accuracy_loss < option(b).accuracy_loss;
  });
  std::vector<int> worth;  // faster first, each more accurate than those before
  for (const int o : found)
    if (worth.empty() || option(o).accuracy_loss < option(worth.back()).accuracy_loss) worth.push_back(o);
  std::reverse(worth.begin(), worth.end());
  if (worth.size() <= most) return worth;
  std::vector<int> kept;  // evenly; the lightest in any case
  for (std::size_t k = most; k > 0; --k)
    kept.push_back(worth[worth.size() - 1 - (k - 1) * (worth.size() - 1) / std::max<std::size_t>(most - 1, 1)]);
  return kept;
}

}  // namespace

std::vector<std::vector<int>> lighter_options(const PlanProblem& problem, const Choices& choices, int most) {
  std::vector<std::vector<int>> lighter(problem.tasks.size());
  int least_urgent_hard = 0;
  for (std::size_t t = 0; t < problem.tasks.size(); ++t)
    if (problem.tasks[t].hard) least_urgent_hard = std::max(least_urgent_hard, choices[t].priority);
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    const PlanTask& task = problem.tasks[t];
    if (choices[t].priority > least_urgent_hard)
      lighter[t] = of_task(task, task.options[index(choices[t].option)], static_cast<std::size_t>(most));
  }
  if (!problem.memory) return lighter;
  std::int64_t left = *problem.memory;
  for (std::size_t t = 0; t < problem.tasks.size(); ++t)
    left -= problem.tasks[t].options[index(choices[t].option)].memory;
  // The lightest saves most: it comes first.
  std::vector<std::vector<int>> fitting(lighter.size());
  for (std::size_t k = 0; k < static_cast<std::size_t>(most); ++k)
    for (std::size_t t = 0; t < lighter.size(); ++t) {
      if (k >= lighter[t].size()) continue;
      const int o = lighter[t][lighter[t].size() - 1 - k];
      const std::int64_t bytes = problem.tasks[t].options[index(o)].memory;
      if (bytes > left) continue;
      left -= bytes;
      fitting[t].insert(fitting[t].begin(), o);
    }
  return fitting;
}

}  // namespace rtmdl
