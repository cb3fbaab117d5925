#include "planning/lighter.h"

#include "planning/fallback.h"
#include "planning/response_time.h"

#include <algorithm>
#include <utility>

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

/// With other pieces, so that those of inference together are neither longer nor shorter.
void cover_pieces(TaskOption& option, const TaskOption& other) {
  const auto sum = [](const TaskOption& of, Duration StageOption::*time) {
    Duration all{};
    for (std::size_t s = 1; s + 1 < of.stages.size(); ++s) all += of.stages[s].*time;
    return all;
  };
  StageOption& first = option.stages[1];
  const Duration longer = sum(other, &StageOption::longest) - sum(option, &StageOption::longest);
  const Duration shorter = sum(option, &StageOption::shortest) - sum(other, &StageOption::shortest);
  first.longest += std::max(longer, Duration{});
  first.shortest = std::max(first.shortest - std::max(shorter, Duration{}), Duration(1));
}

/// Times of proofs that hold for jobs of `other` as well, which stands in for it.
void cover(TaskOption& option, const TaskOption& other) {
  const bool alike = option.stages.size() == other.stages.size();
  if (!alike) cover_pieces(option, other);
  for (std::size_t s = 0; s < option.stages.size(); ++s) {
    const bool last = s + 1 == option.stages.size();
    if (!alike && s > 0 && !last) continue;
    const StageOption& with = alike || s == 0 ? other.stages[s] : other.stages.back();
    option.stages[s].longest = std::max(option.stages[s].longest, with.longest);
    option.stages[s].shortest = std::min(option.stages[s].shortest, with.shortest);
  }
}

int least_urgent_hard(const PlanProblem& problem, const Choices& choices) {
  int least = 0;
  for (std::size_t t = 0; t < problem.tasks.size(); ++t)
    if (problem.tasks[t].hard) least = std::max(least, choices[t].priority);
  return least;
}

std::int64_t memory_of(const PlanProblem& problem, const Choices& choices) {
  std::int64_t sum = 0;
  for (std::size_t t = 0; t < choices.size(); ++t) sum += problem.tasks[t].options[index(choices[t].option)].memory;
  return sum;
}

/// What each task falls back to, as far as there is room for it, which is taken from `left`; null: nothing.
std::vector<const TaskOption*> take_fallbacks(const PlanProblem& problem, const Choices& choices, std::int64_t& left) {
  std::vector<const TaskOption*> fallbacks;
  for (std::size_t t = 0; t < choices.size(); ++t) {
    const TaskOption* const option = fallback_of(problem, choices, t);
    const bool fits = option && option->memory <= left;
    if (fits) left -= option->memory;
    fallbacks.push_back(fits ? option : nullptr);
  }
  return fallbacks;
}

}  // namespace

std::vector<std::vector<int>> lighter_options(const PlanProblem& problem, const Choices& choices, int most) {
  std::vector<std::vector<int>> lighter(problem.tasks.size());
  const int below = least_urgent_hard(problem, choices);
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    const PlanTask& task = problem.tasks[t];
    if (choices[t].priority > below)
      lighter[t] = of_task(task, task.options[index(choices[t].option)], static_cast<std::size_t>(most));
  }
  if (!problem.memory) return lighter;
  std::int64_t left = *problem.memory - memory_of(problem, choices);
  const std::vector<const TaskOption*> fallbacks = take_fallbacks(problem, choices, left);
  // The lightest saves most: it comes first.
  std::vector<std::vector<int>> fitting(lighter.size());
  for (std::size_t k = 0; k < static_cast<std::size_t>(most); ++k)
    for (std::size_t t = 0; t < lighter.size(); ++t) {
      if (k >= lighter[t].size()) continue;
      const int o = lighter[t][lighter[t].size() - 1 - k];
      const TaskOption& option = problem.tasks[t].options[index(o)];
      const std::int64_t bytes = &option == fallbacks[t] ? 0 : option.memory;
      if (bytes > left) continue;
      left -= bytes;
      fitting[t].insert(fitting[t].begin(), o);
    }
  return fitting;
}

Choices roomy_choices(const PlanProblem& problem, const Choices& planned) {
  Choices roomy = planned;
  const int below = least_urgent_hard(problem, planned);
  for (std::size_t t = 0; t < planned.size(); ++t) {
    if (planned[t].priority <= below) continue;
    const std::vector<TaskOption>& options = problem.tasks[t].options;
    for (std::size_t o = 0; o < options.size(); ++o)
      if (stands_in(options[index(planned[t].option)], options[o]) &&
          options[o].accuracy_loss < options[index(roomy[t].option)].accuracy_loss)
        roomy[t].option = static_cast<int>(o);
  }
  if (problem.memory && memory_of(problem, roomy) > *problem.memory) return planned;
  const std::vector<std::vector<int>> lighter = lighter_options(problem, roomy);
  for (std::size_t t = 0; t < planned.size(); ++t) {
    const bool loaded = std::find(lighter[t].begin(), lighter[t].end(), planned[t].option) != lighter[t].end();
    if (!loaded) roomy[t] = planned[t];
  }
  return roomy;
}

PlanProblem loaded_problem(PlanProblem problem, const Choices& choices, const std::vector<std::vector<int>>& lighter) {
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    std::vector<TaskOption>& options = problem.tasks[t].options;
    std::vector<TaskOption> loaded{options[index(choices[t].option)]};
    for (const int o : lighter[t]) loaded.push_back(options[index(o)]);
    options = std::move(loaded);
  }
  problem.memory.reset();
  problem.storage.reset();
  return problem;
}

void prove_with_lighter(PlanProblem& problem) {
  fix_proof_times(problem);
  for (PlanTask& task : problem.tasks) {
    const std::vector<TaskOption> alone = task.options;
    for (TaskOption& option : task.options)
      for (const TaskOption& other : alone)
        if (other.accuracy_loss >= option.accuracy_loss) cover(option, other);
  }
}

}  // namespace rtmdl
