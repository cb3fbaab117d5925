// Events per second of the simulator (an event is a release or the completion of a stage).

#include "planning/simulator.h"

#include <benchmark/benchmark.h>

#include <random>

namespace {

using namespace rtmdl;

/// Tasks of three stages (CPU, accelerator, CPU) that load the accelerator to about `load`.
PlanProblem three_stage_problem(int tasks, int options, bool preemptive, double load = 0.8) {
  std::mt19937_64 random(7);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", preemptive, 1}};
  for (int i = 0; i < tasks; ++i) {
    PlanTask task;
    task.name = "task" + std::to_string(i);
    task.period = std::chrono::microseconds(std::uniform_int_distribution<int>(20000, 100000)(random));
    task.deadline = task.period;
    task.jitter = task.period / 50;
    task.miss_rate_limit = 0.01;
    const double share = load / tasks * static_cast<double>(task.period.count());
    for (int k = 0; k < options; ++k) {
      TaskOption option;
      option.variant = "v" + std::to_string(k);
      option.accuracy_loss = 0.004 * k;
      for (const double part : {0.2, 1.0, 0.1}) {
        StageOption stage;
        stage.processor = part == 1.0 ? 1 : 0;
        for (int j = 0; j < 200; ++j) {
          const double noise = 0.95 + 0.1 * j / 200 + (j > 195 ? 0.2 : 0.0);
          stage.times.sorted.push_back(Duration(static_cast<std::int64_t>(share * part * noise * (1 - 0.06 * k))));
        }
        option.stages.push_back(stage);
      }
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  return problem;
}

void simulator_events(benchmark::State& state) {
  const PlanProblem problem = three_stage_problem(static_cast<int>(state.range(0)), 1, state.range(1) != 0);
  Simulator simulator(problem);
  Choices choices;
  for (int i = 0; i < static_cast<int>(problem.tasks.size()); ++i) choices.push_back({0, i + 1});
  std::int64_t events = 0;
  for (auto _ : state) {
    SimulationOptions options;
    options.policy = state.range(2) != 0 ? Policy::edf : Policy::fixed_priority;
    events += simulator.run(choices, options).events;
  }
  state.counters["events/s"] = benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
}
BENCHMARK(simulator_events)
    ->ArgNames({"tasks", "preemptive", "edf"})
    ->Args({4, 1, 0})
    ->Args({8, 1, 0})
    ->Args({8, 0, 0})
    ->Args({8, 1, 1})
    ->Args({16, 1, 0})
    ->Args({64, 1, 0})
    ->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
