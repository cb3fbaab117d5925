#pragma once
/// Random planning problems of the shapes that the tests need.

#include "planning/problem.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace rtmdl::test {

using Random = std::mt19937_64;

inline int between(Random& random, int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }

inline TimeDistribution constant(Duration time) { return {{time}}; }

/// Samples around `mean`, a few of them much longer.
inline TimeDistribution spread(Random& random, Duration mean, int samples = 20) {
  TimeDistribution times;
  for (int k = 0; k < samples; ++k) {
    const double noise = between(random, 80, 115) * 0.01 + (between(random, 0, 9) == 0 ? 0.4 : 0.0);
    times.sorted.push_back(Duration(static_cast<std::int64_t>(static_cast<double>(mean.count()) * noise)));
  }
  std::sort(times.sorted.begin(), times.sorted.end());
  return times;
}

struct Shape {
  int most_tasks = 4, most_options = 3, most_processors = 2;
  bool non_preemptive = true;
  double least_load = 0.5, most_load = 1.6;  ///< of all processors together, by the first options
};

/// Periods of 5 to 40 ms, chains over the processors; later options are mostly faster, smaller and less accurate.
inline PlanProblem random_problem(Random& random, const Shape& shape) {
  PlanProblem problem;
  const int processors = between(random, 1, shape.most_processors), tasks = between(random, 1, shape.most_tasks);
  for (int p = 0; p < processors; ++p) {
    const bool preemptive = !shape.non_preemptive || between(random, 0, 1) == 0;
    problem.processors.push_back({"p" + std::to_string(p), preemptive, between(random, 0, 4) == 0 ? 2 : 1});
  }
  const double load = std::uniform_real_distribution<double>(shape.least_load, shape.most_load)(random);
  problem.dispatch = std::chrono::microseconds(between(random, 0, 20));
  for (int i = 0; i < tasks; ++i) {
    PlanTask task;
    task.name = "task" + std::to_string(i);
    task.period = std::chrono::microseconds(between(random, 5, 40) * 1000);
    task.deadline = task.period * between(random, 5, 11) / 10;
    task.jitter = task.period * between(random, 0, 10) / 100;
    task.offset = std::chrono::microseconds(between(random, 0, 5) * 1000);
    task.miss_rate_limit = between(random, 0, 3) * 0.03;
    task.weight = between(random, 1, 3);
    task.queue = between(random, 1, 2);
    const double work = load * processors / tasks * static_cast<double>(task.period.count());
    const int options = between(random, 1, shape.most_options);
    for (int o = 0; o < options; ++o) {
      TaskOption option;
      option.variant = "v" + std::to_string(o);  // as in a workspace: unique within its task only
      option.accuracy_loss = o * 0.01 * between(random, 0, 3);
      option.bytes = between(random, 1, 9) * 1'000'000;
      option.memory = option.bytes * 2;
      const int stages = between(random, 1, 3);
      for (int s = 0; s < stages; ++s) {
        const double share = std::max(0.1, 1 - 0.3 * o) / stages;
        option.stages.push_back(
            {between(random, 0, processors - 1), spread(random, Duration(static_cast<std::int64_t>(work * share)))});
      }
      // Drawn apart from the rest: as many threads as slots, half as long.
      Random packing(static_cast<std::uint64_t>(option.bytes) * 31 + static_cast<std::uint64_t>(task.period.count()));
      for (StageOption& stage : option.stages) {
        const int slots = problem.processors[static_cast<std::size_t>(stage.processor)].slots;
        if (slots == 1 || between(packing, 0, 1) == 0) continue;
        stage.slots = slots;
        for (Duration& t : stage.times.sorted) t = t * 6 / 10;
      }
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  for (PlanTask& task : problem.tasks) task.late = static_cast<Late>(between(random, 0, 8) % 5 % 3);  // mostly finish
  for (PlanProcessor& p : problem.processors) p.correlation = between(random, 0, 1) * between(random, 0, 8) * 0.1;
  return problem;
}

/// One task with one option of constant stages: (processor, time).
/// The first option of each task, priorities in their order.
inline Choices in_order(const PlanProblem& problem) {
  Choices choices;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) choices.push_back({0, static_cast<int>(i) + 1});
  return choices;
}

inline PlanTask task_of(std::string name, Duration period, Duration deadline,
                        const std::vector<std::pair<int, Duration>>& stages) {
  PlanTask task;
  task.name = std::move(name);
  task.period = period;
  task.deadline = deadline;
  TaskOption option;
  option.variant = task.name + ".source";
  for (const auto& [processor, time] : stages) option.stages.push_back({processor, constant(time)});
  task.options.push_back(option);
  return task;
}

}  // namespace rtmdl::test
