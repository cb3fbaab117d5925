#include "planning/energy.h"

#include "planning/brute_force.h"
#include "planning/plan_file.h"
#include "planning/predict.h"
#include "planning/relax.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::in_order;
using test::task_of;
using ::testing::HasSubstr;

/// 2 of 5 ms above 4 of 10 ms on a processor of 1 W to 4 W.
PlanProblem two_tasks() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.processors[0].power = {4, 1};
  problem.tasks = {task_of("fast", 5ms, 5ms, {{0, 2ms}}), task_of("slow", 10ms, 10ms, {{0, 4ms}})};
  for (PlanTask& task : problem.tasks) task.late = Late::skip;
  set_joules(problem);
  return problem;
}

EnergySupply persistent(double watts, double capacity, double start) {
  return {.trace = {{{100ms, watts}}, 100ms}, .capacitor = {.capacity = capacity, .start = start}};
}

TEST(Energy, OfAJobIsWhatItsStagesDrawBeyondIdle) {
  PlanProblem problem = two_tasks();
  EXPECT_NEAR(problem.tasks[0].options[0].joules, 0.002 * 3, 1e-12);
  EXPECT_NEAR(draw_watts(problem.tasks[0], problem.tasks[0].options[0]), 0.4 * 3, 1e-12);
  EXPECT_DOUBLE_EQ(idle_watts(problem), 1);
  problem.processors[0].slots = 2;
  set_joules(problem);
  EXPECT_NEAR(problem.tasks[0].options[0].joules, 0.002 * 1.5, 1e-12);
  problem.processors[0].power.reset();
  set_joules(problem);
  EXPECT_EQ(problem.tasks[0].options[0].joules, 0);
  EXPECT_FALSE(knows_power(problem));
}

TEST(Energy, OfASimulationIsIdleTimeAndWorkTogether) {
  const PlanProblem problem = two_tasks();
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 100ms});
  EXPECT_NEAR(o.tasks[0].joules, 20 * 0.002 * 3, 1e-9);
  EXPECT_NEAR(o.tasks[1].joules, 10 * 0.004 * 3, 1e-9) << "preempted ones count once";
  EXPECT_NEAR(o.joules, 0.1 * 1 + 0.08 * 3, 1e-9);
  EXPECT_FALSE(o.harvest.has_value());
}

TEST(Energy, ASupplyThatIsEnoughChangesNothing) {
  PlanProblem problem = two_tasks();
  const SimulationOutcome without = Simulator(problem).run(in_order(problem), {.length = 1s});
  problem.supply = persistent(10, 1, 1);
  const SimulationOutcome with = Simulator(problem).run(in_order(problem), {.length = 1s});
  EXPECT_EQ(with.miss_rate(), 0);
  EXPECT_EQ(with.tasks[1].worst_response, without.tasks[1].worst_response);
  EXPECT_NEAR(with.joules, without.joules, 1e-6);
  EXPECT_EQ(with.harvest->off, 0);
}

TEST(Energy, WithTooLittleJobsWaitAndNothingIsDrawnThatIsNotThere) {
  PlanProblem problem = two_tasks();
  problem.supply = persistent(1.7, 1, 0.5);  // of the 3.4 W that all jobs need
  const SimulationOutcome o = Simulator(problem).run(in_order(problem), {.length = 20s});
  for (const TaskOutcome& task : o.tasks) EXPECT_EQ(task.released, task.completed + task.dropped + task.failed);
  EXPECT_GT(o.miss_rate(), 0.5);
  EXPECT_LT(o.miss_rate(), 0.9);
  EXPECT_NEAR(o.joules + o.harvest->left, 0.5 + o.harvest->harvested, 1e-6);
  EXPECT_NEAR(o.harvest->harvested, 1.7 * o.seconds, 0.01);
  EXPECT_GT(o.harvest->off, 1);
  const double work = o.tasks[0].joules + o.tasks[1].joules;
  EXPECT_NEAR(work, o.joules - o.seconds, 0.5) << "idle the whole time, but for moments without any energy";
}

TEST(Energy, WithNextToNothingEveryJobIsDroppedAndTheSimulationEnds) {
  PlanProblem problem = two_tasks();
  for (PlanTask& task : problem.tasks) task.late = Late::finish;
  problem.supply = persistent(1e-6, 1, 0);
  const SimulationOutcome o = Simulator(problem).run(in_order(problem), {.length = 1s});
  EXPECT_EQ(o.miss_rate(), 1);
  for (const TaskOutcome& task : o.tasks) EXPECT_EQ(task.released, task.completed + task.dropped + task.failed);
}

TEST(Energy, SearchesTakeTheBoxToBeOnTheMains) {
  PlanProblem problem = two_tasks();
  problem.supply = persistent(1e-6, 1, 0);
  EXPECT_EQ(Simulator(problem).run(in_order(problem), {.length = 1s, .machine = false}).miss_rate(), 0);
}

TEST(Energy, AStageBeginsWithWhatTheLongestOneNeeds) {
  PlanProblem problem = two_tasks();
  problem.supply = persistent(1, 2, 1);
  problem.supply->capacitor.least = 0.1;
  problem.supply->eta = 0.3;
  const EnergyRule rule = energy_rule(problem, in_order(problem));
  EXPECT_NEAR(rule.mandatory_joules, 0.1 + 0.004 * 4, 1e-9);
  EXPECT_DOUBLE_EQ(rule.optional_joules, 1);
  EXPECT_DOUBLE_EQ(rule.eta, 0.3);
  problem.supply->capacitor.capacity = 0.01;
  EXPECT_DOUBLE_EQ(energy_rule(problem, in_order(problem)).mandatory_joules, 0.009) << "it must be possible to have it";
}

/// Three units of 2 ms; half of the jobs are sure after the first.
PlanProblem with_exits() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.processors[0].power = {4, 1};
  problem.tasks = {task_of("signs", 20ms, 20ms, {{0, 100us}, {0, 2ms}, {0, 2ms}, {0, 2ms}, {0, 100us}})};
  TaskOption& option = problem.tasks[0].options[0];
  option.cuts = {10, 20};
  set_exits(option, {1, 3}, {0.8, 0.85, 0.9});
  set_joules(problem);
  return problem;
}

TEST(Energy, ZygardeRunsOptionalUnitsOnlyWhileThereIsEnough) {
  PlanProblem problem = with_exits();
  problem.supply = persistent(20, 10, 10);
  const SimulationOptions zygarde{.policy = Policy::zygarde, .length = 2s};
  problem.supply->eta = 1;
  const double rich = Simulator(problem).run(in_order(problem), zygarde).tasks[0].joules;
  problem.supply->eta = 0;
  const double careful = Simulator(problem).run(in_order(problem), zygarde).tasks[0].joules;
  EXPECT_NEAR(rich, 100 * 0.0062 * 3, 1e-6) << "all units of all jobs";
  EXPECT_NEAR(careful, 50 * (0.0062 + 0.0022) * 3, 1e-6) << "mandatory ones only";
}

/// Variants of one task that are faster the more they lose.
PlanTask ladder(const std::string& name, Duration period, Duration source) {
  PlanTask task = task_of(name, period, period, {{0, source}});
  task.miss_rate_limit = 0.01;
  for (int k = 1; k < 5; ++k) {
    TaskOption option = task.options[0];
    option.variant = "v" + std::to_string(k);
    option.accuracy_loss = 0.004 * k * k;
    option.accuracy = 1 - option.accuracy_loss;
    option.stages[0].times = test::constant(source * (5 - k) / 5);
    task.options.push_back(option);
  }
  return task;
}

PlanProblem three_ladders() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.processors[0].power = {6, 0.5};
  problem.tasks = {ladder("faces", 33ms, 8ms), ladder("text", 100ms, 25ms), ladder("speech", 50ms, 12ms)};
  set_joules(problem);
  return problem;
}

TEST(Energy, ABudgetThirtyPercentBelowIsKeptForFiveMinutesAtALossThatIsSaid) {
  PlanProblem problem = three_ladders();
  const PlanOptions options{.simulated = 10s};
  const Plan free = plan(problem, options, {});
  ASSERT_TRUE(free.feasible);
  problem.power_limit = 0.7 * free.watts.value();
  const Plan bound = plan(problem, options, {});
  ASSERT_TRUE(bound.feasible) << bound.reason;
  EXPECT_TRUE(bound.proven_optimal);
  EXPECT_LE(bound.watts.value(), *problem.power_limit);
  EXPECT_GT(bound.accuracy_loss, free.accuracy_loss);
  const RunReport report = predict(find_policy("rtmdl"), problem, choices_of(bound), 5min, 1);
  EXPECT_LE(over_budget(report.energy.value()), kSameBudget);
  EXPECT_NEAR(report.energy->watts, bound.watts.value(), 0.03 * bound.watts.value());
  EXPECT_NEAR(report.accuracy_loss, bound.accuracy_loss, 1e-9);
}

TEST(Energy, WhatWasMeteredOfAStageCountsInsteadOfItsProcessorsPower) {
  PlanProblem problem = two_tasks();
  problem.tasks[0].options[0].stages[0].watts = 0.5;
  set_joules(problem);
  EXPECT_NEAR(problem.tasks[0].options[0].joules, 0.002 * 0.5, 1e-12);
  EXPECT_NEAR(problem.tasks[1].options[0].joules, 0.004 * 3, 1e-12);
  const SimulationOutcome& o = Simulator(problem).run(in_order(problem), {.length = 100ms});
  EXPECT_NEAR(o.tasks[0].joules, 20 * 0.002 * 0.5, 1e-9);
  EXPECT_NEAR(o.tasks[1].joules, 10 * 0.004 * 3, 1e-9);
}

/// Five minutes, from the first of which on all stages take 1.3 times as long.
const std::vector<Slowdown> kSlower{{1.3, 60s, 300s}};

TEST(Energy, ABudgetThatThePlanJustKeepsIsKeptOnASlowerBoxByWhatAdapts) {
  PlanProblem problem = three_ladders();
  const Plan free = plan(problem, {.simulated = 10s}, {});
  ASSERT_TRUE(free.feasible);
  problem.power_limit = free.watts.value();
  const Plan bound = plan(problem, {.simulated = 10s}, {});
  ASSERT_TRUE(bound.feasible) << bound.reason;
  const RunReport fixed = predict(find_policy("rtmdl"), problem, choices_of(bound), 5min, 1, kSlower);
  const RunReport adaptive = predict(find_policy("adaptive"), problem, choices_of(bound), 5min, 1, kSlower);
  EXPECT_GT(over_budget(fixed.energy.value()), kSameBudget);
  EXPECT_LE(over_budget(adaptive.energy.value()), kSameBudget);
  EXPECT_GE(adaptive.energy->watts, 0.95 * *problem.power_limit) << "and used";
  EXPECT_GT(adaptive.accuracy_loss, fixed.accuracy_loss);
  EXPECT_LT(adaptive.accuracy_loss, fixed.accuracy_loss + 0.05);
  EXPECT_LE(adaptive.miss_rate, fixed.miss_rate);
  const RunReport calm = predict(find_policy("adaptive"), problem, choices_of(bound), 5min, 1);
  for (const TaskReport& task : calm.tasks) EXPECT_EQ(task.switches, 0) << "nothing is lost that need not be";
}

TEST(Energy, LighterVariantsMakeWhatIsStoredLast) {
  PlanProblem problem = three_ladders();
  for (PlanTask& task : problem.tasks) task.late = Late::skip;
  problem.supply = persistent(1.6, 8, 8);  // of 4.5 W
  problem.supply->mandatory = 0.2;
  const RunReport fixed = predict(find_policy("rtmdl"), problem, in_order(problem), 2min, 1);
  const RunReport adaptive = predict(find_policy("adaptive"), problem, in_order(problem), 2min, 1);
  EXPECT_GT(fixed.miss_rate, 0.3);
  EXPECT_LT(adaptive.miss_rate, 0.05);
  for (std::size_t t = 0; t < problem.tasks.size(); ++t)
    EXPECT_GT(adaptive.tasks[t].effective_accuracy, fixed.tasks[t].effective_accuracy) << t;
}

TEST(Energy, ABudgetThatIsTooSmallSaysWhichWouldDo) {
  PlanProblem problem = three_ladders();
  problem.power_limit = 0.6;
  const PlanOptions options{.simulated = 1s};
  const Plan none = plan(problem, options, {});
  EXPECT_FALSE(none.feasible);
  EXPECT_THAT(none.reason, HasSubstr("energy: the variants that need least draw"));
  EXPECT_THAT(none.reason, HasSubstr("the box would draw"));
  const auto all = smallest_relaxations(problem, none, options, {});
  const auto found =
      std::find_if(all.begin(), all.end(), [](const Relaxation& r) { return r.what == "energy.budget"; });
  ASSERT_NE(found, all.end());
  double least = idle_watts(problem);
  for (const PlanTask& task : problem.tasks) least += draw_watts(task, task.options.back());
  EXPECT_EQ(found->from, "600 mW");
  EXPECT_EQ(found->to, fmt::format("{:.6g} W", std::ceil(least * 1000 - 1e-6) / 1000));
}

TEST(Energy, EverySearchKeepsTheBudget) {
  PlanProblem problem = three_ladders();
  for (const char* method : {"exact", "descent", "nsga2"}) {
    problem.power_limit = 2.5;
    const Plan found = plan(problem, {.method = method, .simulated = 2s, .budget = 20s, .jobs = 1}, {});
    ASSERT_TRUE(found.feasible) << method;
    EXPECT_LE(found.watts.value(), 2.5) << method;
    EXPECT_NEAR(found.accuracy_loss, test::brute_force(problem, {.simulated = 2s}).loss, 0.002) << method;
  }
}

TEST(Energy, APlanDependsOnTheBudgetAndOnThePower) {
  const PlanProblem problem = three_ladders();
  const std::string key = plan_key(problem, {});
  PlanProblem other = problem;
  other.power_limit = 3;
  EXPECT_NE(plan_key(other, {}), key);
  other = problem;
  other.processors[0].power->idle = 0.6;
  EXPECT_NE(plan_key(other, {}), key);
  other = problem;
  other.supply = persistent(1, 1, 1);
  EXPECT_NE(plan_key(other, {}), key);
}

}  // namespace
}  // namespace rtmdl
