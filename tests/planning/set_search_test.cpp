#include "planning/set_search.h"

#include "planning/brute_force.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::brute_force;
using test::constant;
using test::Found;
using test::Random;
using test::random_instance;
using test::task_of;

SetSearchResult search(const PlanProblem& problem, const PlanOptions& options, std::optional<Strategy>& best,
                       std::int64_t& evaluated) {
  const Context context;
  Evaluator evaluator(problem, options, context);
  const SetSearchResult result = search_by_sets(evaluator);
  best = evaluator.best();
  evaluated = evaluator.evaluated();
  return result;
}

// The assumptions of the model hold almost always: chains over processors, jitter, drops, non-preemptive stages and
// all.
TEST(SetSearch, AgreesWithEveryOrderOnAlmostAllSmallInstances) {
  int feasible = 0, agreed = 0, missed = 0;
  constexpr int kInstances = 500;
  for (int seed = 0; seed < kInstances; ++seed) {
    Random random;
    const PlanProblem problem = random_instance(seed, random);
    const PlanOptions options{.method = "exact", .simulated = 100ms, .budget = 1h, .seed = random()};
    const Found expected = brute_force(problem, options);
    std::optional<Strategy> best;
    std::int64_t evaluated = 0;
    const SetSearchResult result = search(problem, options, best, evaluated);
    const bool found = best && best->score.feasible;
    // What it finds was simulated: never better than possible.
    ASSERT_LE(found, expected.feasible) << "seed " << seed;
    if (found) {
      ASSERT_GE(best->score.loss, expected.loss - 1e-9) << "seed " << seed;
    }
    feasible += expected.feasible;
    missed += expected.feasible && !found;
    agreed += result.complete && found == expected.feasible && (!found || best->score.loss <= expected.loss + 1e-9);
  }
  std::printf("set by set as every order: %d of %d (%d feasible, %d of them not found)\n", agreed, kInstances, feasible,
              missed);
  EXPECT_GE(agreed * 100, kInstances * 97);
}

// One preemptive processor, no drops: there the model is exact, so disagreement would be a bug.
TEST(SetSearch, IsExactOnOnePreemptiveProcessorWithoutDrops) {
  int feasible = 0, lossy = 0;
  for (int seed = 0; seed < 200; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    PlanProblem problem;
    problem.processors = {{"cpu", true, 1}};
    const int tasks = between(random, 2, 4);
    for (int i = 0; i < tasks; ++i) {
      const Duration period = std::chrono::milliseconds(between(random, 5, 20));
      PlanTask task = task_of("t" + std::to_string(i), period, period * between(random, 6, 10) / 10, {{0, 1ms}});
      task.queue = kMaxQueue;
      task.miss_rate_limit = 0;
      task.options.clear();
      for (int o = 0; o < 3; ++o) {
        TaskOption option;
        option.variant = "v" + std::to_string(o);
        option.accuracy_loss = 0.01 * o * between(random, 1, 4);
        option.stages = {{0, constant(period * between(random, 20, 45) / 100 * (3 - o) / 3)}};
        task.options.push_back(option);
      }
      problem.tasks.push_back(task);
    }
    const PlanOptions options{.method = "exact", .simulated = 300ms, .budget = 1h};
    const Found expected = brute_force(problem, options);
    std::optional<Strategy> best;
    std::int64_t evaluated = 0;
    ASSERT_TRUE(search(problem, options, best, evaluated).complete) << seed;
    const bool found = best && best->score.feasible;
    ASSERT_EQ(found, expected.feasible) << seed;
    if (!found) continue;
    ASSERT_NEAR(best->score.loss, expected.loss, 1e-9) << seed;
    ++feasible;
    lossy += expected.loss > 0;
  }
  EXPECT_GT(feasible, 100);
  EXPECT_GT(lossy, 50);
}

TEST(SetSearch, StoppedEarlyItStillBoundsTheLoss) {
  Random random;
  for (int seed = 0; seed < 60; ++seed) {
    const PlanProblem problem = random_instance(seed, random);
    const PlanOptions options{.method = "exact", .simulated = 100ms, .budget = 1h, .seed = random()};
    PlanOptions hurried = options;
    hurried.budget = 200us;
    std::optional<Strategy> best;
    std::int64_t evaluated = 0;
    const SetSearchResult early = search(problem, hurried, best, evaluated);
    static_cast<void>(search(problem, options, best, evaluated));
    if (best && best->score.feasible) {
      EXPECT_LE(early.bound, best->score.loss + 1e-9) << seed;
    }
  }
}

}  // namespace
}  // namespace rtmdl
