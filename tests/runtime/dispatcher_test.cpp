#include "runtime/dispatcher.h"
#include "allocations.h"
#include "engine/fake/fake_engine.h"
#include "runtime/collector.h"
#include "runtime/releases.h"

#include <rtmdl/error.h>

#include <array>
#include <atomic>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include <sched.h>

namespace rtmdl {
namespace {

/// Stages that take scripted processor time; every `fail_every`-th job fails in its second stage.
class ScriptedBody final : public JobBody {
 public:
  explicit ScriptedBody(std::vector<Duration> times, int fail_every = 0)
      : times_(std::move(times)), fail_every_(fail_every) {}
  int stages() const noexcept override { return static_cast<int>(times_.size()); }
  std::int64_t begin(std::uint64_t job) noexcept override {
    job_ = job;
    return static_cast<std::int64_t>(job);
  }
  bool stage(int index) noexcept override {
    EXPECT_EQ(index, (last_ + 1) % stages()) << "stages come in order";
    last_ = index;
    spin_for(times_[static_cast<std::size_t>(index)]);
    const bool fails = fail_every_ > 0 && index == 1 && (job_ + 1) % static_cast<std::uint64_t>(fail_every_) == 0;
    if (fails) last_ = -1;
    return !fails;
  }
  Result* result() noexcept override { return &result_; }
  void warm_up(int) override { ++warm_ups; }
  int warm_ups = 0;

 private:
  std::vector<Duration> times_;
  int fail_every_;
  int last_ = -1;
  std::uint64_t job_ = 0;
  Result result_;
};

constexpr auto us = [](int n) { return std::chrono::microseconds(n); };

DispatcherConfig two_processors(int tasks, bool realtime) {
  DispatcherConfig d;
  d.realtime = realtime;
  d.scheduler.processors = {{realtime, 1}, {realtime, 1}};
  const std::vector<int> cores = available_cores();
  d.processors = {{{cores.front()}}, {{cores.back()}}};
  d.event_capacity = 100'000;
  for (int t = 0; t < tasks; ++t) {
    SchedulerTask task;
    task.period = std::chrono::milliseconds(2 + t);
    task.deadline = task.period;
    task.priority = t + 1;
    task.stage_processors = {0, 1, 0};
    d.scheduler.tasks.push_back(task);
  }
  return d;
}

void wait_until_idle(Dispatcher& dispatcher) {
  for (int i = 0; i < 20'000 && dispatcher.pending() > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_EQ(dispatcher.pending(), 0);
}

/// What a core decides that is sent the events of a log.
std::map<int, JobCounts> counts_of_replay(const SchedulerConfig& config, const std::vector<SchedulerEvent>& events) {
  Scheduler scheduler(config);
  Decisions decisions;
  std::map<int, JobCounts> counts;
  for (const SchedulerEvent& e : events) {
    decisions.clear();
    replay(e, scheduler, decisions);
    for (const Decision& d : decisions.items()) {
      JobCounts& c = counts[d.task];
      c.completed += d.kind == Decision::Kind::finish;
      c.late += d.kind == Decision::Kind::finish && d.late;
      c.dropped += d.kind == Decision::Kind::drop || d.kind == Decision::Kind::abandon;
      c.abandoned += d.kind == Decision::Kind::abandon;
      c.failed += d.kind == Decision::Kind::fail;
      c.switches += d.kind == Decision::Kind::change_mode;
    }
  }
  return counts;
}

class DispatcherTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam() && !realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  }
};

TEST_P(DispatcherTest, CountersAddUpUnderOverloadAndFaults) {
  const DispatcherConfig d = two_processors(4, GetParam());
  std::vector<std::unique_ptr<ScriptedBody>> bodies;
  std::vector<JobBody*> pointers;
  for (int t = 0; t < 4; ++t) {
    bodies.push_back(std::make_unique<ScriptedBody>(std::vector<Duration>{us(200), us(900), us(100)}, t == 1 ? 2 : 0));
    pointers.push_back(bodies.back().get());
  }
  Dispatcher dispatcher(d, pointers);
  std::map<int, JobCounts> seen;
  Collector collector(dispatcher, {{"a", "b", "c", "d"},
                                   {"cpu", "gpu"},
                                   {{"v"}, {"v"}, {"v"}, {"v"}},
                                   std::vector<Duration>(4),
                                   {},
                                   {},
                                   1'000'000,
                                   {}});
  std::vector<ReleaseSpec> releases;
  for (const auto& t : d.scheduler.tasks) releases.push_back({t.period, {}, us(100)});
  const auto start = MonotonicClock::now() + std::chrono::milliseconds(5);
  play_releases(dispatcher, releases, start, std::chrono::milliseconds(400), 1, {{}, GetParam() ? kFifoRelease : 0},
                {});
  wait_until_idle(dispatcher);
  collector.finish();
  for (const JobRecord& r : collector.records()) {
    JobCounts& c = seen[r.task];
    ++c.released;
    c.completed += r.fate == JobFate::completed;
    c.dropped += r.fate == JobFate::dropped;
    c.failed += r.fate == JobFate::failed;
  }
  for (int t = 0; t < 4; ++t) {
    const JobCounts c = dispatcher.counts(t);
    // Every release of the grid happened, exactly once: 400 ms / period.
    EXPECT_EQ(c.released,
              (std::chrono::milliseconds(400) + releases[static_cast<std::size_t>(t)].period - Duration(1)) /
                  releases[static_cast<std::size_t>(t)].period);
    EXPECT_EQ(c.released, c.completed + c.dropped + c.failed) << "task " << t;
    EXPECT_EQ(seen[t].released, c.released);
    EXPECT_EQ(seen[t].dropped, c.dropped);
    EXPECT_EQ(seen[t].failed, c.failed);
  }
  EXPECT_GT(dispatcher.counts(1).failed, 0);
  EXPECT_EQ(dispatcher.counts(0).failed, 0) << "a failing task does not disturb another";
  EXPECT_EQ(dispatcher.lost_records(), 0U);
}

TEST_P(DispatcherTest, ARunReplaysFromItsLog) {
  const DispatcherConfig d = two_processors(3, GetParam());
  ScriptedBody a({us(100), us(300), us(50)}), b({us(300), us(500), us(100)}, 4), c({us(500), us(900), us(200)});
  Dispatcher dispatcher(d, {&a, &b, &c});
  std::vector<ReleaseSpec> releases;
  for (const auto& t : d.scheduler.tasks) releases.push_back({t.period, {}, {}});
  play_releases(dispatcher, releases, MonotonicClock::now(), std::chrono::milliseconds(200), 1,
                {{}, GetParam() ? kFifoRelease : 0}, {});
  wait_until_idle(dispatcher);

  std::map<int, JobCounts> counts = counts_of_replay(d.scheduler, dispatcher.events());
  for (int t = 0; t < 3; ++t) {
    const JobCounts real = dispatcher.counts(t);
    EXPECT_EQ(counts[t].completed, real.completed);
    EXPECT_EQ(counts[t].late, real.late);
    EXPECT_EQ(counts[t].dropped, real.dropped);
    EXPECT_EQ(counts[t].abandoned, real.abandoned);
    EXPECT_EQ(counts[t].failed, real.failed);
  }
}

TEST_P(DispatcherTest, ARunInWhichJobsAreMadeLighterReplaysFromItsLog) {
  DispatcherConfig d = two_processors(3, GetParam());
  for (SchedulerTask& task : d.scheduler.tasks) {
    task.stage_loads = {{us(200), us(250)}, {us(600), us(700)}, {us(100), us(150)}};
    task.fallbacks.push_back({.stage_processors = {0, 1, 0},
                              .stage_loads = {{us(200), us(250)}, {us(200), us(250)}, {us(100), us(150)}},
                              .loss = 0.1});
  }
  // Twice as long as they are said to take: three tasks of 2, 3 and 4 ms are too much.
  ScriptedBody a({us(400), us(1200), us(200)}), b({us(400), us(1200), us(200)}), c({us(400), us(1200), us(200)});
  ScriptedBody lighter_a({us(400), us(400), us(200)}), lighter_b({us(400), us(400), us(200)}),
      lighter_c({us(400), us(400), us(200)});
  Dispatcher dispatcher(d, {&a, &lighter_a, &b, &lighter_b, &c, &lighter_c});
  std::vector<ReleaseSpec> releases;
  for (const auto& t : d.scheduler.tasks) releases.push_back({t.period, {}, {}});
  play_releases(dispatcher, releases, MonotonicClock::now(), std::chrono::milliseconds(200), 1,
                {{}, GetParam() ? kFifoRelease : 0}, {});
  wait_until_idle(dispatcher);

  std::map<int, JobCounts> counts = counts_of_replay(d.scheduler, dispatcher.events());
  std::int64_t switches = 0;
  for (int t = 0; t < 3; ++t) {
    EXPECT_EQ(counts[t].completed, dispatcher.counts(t).completed);
    EXPECT_EQ(counts[t].late, dispatcher.counts(t).late);
    EXPECT_EQ(counts[t].switches, dispatcher.counts(t).switches);
    switches += counts[t].switches;
  }
  EXPECT_GT(switches, 0);
  EXPECT_GT(dispatcher.mean_slowdown(1), 1.2);
  EXPECT_TRUE(dispatcher.mode_changes().empty()) << "these are for faults";
}

TEST_P(DispatcherTest, TheHotPathDoesNotAllocate) {
  const DispatcherConfig d = two_processors(3, GetParam());
  ScriptedBody a({us(20), us(30), us(10)}), b({us(30), us(50), us(10)}), c({us(50), us(90), us(20)});
  Dispatcher dispatcher(d, {&a, &b, &c});
  const std::int64_t before = test::allocations();
  for (int k = 0; k < 50; ++k) {
    for (int t = 0; t < 3; ++t) dispatcher.release(t, MonotonicClock::now());
    while (dispatcher.pending() > 0) std::this_thread::yield();
    while (dispatcher.records().front()) {
      if (dispatcher.records().front()->has_result) dispatcher.results(dispatcher.records().front()->task).pop();
      dispatcher.records().pop();
    }
  }
  EXPECT_EQ(test::allocations() - before, 0);
}

TEST_P(DispatcherTest, RecordsThatNobodyTakesAreLostButCounted) {
  DispatcherConfig d = two_processors(1, GetParam());
  d.record_capacity = 4;
  d.result_capacity = {2};
  ScriptedBody a({us(10), us(10), us(10)});
  Dispatcher dispatcher(d, {&a});
  for (int k = 0; k < 10; ++k) {
    dispatcher.release(0, MonotonicClock::now());
    wait_until_idle(dispatcher);
  }
  EXPECT_EQ(dispatcher.counts(0).completed, 10);
  EXPECT_EQ(dispatcher.lost_records(), 6U);
}

TEST_P(DispatcherTest, EveryStageIsWarmedUpOnceByTheThreadThatRunsIt) {
  ScriptedBody a({us(10), us(10), us(10)});
  Dispatcher dispatcher(two_processors(1, GetParam()), {&a});
  EXPECT_EQ(a.warm_ups, 3);
}

INSTANTIATE_TEST_SUITE_P(Modes, DispatcherTest, ::testing::Values(false, true),
                         [](const auto& i) { return i.param ? "Kernel" : "Cooperative"; });

/// One stage that keeps its core busy until `until` is set (or 10 s have passed: then nobody displaced it), and then
/// sets `done`.
class BusyUntil final : public JobBody {
 public:
  explicit BusyUntil(const std::atomic<bool>* until) : until_(until) {}
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t) noexcept override { return 0; }
  bool stage(int) noexcept override {
    began = true;
    const Time patience = MonotonicClock::now() + std::chrono::seconds(10);
    while (until_ && !*until_ && MonotonicClock::now() < patience) {
    }
    done = true;
    return true;
  }
  void warm_up(int) override {}
  std::atomic<bool> began{false}, done{false};

 private:
  const std::atomic<bool>* until_;
};

TEST(DispatcherPreemption, AnUrgentJobDisplacesALongOneOnTheSameCore) {
  if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  for (const Policy policy : {Policy::fixed_priority, Policy::edf}) {
    DispatcherConfig d = two_processors(2, true);
    d.scheduler.policy = policy;
    d.scheduler.tasks[1].deadline = std::chrono::seconds(100);
    for (auto& t : d.scheduler.tasks) t.stage_processors = {0};
    BusyUntil urgent(nullptr), lengthy(&urgent.done);
    Dispatcher dispatcher(d, {&urgent, &lengthy});
    dispatcher.release(1, MonotonicClock::now());
    while (!lengthy.began) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    dispatcher.release(0, MonotonicClock::now());
    wait_until_idle(dispatcher);
    const JobRecord first = *dispatcher.records().front();
    EXPECT_EQ(first.task, 0) << policy_name(policy) << ": the urgent job ends first, although it came later";
  }
}

/// One stage, which remembers where each job ran.
class WhereItRan final : public JobBody {
 public:
  explicit WhereItRan(Duration time) : time_(time) { cores.reserve(1000); }
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t) noexcept override { return 0; }
  bool stage(int) noexcept override {
    cores.push_back(sched_getcpu());
    spin_for(time_);
    return true;
  }
  void warm_up(int) override {}
  std::vector<int> cores;

 private:
  Duration time_;
};

TEST_P(DispatcherTest, StagesRunOnTheCoresOfTheirSlotsAndWideOnesAlone) {
  const std::vector<int> cores = available_cores();
  if (cores.size() < 2) GTEST_SKIP() << "one core has no slots to pack";
  DispatcherConfig d = two_processors(3, GetParam());
  d.scheduler.processors = {{false, 2}};
  d.processors = {{{cores[0], cores[1]}}};
  for (SchedulerTask& task : d.scheduler.tasks) {
    task.stage_processors = {0};
    task.queue = 4;
  }
  d.scheduler.tasks[1].stage_slots = {2};
  WhereItRan first(us(150)), wide(us(250)), last(us(350));
  Dispatcher dispatcher(d, {&first, &wide, &last});
  for (int k = 0; k < 200; ++k) {
    dispatcher.release(k % 3, MonotonicClock::now());
    std::this_thread::sleep_for(us(k % 7 * 60));
  }
  wait_until_idle(dispatcher);
  std::vector<JobRecord> records;
  std::array<std::size_t, 3> seen{};
  while (const JobRecord* r = dispatcher.records().front()) {
    if (r->fate == JobFate::completed) {
      records.push_back(*r);
      const JobRecord::Stage& stage = r->stage[0];
      const WhereItRan& body = r->task == 0 ? first : r->task == 1 ? wide : last;
      EXPECT_EQ(stage.width(), r->task == 1 ? 2 : 1);
      if (stage.width() == 1) {
        EXPECT_EQ(body.cores[seen[r->task]], cores[static_cast<std::size_t>(stage.slot())]);
      }
      ++seen[r->task];
    }
    dispatcher.records().pop();
  }
  for (const JobRecord& a : records)
    for (const JobRecord& b : records) {
      if (&a == &b || a.stage[0].start >= b.stage[0].end || b.stage[0].start >= a.stage[0].end) continue;
      EXPECT_NE(a.task, 1) << "beside another";
      EXPECT_NE(a.stage[0].slots, b.stage[0].slots);
    }
  for (int t = 0; t < 3; ++t) {
    const JobCounts c = dispatcher.counts(t);
    EXPECT_EQ(c.released, c.completed + c.dropped + c.failed);
  }
}

TEST_P(DispatcherTest, StagesOfOneSlotRunSideBySide) {
  const std::vector<int> cores = available_cores();
  if (cores.size() < 2) GTEST_SKIP() << "one core has no slots to pack";
  DispatcherConfig d = two_processors(2, GetParam());
  d.scheduler.processors = {{false, 2}};
  d.processors = {{{cores[0], cores[1]}}};
  for (SchedulerTask& task : d.scheduler.tasks) task.stage_processors = {0};
  BusyUntil quick(nullptr), lengthy(&quick.done);  // which ends only after the other has
  Dispatcher dispatcher(d, {&quick, &lengthy});
  dispatcher.release(1, MonotonicClock::now());
  while (!lengthy.began) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  dispatcher.release(0, MonotonicClock::now());
  wait_until_idle(dispatcher);
  std::array<JobRecord::Stage, 2> stages;
  while (const JobRecord* r = dispatcher.records().front()) {
    EXPECT_EQ(r->fate, JobFate::completed);
    stages[r->task] = r->stage[0];
    dispatcher.records().pop();
  }
  EXPECT_LT(stages[0].start, stages[1].end);
  EXPECT_NE(stages[0].slots, stages[1].slots);
}

/// Three stages, of which the second goes on until its job is cancelled (or for 10 s).
class Endless final : public JobBody {
 public:
  int stages() const noexcept override { return 3; }
  std::int64_t begin(std::uint64_t job) noexcept override {
    job_ = job;
    return 0;
  }
  bool stage(int index) noexcept override {
    if (index == 2) ++ended;
    const Time patience = MonotonicClock::now() + std::chrono::seconds(10);
    while (index == 1 && cancelled_ != job_ && MonotonicClock::now() < patience) std::this_thread::sleep_for(us(100));
    return index != 1;
  }
  void cancel(std::uint64_t job) noexcept override { cancelled_ = job; }
  void warm_up(int) override {}
  std::atomic<int> ended{0};

 private:
  std::uint64_t job_ = 0;
  std::atomic<std::uint64_t> cancelled_{~std::uint64_t{0}};
};

TEST_P(DispatcherTest, JobsInProgressAtTheirDeadlineAreGivenUpAndOthersGoOn) {
  DispatcherConfig d = two_processors(2, GetParam());
  for (auto& t : d.scheduler.tasks) t.period = t.deadline = std::chrono::milliseconds(20);
  d.scheduler.tasks[1].late = Late::abort;
  ScriptedBody other({us(10), us(10), us(10)});
  Endless endless;
  Dispatcher dispatcher(d, {&other, &endless});
  const Duration period = d.scheduler.tasks[0].period;
  play_releases(dispatcher, {{period, {}, {}, {}}, {period, {}, {}, d.scheduler.tasks[1].deadline}},
                MonotonicClock::now() + us(2000), 10 * period, 1, {{}, GetParam() ? kFifoRelease : 0}, {});
  wait_until_idle(dispatcher);
  const JobCounts gone = dispatcher.counts(1), good = dispatcher.counts(0);
  EXPECT_EQ(gone.released, 10);
  EXPECT_EQ(gone.dropped, 10);
  EXPECT_GT(gone.abandoned, 0) << "all that did begin";
  EXPECT_EQ(gone.completed + gone.failed, 0);
  EXPECT_EQ(endless.ended, 0);
  EXPECT_EQ(good.completed + good.dropped, 10);
  EXPECT_GT(good.completed, 0);
  int with_stages = 0;
  while (const JobRecord* r = dispatcher.records().front()) {
    with_stages += r->task == 1 && r->fate == JobFate::dropped && r->stages == 2;
    dispatcher.records().pop();
  }
  EXPECT_EQ(with_stages, gone.abandoned) << "their records say what they had begun";
}

TEST(DispatcherWarmUp, AFailureEndsItCleanly) {
  struct Failing final : JobBody {
    int stages() const noexcept override { return 1; }
    std::int64_t begin(std::uint64_t) noexcept override { return 0; }
    bool stage(int) noexcept override { return true; }
    void warm_up(int) override { bad_input("no good"); }
  } body;
  DispatcherConfig d = two_processors(1, false);
  d.scheduler.tasks[0].stage_processors = {0};
  try {
    Dispatcher dispatcher(d, {&body});
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "no good");
  }
}

}  // namespace
}  // namespace rtmdl
