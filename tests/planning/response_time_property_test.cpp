#include "planning/random_problem.h"
#include "planning/response_time.h"
#include "planning/simulator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::in_order;
using test::Random;
using test::random_problem;
using test::task_of;

std::vector<std::optional<Duration>> preemptive_bounds(const PlanProblem& problem) {
  return response_bounds(problem, in_order(problem), 1.0);
}

/// How often there was a bound, and how often the simulation came within a fifth of it.
struct Seen {
  int sets = 0, proven = 0, close = 0, beyond_period = 0;
};

void check_against_simulation(const PlanProblem& problem, Duration length, std::uint64_t seed, Seen& seen) {
  const auto bound = preemptive_bounds(problem);
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = length, .seed = seed});
  ++seen.sets;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    if (!bound[i]) continue;
    ++seen.proven;
    ASSERT_LE(o.tasks[i].worst_response.count(), bound[i]->count()) << "seed " << seed << ", task " << i;
    ASSERT_EQ(o.tasks[i].dropped, 0) << "seed " << seed << ", task " << i;
    seen.close += o.tasks[i].worst_response * 5 > *bound[i] * 4;
    seen.beyond_period += o.tasks[i].worst_response > problem.tasks[i].period;
  }
}

TEST(ResponseBoundsOfRandomSets, CoverEverySimulatedResponse) {
  Seen seen;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    Random random(seed);
    PlanProblem problem = random_problem(
        random, {.most_tasks = 6, .most_options = 1, .most_processors = 3, .least_load = 0.2, .most_load = 1.1});
    for (PlanTask& task : problem.tasks) task.late = Late::finish;  // bounds beyond deadlines are of those
    ASSERT_NO_FATAL_FAILURE(check_against_simulation(problem, 1s, seed, seen));
  }
  EXPECT_GT(seen.proven, 5000);
  EXPECT_GT(seen.close, 500) << "a bound that is never approached tests nothing";
}

/// Small whole numbers, so that events coincide; several stages in a row on one processor; queues up to 4; times of any
/// length from `least` of the longest.
PlanProblem small_numbers(Random& random, int most_tasks, double load, bool jitter) {
  PlanProblem problem;
  const int processors = between(random, 1, 3);
  for (int p = 0; p < processors; ++p)
    problem.processors.push_back({"p", between(random, 0, 1) > 0, between(random, 0, 5) == 0 ? 2 : 1});
  const int tasks = between(random, 2, most_tasks);
  for (int i = 0; i < tasks; ++i) {
    const int period = between(random, 10, 60);
    std::vector<std::pair<int, Duration>> stages;
    const int count = between(random, 1, 4);
    const int most = std::max(1, static_cast<int>(2 * load * processors * period / tasks / count));
    int here = between(random, 0, processors - 1);
    for (int s = 0; s < count; ++s) {
      stages.emplace_back(here, Duration(between(random, 0, most)));
      if (between(random, 0, 2) > 0) here = between(random, 0, processors - 1);
    }
    problem.tasks.push_back(task_of("t", Duration(period), Duration(period), stages));
    PlanTask& task = problem.tasks.back();
    task.offset = Duration(between(random, 0, 3) * between(random, 0, period));
    task.queue = between(random, 1, 4);
    if (jitter && between(random, 0, 1) == 0) task.jitter = Duration(between(random, 0, 2 * period));
    for (StageOption& stage : task.options[0].stages) {
      const Duration longest = stage.times.max();
      if (between(random, 0, 2) == 0) stage.times.sorted.insert(stage.times.sorted.begin(), longest / 2);
    }
    Random packing(static_cast<std::uint64_t>(period * 100 + i));  // apart, so that the rest stays as it is
    for (StageOption& stage : task.options[0].stages)
      stage.slots = between(packing, 1, problem.processors[static_cast<std::size_t>(stage.processor)].slots);
  }
  return problem;
}

TEST(ResponseBoundsOfRandomSets, CoverEverySimulatedResponseWhereEventsCoincide) {
  Seen seen;
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    Random random(seed);
    const PlanProblem problem = small_numbers(random, 6, 0.3 + 0.001 * between(random, 0, 700), true);
    ASSERT_NO_FATAL_FAILURE(check_against_simulation(problem, 20us, seed, seen));
  }
  EXPECT_GT(seen.proven, 9000);
  EXPECT_GT(seen.close, 2000);
  EXPECT_GT(seen.beyond_period, 200);
}

/// Worst simulated response of every task as a share of its bound; 0 where there is none.
std::vector<double> closeness(const PlanProblem& problem) {
  const auto bound = preemptive_bounds(problem);
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 4us});
  std::vector<double> shares;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    const double worst = static_cast<double>(o.tasks[i].worst_response.count());
    const bool dropped = bound[i] && o.tasks[i].dropped > 0;
    shares.push_back(dropped    ? 2
                     : bound[i] ? worst / static_cast<double>(std::max<std::int64_t>(bound[i]->count(), 1))
                                : 0);
  }
  return shares;
}

// Random sets hardly come near their preemptive_bounds. Here periods, offsets and times are moved towards the worst
// case step by step.
TEST(ResponseBoundsOfRandomSets, HoldOnSetsThatAreMadeToBreakThem) {
  int touched = 0;
  for (std::uint64_t seed = 0; seed < 120; ++seed) {
    Random random(seed);
    PlanProblem problem = small_numbers(random, 5, 0.8, seed % 2 == 0);
    double most = 0;
    for (int step = 0; step < 400; ++step) {
      PlanProblem moved = problem;
      PlanTask& task =
          moved.tasks[static_cast<std::size_t>(between(random, 0, static_cast<int>(moved.tasks.size()) - 1))];
      auto& stages = task.options[0].stages;
      switch (between(random, 0, 3)) {
        case 0: task.offset = Duration(between(random, 0, 100)); break;
        case 1: task.period = task.deadline = Duration(between(random, 10, 70)); break;
        case 2: task.queue = between(random, 1, 4); break;
        default:
          stages[static_cast<std::size_t>(between(random, 0, static_cast<int>(stages.size()) - 1))].times =
              test::constant(Duration(between(random, 0, 30)));
      }
      const std::vector<double> shares = closeness(moved);
      ASSERT_LE(*std::max_element(shares.begin(), shares.end()), 1) << "seed " << seed << ", step " << step;
      const double now = std::accumulate(shares.begin(), shares.end(), 0.0);
      if (now < most) continue;
      most = now;
      problem = moved;
    }
    touched += most > 0.95 * static_cast<double>(problem.tasks.size());
  }
  EXPECT_GT(touched, 30);
}

// On one preemptive processor with constant times and a synchronous release, the bound is the worst response, also
// beyond the period, whatever stages the jobs are cut into.
TEST(ResponseBoundsOfRandomSets, EqualTheWorstOfSynchronousPeriodicSets) {
  int proven = 0, beyond_period = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Random random(seed);
    PlanProblem problem;
    problem.processors = {{"cpu", true, 1}};
    const int tasks = between(random, 1, 5);
    for (int i = 0; i < tasks; ++i) {
      const Duration period = std::chrono::milliseconds(between(random, 4, 40));
      const Duration time = std::max<Duration>(period * between(random, 5, std::min(95, 150 / tasks)) / 100, 1us);
      problem.tasks.push_back(task_of("t", period, 5 * period, {{0, time / 3}, {0, time - time / 3}}));
      problem.tasks.back().queue = 16;
    }
    ResponseAnalysis analysis(problem, 1.0);
    const auto bound = preemptive_bounds(problem);
    Duration length = 100ms;  // until the job that is said to be the worst is done
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const BoundDetail detail = analysis.detail(in_order(problem), i);
      length = std::max(length, problem.tasks[i].period * detail.job + detail.bound.value_or(0ns));
    }
    Simulator simulator(problem);
    const SimulationOutcome& o = simulator.run(in_order(problem), {.length = length});
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      if (!bound[i]) break;  // below a task without bound jobs are dropped, and the worst is not at the start
      ++proven;
      beyond_period += *bound[i] > problem.tasks[i].period;
      ASSERT_EQ(o.tasks[i].worst_response, *bound[i]) << "seed " << seed << ", task " << i;
    }
  }
  EXPECT_GT(proven, 3000);
  EXPECT_GT(beyond_period, 100);
}

// One task at a time below a set is what all at once gives.
TEST(ResponseBoundsOfRandomSets, AreTheSameForOneTaskBelowASet) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Random random(seed);
    const PlanProblem problem = small_numbers(random, 6, 0.7, true);
    ResponseAnalysis analysis(problem, 1.0);
    const Choices choices = in_order(problem);
    const auto all = preemptive_bounds(problem);
    for (std::size_t i = 0; i < all.size(); ++i)
      ASSERT_EQ(analysis.bound_below(choices, i, (std::uint64_t{1} << i) - 1), all[i]) << "seed " << seed;
  }
}

// Audsley's assignment, from the bottom up, with bound_below(): if any order proves every deadline, it finds one.
TEST(ResponseBoundsOfRandomSets, AudsleysAssignmentIsOptimalWhereTheOrderAboveDoesNotMatter) {
  int provable = 0, hopeless = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    Random random(seed);
    PlanProblem problem;
    problem.processors = {{"p", seed % 2 == 0, 1}};
    for (int i = 0; i < 4; ++i) {
      const int period = between(random, 20, 60);
      const std::vector<std::pair<int, Duration>> stages = {{0, Duration(between(random, 1, 5))},
                                                            {0, Duration(between(random, 0, 5))}};
      problem.tasks.push_back(task_of("t", Duration(period), Duration(between(random, 8, 2 * period)), stages));
      problem.tasks.back().jitter = Duration(between(random, 0, 10));
      problem.tasks.back().queue = 2;
    }
    ResponseAnalysis analysis(problem, 1.0);
    Choices choices = in_order(problem);
    ASSERT_TRUE(analysis.order_free(choices));
    std::vector<int> order = {0, 1, 2, 3};
    bool any = false;
    do {
      for (int k = 0; k < 4; ++k)
        choices[static_cast<std::size_t>(order[static_cast<std::size_t>(k)])].priority = k + 1;
      const auto& bound = analysis.bounds(choices);
      bool all = true;
      for (std::size_t i = 0; i < 4; ++i) all &= bound[i] && *bound[i] <= problem.tasks[i].deadline;
      any |= all;
    } while (std::next_permutation(order.begin(), order.end()));
    std::uint64_t left = 0b1111;
    bool placed = true;
    while (left != 0 && placed) {
      placed = false;
      for (std::size_t i = 0; i < 4 && !placed; ++i) {
        const std::uint64_t mine = std::uint64_t{1} << i;
        if ((left & mine) == 0 || !analysis.bound_below(choices, i, left & ~mine, problem.tasks[i].deadline)) continue;
        left &= ~mine;
        placed = true;
      }
    }
    ASSERT_EQ(left == 0, any) << "seed " << seed;
    provable += any;
    hopeless += !any;
  }
  EXPECT_GT(provable, 100);
  EXPECT_GT(hopeless, 100);
}

}  // namespace
}  // namespace rtmdl
