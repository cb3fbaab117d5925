// The planner's searches beside each other on the same problems: strategies simulated per second, and what they lose.

#include "planning/planner.h"
#include "workloads.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>

namespace {

using namespace rtmdl;

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
      const PlanProblem problem = bench::random_workload(
          seed,
          {.tasks = static_cast<int>(state.range(0)), .variants = static_cast<int>(state.range(1)), .placed = true});
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
