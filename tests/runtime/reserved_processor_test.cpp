// Processors whose threads the kernel orders by deadline. Real cpusets: only one such test runs at a time.

#include "allocations.h"
#include "base/exclusive_cores.h"
#include "data/pipeline.h"
#include "engine/fake/fake_engine.h"
#include "profiling/task_folder.h"
#include "runtime/deployment.h"
#include "runtime/runtime.h"

#include <rtmdl/error.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sched.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;

constexpr int kDeadline = 6;  ///< SCHED_DEADLINE

/// One stage of so much processor time, or that is busy until a flag is set (or for 10 s).
class Working final : public JobBody {
 public:
  explicit Working(Duration time, const std::atomic<bool>* until = nullptr) : time_(time), until_(until) {}
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t) noexcept override { return 0; }
  bool stage(int) noexcept override {
    policy = sched_getscheduler(0);
    began = true;
    spin_for(time_);
    const Time patience = MonotonicClock::now() + 10s;
    while (until_ && !*until_ && MonotonicClock::now() < patience) {
    }
    done = true;
    return !fails;
  }
  void warm_up(int) override {}
  std::atomic<bool> began{false}, done{false}, fails{false};
  std::atomic<int> policy{-1};

 private:
  Duration time_;
  const std::atomic<bool>* until_;
};

/// One processor on the machine's last core, which nobody else has.
class ReservedProcessor : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::vector<int> cores = available_cores();
    if (cores.size() < 2) GTEST_SKIP() << "one core: none can be exclusive";
    if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
    core_ = cores.back();
    try {
      exclusive_.emplace(std::vector<std::vector<int>>{{core_}});
    } catch (const Error& e) {
      GTEST_SKIP() << "no exclusive cores here: " << e.what();
    }
    off_.emplace(std::vector<int>{core_});
    config_.realtime = true;
    config_.scheduler.policy = Policy::edf;
    config_.scheduler.processors = {{true, 1}};
    config_.processors.resize(1);
    config_.processors[0].cores = {core_};
  }
  void add(Duration bound, Duration deadline, Duration period) {
    config_.scheduler.tasks.push_back({.period = period, .deadline = deadline, .stage_processors = {0}});
    config_.stage_bounds.push_back({{bound}});
  }
  Reserving reserve(Dispatcher& dispatcher) {
    return dispatcher.reserve(0, [&](pid_t thread) { return exclusive_->join(0, thread); });
  }
  static void wait_for(const std::atomic<bool>& flag) {
    for (int i = 0; i < 10'000 && !flag; ++i) std::this_thread::sleep_for(1ms);
    ASSERT_TRUE(flag);
  }
  static void wait_until_idle(Dispatcher& dispatcher) {
    for (int i = 0; i < 20'000 && dispatcher.pending() > 0; ++i) std::this_thread::sleep_for(1ms);
    ASSERT_EQ(dispatcher.pending(), 0);
  }
  static std::vector<int> order(Dispatcher& dispatcher) {
    std::vector<int> tasks;
    for (; const JobRecord* r = dispatcher.records().front(); dispatcher.records().pop()) tasks.push_back(r->task);
    return tasks;
  }
  int core_ = 0;
  std::optional<ExclusiveCores> exclusive_;
  std::optional<KeepOff> off_;
  DispatcherConfig config_;
};

TEST_F(ReservedProcessor, AnUrgentJobDisplacesALongOne) {
  add(2ms, 20ms, 20ms);
  add(1s, 4s, 4s);
  Working urgent(0ms), lengthy(0ms, &urgent.done);
  Dispatcher dispatcher(config_, {&urgent, &lengthy});
  const Reserving reserved = reserve(dispatcher);
  ASSERT_EQ(reserved.error, 0);
  EXPECT_NEAR(reserved.cores, 0.35, 0.01);
  dispatcher.release(1, MonotonicClock::now());
  wait_for(lengthy.began);
  dispatcher.release(0, MonotonicClock::now());
  wait_until_idle(dispatcher);
  EXPECT_THAT(order(dispatcher), testing::ElementsAre(0, 1));
  EXPECT_EQ(urgent.policy, kDeadline);
  EXPECT_EQ(lengthy.policy, kDeadline);
  EXPECT_EQ(dispatcher.counts(1).throttled, 0);
}

TEST_F(ReservedProcessor, AJobThatHasWaitedKeepsItsDeadline) {
  add(200ms, 600ms, 600ms);
  add(20ms, 560ms, 600ms);
  add(100ms, 250ms, 250ms);
  // The kernel counts from the wake-up: 80 ms of waiting would put the second task's job behind the first's.
  std::atomic<bool> released{false};
  Working waits(0ms), first(0ms, &waits.done), urgent(0ms, &released);
  Dispatcher dispatcher(config_, {&first, &waits, &urgent});
  ASSERT_EQ(reserve(dispatcher).error, 0);
  const Time begin = MonotonicClock::now();
  dispatcher.release(0, begin);
  wait_for(first.began);
  dispatcher.release(2, begin + 1ms);
  wait_for(urgent.began);
  std::this_thread::sleep_for(80ms);
  dispatcher.release(1, begin + 20ms);
  released = true;
  wait_until_idle(dispatcher);
  EXPECT_THAT(order(dispatcher), testing::ElementsAre(2, 1, 0));
  EXPECT_EQ(dispatcher.counts(0).throttled, 0) << "the first ran into its reservation, since the second did not run";
}

TEST_F(ReservedProcessor, AJobThatTakesMoreThanItsReservationIsHeldBackAndCounted) {
  add(5ms, 50ms, 50ms);
  add(2ms, 20ms, 20ms);
  Working greedy(12ms), modest(200us);
  Dispatcher dispatcher(config_, {&greedy, &modest});
  ASSERT_EQ(reserve(dispatcher).error, 0);
  dispatcher.release(0, MonotonicClock::now());
  wait_for(greedy.began);
  dispatcher.release(1, MonotonicClock::now());
  wait_until_idle(dispatcher);
  EXPECT_EQ(dispatcher.counts(0).throttled, 2) << "12 ms of work with 5 ms in a period";
  EXPECT_EQ(dispatcher.counts(1).throttled, 0);
  for (; const JobRecord* r = dispatcher.records().front(); dispatcher.records().pop()) {
    if (r->task == 0) {
      EXPECT_GT(r->stage[0].end - r->stage[0].start, 90ms) << "the third period's";
    }
  }
}

TEST_F(ReservedProcessor, OneThatTakesMoreThanThereIsStaysUnderFifo) {
  add(12ms, 20ms, 20ms);
  add(12ms, 20ms, 20ms);
  Working a(100us), b(100us);
  Dispatcher dispatcher(config_, {&a, &b});
  const Reserving refused = reserve(dispatcher);
  EXPECT_EQ(refused.error, EBUSY);
  EXPECT_NEAR(refused.cores, 1.2, 0.05);
  for (const int task : {0, 1}) dispatcher.release(task, MonotonicClock::now());
  wait_until_idle(dispatcher);
  EXPECT_EQ(a.policy, SCHED_FIFO);
  EXPECT_EQ(b.policy, SCHED_FIFO);
  EXPECT_EQ(dispatcher.counts(0).completed + dispatcher.counts(1).completed, 2);
}

TEST_F(ReservedProcessor, WhatATaskFallsBackToTakesTheReservationOver) {
  add(12ms, 20ms, 20ms);  // twice would not fit
  config_.scheduler.tasks[0].fallbacks = {{.stage_processors = {0}}};
  config_.scheduler.tasks[0].failures_to_fall_back = 1;
  config_.stage_bounds[0].push_back({11ms});
  Working planned(100us), other(100us);
  planned.fails = true;
  Dispatcher dispatcher(config_, {&planned, &other});
  ASSERT_EQ(reserve(dispatcher).error, 0);
  for (int k = 0; k < 2; ++k) {
    dispatcher.release(0, MonotonicClock::now());
    wait_until_idle(dispatcher);
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(planned.policy, kDeadline);
  EXPECT_EQ(other.policy, kDeadline);
  EXPECT_EQ(dispatcher.counts(0).failed, 1);
  EXPECT_EQ(dispatcher.counts(0).completed, 1);
  dispatcher.set_mode(0, 0);
  dispatcher.release(0, MonotonicClock::now());
  wait_until_idle(dispatcher);
  EXPECT_EQ(planned.policy, kDeadline) << "and back";
}

TEST_F(ReservedProcessor, TheHotPathDoesNotAllocate) {
  add(2ms, 20ms, 20ms);
  add(2ms, 30ms, 30ms);
  Working a(20us), b(30us);
  Dispatcher dispatcher(config_, {&a, &b});
  ASSERT_EQ(reserve(dispatcher).error, 0);
  const std::int64_t before = test::allocations();
  for (int k = 0; k < 20; ++k) {
    for (const int task : {0, 1}) dispatcher.release(task, MonotonicClock::now());
    while (dispatcher.pending() > 0) std::this_thread::yield();
    while (dispatcher.records().front()) dispatcher.records().pop();
  }
  EXPECT_EQ(test::allocations() - before, 0);
}

/// A task file with one processor that is to be reserved, and one that is not.
class ReservedRun : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::vector<int> cores = available_cores();
    if (cores.size() < 2) GTEST_SKIP() << "one core: none can be exclusive";
    folder_.write("a.model", "");
    FakeModel model;
    model.inputs = {{"x", ElementType::f32, {4}}};
    model.times = {1ms};
    engine_.script("a", model);
    file_ = folder_.parse(fmt::format(
        "processors: {{cpu: {{cores: [{}]}}, gpu: {{device: cpu, cores: [{}], kernel: deadline}}}}\n"
        "tasks:\n"
        "  - {{name: quick, model: a.model, data: {{source: synthetic, shape: [4]}}, period: 20 ms, jitter: 2 ms}}\n"
        "  - {{name: slow, model: a.model, data: {{source: synthetic, shape: [4]}}, period: 30 ms}}\n",
        cores.front(), cores.back()));
    config_.name = "edf";
    config_.policy = Policy::edf;
    config_.processors = file_.processors;
    config_.host_processor = file_.host_processor();
    config_.duration = 600ms;
    for (const TaskSpec& spec : file_.tasks) {
      RunTask task;
      task.spec = &spec;
      task.variant = "a";
      task.request = load_request(spec, folder_.path() / "a.model");
      task.places = {{.processor = 1}};
      task.priority = static_cast<int>(config_.tasks.size()) + 1;
      task.stage_bounds = {1ms, 5ms, 1ms};
      config_.tasks.push_back(task);
    }
  }
  TaskFolder folder_;
  FakeEngine engine_;
  TaskFile file_;
  RunConfig config_;
};

TEST_F(ReservedRun, RunsUnderReservationsAndSaysSo) {
  if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  const std::vector<int> before = available_cores();
  const RunReport report = run(engine_, config_, 1, {}).report;
  EXPECT_EQ(available_cores(), before);
  EXPECT_EQ(report.processors[0].kernel, "fifo");
  if (report.processors[1].kernel != "deadline") GTEST_SKIP() << testing::PrintToString(report.notes);
  for (const TaskReport& task : report.tasks) {
    EXPECT_EQ(task.released, task.completed + task.dropped + task.failed);
    EXPECT_GT(task.completed, task.released / 2);
    EXPECT_EQ(task.throttled, 0);
  }
}

TEST_F(ReservedRun, AJobThatOverrunsIsReportedAsHeldBack) {
  if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  config_.tasks[1].stage_bounds = {1ms, 500us, 1ms};
  const RunReport report = run(engine_, config_, 1, {}).report;
  if (report.processors[1].kernel != "deadline") GTEST_SKIP() << testing::PrintToString(report.notes);
  EXPECT_EQ(report.tasks[0].throttled, 0);
  EXPECT_GT(report.tasks[1].throttled, 0);
  EXPECT_THAT(report.notes, Contains(HasSubstr("slow used its reservation up ")));
}

TEST_F(ReservedRun, MoreThanThereIsRunsUnderFifoAndTheSumIsNamed) {
  if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  for (RunTask& task : config_.tasks) task.stage_bounds = {1ms, 18ms, 1ms};
  const RunReport report = run(engine_, config_, 1, {}).report;
  if (report.notes.empty() || report.notes.back().find("are not to be had") != std::string::npos)
    GTEST_SKIP() << testing::PrintToString(report.notes);
  EXPECT_EQ(report.processors[1].kernel, "fifo");
  EXPECT_THAT(report.notes, Contains(HasSubstr("gpu runs under SCHED_FIFO: the kernel does not reserve 15")));
}

TEST_F(ReservedRun, OtherPoliciesRunUnderFifoAndSayWhy) {
  if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  config_.name = "rtmdl";
  config_.policy = Policy::fixed_priority;
  const RunReport report = run(engine_, config_, 1, {}).report;
  EXPECT_EQ(report.processors[1].kernel, "fifo");
  EXPECT_THAT(report.notes, Contains(HasSubstr("gpu: SCHED_FIFO, since rtmdl does not order by deadlines")));
}

TEST_F(ReservedRun, WithoutThePrivilegeItRunsCooperatively) {
  config_.realtime = false;
  const RunReport report = run(engine_, config_, 1, {}).report;
  EXPECT_EQ(report.processors[1].kernel, "other");
  EXPECT_EQ(report.preemption, "cooperative");
}

}  // namespace
}  // namespace rtmdl
