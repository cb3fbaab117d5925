// Accuracy scaled on the fly, in the simulator.

#include "planning/lighter.h"
#include "planning/predict.h"
#include "planning/random_problem.h"
#include "planning/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::in_order;
using test::Random;
using test::random_problem;
using test::spread;

/// Pre and post on one processor, inference on the other, which is 80 % busy with the first options.
PlanProblem four_tasks() {
  Random random(7);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"accelerator", true, 1}};
  const Duration periods[] = {20ms, 33ms, 50ms, 100ms};
  for (const Duration period : periods) {
    PlanTask task;
    task.name = "every " + std::to_string(period / 1ms) + " ms";
    task.period = task.deadline = period;
    for (int v = 0; v < 4; ++v) {
      TaskOption option;
      option.variant = "v" + std::to_string(v);
      option.accuracy_loss = 0.01 * v * v;
      option.accuracy = 1 - option.accuracy_loss;
      const Duration infer = period / 5 * (10 - 2 * v) / 10;
      option.stages = {{0, spread(random, 200us)}, {1, spread(random, infer)}, {0, spread(random, 100us)}};
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  return problem;
}

double missed(const SimulationOutcome& o) { return o.miss_rate(); }

TEST(AdaptiveSimulation, ATransientOverloadCostsAccuracyAndHardlyAJob) {
  const PlanProblem problem = four_tasks();
  const Choices choices = in_order(problem);
  const auto lighter = lighter_options(problem, choices);
  const std::vector<Slowdown> slowdowns{{1.5, 10s, 20s}};
  Simulator simulator(problem);
  const double fixed = missed(simulator.run(choices, {.length = 30s, .slowdowns = slowdowns}));
  std::map<int, int> begun_lighter;  // by second
  const SimulationOutcome& o =
      simulator.run(choices, {.length = 30s, .lighter = lighter, .slowdowns = slowdowns}, [&](const SimulatedEvent& e) {
        if (e.decision.kind == Decision::Kind::start && e.decision.stage == 0 && e.decision.mode > 0)
          ++begun_lighter[static_cast<int>(e.now.time_since_epoch() / 1s)];
      });
  EXPECT_GT(fixed, 0.04);
  EXPECT_LE(missed(o), 0.01) << "static " << fixed;
  EXPECT_GT(begun_lighter[15], 0);
  for (int second = 21; second < 30; ++second) EXPECT_EQ(begun_lighter[second], 0) << "in second " << second;
  for (int second = 0; second < 10; ++second) EXPECT_EQ(begun_lighter[second], 0) << "in second " << second;
}

TEST(AdaptiveSimulation, ReportsWhatJobsRan) {
  const PlanProblem problem = four_tasks();
  PolicyInfo policy;
  policy.name = "adaptive";
  policy.adapts = true;
  const RunReport r = predict(policy, problem, in_order(problem), 30s, 1, std::vector<Slowdown>{{1.5, 10s, 20s}});
  std::int64_t switches = 0;
  for (const TaskReport& t : r.tasks) {
    std::int64_t completed = 0;
    double accuracy = 0;
    for (const VariantShare& v : t.variants) {
      completed += v.completed;
      const double loss = 0.01 * (v.variant[1] - '0') * (v.variant[1] - '0');
      accuracy += (1 - loss) * static_cast<double>(v.completed);
    }
    EXPECT_EQ(completed, t.completed);
    EXPECT_NEAR(t.accuracy, accuracy / static_cast<double>(completed), 1e-9);
    switches += t.switches;
  }
  EXPECT_GT(switches, 0);
  EXPECT_GT(r.accuracy_loss, 0);
}

TEST(AdaptiveSimulation, HardTasksKeepTheirVariantsAndCountersAddUp) {
  Random random(11);
  int switched = 0;
  for (int k = 0; k < 300; ++k) {
    PlanProblem problem =
        random_problem(random, {.most_tasks = 6, .most_options = 4, .least_load = 0.8, .most_load = 2});
    for (PlanTask& task : problem.tasks) {
      task.hard = between(random, 0, 3) == 0;
      task.late = static_cast<Late>(between(random, 0, 2));
    }
    const Choices choices = in_order(problem);
    const auto lighter = lighter_options(problem, choices);
    const Policy policy =
        std::array{Policy::fixed_priority, Policy::edf, Policy::fifo}[static_cast<std::size_t>(between(random, 0, 2))];
    Simulator simulator(problem);
    std::vector<int> mode(problem.tasks.size());
    const auto look = [&](const SimulatedEvent& e) {
      const Decision& d = e.decision;
      if (d.kind == Decision::Kind::change_mode) {
        EXPECT_FALSE(problem.tasks[d.task].hard);
        EXPECT_NE(mode[d.task], d.mode);
        EXPECT_LE(d.mode, lighter[d.task].size());
        mode[d.task] = d.mode;
      }
      if (d.kind == Decision::Kind::start && d.stage == 0) {
        EXPECT_EQ(d.mode, mode[d.task]);
      }
    };
    const SimulationOutcome& o = simulator.run(choices, {.policy = policy, .length = 2s, .lighter = lighter}, look);
    for (const TaskOutcome& t : o.tasks) {
      EXPECT_EQ(t.released, t.completed + t.dropped + t.failed);
      std::int64_t completed = 0;
      for (const std::int64_t n : t.completed_in) completed += n;
      EXPECT_EQ(completed, t.completed);
      switched += t.switches > 0;
    }
  }
  EXPECT_GT(switched, 100);
}

TEST(AdaptiveSimulation, OnOverloadTheLeastWeightGivesWayFirstAndHardTasksNever) {
  PlanProblem problem = four_tasks();
  problem.tasks.resize(3);
  for (PlanTask& task : problem.tasks) task.period = task.deadline = 20ms;
  problem.tasks[0].hard = true;
  for (std::size_t t = 0; t < 3; ++t)
    for (TaskOption& option : problem.tasks[t].options) {
      const Duration all = t == 0 ? 4ms : 7ms;
      option.stages[1].times = test::constant(all * (4 - (option.variant[1] - '0')) / 4);
    }
  problem.tasks[1].weight = 1;
  problem.tasks[2].weight = 4;
  const Choices choices = in_order(problem);
  const auto lighter = lighter_options(problem, choices);
  const std::vector<Slowdown> slowdowns{{1.25, 2s, 8s}};
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(choices, {.length = 10s, .lighter = lighter, .slowdowns = slowdowns});
  const auto lighter_jobs = [&](std::size_t t) { return o.tasks[t].completed - o.tasks[t].completed_in[0]; };
  EXPECT_EQ(o.tasks[0].missed, 0);
  EXPECT_EQ(lighter_jobs(0), 0);
  EXPECT_GT(lighter_jobs(1), 200) << "though it is the more urgent one";
  EXPECT_LT(lighter_jobs(2) * 5, lighter_jobs(1));
  EXPECT_LE(missed(o), 0.02);
}

TEST(Lighter, StandsInWhereThePlanIsAndFitsIntoMemory) {
  PlanProblem problem = four_tasks();
  const Choices choices{{0, 2}, {0, 3}, {0, 1}, {0, 4}};
  EXPECT_THAT(lighter_options(problem, choices)[0], ::testing::ElementsAre(1, 2, 3)) << "the least loss first";
  problem.tasks[0].options[2].stages[1].processor = 0;
  problem.tasks[1].options[1].accuracy_loss = 0.5;  // a faster one loses less
  problem.tasks[2].hard = true;
  problem.tasks[3].options[2].threads = 2;
  const auto lighter = lighter_options(problem, choices);
  EXPECT_THAT(lighter[0], ::testing::ElementsAre(1, 3));
  EXPECT_THAT(lighter[1], ::testing::ElementsAre(2, 3));
  EXPECT_THAT(lighter[2], ::testing::IsEmpty());
  EXPECT_THAT(lighter[3], ::testing::ElementsAre(1, 3));
  EXPECT_THAT(lighter_options(problem, choices, 1)[0], ::testing::ElementsAre(3)) << "the lightest";
  EXPECT_THAT(lighter_options(problem, {{0, 1}, {0, 3}, {0, 2}, {0, 4}})[0], ::testing::IsEmpty())
      << "a proof rests on it";
  for (PlanTask& task : problem.tasks)
    for (TaskOption& option : task.options) option.memory = 10;
  problem.memory = 75;  // 35 beside the plan's own
  const auto fitting = lighter_options(problem, choices);
  EXPECT_THAT(fitting[0], ::testing::ElementsAre(3)) << "one each, the lightest";
  EXPECT_THAT(fitting[1], ::testing::ElementsAre(3));
  EXPECT_THAT(fitting[3], ::testing::ElementsAre(3));
}

}  // namespace
}  // namespace rtmdl
