#pragma once
/// When the tasks of a simulation release jobs, and when the deadlines come at which jobs are given up. Jobs are
/// nominally released as Arrivals says, and really up to `jitter` later (never before the job ahead of it). Times are
/// nanoseconds from the start.

#include "planning/event_times.h"
#include "planning/problem.h"
#include "scheduling/arrivals.h"
#include "scheduling/scheduler.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rtmdl {

class SimulatedReleases {
 public:
  explicit SimulatedReleases(const PlanProblem& problem)  ///< keeps a reference
      : problem_(problem), streams_(problem.tasks.size()) {}
  /// A new run. Only tasks with a bit in `active` release anything.
  void reset(Duration length, std::uint64_t seed, std::uint64_t active);

  /// When the next job is released or, where next_task() is EventTimes::kOther, the moment that wake() says has come.
  [[nodiscard]] std::int64_t next() const noexcept { return releases_.next(); }
  [[nodiscard]] int next_task() const noexcept { return releases_.next_task(); }
  /// That job is released: its nominal release.
  Duration release(int task) noexcept {
    Stream& s = streams_[index(task)];
    const Duration nominal = s.arrivals.next();
    const std::int64_t now = releases_.next();
    s.arrivals.advance();
    ++s.job;
    set_next(task, now);
    return nominal;
  }
  void wake(std::int64_t when) noexcept { releases_.set(EventTimes::kOther, when); }
  /// Likewise, for EventTimes::kLook.
  void look(std::int64_t when) noexcept { releases_.set(EventTimes::kLook, when); }

  /// Of tasks with Late::abort.
  [[nodiscard]] std::int64_t next_deadline() const noexcept { return deadlines_.next(); }
  struct Expired {
    int task = 0;
    std::uint64_t job = 0;
  };
  Expired expire() noexcept;

  [[nodiscard]] Duration length() const noexcept { return length_; }
  /// The task's jobs are released, by itself or by others.
  [[nodiscard]] bool active(int task) const noexcept { return streams_[index(task)].end > Duration{}; }

  // While tasks come and go (simulated_transitions.h):
  /// Nothing of the task is released until let_go(), which says how many releases that were.
  void hold(int task) noexcept { releases_.set(task, EventTimes::kNever); }
  std::int64_t let_go(int task, std::int64_t now) noexcept;
  /// A task whose period changes has its next job a new period after its last, but not in the past.
  void take_terms(int task, const Terms& terms, std::int64_t now);

 private:
  struct Stream {
    Duration jitter{}, period{};
    Duration end{};  ///< no nominal release from then on
    Arrivals arrivals;
    std::uint64_t job = 0;
    Arrivals expiries{};  ///< of the job whose deadline comes next
    std::uint64_t expiring = 0;
  };
  void set_next(int task, std::int64_t now) noexcept {
    const Stream& s = streams_[index(task)];
    const Duration nominal = s.arrivals.next();
    const std::int64_t when = std::max(now, (nominal + release_jitter(seed_, task, s.job, s.jitter)).count());
    releases_.set(task, nominal < s.end ? when : EventTimes::kNever);
  }

  const PlanProblem& problem_;
  EventTimes releases_, deadlines_;
  std::vector<Stream> streams_;
  Duration length_{};
  std::uint64_t seed_ = 0;
};

}  // namespace rtmdl
