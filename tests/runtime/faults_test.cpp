// Stages that throw, fail, hang and do not come back.

#include "allocations.h"
#include "runtime/collector.h"
#include "runtime/dispatcher.h"

#include <atomic>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

constexpr auto millis = [](int n) { return std::chrono::milliseconds(n); };

/// One stage that does what it is told to.
class Told final : public JobBody {
 public:
  enum class To { work, fail, throw_, hang, hang_deaf };
  explicit Told(To what = To::work) : to(what) {}
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t job) override {
    job_ = job;
    ++begun;
    return static_cast<std::int64_t>(job);
  }
  bool stage(int) override {
    const To now = to;
    if (now == To::throw_) throw std::runtime_error("told to");
    while (now == To::hang && cancelled_ != job_) std::this_thread::sleep_for(millis(1));
    while (now == To::hang_deaf && to == To::hang_deaf) std::this_thread::sleep_for(millis(1));
    return now == To::work;
  }
  void cancel(std::uint64_t job) noexcept override { cancelled_ = job; }
  void warm_up(int) override {}
  std::atomic<To> to;
  std::atomic<int> begun{0};

 private:
  std::uint64_t job_ = 0;
  std::atomic<std::uint64_t> cancelled_{~std::uint64_t{0}};
};

class FaultsTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam() && !realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
    config.realtime = GetParam();
    config.scheduler.processors = {{GetParam(), 1}};
    config.processors = {{{available_cores().front()}}};
    config.event_capacity = 10'000;
    for (int t = 0; t < 2; ++t)
      config.scheduler.tasks.push_back(
          {.period = millis(20), .deadline = millis(20), .priority = t + 1, .queue = 2, .stage_processors = {0}});
  }
  /// Of the first task, with something to fall back to.
  void fall_back(int after, Duration limit) {
    config.scheduler.tasks[0].stage_limits = {limit};
    config.scheduler.tasks[0].fallbacks = {{.stage_processors = {0}, .stage_limits = {limit}}};
    config.scheduler.tasks[0].failures_to_fall_back = after;
  }
  static void play(Dispatcher& dispatcher, int task) {
    dispatcher.release(task, MonotonicClock::now());
    for (int i = 0; i < 20'000 && dispatcher.pending() > 0; ++i) std::this_thread::sleep_for(millis(1));
    ASSERT_EQ(dispatcher.pending(), 0);
  }
  /// What the core would do again is what the dispatcher counted.
  void expect_replays(Dispatcher& dispatcher) {
    Scheduler scheduler(config.scheduler);
    Decisions decisions;
    std::vector<JobCounts> counts(2);
    for (const SchedulerEvent& e : dispatcher.events()) {
      decisions.clear();
      replay(e, scheduler, decisions);
      for (const Decision& d : decisions.items()) {
        counts[d.task].completed += d.kind == Decision::Kind::finish;
        counts[d.task].failed += d.kind == Decision::Kind::fail;
        counts[d.task].stuck += d.kind == Decision::Kind::give_up;
        counts[d.task].switches += d.kind == Decision::Kind::change_mode;
      }
    }
    for (int t = 0; t < 2; ++t) {
      const JobCounts real = dispatcher.counts(t);
      EXPECT_EQ(counts[static_cast<std::size_t>(t)].completed, real.completed);
      EXPECT_EQ(counts[static_cast<std::size_t>(t)].failed, real.failed);
      EXPECT_EQ(counts[static_cast<std::size_t>(t)].stuck, real.stuck);
      EXPECT_EQ(counts[static_cast<std::size_t>(t)].switches, real.switches);
      EXPECT_EQ(real.released, real.completed + real.dropped + real.failed);
    }
  }
  DispatcherConfig config;
};
INSTANTIATE_TEST_SUITE_P(, FaultsTest, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "Realtime" : "Cooperative"; });

TEST_P(FaultsTest, AnExceptionFailsTheJobAndAfterThreeTheTaskFallsBack) {
  fall_back(3, {});
  Told bad(Told::To::throw_), good, other;
  Dispatcher dispatcher(config, {&bad, &good, &other});
  for (int k = 0; k < 5; ++k) {
    play(dispatcher, 0);
    play(dispatcher, 1);
  }
  EXPECT_EQ(bad.begun, 3);
  EXPECT_EQ(good.begun, 2);
  EXPECT_EQ(dispatcher.counts(0).failed, 3);
  EXPECT_EQ(dispatcher.counts(0).completed, 2);
  EXPECT_EQ(dispatcher.counts(0).switches, 1);
  EXPECT_EQ(dispatcher.counts(1).completed, 5);
  ASSERT_EQ(dispatcher.mode_changes().size(), 1U);
  const ModeChange& change = dispatcher.mode_changes()[0];
  EXPECT_EQ(change.cause, ModeChange::Cause::failures);
  EXPECT_EQ(change.job, 2U);
  EXPECT_EQ(change.to, 1);
  int modes = 0;
  while (const JobRecord* r = dispatcher.records().front()) {
    if (r->task == 0) {
      EXPECT_EQ(r->mode, r->job < 3 ? 0 : 1);
      EXPECT_EQ(r->fate, r->job < 3 ? JobFate::failed : JobFate::completed);
      ++modes;
    }
    dispatcher.records().pop();
  }
  EXPECT_EQ(modes, 5);
  expect_replays(dispatcher);
}

TEST_P(FaultsTest, WhatHangsIsCancelledAndFails) {
  fall_back(0, millis(300));
  Told hung(Told::To::hang), spare, other;
  Dispatcher dispatcher(config, {&hung, &spare, &other});
  dispatcher.release(0, MonotonicClock::now());
  dispatcher.release(1, MonotonicClock::now());
  play(dispatcher, 1);
  EXPECT_EQ(dispatcher.counts(0).failed, 1);
  EXPECT_EQ(dispatcher.counts(0).overran, 1);
  EXPECT_EQ(dispatcher.counts(0).stuck, 0);
  EXPECT_EQ(dispatcher.counts(1).completed, 2) << "they waited, and went on";
  hung.to = Told::To::work;
  play(dispatcher, 0);
  EXPECT_EQ(dispatcher.counts(0).completed, 1);
  EXPECT_EQ(spare.begun, 0);
  expect_replays(dispatcher);
}

TEST_P(FaultsTest, WhatDoesNotComeBackIsGivenUpAndItsThreadIsUsedAgainOnceItDoes) {
  fall_back(0, millis(20));
  Told hung(Told::To::hang_deaf), spare(Told::To::hang_deaf), other;
  Dispatcher dispatcher(config, {&hung, &spare, &other});
  play(dispatcher, 0);
  EXPECT_EQ(dispatcher.counts(0).stuck, 1);
  EXPECT_EQ(dispatcher.counts(0).switches, 1);
  play(dispatcher, 1);
  EXPECT_EQ(dispatcher.counts(1).completed, 1) << "its place is free";
  play(dispatcher, 0);
  play(dispatcher, 0);
  EXPECT_EQ(dispatcher.counts(0).stuck, 2);
  EXPECT_EQ(dispatcher.counts(0).failed, 3) << "the last one at once: both threads are stuck";
  EXPECT_EQ(hung.begun + spare.begun, 2);
  hung.to = Told::To::work;
  for (int i = 0; i < 5000 && dispatcher.counts(0).switches < 2; ++i) std::this_thread::sleep_for(millis(1));
  play(dispatcher, 0);
  EXPECT_EQ(dispatcher.counts(0).completed, 1);
  EXPECT_EQ(hung.begun, 2);
  spare.to = Told::To::work;
  EXPECT_TRUE(dispatcher.stop().empty());
  ASSERT_EQ(dispatcher.mode_changes().size(), 2U);
  EXPECT_EQ(dispatcher.mode_changes()[0].cause, ModeChange::Cause::stuck);
  EXPECT_EQ(dispatcher.mode_changes()[1].cause, ModeChange::Cause::returned);
  expect_replays(dispatcher);
}

TEST_P(FaultsTest, AThreadThatNeverComesBackIsLeftToItself) {
  static Told bodies[2];  // outlive their threads
  Told& hung = bodies[GetParam() ? 1 : 0];
  hung.to = Told::To::hang_deaf;
  config.scheduler.tasks[0].stage_limits = {millis(20)};
  Told other;
  {
    Dispatcher dispatcher(config, {&hung, &other});
    play(dispatcher, 0);
    EXPECT_EQ(dispatcher.counts(0).stuck, 1);
    play(dispatcher, 0);
    EXPECT_EQ(dispatcher.counts(0).failed, 2);
    const std::vector<JobBody*> stuck = dispatcher.stop();
    ASSERT_EQ(stuck.size(), 1U);
    EXPECT_EQ(stuck[0], &hung);
  }
  hung.to = Told::To::work;
  std::this_thread::sleep_for(millis(50));  // it ends
}

TEST_P(FaultsTest, AModeCanBeAskedForWhileJobsRun) {
  fall_back(0, {});
  Told first, second, other;
  Dispatcher dispatcher(config, {&first, &second, &other});
  play(dispatcher, 0);
  dispatcher.set_mode(0, 1);
  play(dispatcher, 0);
  dispatcher.set_mode(0, 0);
  play(dispatcher, 0);
  EXPECT_EQ(first.begun, 2);
  EXPECT_EQ(second.begun, 1);
  EXPECT_EQ(dispatcher.counts(0).switches, 2);
  EXPECT_EQ(dispatcher.counts(0).completed, 3);
  expect_replays(dispatcher);
}

TEST_P(FaultsTest, WatchingAndFallingBackDoNotAllocate) {
  fall_back(2, millis(200));
  Told bad(Told::To::fail), good, other;
  Dispatcher dispatcher(config, {&bad, &good, &other});
  const std::int64_t before = test::allocations();
  for (int k = 0; k < 20; ++k) play(dispatcher, k % 2);
  std::this_thread::sleep_for(millis(20));
  EXPECT_EQ(test::allocations(), before);
  EXPECT_EQ(dispatcher.counts(0).switches, 1);
}

}  // namespace
}  // namespace rtmdl
