// Changes of what runs, carried out by the release thread between real jobs.
#include "runtime/transition_gate.h"
#include "engine/fake/fake_engine.h"
#include "runtime/releases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>
#include <vector>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;

/// One stage that takes so long.
class TimedBody final : public JobBody {
 public:
  explicit TimedBody(Duration time) : time_(time) {}
  int stages() const noexcept override { return 1; }
  std::int64_t begin(std::uint64_t job) noexcept override { return static_cast<std::int64_t>(job); }
  bool stage(int) noexcept override {
    spin_for(time_);
    return true;
  }
  Result* result() noexcept override { return nullptr; }
  void warm_up(int) override {}

 private:
  Duration time_;
};

class Changing : public ::testing::Test {
 protected:
  Changing() {
    config_.scheduler.processors = {{false, 1}};
    config_.processors = {{}};
    config_.event_capacity = 10'000;
    config_.record_capacity = 10'000;
    for (int t = 0; t < 2; ++t)
      config_.scheduler.tasks.push_back(
          {.period = 5ms, .deadline = 50ms, .priority = t + 1, .queue = 8, .stage_processors = {0}});
  }

  static Transition to(bool first, bool second, Duration period, bool between_jobs = false) {
    return {{{1, 0, period, 50ms, first}, {2, 0, 5ms, 50ms, second}}, between_jobs, {1}};
  }

  /// Plays for 400 ms; `asks` runs on a thread beside it.
  template <typename Asks>
  void play(Duration first, Duration second, const Asks& asks) {
    TimedBody a(first), b(second);
    Dispatcher dispatcher(config_, {&a, &b});
    start_ = MonotonicClock::now() + 5ms;
    gate_.set_start(start_);
    std::thread asking([&] { asks(); });
    play_releases(dispatcher, {{5ms, {}, {}}, {5ms, {}, {}}}, start_, 400ms, 1, {{}, 0}, {}, &gate_);
    stopping_ = true;
    asking.join();
    for (int i = 0; i < 20'000 && dispatcher.pending() > 0; ++i) std::this_thread::sleep_for(1ms);
    for (; JobRecord* r = dispatcher.records().front(); dispatcher.records().pop())
      releases_[r->task].push_back(r->release - start_);
    for (auto& [task, releases] : releases_) std::sort(releases.begin(), releases.end());
    events_ = dispatcher.events();
    counts_ = {dispatcher.counts(0), dispatcher.counts(1)};
  }

  TransitionGate gate_;
  Time start_{};
  std::atomic<bool> stopping_{false};
  DispatcherConfig config_;
  std::map<int, std::vector<Duration>> releases_;
  std::vector<SchedulerEvent> events_;
  std::vector<JobCounts> counts_;
};

TEST_F(Changing, TasksComeAndGoAndHaveOtherPeriods) {
  gate_.begin_with(to(true, false, 5ms));
  std::vector<TransitionEnd> ends;
  play(100us, 100us, [&] {
    for (const auto& [when, transition] : std::vector<std::pair<Duration, Transition>>{
             {100ms, to(true, true, 5ms)}, {200ms, to(true, true, 10ms)}, {300ms, to(false, true, 10ms, true)}}) {
      std::this_thread::sleep_until(start_ + when);
      if (const auto end = gate_.pass(transition, stopping_)) ends.push_back(*end);
    }
  });
  ASSERT_EQ(ends.size(), 3u);
  for (const TransitionEnd& end : ends) EXPECT_TRUE(end.adopted);
  ASSERT_FALSE(releases_[1].empty());
  EXPECT_GE(releases_[1].front(), ends[0].when) << "not before it was carried out";
  const std::vector<Duration>& of_first = releases_[0];
  for (std::size_t k = 1; k < of_first.size(); ++k) {
    const Duration apart = of_first[k] - of_first[k - 1];
    EXPECT_EQ(apart, of_first[k] > ends[1].when ? 10ms : 5ms) << "job " << k;
  }
  EXPECT_LE(of_first.back(), ends[2].when);
  for (std::size_t k = 1; k < releases_[1].size(); ++k) EXPECT_EQ(releases_[1][k] - releases_[1][k - 1], 5ms);

  Scheduler replayed(config_.scheduler);
  Decisions decisions;
  std::map<int, std::int64_t> finished;
  for (const SchedulerEvent& e : events_) {
    decisions.clear();
    replay(e, replayed, decisions);
    for (const Decision& d : decisions.items()) finished[d.task] += d.kind == Decision::Kind::finish;
  }
  EXPECT_EQ(finished[0], counts_[0].completed);
  EXPECT_EQ(finished[1], counts_[1].completed);
}

TEST_F(Changing, ReleasesAreHeldBackUntilNoJobIsPending) {
  std::optional<TransitionEnd> end;
  play(1ms, 7ms, [&] {  // the second has more to do than there is time
    std::this_thread::sleep_until(start_ + 50ms);
    end = gate_.pass({{{2, 0, 5ms, 50ms}, {1, 0, 5ms, 50ms}}, true, {1}}, stopping_);
  });
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->adopted);
  EXPECT_GE(end->when, 50ms + kIdlePatience);
  EXPECT_GT(end->held_back, 0);
}

}  // namespace
}  // namespace rtmdl
