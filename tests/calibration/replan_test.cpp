#include "calibration/replan.h"

#include "planning/lighter.h"
#include "planning/random_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::constant;

TEST(Drift, IsSeenWhenItLasts) {
  Drift drift(2);
  const auto at = [](Duration t) { return Time(t); };
  EXPECT_FALSE(drift.seen({1.0, 1.1}, at(0ms))) << "within what is tolerated";
  EXPECT_FALSE(drift.seen({1.0, 1.4}, at(100ms)));
  EXPECT_FALSE(drift.seen({1.0, 1.4}, at(2000ms)));
  EXPECT_FALSE(drift.seen({1.0, 1.0}, at(2050ms))) << "it was over for a moment";
  EXPECT_FALSE(drift.seen({1.0, 1.4}, at(2100ms)));
  EXPECT_FALSE(drift.seen({1.0, 1.4}, at(4000ms)));
  EXPECT_TRUE(drift.seen({1.0, 1.4}, at(4100ms)));
  drift.planned({1.0, 1.4});
  EXPECT_FALSE(drift.seen({1.0, 1.5}, at(5s)));
  EXPECT_FALSE(drift.seen({0.6, 1.4}, at(6s))) << "faster is as in the profile";
  EXPECT_FALSE(drift.seen({1.0, 1.0}, at(7000ms)));
  EXPECT_TRUE(drift.seen({1.0, 1.0}, at(7300ms))) << "back to the plan sooner";
}

TEST(LastSearch, StandsWhileTheBoxIsAsSlow) {
  int searches = 0;
  LastSearch last([&](const std::vector<double>& slowdowns) -> std::optional<RunningStrategy> {
    ++searches;
    if (slowdowns[0] > 2) return {};
    return RunningStrategy{{1}, {searches}};
  });
  EXPECT_EQ(last.result_for({1.4, 1.0}), (RunningStrategy{{1}, {1}}));
  EXPECT_EQ(last.result_for({1.5, 0.8}), (RunningStrategy{{1}, {1}})) << "it may wait to be adopted";
  EXPECT_EQ(last.slowdowns(), (std::vector{1.4, 1.0})) << "what it was made for";
  EXPECT_EQ(last.result_for({1.4, 1.3}), (RunningStrategy{{1}, {2}})) << "another processor is slow as well";
  EXPECT_FALSE(last.result_for({2.5, 1.3}));
  EXPECT_FALSE(last.result_for({2.4, 1.3})) << "that there is none stands, too";
  EXPECT_EQ(searches, 3);
  EXPECT_TRUE(last.result_for({1.16, 1.0}));
  EXPECT_TRUE(last.result_for({1.1, 1.0})) << "within what is tolerated, but as in the profile";
  EXPECT_EQ(searches, 5);
}

/// Two tasks on one core, 40 % each at their best.
PlanProblem two_tasks() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  for (const Duration period : {10ms, 20ms}) {
    PlanTask task;
    task.name = period == 10ms ? "fast" : "slow";
    task.period = task.deadline = period;
    for (int v = 0; v < 3; ++v) {
      TaskOption option;
      option.variant = "v" + std::to_string(v);
      option.processor = "cpu";
      option.accuracy_loss = 0.01 * v;
      option.memory = 10;
      option.stages = {{0, constant(100us)}, {0, constant(period * (4 - v) / 10)}, {0, constant(100us)}};
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  problem.memory = 1;  // the bound is on what was chosen: it is there
  return problem;
}

TEST(PlanFor, ASlowerBoxGetsLighterVariantsAndTheBoxAsProfiledThePlan) {
  const PlanProblem problem = two_tasks();
  const Choices choices{{0, 2}, {0, 1}};
  const std::vector<std::vector<int>> lighter{{1, 2}, {1, 2}};
  PlanOptions options;
  options.simulated = 2s;
  options.jobs = 1;
  const auto at = [&](double slowdown, bool fixed_order = false) {
    return plan_for(problem, choices, lighter, {slowdown}, options, fixed_order, {});
  };
  EXPECT_EQ(at(1.05), (RunningStrategy{{2, 1}, {0, 0}})) << "without a search";
  const auto slower = at(1.5);
  ASSERT_TRUE(slower);
  EXPECT_GT(slower->modes[0] + slower->modes[1], 0);
  EXPECT_LT(slower->modes[0] + slower->modes[1], 4) << "not lighter than it must be";
  EXPECT_FALSE(at(4)) << "nothing that is loaded keeps up";
  const auto kept = at(1.5, true);
  if (kept) {
    EXPECT_EQ(kept->priorities, (std::vector<int>{2, 1}));
  }
}

}  // namespace
}  // namespace rtmdl
