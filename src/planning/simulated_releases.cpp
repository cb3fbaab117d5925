#include "planning/simulated_releases.h"

namespace rtmdl {

void SimulatedReleases::reset(Duration length, std::uint64_t seed, std::uint64_t active) {
  length_ = length;
  seed_ = seed;
  releases_.reset();
  deadlines_.reset();
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    const PlanTask& task = problem_.tasks[i];
    const int number = static_cast<int>(i);
    Stream& s = streams_[i];
    s.jitter = task.jitter;
    s.period = task.period;
    s.end = (active >> i & 1) ? length : Duration{};
    s.arrivals = s.expiries = Arrivals(task.arrivals, task.period, task.offset, seed, number);
    s.job = s.expiring = 0;
    const Duration first = s.arrivals.next();
    if (first >= s.end || task.after.task >= 0) continue;
    set_next(number, 0);
    if (task.late == Late::abort) deadlines_.set(number, (first + task.deadline).count());
  }
}

SimulatedReleases::Expired SimulatedReleases::expire() noexcept {
  const int task = deadlines_.next_task();
  Stream& s = streams_[index(task)];
  const Duration expired = s.expiries.next();
  s.expiries.advance();
  const Duration next = s.expiries.next();
  deadlines_.set(task, next < s.end ? deadlines_.next() + (next - expired).count() : EventTimes::kNever);
  return {task, s.expiring++};
}

std::int64_t SimulatedReleases::let_go(int task, std::int64_t now) noexcept {
  Stream& s = streams_[index(task)];
  std::int64_t held_back = 0;
  for (; s.arrivals.next().count() < now; s.arrivals.advance(), ++s.job) ++held_back;
  set_next(task, now);
  return held_back;
}

void SimulatedReleases::take_terms(int task, const Terms& terms, std::int64_t now) {
  const PlanTask& of = problem_.tasks[index(task)];
  Stream& s = streams_[index(task)];
  if (of.after.task >= 0) return;
  if (!terms.present) {
    s.end = Duration{};
    releases_.set(task, EventTimes::kNever);
    return;
  }
  const bool joins = !active(task);
  const bool periodic = of.arrivals.kind == ArrivalSpec::Kind::periodic;
  const Duration period = periodic ? terms.period : of.period, next = s.arrivals.next();
  if (!joins && period == s.period) return;
  const Duration from = joins                 ? std::max(Duration(now) + of.offset, next)  // a period after its last
                        : next.count() <= now ? next
                                              : std::max(next - s.period + period, Duration(now));
  s.period = period;
  s.end = length_;
  s.arrivals = Arrivals(of.arrivals, period, from, seed_, task);
  set_next(task, now);
}

}  // namespace rtmdl
