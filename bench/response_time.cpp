// Strategies per second whose response times are bounded: searches ask for that before they simulate.

#include "planning/response_time.h"

#include <benchmark/benchmark.h>

#include <random>

namespace {

using namespace rtmdl;

/// Tasks of three stages over two processors, or of one stage on one.
PlanProblem problem_of(int tasks, bool chains, bool preemptive) {
  std::mt19937_64 random(7);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", preemptive, 1}};
  for (int i = 0; i < tasks; ++i) {
    PlanTask task;
    task.period = std::chrono::microseconds(std::uniform_int_distribution<int>(20000, 100000)(random));
    task.deadline = task.period;
    task.jitter = task.period / 50;
    const Duration share(static_cast<std::int64_t>(0.7 / tasks * static_cast<double>(task.period.count())));
    TaskOption& option = task.options.emplace_back();
    if (chains) option.stages.push_back({0, {{share / 6, share / 5}}});
    option.stages.push_back({1, {{share / 2, share}}});
    if (chains) option.stages.push_back({0, {{share / 12, share / 10}}});
    problem.tasks.push_back(task);
  }
  return problem;
}

void response_bounds_of_all_tasks(benchmark::State& state) {
  const int tasks = static_cast<int>(state.range(0));
  const PlanProblem problem = problem_of(tasks, state.range(1) != 0, state.range(2) != 0);
  ResponseAnalysis analysis(problem, 1.0);
  Choices choices;
  for (int i = 0; i < tasks; ++i) choices.push_back({0, i + 1});
  std::int64_t proven = 0;
  for (auto _ : state) {
    proven = 0;
    for (const auto& bound : analysis.bounds(choices)) proven += bound.has_value();
  }
  state.counters["strategies/s"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["bounded"] = static_cast<double>(proven);
}
BENCHMARK(response_bounds_of_all_tasks)
    ->ArgNames({"tasks", "chains", "preemptive"})
    ->Args({8, 0, 1})
    ->Args({8, 0, 0})
    ->Args({8, 1, 1})
    ->Args({8, 1, 0})
    ->Args({32, 0, 1})
    ->Args({32, 1, 0});

void bound_of_one_task_below_a_set(benchmark::State& state) {
  const int tasks = static_cast<int>(state.range(0));
  const PlanProblem problem = problem_of(tasks, false, true);
  ResponseAnalysis analysis(problem, 1.0);
  Choices choices;
  for (int i = 0; i < tasks; ++i) choices.push_back({0, i + 1});
  const std::uint64_t above = (std::uint64_t{1} << (tasks - 1)) - 1;
  for (auto _ : state)
    benchmark::DoNotOptimize(analysis.bound_below(choices, static_cast<std::size_t>(tasks) - 1, above));
}
BENCHMARK(bound_of_one_task_below_a_set)->Arg(8)->Arg(32);

}  // namespace

BENCHMARK_MAIN();
