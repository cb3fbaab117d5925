#include "runtime/releases.h"

#include "base/thread_placement.h"
#include "base/timespec.h"
#include "base/units.h"
#include "scheduling/arrivals.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr Duration kNap = std::chrono::milliseconds(100);  ///< between looks at the stop flag
constexpr Duration kGateNap = std::chrono::milliseconds(2), kIdleLook = std::chrono::microseconds(500);

/// A task's releases, or the deadlines of its jobs.
struct Moments {
  int task = 0;
  bool deadlines = false;
  Arrivals arrivals;
  std::uint64_t job = 0;  ///< the next one
  Time nominal{};         ///< its release
  Time when{};
  Duration period{};
  bool present = true, held = false;
};

class Player {
 public:
  Player(Dispatcher& dispatcher, const std::vector<ReleaseSpec>& tasks, Time start, Time end, std::uint64_t seed,
         TransitionGate* gate)
      : dispatcher_(dispatcher), tasks_(tasks), start_(start), end_(end), seed_(seed), gate_(gate) {
    for (const bool deadlines : {true, false})
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        const ReleaseSpec& t = tasks[i];
        const int task = static_cast<int>(i);
        if (!t.follows && (!deadlines || t.abort_at))
          all_.push_back({.task = task,
                          .deadlines = deadlines,
                          .arrivals = Arrivals(t.arrivals, t.period, t.offset, seed, task),
                          .period = t.period});
      }
    for (Moments& m : all_) place(m);
    if (gate_ && gate_->first()) static_cast<void>(carry_out(*gate_->first(), start));
  }

  void play(const Context& context) {
    while (!context.stopping()) {
      const Time now = MonotonicClock::now();
      if (gate_) look_at_gate(now);
      Moments* const first = next();
      const Time due = first ? first->when : Time::max();
      if (due == Time::max() && (!gate_ || now >= end_)) return;  // the last periods are played to their end
      if (due > now) {
        const Duration nap = !gate_ ? kNap : gate_->waiting() ? kIdleLook : kGateNap;
        sleep_until(std::min(due, now + nap));
        continue;
      }
      if (first->deadlines) dispatcher_.expire(first->task, first->job);
      else dispatcher_.release(first->task, first->nominal);
      ++first->job;
      first->arrivals.advance();
      place(*first);
    }
  }

 private:
  Moments* next() {
    const auto sooner = [](const Moments& a, const Moments& b) { return a.when < b.when; };
    const auto first = std::min_element(all_.begin(), all_.end(), sooner);
    return first == all_.end() ? nullptr : &*first;
  }

  void place(Moments& m) {
    const ReleaseSpec& task = tasks_[static_cast<std::size_t>(m.task)];
    m.nominal = start_ + m.arrivals.next();
    m.when = m.nominal + (m.deadlines ? *task.abort_at : release_jitter(seed_, m.task, m.job, task.jitter));
    if (m.nominal >= end_ || !m.present || m.held) m.when = Time::max();
  }

  void look_at_gate(Time now) {
    const Transition* const asked = gate_->waiting();
    if (!asked) {
      asked_at_.reset();
      return;
    }
    if (!asked_at_) asked_at_ = now, held_back_ = 0, holding_ = 0;
    const bool adopted = carry_out(*asked, now);
    if (!adopted && now - *asked_at_ < kNoIdleMoment) return hold_back(*asked, now);
    let_go(*asked, now);
    asked_at_.reset();
    gate_->ended({adopted, now - start_, held_back_});
  }

  bool carry_out(const Transition& transition, Time now) {
    if (!dispatcher_.adopt(transition.terms, transition.between_jobs)) return false;
    let_go(transition, now);
    for (Moments& m : all_)
      if (!m.deadlines) take_terms(m, transition.terms[static_cast<std::size_t>(m.task)], now);
    return true;
  }

  void hold_back(const Transition& transition, Time now) {
    const std::size_t wanted = gives_way(now - *asked_at_, transition.giving_way.size());
    for (; holding_ < wanted; ++holding_) {
      Moments& m = releases_of(transition.giving_way[holding_]);
      m.held = true;
      place(m);
    }
  }

  void let_go(const Transition& transition, Time now) {
    for (; holding_ > 0; --holding_) {
      Moments& m = releases_of(transition.giving_way[holding_ - 1]);
      m.held = false;
      for (; start_ + m.arrivals.next() < now; m.arrivals.advance(), ++m.job) ++held_back_;
      place(m);
    }
  }

  /// One whose period changes has its next job a new period after its last, but not in the past.
  void take_terms(Moments& m, const Terms& terms, Time now) {
    const ReleaseSpec& task = tasks_[static_cast<std::size_t>(m.task)];
    const bool joins = terms.present && !m.present;
    const bool periodic = task.arrivals.kind == ArrivalSpec::Kind::periodic;
    const Duration period = periodic ? terms.period : task.period, next = m.arrivals.next(), since = now - start_;
    m.present = terms.present;
    if (joins || (m.present && period != m.period)) {
      const Duration from = joins           ? std::max(since + task.offset, next)
                            : next <= since ? next
                                            : std::max(next - m.period + period, since);
      m.period = period;
      m.arrivals = Arrivals(task.arrivals, period, from, seed_, m.task);
    }
    place(m);
  }

  Moments& releases_of(int task) {
    return *std::find_if(all_.begin(), all_.end(), [&](const Moments& m) { return m.task == task && !m.deadlines; });
  }

  Dispatcher& dispatcher_;
  const std::vector<ReleaseSpec>& tasks_;
  Time start_, end_;
  std::uint64_t seed_;
  TransitionGate* gate_;
  std::vector<Moments> all_;
  std::optional<Time> asked_at_;  ///< since when a transition waits
  std::int64_t held_back_ = 0;
  std::size_t holding_ = 0;  ///< of Transition::giving_way
};

}  // namespace

Duration play_releases(Dispatcher& dispatcher, const std::vector<ReleaseSpec>& tasks, Time start,
                       std::optional<Duration> duration, std::uint64_t seed, const ThreadPlacement& placement,
                       const Context& context, TransitionGate* gate) {
  const Time end = duration ? start + *duration : Time::max();
  std::atomic<bool> done{false};
  std::thread thread([&] {
    place_current_thread(placement);
    Player(dispatcher, tasks, start, end, seed, gate).play(context);
    while (!context.stopping() && MonotonicClock::now() < end) sleep_until(std::min(end, MonotonicClock::now() + kNap));
    done = true;
  });
  while (!done) {
    std::this_thread::sleep_for(kNap);
    const Duration played = std::max(MonotonicClock::now() - start, Duration::zero());
    if (duration) context.report("running", std::min(1.0, to_seconds(played) / to_seconds(*duration)));
    else context.report(fmt::format("running, {}", format_duration(played)), -1);
  }
  thread.join();
  const Duration played = std::max(MonotonicClock::now() - start, Duration::zero());
  return duration ? std::min(played, *duration) : played;
}

}  // namespace rtmdl
