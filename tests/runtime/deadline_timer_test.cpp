#include "runtime/deadline_timer.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

/// Runs until it is cancelled.
class UntilCancelled final : public JobBody {
 public:
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t job) noexcept override {
    job_ = job;
    return 0;
  }
  bool stage(int) noexcept override {
    while (cancelled_ != job_) std::this_thread::sleep_for(std::chrono::microseconds(100));
    return false;
  }
  void cancel(std::uint64_t job) noexcept override { cancelled_ = job; }
  void warm_up(int) override {}

 private:
  std::atomic<std::uint64_t> job_{0}, cancelled_{~std::uint64_t{0}};
};

struct DeadlineTimerTest : testing::Test {
  DeadlineTimerTest() {
    config.scheduler.processors = {{false, 1}};
    config.processors = {{}};
    SchedulerTask task;
    task.period = task.deadline = std::chrono::milliseconds(20);
    task.priority = 1;
    task.late = Late::abort;
    task.stage_processors = {0};
    config.scheduler.tasks = {task};
  }
  DispatcherConfig config;
  UntilCancelled body;
};

TEST_F(DeadlineTimerTest, GivesUpEachJobAtItsDeadlineAndNotBefore) {
  Dispatcher dispatcher(config, {&body});
  DeadlineTimer timer(dispatcher, 4, {});
  for (std::uint64_t job = 0; job < 5; ++job) {
    const Time release = MonotonicClock::now();
    timer.watch(0, job, release + std::chrono::milliseconds(20));
    dispatcher.release(0, release);
    while (dispatcher.pending() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_GE(MonotonicClock::now(), release + std::chrono::milliseconds(20));
  }
  EXPECT_EQ(dispatcher.counts(0).abandoned, 5);
}

TEST_F(DeadlineTimerTest, ForgottenOnesMakeRoomAndTheEarliestComesFirst) {
  Dispatcher dispatcher(config, {&body});
  DeadlineTimer timer(dispatcher, 2, {});
  const Time far = MonotonicClock::now() + std::chrono::hours(1);
  for (std::uint64_t job = 100; job < 200; ++job) {
    timer.watch(0, job, far + Duration(job));
    timer.watch(0, job + 1000, far - Duration(job));
    timer.forget(0, job);
    timer.forget(0, job);
    timer.forget(0, job + 1000);
  }
  timer.watch(0, 500, far);
  const Time release = MonotonicClock::now();
  timer.watch(0, 0, release + std::chrono::milliseconds(20));
  dispatcher.release(0, release);
  while (dispatcher.pending() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(dispatcher.counts(0).abandoned, 1);
}

}  // namespace
}  // namespace rtmdl
