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
    dispatching.stage_watts = {{{1.5}}};
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
  EXPECT_GE(report.tasks[0].joules.value(), 0.05 * 1.5);
  EXPECT_EQ(report.tasks[0].joules.value(), dispatcher.joules(0));
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

/// Which modes the core chose for jobs that began, in order.
std::string begun(std::span<const Decision> decisions) {
  std::string modes;
  for (const Decision& d : decisions)
    if (d.kind == Decision::Kind::start) modes += std::to_string(d.mode);
  return modes;
}

TEST_F(EnergyWatchTest, ABudgetIsKeptByLighterVariantsAndAReplayDecidesTheSame) {
  SchedulerTask& task = dispatching.scheduler.tasks[0];
  task.stage_loads = {{5ms, 5ms}};
  task.joules = 0.0075;
  task.fallbacks = {{.stage_processors = {0}, .stage_loads = {{1ms, 1ms}}, .joules = 0.0001, .loss = 0.1}};
  dispatching.stage_watts = {{{1.5}, {0.02}}};
  dispatching.scheduler.budget = {1.2, 0.05};  // a burst that is soon used up
  config.energy.limit = 1.2;
  config.tasks[0].fallbacks.resize(1);
  config.tasks[0].fallbacks[0].loss = 0.1;
  ShortBody light;
  Dispatcher dispatcher(dispatching, {&body, &light});
  EnergyWatch watch(config, dispatcher);
  watch.begin(MonotonicClock::now(), {});
  play(dispatcher, 150);
  watch.stop();
  Scheduler core(dispatching.scheduler);
  Decisions out;
  std::string replayed;
  int looks = 0;
  for (const SchedulerEvent& e : dispatcher.events()) {
    out.clear();
    replay(e, core, out);
    replayed += begun(out.items());
    looks += e.kind == SchedulerEvent::Kind::set_drawn;
  }
  EXPECT_GT(looks, 3);
  EXPECT_EQ(replayed.size(), 150u);
  EXPECT_EQ(replayed.front(), '0');
  EXPECT_THAT(replayed, HasSubstr("1"));
  std::string ran;
  for (const JobRecord* r; (r = dispatcher.records().front()) != nullptr; dispatcher.records().pop())
    ran += std::to_string(r->mode);
  EXPECT_EQ(replayed, ran);
  const RunReport report = reported(watch);
  EXPECT_LT(*report.tasks[0].joules, 150 * 0.005 * 1.5) << "some drew next to nothing";
}

TEST_F(EnergyWatchTest, WhatStagesDrewIsKnownWithoutThePowerOfProcessorsIfItWasMetered) {
  config.processors[0].power.reset();
  Dispatcher dispatcher(dispatching, {&body});
  EXPECT_FALSE(EnergyWatch(config, dispatcher).joules(0));
  config.tasks[0].stage_watts = {1.5};
  EnergyWatch watch(config, dispatcher);
  watch.begin(MonotonicClock::now(), {});
  play(dispatcher, 2);
  EXPECT_GE(watch.joules(0).value(), 0.01 * 1.5);
  EXPECT_FALSE(watch.so_far()) << "what the box draws idle is not known";
}

TEST_F(EnergyWatchTest, FiguresAreThereWhileItRuns) {
  config.energy.limit = 5;
  Dispatcher dispatcher(dispatching, {&body});
  EnergyWatch watch(config, dispatcher);
  watch.begin(MonotonicClock::now(), {});
  play(dispatcher, 4);
  const EnergyReport now = watch.so_far().value();
  EXPECT_GE(watch.joules(0).value(), 0.02 * 1.5);
  EXPECT_GE(now.joules, *watch.joules(0));
  EXPECT_GE(now.watts, 1);
  EXPECT_EQ(now.limit, 5);
  EXPECT_FALSE(now.by_model);
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
  EXPECT_FALSE(watch.so_far().has_value());
  EXPECT_FALSE(watch.joules(0).has_value());
  EXPECT_FALSE(reported(watch).energy.has_value());
}

}  // namespace
}  // namespace rtmdl
