// Releases beyond periods, and tasks that run after others, on real threads.
#include "scheduling/arrivals.h"
#include "allocations.h"
#include "runtime/collector.h"
#include "runtime/releases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>
#include <vector>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;

/// Finds as many boxes as its next job's turn of `found` says; keeps what it is handed.
class FindingBody final : public JobBody {
 public:
  explicit FindingBody(std::vector<int> found = {0}) : found_(std::move(found)) { result_.boxes.reserve(16); }
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t job) noexcept override {
    frame_.index = static_cast<std::int64_t>(job);
    result_.boxes.clear();
    for (int k = 0; k < found_[job % found_.size()]; ++k) result_.boxes.push_back({0, 0, static_cast<float>(k + 1), 1});
    return frame_.index;
  }
  bool stage(int) noexcept override { return !fails; }
  Result* result() noexcept override { return &result_; }
  const Frame* frame() const noexcept override { return &frame_; }
  bool hand_over(std::uint64_t, const Frame& frame, const Box* part) noexcept override {
    handed_frame = frame.index;
    handed_width = part ? part->x1 : 0;
    ++handed;
    return true;
  }
  void job_over(std::uint64_t) noexcept override { ++over; }
  void warm_up(int) override {}
  bool fails = false;
  std::int64_t handed_frame = -1;
  float handed_width = 0;
  int handed = 0, over = 0;

 private:
  std::vector<int> found_;
  Frame frame_;
  Result result_;
};

SchedulerTask task_on_first(int priority) {
  SchedulerTask task;
  task.period = task.deadline = 1s;
  task.priority = priority;
  task.queue = 4;
  task.stage_processors = {0};
  return task;
}

/// `after[i]` of task i, the first the least urgent.
DispatcherConfig graph(const std::vector<AfterSpec>& after) {
  DispatcherConfig d;
  d.scheduler.processors = {{false, 1}};
  d.processors = {{}};
  d.event_capacity = 10'000;
  d.after = after;
  for (std::size_t t = 0; t < after.size(); ++t)
    d.scheduler.tasks.push_back(task_on_first(static_cast<int>(after.size() - t)));
  return d;
}

void wait_for_all(Dispatcher& dispatcher) {
  for (int i = 0; i < 20'000 && dispatcher.pending() > 0; ++i) std::this_thread::sleep_for(1ms);
  ASSERT_EQ(dispatcher.pending(), 0);
}

TEST(PlayedArrivals, HaveTheNominalReleasesOfTheGenerator) {
  const ArrivalSpec random{.kind = ArrivalSpec::Kind::random, .calm = {4ms, {}}};
  const ArrivalSpec bursty{.kind = ArrivalSpec::Kind::random, .calm = {20ms, 50ms}, .burst = {2ms, 20ms}};
  const ArrivalSpec trace{.kind = ArrivalSpec::Kind::trace, .times = {0ms, 3ms, 9ms}, .length = 20ms};
  DispatcherConfig d = graph({{}, {}, {}});
  d.record_capacity = 10'000;
  FindingBody a, b, c;
  Dispatcher dispatcher(d, {&a, &b, &c});
  const std::vector<ReleaseSpec> specs{
      {1ms, {}, {}, {}, random}, {1ms, 5ms, 500us, {}, bursty}, {1ms, {}, {}, {}, trace}};
  const Time start = MonotonicClock::now() + 5ms;
  play_releases(dispatcher, specs, start, 300ms, 7, {{}, 0}, {});
  wait_for_all(dispatcher);
  std::map<int, std::vector<Duration>> played;
  for (; JobRecord* r = dispatcher.records().front(); dispatcher.records().pop())
    played[r->task].push_back(r->release - start);
  for (int t = 0; t < 3; ++t) {
    std::vector<Duration> expected;
    const ReleaseSpec& s = specs[static_cast<std::size_t>(t)];
    for (Arrivals next(s.arrivals, s.period, s.offset, 7, t); next.next() < 300ms; next.advance())
      expected.push_back(next.next());
    std::sort(played[t].begin(), played[t].end());  // dropped jobs end before those in progress
    EXPECT_EQ(played[t], expected) << "task " << t;
  }
}

TEST(PlayedGraphs, ReleaseAJobForEachBoxOfAJobInTime) {
  FindingBody finder({2, 0, 7}), each;
  Dispatcher dispatcher(graph({{}, {.task = 0, .per_detection = true, .most = 4}}), {&finder, &each});
  const Time start = MonotonicClock::now();
  for (int k = 0; k < 6; ++k) {
    dispatcher.release(0, start + k * 1ms);
    wait_for_all(dispatcher);
  }
  EXPECT_EQ(dispatcher.counts(1).released, 2 * (2 + 0 + 4));
  EXPECT_EQ(dispatcher.counts(1).completed, 12);
  EXPECT_EQ(each.handed, 12);
  EXPECT_EQ(each.over, 12);
  EXPECT_EQ(each.handed_frame, 5);
  EXPECT_EQ(each.handed_width, 4) << "the first four boxes";
  EXPECT_EQ(finder.over, 0) << "it has frames of its own";
  std::map<Time, int> of_release;
  for (; JobRecord* r = dispatcher.records().front(); dispatcher.records().pop())
    if (r->task == 1) ++of_release[r->release];
  EXPECT_EQ(of_release[start], 2) << "deadlines count from the first task's release";
  EXPECT_EQ(of_release[start + 2ms], 4);
}

TEST(PlayedGraphs, LateAndFailedJobsReleaseNone) {
  FindingBody finder({3}), each, whole;
  Dispatcher dispatcher(graph({{}, {.task = 0, .per_detection = true, .most = 4}, {.task = 0}}),
                        {&finder, &each, &whole});
  dispatcher.release(0, MonotonicClock::now() - 2s);
  wait_for_all(dispatcher);
  finder.fails = true;
  dispatcher.release(0, MonotonicClock::now());
  wait_for_all(dispatcher);
  EXPECT_EQ(dispatcher.counts(0).late, 1);
  EXPECT_EQ(dispatcher.counts(0).failed, 1);
  EXPECT_EQ(dispatcher.counts(1).released + dispatcher.counts(2).released, 0);
  finder.fails = false;
  dispatcher.release(0, MonotonicClock::now());
  wait_for_all(dispatcher);
  EXPECT_EQ(dispatcher.counts(1).released, 3);
  EXPECT_EQ(dispatcher.counts(2).released, 1) << "one a job";
}

TEST(PlayedGraphs, ReplayFromTheirLogAndDoNotAllocate) {
  const DispatcherConfig d = graph({{}, {.task = 0, .per_detection = true, .most = 4}, {.task = 1}});
  FindingBody finder({2, 7, 0, 5}), each, then;
  Dispatcher dispatcher(d, {&finder, &each, &then});
  for (int t = 0; t < 3; ++t)
    for (Result& place : dispatcher.results(t).places()) place.boxes.reserve(16);
  const std::int64_t before = test::allocations();
  for (int k = 0; k < 200; ++k) {
    dispatcher.release(0, MonotonicClock::now());
    while (dispatcher.pending() > 0) std::this_thread::yield();
    for (; JobRecord* r = dispatcher.records().front(); dispatcher.records().pop())
      if (r->has_result) dispatcher.results(r->task).pop();
  }
  EXPECT_EQ(test::allocations() - before, 0);
  EXPECT_EQ(dispatcher.counts(1).released, 50 * (2 + 4 + 0 + 4));
  EXPECT_EQ(dispatcher.counts(2).released, dispatcher.counts(1).completed);

  Scheduler replayed(d.scheduler);
  Decisions decisions;
  std::map<int, int> completed;
  for (const SchedulerEvent& e : dispatcher.events()) {
    decisions.clear();
    replay(e, replayed, decisions);
    for (const Decision& x : decisions.items()) completed[x.task] += x.kind == Decision::Kind::finish;
  }
  for (int t = 0; t < 3; ++t) EXPECT_EQ(completed[t], dispatcher.counts(t).completed);
}

}  // namespace
}  // namespace rtmdl
