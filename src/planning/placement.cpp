#include "planning/planner.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace rtmdl {
namespace {

constexpr double kMostPlacements = 20'000;  ///< tried one by one

/// Share of each processor that the option takes.
std::vector<double> shares(const PlanProblem& problem, const PlanTask& task, const TaskOption& option) {
  std::vector<double> result(problem.processors.size(), 0.0);
  for (const StageOption& stage : option.stages) {
    const std::size_t p = static_cast<std::size_t>(stage.processor);
    result[p] += load_seconds(stage, dispatch_cost(problem, stage.processor)) / to_seconds(mean_interval(task)) /
                 problem.processors[p].slots;
  }
  return result;
}

std::vector<int> source_options(const PlanTask& task) {
  const bool flagged =
      std::any_of(task.options.begin(), task.options.end(), [](const TaskOption& o) { return o.source; });
  const auto least =
      std::min_element(task.options.begin(), task.options.end(),
                       [](const TaskOption& a, const TaskOption& b) { return a.accuracy_loss < b.accuracy_loss; });
  std::vector<int> result;
  for (std::size_t o = 0; o < task.options.size(); ++o) {
    const bool source =
        flagged ? task.options[o].source : task.options[o].accuracy_loss <= least->accuracy_loss + 1e-12;
    if (source && task.options[o].cuts.empty()) result.push_back(static_cast<int>(o));  // segments are ours
  }
  return result;
}

/// Options with their shares, of one task.
struct Ways {
  std::size_t task = 0;
  std::vector<int> options;
  std::vector<std::vector<double>> shares;
  double least = 0;
};

/// How full the processors are, the fullest first: the fuller of two placements is the one that is greater.
std::vector<double> fullness(std::vector<double> used) {
  std::sort(used.begin(), used.end(), std::greater<>());
  return used;
}

void add(std::vector<double>& used, const std::vector<double>& shares, double sign) {
  for (std::size_t p = 0; p < used.size(); ++p) used[p] += sign * shares[p];
}

/// Tries every placement; `used` is scratch.
void place_all(const std::vector<Ways>& tasks, std::size_t k, std::vector<double>& used,
               std::vector<std::size_t>& picks, std::vector<double>& best, std::vector<std::size_t>& best_picks) {
  if (k == tasks.size()) {
    const std::vector<double> full = fullness(used);
    if (best.empty() || full < best) best = full, best_picks = picks;
    return;
  }
  for (std::size_t o = 0; o < tasks[k].options.size(); ++o) {
    picks[k] = o;
    add(used, tasks[k].shares[o], 1);
    place_all(tasks, k + 1, used, picks, best, best_picks);
    add(used, tasks[k].shares[o], -1);
  }
}

/// Worst-fit decreasing, for sets too large to try every placement.
std::vector<std::size_t> place_greedily(const std::vector<Ways>& tasks, std::size_t processors) {
  std::vector<std::size_t> order(tasks.size()), picks(tasks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return tasks[a].least > tasks[b].least; });
  std::vector<double> used(processors);
  for (const std::size_t k : order) {
    std::vector<double> best;
    for (std::size_t o = 0; o < tasks[k].options.size(); ++o) {
      add(used, tasks[k].shares[o], 1);
      const std::vector<double> full = fullness(used);
      if (best.empty() || full < best) best = full, picks[k] = o;
      add(used, tasks[k].shares[o], -1);
    }
    if (!tasks[k].options.empty()) add(used, tasks[k].shares[picks[k]], 1);
  }
  return picks;
}

}  // namespace

Choices balanced_choices(const PlanProblem& problem, const std::vector<std::vector<int>>& allowed) {
  std::vector<Ways> tasks;
  double placements = 1;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    Ways ways{i, allowed[i], {}, 0};
    for (const int o : ways.options) {
      ways.shares.push_back(shares(problem, problem.tasks[i], problem.tasks[i].options[static_cast<std::size_t>(o)]));
      const double sum = std::accumulate(ways.shares.back().begin(), ways.shares.back().end(), 0.0);
      if (ways.shares.size() == 1 || sum < ways.least) ways.least = sum;
    }
    placements *= static_cast<double>(std::max<std::size_t>(ways.options.size(), 1));
    tasks.push_back(std::move(ways));
  }
  std::vector<std::size_t> picks(tasks.size());
  if (placements <= kMostPlacements) {
    std::vector<double> used(problem.processors.size()), best;
    std::vector<std::size_t> trial(tasks.size());
    place_all(tasks, 0, used, trial, best, picks);
  } else {
    picks = place_greedily(tasks, problem.processors.size());
  }
  Choices choices(problem.tasks.size());
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (!tasks[i].options.empty()) choices[i].option = tasks[i].options[picks[i]];
    choices[i].priority = static_cast<int>(i) + 1;
  }
  return choices;
}

Choices source_choices(const PlanProblem& problem) {
  std::vector<std::vector<int>> allowed;
  for (const PlanTask& task : problem.tasks) allowed.push_back(source_options(task));
  return balanced_choices(problem, allowed);
}

Choices exit_choices(const PlanProblem& problem) {
  std::vector<std::vector<int>> allowed;
  for (const PlanTask& task : problem.tasks) {
    std::vector<int> mine;
    double most = 0;
    for (std::size_t o = 0; o < task.options.size(); ++o) {
      const TaskOption& option = task.options[o];
      if (option.optional_from == 0 || (!mine.empty() && option.accuracy < most)) continue;
      if (option.accuracy > most) mine.clear();
      most = option.accuracy;
      mine.push_back(static_cast<int>(o));
    }
    allowed.push_back(mine.empty() ? source_options(task) : mine);
  }
  return balanced_choices(problem, allowed);
}

Choices compressed_choices(const PlanProblem& problem) {
  std::vector<std::vector<int>> allowed;
  for (const PlanTask& task : problem.tasks) {
    const auto fastest =
        std::min_element(task.options.begin(), task.options.end(),
                         [](const TaskOption& a, const TaskOption& b) { return mean_time(a) < mean_time(b); });
    std::vector<int> mine;
    for (std::size_t o = 0; o < task.options.size(); ++o)
      if (task.options[o].variant == fastest->variant && task.options[o].cuts.empty())
        mine.push_back(static_cast<int>(o));
    allowed.push_back(mine);
  }
  return balanced_choices(problem, allowed);
}

}  // namespace rtmdl
