// Early exits in plans and simulations.

#include "planning/evaluator.h"
#include "planning/lighter.h"
#include "planning/policies.h"
#include "planning/predict.h"
#include "planning/random_problem.h"
#include "planning/simulator.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::constant;
using test::in_order;

constexpr std::uint8_t kUnits = 3;

/// Pre 1 ms, three units of 2 ms, post 1 ms. Half of the frames are sure after the first unit, a quarter after the
/// second.
TaskOption half_sure() {
  TaskOption option;
  option.variant = "exits";
  option.cuts = {1, 2};
  option.stages = {{0, constant(1ms)}, {0, constant(2ms)}, {0, constant(2ms)}, {0, constant(2ms)}, {0, constant(1ms)}};
  option.accuracy = 0.89;
  option.accuracy_loss = 0.01;
  set_exits(option, {1, 3, 1, 2}, {0.7, 0.8, 0.9});
  return option;
}

PlanTask task_with(TaskOption option, Duration period) {
  PlanTask task;
  task.name = option.variant;
  task.period = task.deadline = period;
  task.options = {std::move(option)};
  return task;
}

PlanProblem one_task() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_with(half_sure(), 10ms)};
  return problem;
}

TEST(ExitsSimulation, JobsRunWhatTheirFramesNeed) {
  const PlanProblem problem = one_task();
  Simulator simulator(problem);
  std::vector<int> started;
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 4s}, [&](const SimulatedEvent& e) {
    if (e.decision.kind == Decision::Kind::start) started.push_back(e.decision.stage);
  });
  started.resize(16);
  EXPECT_THAT(started, testing::ElementsAre(0, 1, 4, 0, 1, 2, 3, 4, 0, 1, 4, 0, 1, 2, 4, 0));
  EXPECT_NEAR(o.busy[0], (4 + 8 + 4 + 6) / 40.0, 1e-3);
  EXPECT_EQ(o.tasks[0].worst_response, 8ms);
  EXPECT_EQ(o.tasks[0].changed_in[0], 0);
}

TEST(ExitsSimulation, PlansCountTheMeanAndProofsAll) {
  PlanProblem problem = one_task();
  const TaskOption& option = problem.tasks[0].options[0];
  EXPECT_EQ(mean_time(option), 5500us);
  EXPECT_NEAR(utilisation(problem.tasks[0], option), 0.55, 1e-9);
  const PlanOptions options;
  const Context context;
  const Evaluator evaluator(problem, options, context);
  EXPECT_NEAR(evaluator.utilisation(0, 0, 0), 0.55, 1e-9);
  EXPECT_NEAR(to_seconds(Duration(evaluator.demand(0, 0, 0))) / to_seconds(options.simulated), 0.55, 0.01);
  for (StageOption& stage : problem.tasks[0].options[0].stages) stage.longest = stage.times.max();
  ResponseAnalysis analysis(problem);
  EXPECT_EQ(analysis.bounds(in_order(problem)).front(), 8ms);
}

TEST(ExitsSimulation, WhoLeavesBeforeItIsSureOrAfterHasAnotherAccuracy) {
  const TaskOption option = half_sure();
  // All that left after the first unit have 0.7 instead of 0.89; the half that is sure there is not concerned.
  EXPECT_NEAR(accuracy_change(option, 1, 3), (0.7 - 0.89) / 0.5, 1e-12);
  EXPECT_NEAR(accuracy_change(option, 2, 3), (0.8 - 0.89) / 0.25, 1e-12);
  EXPECT_EQ(accuracy_change(option, 3, 3), 0);
  EXPECT_NEAR(accuracy_change(option, 3, 1), (0.9 - 0.89) / 0.75, 1e-12);
  EXPECT_EQ(accuracy_change(option, 2, 1), 0);
}

TEST(ExitsSimulation, UnderLoadJobsLeaveAtACostThatIsReported) {
  PlanProblem problem = one_task();
  TaskOption other;
  other.variant = "other";
  other.stages = {{0, constant(1ms)}, {0, constant(3ms)}, {0, constant(0ms)}};
  problem.tasks.push_back(task_with(other, 10ms));
  problem.tasks[1].deadline = 9ms;
  const Choices choices = in_order(problem);
  PolicyInfo policy = find_policy("rtmdl");
  const RunReport fixed = predict(policy, problem, choices, 10s, 1);
  EXPECT_GT(fixed.miss_rate, 0.2);
  EXPECT_NEAR(fixed.tasks[0].accuracy, 0.89, 1e-9);
  policy = find_policy("adaptive");
  const RunReport adapted = predict(policy, problem, choices, 10s, 1);
  EXPECT_LT(adapted.miss_rate, 0.01);
  EXPECT_LT(adapted.tasks[0].accuracy, 0.89);
  EXPECT_GT(adapted.tasks[0].accuracy, 0.7 - 1e-9) << "not worse than if all left";
  EXPECT_GT(adapted.tasks[0].accuracy_loss, 0.01);
}

TEST(ExitsSimulation, TheyStandInForAWholeNetworkWithNoShorterPieces) {
  PlanProblem problem = one_task();
  TaskOption whole;
  whole.variant = "whole";
  whole.stages = {{0, constant(1ms)}, {0, constant(6ms)}, {0, constant(1ms)}};
  problem.tasks[0].options.insert(problem.tasks[0].options.begin(), whole);
  EXPECT_THAT(lighter_options(problem, in_order(problem))[0], testing::ElementsAre(1));
  problem.tasks[0].options[0].stages[1].times = constant(1900us);
  EXPECT_THAT(lighter_options(problem, in_order(problem))[0], testing::IsEmpty());
}

}  // namespace
}  // namespace rtmdl
