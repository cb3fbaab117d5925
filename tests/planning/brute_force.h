#pragma once
/// What planning is measured against: every strategy of a small problem, and the problems.

#include "planning/energy.h"
#include "planning/planner.h"
#include "planning/random_problem.h"
#include "planning/response_time.h"
#include "planning/simulator.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>

namespace rtmdl::test {

struct Found {
  bool feasible = false;
  double loss = 0;
  int strategies = 0;
};

/// Every combination of options in every order, judged from the problem's own words.
inline Found brute_force(const PlanProblem& problem, const PlanOptions& options) {
  const std::size_t n = problem.tasks.size();
  Simulator simulator(problem);
  Found best;
  Choices choices(n);
  for (bool more = true; more;) {
    std::set<std::string> shared;
    std::int64_t bytes = 0, memory = 0;
    double loss = 0, watts = 0;
    for (const PlanProcessor& p : problem.processors) watts += p.power ? p.power->idle : 0;
    for (std::size_t i = 0; i < n; ++i) {
      const TaskOption& option = problem.tasks[i].options[static_cast<std::size_t>(choices[i].option)];
      if (option.content.empty() || shared.insert(option.content).second) bytes += option.bytes;
      memory += option.memory;
      watts += option.joules / to_seconds(problem.tasks[i].period);
      loss += problem.tasks[i].weight * option.accuracy_loss;
    }
    std::vector<int> priorities(n);
    std::iota(priorities.begin(), priorities.end(), 1);
    do {
      ++best.strategies;
      for (std::size_t i = 0; i < n; ++i) choices[i].priority = priorities[i];
      bool feasible = (!problem.storage || bytes <= *problem.storage) &&
                      (!problem.memory || memory <= *problem.memory) &&
                      (!problem.power_limit || watts <= *problem.power_limit + 1e-9);
      const auto bounds = response_bounds(problem, choices);
      const SimulationOutcome& o = simulator.run(choices, {.length = options.simulated, .seed = options.seed});
      for (std::size_t i = 0; i < n; ++i) {
        const PlanTask& task = problem.tasks[i];
        feasible &= o.tasks[i].miss_rate() <= (task.hard ? 0 : task.miss_rate_limit) + 1e-12;
        feasible &= !task.hard || (bounds[i] && *bounds[i] <= task.deadline);
      }
      if (feasible && (!best.feasible || loss < best.loss)) best.feasible = true, best.loss = loss;
    } while (std::next_permutation(priorities.begin(), priorities.end()));
    more = false;
    for (std::size_t i = 0; i < n && !more; ++i) {
      more = ++choices[i].option < static_cast<int>(problem.tasks[i].options.size());
      if (!more) choices[i].option = 0;
    }
  }
  return best;
}

/// To something between what the idle box draws and what it draws with the first options.
inline void limit_power(PlanProblem& problem, Random& random) {
  for (PlanProcessor& p : problem.processors) p.power = {between(random, 3, 9) * 1.0, between(random, 0, 2) * 1.0};
  set_joules(problem);
  double first = 0;
  for (const PlanTask& task : problem.tasks) first += draw_watts(task, task.options.front());
  problem.power_limit = idle_watts(problem) + first * between(random, 4, 11) / 10;
}

/// Hard and soft tasks, bounds of storage, memory and power, models that two tasks share; up to 4 tasks of 3 options, a
/// fifth of them up to 5 of 4.
inline PlanProblem random_instance(int seed, Random& random) {
  random.seed(static_cast<std::uint64_t>(seed));
  Shape shape;
  if (seed % 5 == 4) shape.most_tasks = 5, shape.most_options = 4;
  PlanProblem problem = random_problem(random, shape);
  if (between(random, 0, 2) == 0) problem.storage = between(random, 3, 20) * 1'000'000;
  if (between(random, 0, 3) == 0) problem.memory = between(random, 6, 40) * 1'000'000;
  for (PlanTask& task : problem.tasks) task.hard = between(random, 0, 7) == 0;
  if (problem.tasks.size() > 1 && between(random, 0, 3) == 0) {
    problem.tasks[0].options[0].content = problem.tasks[1].options[0].content = "one model of two tasks";
    problem.tasks[1].options[0].bytes = problem.tasks[0].options[0].bytes;
  }
  if (between(random, 0, 2) == 0) limit_power(problem, random);
  return problem;
}

}  // namespace rtmdl::test
