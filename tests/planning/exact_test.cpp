#include "planning/brute_force.h"
#include "planning/planner.h"
#include "planning/random_problem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::brute_force;
using test::Found;
using test::Random;
using test::random_instance;
using test::random_problem;

TEST(ExactSearch, IsBruteForceOnSmallInstances) {
  int feasible = 0, lossy = 0, proven = 0;
  constexpr int kInstances = 500;
  for (int seed = 0; seed < kInstances; ++seed) {
    Random random;
    const PlanProblem problem = random_instance(seed, random);
    const PlanOptions options{.method = "exact", .simulated = 100ms, .budget = 1h, .seed = random()};
    const Found expected = brute_force(problem, options);
    const Plan found = plan(problem, options, {});
    ASSERT_TRUE(found.proven_optimal) << "seed " << seed;
    ASSERT_EQ(found.model, "simulation, every order") << "seed " << seed;
    ASSERT_EQ(found.feasible, expected.feasible) << "seed " << seed << ": " << found.reason;
    ASSERT_EQ(found.space, expected.strategies);
    if (expected.feasible) {
      ASSERT_NEAR(found.accuracy_loss, expected.loss, 1e-9) << "seed " << seed;
    }
    feasible += expected.feasible;
    lossy += expected.feasible && expected.loss > 0;
    proven += found.evaluated < expected.strategies;
  }
  std::printf("%d instances: %d feasible, %d of them with a loss\n", kInstances, feasible, lossy);
  EXPECT_GT(feasible, kInstances / 4);
  EXPECT_LT(feasible, kInstances);
  EXPECT_GT(lossy, kInstances / 10);
}

/// Four tasks with nine levels each, as in the paper: n!·Kⁿ = 157,464.
PlanProblem paper_size(bool preemptive, double load, std::uint64_t seed = 3) {
  Random random(seed);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", preemptive, 1}};
  for (int i = 0; i < 4; ++i) {
    PlanTask task;
    task.name = "net" + std::to_string(i);
    task.period = std::chrono::milliseconds(between(random, 25, 60));
    task.deadline = task.period * 8 / 10;
    task.jitter = 1ms;
    task.miss_rate_limit = 0.1;
    for (int level = 0; level < 9; ++level) {
      TaskOption option;
      option.variant = task.name + "." + std::to_string(level);
      option.accuracy_loss = level * 0.01 * (1 + 0.3 * i);
      const double speed = 1 - 0.07 * level;
      const Duration work =
          Duration(static_cast<std::int64_t>(load / 4 * speed * static_cast<double>(task.period.count())));
      option.stages = {
          {0, test::spread(random, work / 5)}, {1, test::spread(random, work)}, {0, test::spread(random, work / 10)}};
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  return problem;
}

TEST(ExactSearch, ProvesThePapersSize) {
  for (const bool preemptive : {true, false}) {
    for (const double load : {0.7, 1.0, 1.3}) {
      const Plan p = plan(paper_size(preemptive, load), {.method = "exact", .simulated = 3s, .budget = 10min}, {});
      EXPECT_EQ(p.space, 157464);
      EXPECT_TRUE(p.proven_optimal);
      EXPECT_TRUE(p.feasible) << p.reason;
      std::printf("4 tasks x 9 levels, load %.1f, %s: loss %.3f, %lld simulations, %.3f s\n", load,
                  preemptive ? "preemptive" : "non-preemptive", p.accuracy_loss, static_cast<long long>(p.evaluated),
                  p.seconds);
    }
  }
}

TEST(ExactSearch, SameSeedSamePlan) {
  const PlanProblem problem = paper_size(false, 1.1);
  const PlanOptions options{.method = "exact", .simulated = 2s, .budget = 10min};
  const Plan a = plan(problem, options, {}), b = plan(problem, options, {});
  EXPECT_EQ(a.evaluated, b.evaluated);
  EXPECT_EQ(a.reason, b.reason);
  for (std::size_t i = 0; i < a.tasks.size(); ++i) {
    EXPECT_EQ(a.tasks[i].choice.option, b.tasks[i].choice.option);
    EXPECT_EQ(a.tasks[i].choice.priority, b.tasks[i].choice.priority);
  }
}

TEST(Descent, ComesCloseToTheOptimum) {
  int within = 0, feasible = 0, proven = 0;
  for (int seed = 0; seed < 60; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 500);
    const PlanProblem problem = random_problem(random, {.most_tasks = 5, .most_options = 5});
    const Plan exact = plan(problem, {.method = "exact", .simulated = 200ms, .budget = 1h}, {});
    const Plan descent = plan(problem, {.method = "descent", .simulated = 200ms, .budget = 1h}, {});
    ASSERT_TRUE(exact.proven_optimal);
    // Only where no task could lose less, which needs no search.
    ASSERT_EQ(descent.method, "descent");
    proven += descent.proven_optimal;
    if (descent.proven_optimal) {
      ASSERT_TRUE(descent.feasible);
      ASSERT_NEAR(descent.accuracy_loss, exact.accuracy_loss, 1e-9);
    }
    ASSERT_LE(descent.feasible, exact.feasible);
    if (!exact.feasible) continue;
    ++feasible;
    ASSERT_GE(descent.accuracy_loss, descent.feasible ? exact.accuracy_loss - 1e-9 : 0);
    within += descent.feasible && descent.accuracy_loss <= exact.accuracy_loss * 1.05 + 1e-9;
  }
  std::printf("descent within 5 %% of the optimum: %d of %d\n", within, feasible);
  EXPECT_GE(within * 10, feasible * 9);
  EXPECT_GT(proven, 0);
  EXPECT_LT(proven, feasible);
}

}  // namespace
}  // namespace rtmdl
