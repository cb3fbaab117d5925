#include "planning/climb.h"

#include "planning/random_problem.h"

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::task_of;

/// 3 of 10 ms, of which some may be late, and 10 of 20 ms.
PlanProblem short_and_long(Duration deadline_of_long) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("a", 10ms, 10ms, {{0, 3ms}}), task_of("b", 20ms, deadline_of_long, {{0, 10ms}})};
  problem.tasks[0].miss_rate_limit = 0.5;
  return problem;
}

TEST(Strain, IsTheResponseThatAllKeepButThoseThatMayMiss) {
  const PlanProblem problem = short_and_long(16ms);
  const PlanOptions options{.simulated = 2s};
  const Context context;
  Evaluator evaluator(problem, options, context);
  Choices choices(2);
  std::vector<double> strain;
  set_priorities(choices, {0, 1});
  ASSERT_TRUE(evaluator.evaluate(choices, false, &strain));
  ASSERT_EQ(strain.size(), 2U);
  EXPECT_NEAR(strain[0], 0.3, 1e-6);
  EXPECT_NEAR(strain[1], 1.0, 1e-6) << "3 + 10 + 3 of 16 ms";
  // Below b every other job of a waits 10 ms and is late, which half of them may be.
  set_priorities(choices, {1, 0});
  const auto strategy = evaluator.evaluate(choices, false, &strain);
  EXPECT_TRUE(strategy->score.feasible);
  EXPECT_NEAR(strain[0], 0.6, 1e-6) << "ready at 10, begun at 13, done at 16 ms";
  EXPECT_NEAR(strain[1], 10.0 / 16, 1e-6);
}

TEST(Strain, OfHardTasksIsTheirBoundsAndOfDroppedJobsTheMost) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("hard", 10ms, 8ms, {{0, 2ms}}), task_of("soft", 10ms, 10ms, {{0, 25ms}})};
  problem.tasks[0].hard = true;
  problem.tasks[0].options[0].stages[0].longest = 6ms;
  const PlanOptions options{.simulated = 1s};
  const Context context;
  Evaluator evaluator(problem, options, context);
  Choices choices(2);
  set_priorities(choices, {0, 1});
  std::vector<double> strain;
  ASSERT_TRUE(evaluator.evaluate(choices, false, &strain));
  EXPECT_NEAR(strain[0], 0.75, 1e-6);
  EXPECT_EQ(strain[1], kMostStrain);
}

/// Deadline-monotonic order fails at any room; b's one variant must be first, and a may miss half.
TEST(Climb, FindsTheOrderThatHolds) {
  const PlanProblem problem = short_and_long(12ms);
  const PlanOptions options{.simulated = 2s};
  const Context context;
  Evaluator evaluator(problem, options, context);
  Climb(evaluator).run(0.01);
  ASSERT_TRUE(evaluator.best());
  EXPECT_TRUE(evaluator.best()->score.feasible);
  EXPECT_LT(evaluator.best()->choices[1].priority, evaluator.best()->choices[0].priority);
}

/// Twenty tasks in thirty variants of steps of 2.5 %; of every second one a quarter of the jobs may be late.
PlanProblem many_tasks() {
  test::Random random(7);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  for (int i = 0; i < 20; ++i) {
    const auto period = std::chrono::milliseconds(test::between(random, 10, 60));
    PlanTask task = task_of("task" + std::to_string(i), period, period * test::between(random, 5, 9) / 10,
                            {{0, period * test::between(random, 5, 12) / 100}});
    task.miss_rate_limit = i % 2 == 0 ? 0.25 : 0;
    task.jitter = 1ms;
    for (int k = 1; k < 30; ++k) {
      TaskOption option = task.options[0];
      option.stages[0].times.sorted[0] = option.stages[0].times.sorted[0] * (40 - k) / 40;
      option.accuracy_loss = 0.0001 * k * k;
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  return problem;
}

TEST(Climb, FillsMoreThanDeadlineMonotonicOrderAndGoesOn) {
  const PlanProblem problem = many_tasks();
  const PlanOptions options{.simulated = 4s, .budget = 300s};
  const Context context;
  const auto climbed = [&](int tries) {
    Evaluator evaluator(problem, options, context);
    Climb climb(evaluator);
    climb.run(0.001);
    const double before = evaluator.best()->score.loss;
    int better = 0;
    for (int k = 0; k < tries; ++k) better += climb.try_again(static_cast<std::uint64_t>(k));
    EXPECT_EQ(better > 0, evaluator.best()->score.loss < before);
    return *evaluator.best();
  };
  const Strategy once = climbed(0), longer = climbed(6);
  ASSERT_TRUE(once.score.feasible);
  EXPECT_GT(once.score.peak, 0.9);
  EXPECT_LE(longer.score.loss, once.score.loss);
  EXPECT_EQ(climbed(6).choices, longer.choices) << "a seed gives one result";

  // The same variants in deadline-monotonic order do not hold.
  Evaluator evaluator(problem, options, context);
  Choices choices = longer.choices;
  set_priorities(choices, deadline_monotonic_order(problem));
  EXPECT_FALSE(evaluator.evaluate(choices, false)->score.feasible);
}

}  // namespace
}  // namespace rtmdl
