// What jobs run when energy gets short, by script.

#include "allocations.h"
#include "scheduling/scheduler.h"

#include <rtmdl/error.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(EnergyReserve, OfABudgetIsHalfFullAtFirstAndHoldsNoMoreThanABurst) {
  EnergyReserve reserve;
  reserve.reset(8);
  EXPECT_FALSE(reserve.see(100, Time(1s))) << "nothing to compare it with";
  EXPECT_DOUBLE_EQ(reserve.level(), 0.5);
  EXPECT_FALSE(reserve.see(101, Time(1050ms))) << "too soon";
  EXPECT_TRUE(reserve.see(102, Time(1100ms)));
  EXPECT_DOUBLE_EQ(reserve.level(), 0.75);
  EXPECT_TRUE(reserve.see(110, Time(2s)));
  EXPECT_DOUBLE_EQ(reserve.level(), 1);
  EXPECT_TRUE(reserve.see(106, Time(3s)));
  EXPECT_DOUBLE_EQ(reserve.level(), 0.5) << "what it could not hold is lost";
}

TEST(EnergyReserve, IsShortWhenItIsLowAndDoesNotFillUpFast) {
  EnergyReserve reserve;
  reserve.reset(8);
  Time now(0s);
  double joules = 0;
  for (int look = 0; look <= 30; ++look, now += 100ms, joules -= 0.1) static_cast<void>(reserve.see(joules, now));
  EXPECT_GT(reserve.level(), 0);
  EXPECT_EQ(reserve.shortage() > 0, reserve.level() < 0.25);
  for (int look = 0; look <= 20; ++look, now += 100ms, joules -= 0.1) static_cast<void>(reserve.see(joules, now));
  EXPECT_LT(reserve.level(), 0.25);
  EXPECT_NEAR(reserve.shortage(), 1 + 8.0 / 40, 0.05) << "1 W, and what fills it in 40 s";
  reserve.expect(-1.2);
  EXPECT_EQ(reserve.shortage(), 0);
}

TEST(EnergyReserve, ThatIsNotThereSaysNothing) {
  EnergyReserve reserve;
  EXPECT_FALSE(reserve.see(1, Time(1s)));
  EXPECT_FALSE(reserve.see(1, Time(2s)));
  EXPECT_EQ(reserve.shortage(), 0);
}

template <typename Mode>
Mode taking(Duration time, double joules) {
  Mode mode;
  mode.stage_processors = {0};
  mode.stage_loads = {{time, time}};
  mode.joules = joules;
  return mode;
}

SchedulerMode lighter(Duration time, double joules, double loss) {
  auto mode = taking<SchedulerMode>(time, joules);
  mode.loss = loss;
  return mode;
}

/// A task of 10 ms above one of 40 ms, each of 2 W; the box draws 1 W idle and may draw 4 W.
struct EnergyAdaptation : ::testing::Test {
  EnergyAdaptation() {
    config.processors = {{true, 1}};
    config.budget = budget_of(4);
    config.tasks.clear();
    add(10ms, taking<SchedulerTask>(2ms, 0.02), {lighter(1ms, 0.01, 0.02), lighter(500us, 0.005, 0.05)});
    add(40ms, taking<SchedulerTask>(8ms, 0.08), {lighter(4ms, 0.04, 0.01), lighter(2ms, 0.02, 0.1)});
    scheduler.reset(config);
  }
  void add(Duration period, SchedulerTask task, std::vector<SchedulerMode> modes) {
    task.period = task.deadline = period;
    task.priority = static_cast<int>(config.tasks.size()) + 1;
    task.fallbacks = std::move(modes);
    config.tasks.push_back(std::move(task));
  }
  /// Until then, looked at every 100 ms, with a job of each task meanwhile: what is drawn is that of jobs in these
  /// modes at their rates, and `besides`. The modes after that, as "01".
  std::string play(double besides, Duration until) {
    constexpr double kWatts[] = {2, 1, 0.5};
    for (; now < Time(until); now += 100ms) {
      scheduler.set_drawn(joules, now, out);
      for (int task = 0; task < 2; ++task) {
        const Time at = now + task * 20ms;
        scheduler.release(task, at, at, out);
        const int mode = scheduler.mode(task);
        const SchedulerTask& of = config.tasks[static_cast<std::size_t>(task)];
        const auto& loads = mode == 0 ? of.stage_loads : of.fallbacks[static_cast<std::size_t>(mode) - 1].stage_loads;
        scheduler.complete(task, at + loads[0].mean, true, out);
        joules += 0.1 * kWatts[mode];
      }
      out.clear();
      joules += 0.1 * besides;
    }
    return std::to_string(scheduler.mode(0)) + std::to_string(scheduler.mode(1));
  }
  SchedulerConfig config{.processors = {{}}, .tasks = {{.stage_processors = {0}}}};
  Scheduler scheduler{config};
  Decisions out;
  Time now{};
  double joules = 0;
};

TEST_F(EnergyAdaptation, NothingChangesWhileTheBudgetIsKept) {
  EXPECT_EQ(play(0, 60s), "00");
  EXPECT_EQ(play(1, 61s), "00") << "a second of too much is in the burst";
}

TEST_F(EnergyAdaptation, WhatLosesLeastForWhatItSavesComesFirst) {
  EXPECT_EQ(play(1, 4s), "11") << "1 W too much, and a little to fill up again";
  EXPECT_EQ(play(1, 6s), "11") << "not before there is plenty";
  EXPECT_EQ(play(1, 6600ms), "01") << "what regains most of what can be kept up";
}

TEST_F(EnergyAdaptation, GoesBackWhenThereIsPlenty) {
  EXPECT_EQ(play(1, 4s), "11");
  EXPECT_EQ(play(0, 20s), "00");
}

TEST_F(EnergyAdaptation, VariantsTakeTurnsWhereAStepIsALittleTooMuch) {
  std::string seen;
  for (Duration until = 1s; until <= 120s; until += 1s) seen += play(1, until) + " ";
  EXPECT_NEAR(joules / to_seconds(now.time_since_epoch()), 4, 0.03 * 4) << seen;
  EXPECT_THAT(seen, HasSubstr("00 00 00"));
  EXPECT_THAT(seen, HasSubstr("11 11 11"));
  EXPECT_THAT(seen, Not(HasSubstr("2")));
}

TEST_F(EnergyAdaptation, IsNoUseWhereNoModeIsChosenByLoad) {
  for (SchedulerTask& task : config.tasks)
    for (SchedulerMode& mode : task.fallbacks) mode.loss.reset();
  scheduler.reset(config);
  EXPECT_EQ(play(5, 20s), "00");
}

TEST_F(EnergyAdaptation, TakesTheLightestAtMost) {
  EXPECT_EQ(play(20, 20s), "22");
  EXPECT_EQ(play(20, 60s), "22");
}

TEST_F(EnergyAdaptation, AnotherStrategyBeginsAsItSays) {
  static_cast<void>(play(1, 4s));
  for (int task = 0; task < 2; ++task) {
    Terms terms = scheduler.terms(task);
    terms.mode = 1;
    scheduler.propose(task, terms);
  }
  ASSERT_TRUE(scheduler.adopt(now, out));
  EXPECT_EQ(play(0, 60s), "11") << "no heavier than that";
}

TEST_F(EnergyAdaptation, JobsGetLighterAsAStoreEmpties) {
  config.budget = {};
  config.energy.capacity_joules = 10;
  config.energy.mandatory_joules = 2;
  scheduler.reset(config);
  const auto modes_at = [&](double stored) {
    for (int look = 0; look < 10; ++look, now += 100ms, stored -= 0.1) scheduler.set_energy(stored, now, out);
    out.clear();
    return std::to_string(scheduler.mode(0)) + std::to_string(scheduler.mode(1));
  };
  for (double stored = 10; stored > 5; stored -= 1) EXPECT_EQ(modes_at(stored), "00") << stored;
  for (double stored = 4.9; stored > 3; stored -= 1) static_cast<void>(modes_at(stored));
  EXPECT_NE(modes_at(3), "00");
}

TEST_F(EnergyAdaptation, DecidesWithoutAllocatingAndTheSameAgain) {
  std::string first, second;
  for (std::string* seen : {&first, &second}) {
    scheduler.reset(config);
    now = {};
    joules = 0;
    seen->reserve(4096);
    const std::int64_t before = test::allocations();
    for (int look = 0; look < 600; ++look, now += 100ms) {
      scheduler.set_drawn(joules, now, out);
      joules += look % 200 < 100 ? 0.6 : 0.2;
      for (const Decision& d : out.items()) {
        seen->push_back(static_cast<char>('0' + d.task));
        seen->push_back(static_cast<char>('0' + d.mode));
      }
      out.clear();
    }
    EXPECT_EQ(test::allocations(), before);
  }
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(first, second);
}

TEST_F(EnergyAdaptation, RefusesFiguresThatCannotBe) {
  const auto said = [&] {
    try {
      scheduler.reset(config);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  config.budget.watts = -1;
  EXPECT_THAT(said(), HasSubstr("a budget of -1 W"));
  config.budget.watts = 1;
  config.tasks[1].fallbacks[0].joules = -0.5;
  EXPECT_THAT(said(), HasSubstr("task 1 has a mode that takes -0.5 J"));
}

}  // namespace
}  // namespace rtmdl
