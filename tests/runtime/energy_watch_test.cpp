#include "runtime/energy_watch.h"

#include "base/timespec.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// One stage of 5 ms.
class ShortBody final : public JobBody {
 public:
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t job) noexcept override { return static_cast<std::int64_t>(job); }
  bool stage(int) noexcept override {
    sleep_until(MonotonicClock::now() + 5ms);
    return true;
  }
  void warm_up(int) override {}
};

/// A processor of 1 W to 4 W with two slots, and one task.
struct EnergyWatchTest : ::testing::Test {
  EnergyWatchTest() {
    config.processors.resize(1);
    config.processors[0].name = "gpu";
    config.processors[0].slots = 2;
    config.processors[0].power = {4, 1};
    config.tasks.resize(1);
    dispatching.scheduler.processors = {{false, 2}};
    dispatching.scheduler.tasks = {{.period = 10ms, .deadline = 10ms, .priority = 1, .stage_processors = {0}}};
    dispatching.processors.resize(1);
    dispatching.event_capacity = 1000;
  }
  void live_on(double watts, double start) {
    config.energy.supply =
        EnergySupply{.trace = {{{100ms, watts}}, 100ms}, .capacitor = {.capacity = 1, .start = start}};
    config.energy.rule.mandatory_joules = 0.1;
    dispatching.scheduler.energy = config.energy.rule;
  }
  void play(Dispatcher& dispatcher, int jobs) {
    for (int k = 0; k < jobs; ++k) {
      dispatcher.release(0, MonotonicClock::now());
      wait(dispatcher);
    }
  }
  static void wait(Dispatcher& dispatcher) {
    for (int k = 0; k < 5000 && dispatcher.pending() > 0; ++k) std::this_thread::sleep_for(1ms);
    ASSERT_EQ(dispatcher.pending(), 0);
  }
  RunReport reported(EnergyWatch& watch) {
    RunReport report;
    report.tasks.resize(1);
    watch.report(report);
    return report;
  }
  RunConfig config;
  DispatcherConfig dispatching;
  ShortBody body;
};

TEST_F(EnergyWatchTest, ConstantPowerIsIdleTimeAndSlotsInUse) {
  Dispatcher dispatcher(dispatching, {&body});
  EnergyWatch watch(config, dispatcher);
  const Time start = MonotonicClock::now();
  watch.begin(start, {});
  play(dispatcher, 10);
  watch.stop();
  const RunReport report = reported(watch);
  const double in_use = to_seconds(dispatcher.occupied(0, 0));
  EXPECT_GE(in_use, 0.05);
  EXPECT_NEAR(report.tasks[0].joules.value(), in_use * 1.5, 1e-9);
  EXPECT_EQ(report.energy->meter, "constant");
  const double seconds = report.energy->joules - *report.tasks[0].joules;  // 1 W idle
  EXPECT_GE(seconds, 0.05);
  EXPECT_LE(seconds, to_seconds(MonotonicClock::now() - start));
  EXPECT_NEAR(report.energy->watts, report.energy->joules / seconds, 1e-9);
}

TEST_F(EnergyWatchTest, MoreThanTheBudgetIsSaid) {
  config.energy.limit = 0.9;
  Dispatcher dispatcher(dispatching, {&body});
  EnergyWatch watch(config, dispatcher);
  watch.begin(MonotonicClock::now(), {});
  play(dispatcher, 1);
  const RunReport report = reported(watch);
  ASSERT_EQ(report.notes.size(), 1U);
  EXPECT_THAT(report.notes[0], HasSubstr("beyond its budget"));
}

TEST_F(EnergyWatchTest, WithoutEnergyAJobWaitsUntilTheEndLetsItGo) {
  live_on(1e-6, 0);
  Dispatcher dispatcher(dispatching, {&body});
  EnergyWatch watch(config, dispatcher);
  watch.begin(MonotonicClock::now(), {});
  dispatcher.release(0, MonotonicClock::now());
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(dispatcher.pending(), 1);
  watch.stop();
  wait(dispatcher);
  EXPECT_EQ(dispatcher.counts(0).completed, 1);
  const RunReport report = reported(watch);
  EXPECT_GT(report.energy->harvest->off, 0.05);
  EXPECT_LT(report.energy->harvest->left, 0.001);
}

TEST_F(EnergyWatchTest, WhatJobsTakeIsTakenOutOfTheStore) {
  live_on(1e-6, 1);
  Dispatcher dispatcher(dispatching, {&body});
  EnergyWatch watch(config, dispatcher);
  watch.begin(MonotonicClock::now(), {});
  play(dispatcher, 10);
  std::this_thread::sleep_for(50ms);
  watch.stop();
  const RunReport report = reported(watch);
  EXPECT_LE(report.energy->harvest->left, 1 - report.tasks[0].joules.value() + 1e-6);
  Scheduler core(dispatching.scheduler);
  Decisions out;
  int looks = 0, finished = 0;
  for (const SchedulerEvent& e : dispatcher.events()) {
    out.clear();
    replay(e, core, out);
    looks += e.kind == SchedulerEvent::Kind::set_energy;
    for (const Decision& d : out.items()) finished += d.kind == Decision::Kind::finish;
  }
  EXPECT_GT(looks, 3);
  EXPECT_EQ(finished, 10);
}

TEST_F(EnergyWatchTest, OfABoxWhosePowerIsNotKnownNothingIsSaid) {
  config.processors[0].power.reset();
  Dispatcher dispatcher(dispatching, {&body});
  EnergyWatch watch(config, dispatcher);
  watch.begin(MonotonicClock::now(), {});
  play(dispatcher, 1);
  EXPECT_FALSE(reported(watch).energy.has_value());
}

}  // namespace
}  // namespace rtmdl
