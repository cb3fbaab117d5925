// Fallback, watchdog and modes, by script.

#include <rtmdl/error.h>
#include "scheduling/scheduler.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// Two tasks of one stage on a preemptive processor; the second may fall back to another processor.
struct SchedulerModes : ::testing::Test {
  SchedulerModes() {
    config.processors = {{true, 1}, {false, 1}};
    for (int i = 0; i < 2; ++i)
      config.tasks.push_back(
          {.period = 10ms, .deadline = 10ms, .priority = i + 1, .queue = 2, .stage_processors = {0}});
    config.tasks[1].fallbacks = {{.stage_processors = {1}, .stage_limits = {5ms}}};
    config.tasks[1].stage_limits = {5ms};
    scheduler.reset(config);
  }
  /// "start 1@0" is a stage of task 1 that starts on processor 0; modes that change have no processor.
  std::string made() {
    static const char* const kKinds[] = {"start", "preempt", "resume",  "finish",  "fail",
                                         "drop",  "cancel",  "abandon", "give_up", "mode"};
    std::string text;
    for (const Decision& d : out.items()) {
      text += (text.empty() ? "" : ", ") + std::string(kKinds[static_cast<int>(d.kind)]) + ' ';
      text += d.kind == Decision::Kind::change_mode ? std::to_string(d.task) + "=" + std::to_string(d.mode)
                                                    : std::to_string(d.task) + "@" + std::to_string(d.processor);
    }
    out.clear();
    return text;
  }
  std::string release(int task, Duration at) {
    scheduler.release(task, Time(at), Time(at), out);
    return made();
  }
  std::string complete(int task, Duration at, bool ok = true) {
    scheduler.complete(task, Time(at), ok, out);
    return made();
  }
  std::string overrun(int task, Duration at) {
    scheduler.overrun(task, Time(at), out);
    return made();
  }
  std::string restore(int task, int mode, Duration at) {
    scheduler.restore(task, mode, Time(at), out);
    return made();
  }
  std::string set_mode(int task, int mode, Duration at) {
    scheduler.set_mode(task, mode, Time(at), out);
    return made();
  }
  SchedulerConfig config;
  Scheduler scheduler{{.processors = {{}}, .tasks = {{.queue = 1, .stage_processors = {0}}}}};
  Decisions out;
};

TEST_F(SchedulerModes, FallsBackAfterFailuresInARowAndNotOtherwise) {
  config.tasks[1].failures_to_fall_back = 2;
  scheduler.reset(config);
  for (const bool ok : {false, true, false}) {
    EXPECT_EQ(release(1, 0ms), "start 1@0");
    EXPECT_EQ(complete(1, 0ms, ok), ok ? "finish 1@0" : "fail 1@0");
  }
  release(1, 1ms);
  release(1, 1ms);
  EXPECT_EQ(complete(1, 2ms, false), "fail 1@0, mode 1=1, start 1@1");
  complete(1, 3ms, false);
  release(1, 4ms);
  EXPECT_EQ(complete(1, 5ms, false), "fail 1@1") << "there is no other mode";
}

TEST_F(SchedulerModes, AStageThatStandsStillDoesNotOverrun) {
  release(1, 0ms);
  EXPECT_EQ(release(0, 4ms), "preempt 1@0, start 0@0");
  EXPECT_EQ(overrun(1, 100ms), "");
  EXPECT_EQ(complete(0, 100ms), "finish 0@0, resume 1@0");
  EXPECT_EQ(overrun(1, 101ms - 1us), "");
  EXPECT_EQ(overrun(1, 101ms), "cancel 1@0") << "it has run for its limit, 4 ms and 1 ms";
  EXPECT_EQ(complete(1, 102ms, false), "fail 1@0");
}

TEST_F(SchedulerModes, AJobThatIsDoneAllTheSameCounts) {
  release(1, 0ms);
  EXPECT_EQ(overrun(1, 5ms), "cancel 1@0");
  EXPECT_EQ(complete(1, 6ms), "finish 1@0");
}

TEST_F(SchedulerModes, AStageThatDoesNotEndIsGivenUpAndItsTaskGoesOnInAnotherMode) {
  release(1, 0ms);
  release(1, 0ms);
  EXPECT_EQ(overrun(1, 6ms), "cancel 1@0") << "the look at the clock came late";
  EXPECT_EQ(overrun(1, 10ms), "") << "its grace counts from then";
  EXPECT_EQ(overrun(1, 11ms), "give_up 1@0, fail 1@0, mode 1=1, start 1@1");
  EXPECT_EQ(release(0, 11ms), "start 0@0") << "its slot is free";
  complete(0, 12ms);
  EXPECT_EQ(set_mode(1, 0, 12ms), "");
  EXPECT_EQ(complete(1, 13ms), "finish 1@1");
  EXPECT_EQ(scheduler.mode(1), 1) << "the other is blocked";
  EXPECT_EQ(restore(1, 0, 14ms), "") << "it keeps the mode that works";
  EXPECT_EQ(set_mode(1, 0, 14ms), "mode 1=0");
  EXPECT_EQ(release(1, 15ms), "start 1@0");
}

TEST_F(SchedulerModes, WithoutAModeJobsFailAtOnceUntilOneIsBack) {
  release(1, 0ms);
  overrun(1, 5ms);
  release(1, 5ms);
  EXPECT_EQ(overrun(1, 10ms), "give_up 1@0, fail 1@0, mode 1=1, start 1@1");
  overrun(1, 15ms);
  release(1, 15ms);
  release(1, 15ms);
  EXPECT_EQ(overrun(1, 20ms), "give_up 1@1, fail 1@1, fail 1@1, fail 1@1") << "with those that wait";
  EXPECT_EQ(release(1, 25ms), "fail 1@1");
  EXPECT_EQ(scheduler.pending(1), 0);
  EXPECT_EQ(restore(1, 0, 30ms), "mode 1=0");
  EXPECT_EQ(release(1, 31ms), "start 1@0");
}

TEST_F(SchedulerModes, AModeThatIsAskedForHoldsForTheNextJob) {
  EXPECT_EQ(release(1, 0ms), "start 1@0");
  EXPECT_EQ(set_mode(1, 1, 1ms), "");
  EXPECT_EQ(scheduler.mode(1), 1);
  release(1, 1ms);
  EXPECT_EQ(complete(1, 2ms), "finish 1@0, mode 1=1, start 1@1");
  EXPECT_EQ(set_mode(1, 7, 2ms), "") << "there is none such";
  complete(1, 3ms);
  EXPECT_EQ(set_mode(1, 0, 3ms), "mode 1=0");
}

TEST_F(SchedulerModes, AJobThatWaitsMovesToTheProcessorOfItsNewMode) {
  release(0, 0ms);
  EXPECT_EQ(release(1, 0ms), "");
  EXPECT_EQ(set_mode(1, 1, 1ms), "mode 1=1, start 1@1");
}

TEST_F(SchedulerModes, RefusesWhatDoesNotFit) {
  const auto message = [&] {
    try {
      scheduler.reset(config);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  config.tasks[1].fallbacks[0].stage_limits = {5ms, 5ms};
  EXPECT_THAT(message(), HasSubstr("task 1 has limits for 2 of 1 stages"));
  config.tasks[1].fallbacks[0].stage_limits = {-5ms};
  EXPECT_THAT(message(), HasSubstr("a limit of -5000000 ns: a positive one is accepted"));
  config.tasks[1].fallbacks[0] = {.stage_processors = {2}};
  EXPECT_THAT(message(), HasSubstr("task 1 has a stage on processor 2: there are 2"));
  config.tasks[1].fallbacks.assign(kMaxModes, {.stage_processors = {0}});
  EXPECT_THAT(message(), HasSubstr("17 modes in task 1: between 1 and 16"));
}

}  // namespace
}  // namespace rtmdl
