// The planner's searches beside each other on the same problems: strategies simulated per second, and what they lose.

#include "planning/planner.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>

namespace {

using namespace rtmdl;

TimeDistribution around(std::mt19937_64& random, double mean) {
  TimeDistribution times;
  for (int k = 0; k < 50; ++k) {
    const double noise = std::uniform_real_distribution<double>(0.9, 1.1)(random) + (k % 25 == 0 ? 0.4 : 0.0);
    times.sorted.push_back(Duration(static_cast<std::int64_t>(mean * noise)));
  }
  std::sort(times.sorted.begin(), times.sorted.end());
  return times;
}

/// `levels` levels on either of two accelerators; the source models need 1.2 times what both have.
PlanProblem two_accelerators(int tasks, int levels, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"npu", false, 1}, {"gpu", true, 1}};
  for (int i = 0; i < tasks; ++i) {
    PlanTask task;
    task.name = "task" + std::to_string(i);
    task.period = std::chrono::milliseconds(std::uniform_int_distribution<int>(20, 200)(random));
    task.deadline = task.period;
    task.jitter = task.period / 50;
    const double work = 2.4 / tasks * static_cast<double>(task.period.count()) *
                        std::uniform_real_distribution<double>(0.3, 1.7)(random);
    const double cost = std::uniform_real_distribution<double>(0.002, 0.01)(random);
    for (int level = 0; level < levels; ++level) {
      const TimeDistribution pre = around(random, work / 10), post = around(random, work / 20);
      for (const int where : {1, 2}) {
        TaskOption option;
        option.variant = "v" + std::to_string(level);
        option.accuracy_loss = cost * level * (1 + 0.1 * level);
        option.stages.push_back({0, pre, {}, {}});
        option.stages.push_back({where, around(random, work * (1 - 0.8 * level / levels)), {}, {}});
        option.stages.push_back({0, post, {}, {}});
        task.options.push_back(option);
      }
    }
    problem.tasks.push_back(task);
  }
  return problem;
}

/// The loss is the mean over three problems; infeasible: how many had no feasible strategy.
void search_with(benchmark::State& state, const char* method, int jobs) {
  PlanOptions options;
  options.method = method;
  options.simulated = std::chrono::seconds(10);
  options.budget = std::chrono::seconds(10);
  options.jobs = jobs;
  double simulations = 0, loss = 0, infeasible = 0;
  constexpr int kProblems = 3;
  for (auto _ : state) {
    for (std::uint64_t seed = 0; seed < kProblems; ++seed) {
      const PlanProblem problem =
          two_accelerators(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)), seed);
      const Plan p = plan(problem, options, Context{});
      simulations += static_cast<double>(p.evaluated);
      loss += p.accuracy_loss / kProblems;
      infeasible += !p.feasible;
    }
  }
  state.counters["strategies/s"] = benchmark::Counter(simulations, benchmark::Counter::kIsRate);
  state.counters["strategies"] = simulations / kProblems;
  state.counters["loss"] = loss;
  state.counters["infeasible"] = infeasible;
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tasks", "levels"})->Args({4, 4})->Args({8, 6})->Args({16, 8})->Args({64, 8});
  b->Unit(benchmark::kMillisecond)->Iterations(1)->UseRealTime();
}
BENCHMARK_CAPTURE(search_with, exact, "exact", 1)
    ->ArgNames({"tasks", "levels"})
    ->Args({4, 4})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->UseRealTime();
BENCHMARK_CAPTURE(search_with, descent, "descent", 1)->Apply(sizes);
BENCHMARK_CAPTURE(search_with, nsga2_one_thread, "nsga2", 1)->Apply(sizes);
BENCHMARK_CAPTURE(search_with, nsga2_two_threads, "nsga2", 2)->Apply(sizes);

}  // namespace

BENCHMARK_MAIN();
