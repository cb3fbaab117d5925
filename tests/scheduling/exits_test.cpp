// Early exits, and the order that energy asks for (Policy::zygarde).
#include <rtmdl/error.h>
#include "scheduling/scheduler.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr Answer kSure{true, 0.9}, kNotSure{false, 0.3};

/// Stages of 1 ms on processor 0: pre, three units, post. The first unit is mandatory.
SchedulerTask with_exits(Duration period, int priority) {
  SchedulerTask task{.period = period, .deadline = period, .priority = priority, .stage_processors = {0, 0, 0, 0, 0}};
  task.optional_from = 2;
  task.stage_times.assign(5, {1ms, 1ms});
  return task;
}

struct ExitsTest : ::testing::Test {
  ExitsTest() {
    config.processors = {{false, 1}};
    config.tasks = {with_exits(20ms, 1)};
  }
  void reset() { scheduler.reset(config); }
  /// What was started, as "task:stage", and jobs that ended.
  std::string made() {
    std::string text;
    for (const Decision& d : out.items()) {
      const std::string task = (text.empty() ? "" : " ") + std::to_string(d.task);
      if (d.kind == Decision::Kind::start) text += task + ":" + std::to_string(d.stage);
      if (d.kind == Decision::Kind::finish) text += task + (d.late ? " late" : " done");
    }
    out.clear();
    return text;
  }
  std::string release(int task, Duration at) {
    scheduler.release(task, Time(at), Time(at), out);
    return made();
  }
  std::string complete(int task, Duration at, Answer answer = {}) {
    scheduler.complete(task, Time(at), true, out, answer);
    return made();
  }
  std::string energy(double joules, Duration at) {
    scheduler.set_energy(joules, Time(at), out);
    return made();
  }
  SchedulerConfig config;
  Scheduler scheduler{SchedulerConfig{.processors = {{}}, .tasks = {{.stage_processors = {0}}}}};
  Decisions out;
};

TEST_F(ExitsTest, AJobThatIsSureGoesOnWithItsLastStage) {
  reset();
  EXPECT_EQ(release(0, 0ms), "0:0");
  EXPECT_EQ(complete(0, 1ms, kSure), "0:1") << "the first unit is not optional";
  EXPECT_EQ(complete(0, 2ms, kNotSure), "0:2");
  EXPECT_EQ(complete(0, 3ms, kSure), "0:4");
  EXPECT_EQ(complete(0, 4ms, kSure), "0 done");
}

TEST_F(ExitsTest, AJobThatIsNotSureRunsAll) {
  reset();
  release(0, 0ms);
  for (int s = 1; s < 5; ++s) EXPECT_EQ(complete(0, s * 1ms, kNotSure), "0:" + std::to_string(s));
  EXPECT_EQ(complete(0, 5ms), "0 done");
}

TEST_F(ExitsTest, AModeHasExitsOfItsOwn) {
  config.tasks[0].fallbacks = {{.stage_processors = {0, 0, 0}}};
  reset();
  scheduler.set_mode(0, 1, Time(0ms), out);
  out.clear();
  release(0, 0ms);
  EXPECT_EQ(complete(0, 1ms, kSure), "0:1");
  EXPECT_EQ(complete(0, 2ms, kSure), "0:2");
}

TEST_F(ExitsTest, OptionalStagesAreWithinTheOthers) {
  for (const int from : {-1, 4, 5}) {
    config.tasks[0].optional_from = from;
    try {
      reset();
      ADD_FAILURE() << from;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("optional stages from " + std::to_string(from)));
    }
  }
}

/// As ExitsTest, with a task of 6 ms per 10 ms that the whole network would make late.
struct ExitsUnderLoadTest : ExitsTest {
  ExitsUnderLoadTest() {
    SchedulerTask& task = config.tasks[0];
    task.stage_loads = {{0ms, 0ms}, {3ms, 3ms}, {3ms, 3ms}, {3ms, 3ms}, {0ms, 0ms}};
    task.stage_times.clear();
    task.leave_losses = {0, 0.2, 0.1, 0, 0};
    SchedulerTask other{.period = 20ms, .deadline = 7ms, .priority = 2, .stage_processors = {0}};
    other.stage_loads = {{4ms, 4ms}};
    config.tasks.push_back(other);
  }
};

TEST_F(ExitsUnderLoadTest, AJobThatIsNotSureLeavesIfAnotherWouldBeLateElse) {
  reset();
  release(0, 0ms);
  EXPECT_EQ(complete(0, 0ms), "0:1");
  EXPECT_EQ(release(1, 2ms), "");
  EXPECT_EQ(complete(0, 3ms, kNotSure), "0:4") << "till 9 ms it runs all; the other one is due then";
  EXPECT_EQ(complete(0, 3ms), "0 done 1:0");
  EXPECT_EQ(complete(1, 7ms), "1 done");
  release(0, 20ms);
  complete(0, 20ms);
  EXPECT_EQ(complete(0, 23ms, kNotSure), "0:2") << "nobody waits";
}

TEST_F(ExitsUnderLoadTest, ButNotIfLoadIsNotToDecide) {
  config.tasks[0].leave_losses.clear();
  reset();
  release(0, 0ms);
  complete(0, 0ms);
  release(1, 2ms);
  EXPECT_EQ(complete(0, 3ms, kNotSure), "0:2");
}

TEST_F(ExitsUnderLoadTest, ALighterVariantOfTheOtherIsTakenWhereItCostsLess) {
  SchedulerMode lighter{.stage_processors = {0}, .stage_loads = {{1ms, 1ms}}};
  for (const double loss : {0.1, 0.3}) {
    lighter.loss = loss;
    config.tasks[1].fallbacks = {lighter};
    config.tasks[1].deadline = 9ms;  // from 2 ms on: with 1 ms it can wait for all units
    reset();
    release(0, 0ms);
    complete(0, 0ms);
    release(1, 2ms);
    EXPECT_EQ(complete(0, 3ms, kNotSure), loss < 0.2 ? "0:2" : "0:4") << loss;
  }
}

TEST_F(ExitsUnderLoadTest, UnitsCountAsFarAsJobsReachThem) {
  config.tasks[0].reaches = {1, 1, 0.1, 0.1, 1};
  reset();
  release(0, 0ms);
  complete(0, 0ms);
  EXPECT_EQ(release(1, 2ms), "");
  EXPECT_EQ(complete(0, 3ms, kNotSure), "0:4") << "now it is known to be one of the few";
}

struct ZygardeTest : ExitsTest {
  ZygardeTest() {
    config.policy = Policy::zygarde;
    config.energy = {.eta = 0.5, .optional_joules = 1, .mandatory_joules = 0.25};
    config.tasks = {with_exits(20ms, 1), with_exits(40ms, 2)};
  }
};

TEST_F(ZygardeTest, AJobThatIsSureRunsOnWhileThereIsEnergy) {
  reset();
  energy(2, 0ms);
  release(0, 0ms);
  complete(0, 1ms);
  EXPECT_EQ(complete(0, 2ms, kSure), "0:2");
  EXPECT_EQ(energy(1.9, 2ms), "") << "half of it is less than a joule";
  EXPECT_EQ(complete(0, 3ms, kSure), "0:4");
  EXPECT_EQ(complete(0, 4ms), "0 done");
}

TEST_F(ZygardeTest, WithoutEnergyNothingBegins) {
  reset();
  EXPECT_EQ(energy(0.2, 0ms), "");
  EXPECT_EQ(release(0, 0ms), "");
  EXPECT_EQ(energy(0.3, 5ms), "0:0");
  energy(0.1, 6ms);
  EXPECT_EQ(complete(0, 6ms), "");
  EXPECT_EQ(energy(1, 8ms), "0:1");
}

TEST_F(ZygardeTest, WhatIsMandatoryGoesBeforeWhatIsOptional) {
  reset();
  energy(10, 0ms);
  release(0, 0ms);
  complete(0, 1ms);
  release(1, 1ms);
  EXPECT_EQ(complete(0, 2ms, kSure), "1:0") << "due at 41 ms, against 20 ms of one that is sure";
  EXPECT_EQ(complete(1, 3ms), "1:1");
  EXPECT_EQ(complete(1, 4ms, kNotSure), "1:2");
  EXPECT_EQ(complete(1, 5ms, kNotSure), "1:3");
  EXPECT_EQ(complete(1, 6ms, kNotSure), "1:4");
  EXPECT_EQ(complete(1, 7ms), "1 done 0:2") << "then the rest";
}

TEST_F(ZygardeTest, AJobThatIsSureLeavesInTimeForItsDeadline) {
  reset();
  energy(10, 0ms);
  release(0, 0ms);
  complete(0, 1ms);
  release(1, 1ms);
  complete(0, 2ms, kSure);
  EXPECT_EQ(complete(1, 16ms), "1:1") << "1 ms for another's stage, 1 ms each for its own and the last: until 19 ms";
  EXPECT_EQ(complete(1, 18ms, kNotSure), "0:4");
  EXPECT_EQ(complete(0, 19ms), "0 done 1:2");
}

TEST_F(ZygardeTest, OfTwoThatAreSureTheLessUsefulAnswerGoesFirst) {
  config.tasks = {with_exits(100ms, 1), with_exits(100ms, 2)};
  for (const double utility : {0.2, 0.8}) {
    reset();
    energy(10, 0ms);
    release(0, 0ms);
    complete(0, 1ms);
    release(1, 1ms);
    EXPECT_EQ(complete(0, 2ms, {true, 0.5}), "1:0");
    complete(1, 3ms);
    EXPECT_EQ(complete(1, 4ms, {true, utility}), utility < 0.5 ? "1:2" : "0:2");
  }
}

/// Random tasks, answers and energy: every job is accounted for, runs what is mandatory and its last stage, and the
/// same events give the same decisions.
TEST(ExitProperties, HoldForRandomEvents) {
  std::map<std::string, int> seen;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto between = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
    SchedulerConfig config;
    config.policy = seed % 2 == 0 ? Policy::zygarde : static_cast<Policy>(between(0, 5));
    config.energy = {.optional_joules = 2, .mandatory_joules = 1};
    for (int p = between(1, 3); p > 0; --p) config.processors.push_back({between(0, 1) > 0, between(1, 2)});
    for (int i = 0; i < 5; ++i) {
      SchedulerTask task;
      task.period = between(1, 9) * 1ms;
      task.deadline = between(1, 9) * 1ms;
      task.priority = i + 1;
      task.queue = between(1, 3);
      task.late = static_cast<Late>(between(0, 2));
      for (int s = between(3, 6); s > 0; --s)
        task.stage_processors.push_back(between(0, static_cast<int>(config.processors.size()) - 1));
      const int last = static_cast<int>(task.stage_processors.size()) - 1;
      task.optional_from = between(1, last - 1);
      if (between(0, 1) > 0) task.stage_times.assign(task.stage_processors.size(), {1ms, 2ms});
      if (seed % 4 == 1) {
        task.stage_loads.assign(task.stage_processors.size(), {1ms, 1ms});
        task.leave_losses.assign(task.stage_processors.size(), 0.1);
      }
      config.tasks.push_back(task);
    }
    Scheduler first(config), second(config);
    Decisions out, again;
    std::vector<int> stage(5, -1), released(5), ended(5);
    Time now{};
    for (int k = 0; k < 400; ++k) {
      now += between(0, 3) * 500us;
      const int task = between(0, 4), what = between(0, 9);
      const Answer answer{between(0, 2) == 0, between(0, 4) * 0.25};
      const double joules = between(0, 4);
      const bool ok = between(0, 19) > 0;
      const auto send = [&](Scheduler& scheduler, Decisions& decisions) {
        decisions.clear();
        if (what < 4) scheduler.release(task, now, now, decisions);
        else if (what < 9) scheduler.complete(task, now, ok, decisions, answer);
        else scheduler.set_energy(joules, now, decisions);
      };
      send(first, out);
      send(second, again);
      released[static_cast<std::size_t>(task)] += what < 4;
      ASSERT_EQ(out.items().size(), again.items().size());
      for (std::size_t d = 0; d < out.items().size(); ++d) {
        const Decision &made = out.items()[d], &same = again.items()[d];
        ASSERT_EQ(std::make_tuple(made.kind, made.task, made.stage, made.job, made.processor, made.slots),
                  std::make_tuple(same.kind, same.task, same.stage, same.job, same.processor, same.slots));
        const SchedulerTask& of = config.tasks[made.task];
        int& at = stage[made.task];
        const int last = static_cast<int>(of.stage_processors.size()) - 1;
        if (made.kind == Decision::Kind::start) {
          const bool skips = made.stage == last && at + 1 < last && at + 1 >= of.optional_from;
          EXPECT_TRUE(made.stage == (made.stage == 0 ? 0 : at + 1) || skips) << at << " to " << int{made.stage};
          seen[skips ? "left" : "went on"] += 1;
          at = made.stage;
        }
        if (made.kind == Decision::Kind::finish) {
          EXPECT_EQ(at, last);
        }
        const bool ends = made.kind == Decision::Kind::finish || made.kind == Decision::Kind::fail ||
                          made.kind == Decision::Kind::drop || made.kind == Decision::Kind::abandon;
        ended[made.task] += ends;
      }
      for (std::size_t i = 0; i < 5; ++i) ASSERT_EQ(released[i], ended[i] + first.pending(static_cast<int>(i)));
    }
  }
  EXPECT_GT(seen["left"], 1000);
  EXPECT_GT(seen["went on"], 10000);
}

}  // namespace
}  // namespace rtmdl
