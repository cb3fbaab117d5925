// How long the planner takes to prove, and how good it is where it cannot: the targets of docs/design.md on random task
// sets of the demo's kind (workloads.h).

#include "planning/planner.h"
#include "workloads.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace {

using namespace rtmdl;

constexpr int kSets = 20;

Plan planned(const PlanProblem& problem, const char* method, Duration budget) {
  PlanOptions options;
  options.method = method;
  options.budget = budget;
  options.simulated = simulated_length(problem);
  options.front = false;
  return plan(problem, options, Context{});
}

/// Twenty sets; the argument is the load of the source models in percent of the accelerator, or its share of hard
/// tasks.
void time_to_proof(benchmark::State& state, int tasks, int variants, double hard, bool preemptive) {
  for (auto _ : state) {
    std::vector<double> seconds;
    double proven = 0, loss = 0, infeasible = 0;
    for (std::uint64_t seed = 0; seed < kSets; ++seed) {
      bench::Workload w{.tasks = tasks, .variants = variants};
      w.preemptive = preemptive;
      w.load = static_cast<double>(state.range(0)) / 100;
      w.hard = hard;
      const Plan p = planned(bench::random_workload(1000 + seed, w), "exact", std::chrono::seconds(10));
      proven += p.proven_optimal;
      infeasible += !p.feasible;
      loss += p.accuracy_loss / kSets;
      seconds.push_back(p.proven_optimal ? p.seconds : 10);
    }
    std::sort(seconds.begin(), seconds.end());
    state.counters["proven"] = proven;
    state.counters["within 1 s"] =
        static_cast<double>(std::count_if(seconds.begin(), seconds.end(), [](double s) { return s <= 1; }));
    state.counters["median s"] = seconds[kSets / 2];
    state.counters["19th s"] = seconds[kSets - 2];
    state.counters["loss"] = loss;
    state.counters["infeasible"] = infeasible;
  }
}
BENCHMARK_CAPTURE(time_to_proof, paper_4x9, 4, 9, 0.0, false)->ArgName("load")->Arg(120)->Iterations(1);
BENCHMARK_CAPTURE(time_to_proof, soft_8x12, 8, 12, 0.0, true)
    ->ArgName("load")
    ->Arg(70)
    ->Arg(90)
    ->Arg(105)
    ->Arg(120)
    ->Iterations(1);
BENCHMARK_CAPTURE(time_to_proof, soft_8x12_non_preemptive, 8, 12, 0.0, false)->ArgName("load")->Arg(105)->Iterations(1);
BENCHMARK_CAPTURE(time_to_proof, mixed_8x12, 8, 12, 0.3, true)->ArgName("load")->Arg(90)->Iterations(1);
BENCHMARK_CAPTURE(time_to_proof, hard_8x12, 8, 12, 1.0, true)->ArgName("load")->Arg(90)->Iterations(1);

/// 64 tasks of 16 variants in 5 s; with RTMDL_LONG_SECONDS also what so much more time would find.
void many_tasks(benchmark::State& state) {
  const char* longer = std::getenv("RTMDL_LONG_SECONDS");
  constexpr int kLarge = 3;
  for (auto _ : state) {
    double loss = 0, infeasible = 0, strategies = 0, excess = 0;
    for (std::uint64_t seed = 0; seed < kLarge; ++seed) {
      bench::Workload w{.tasks = 64, .variants = 16};
      w.placed = state.range(0) != 0;
      w.load = w.placed ? 0.9 : 1.2;
      const PlanProblem problem = bench::random_workload(1000 + seed, w);
      const Plan p = planned(problem, "auto", std::chrono::seconds(5));
      infeasible += !p.feasible;
      loss += p.accuracy_loss / kLarge;
      strategies += static_cast<double>(p.evaluated) / p.seconds / kLarge;
      if (longer == nullptr) continue;
      const Plan best = planned(problem, "auto", std::chrono::seconds(std::atoi(longer)));
      excess = std::max(excess, p.accuracy_loss / best.accuracy_loss - 1);
    }
    state.counters["loss"] = loss;
    state.counters["infeasible"] = infeasible;
    state.counters["strategies/s"] = strategies;
    if (longer != nullptr) state.counters["worst excess"] = excess;
  }
}
BENCHMARK(many_tasks)->ArgName("placed")->Arg(0)->Arg(1)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
