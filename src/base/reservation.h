#pragma once
/// Processor time that the kernel reserves for a thread (SCHED_DEADLINE): so much of it in every period, by a deadline
/// that counts from the moment in which the thread wakes up. Threads with reservations run before all others, the
/// earliest deadline first; one that has used its reservation up is held back until the next period (constant bandwidth
/// server: Abeni and Buttazzo 1998).

#include <rtmdl/time.h>

#include <sys/types.h>
#include <cstdint>

namespace rtmdl {

struct Reservation {
  Duration runtime{}, deadline{}, period{};
  bool operator==(const Reservation&) const = default;
  /// Share of a core.
  [[nodiscard]] double share() const noexcept;
};

/// Of a thread that works for `runtime` in every period. Deadline and period end `lead` earlier than they have to:
/// the kernel gives a thread its next period no sooner than one period after it woke up for the last, and one wake-up
/// that came late would hold back all that follow. The kernel knows no deadline beyond the period, and no period beyond
/// 4 s: longer ones count as that.
[[nodiscard]] Reservation reservation_of(Duration runtime, Duration deadline, Duration period, Duration lead) noexcept;

/// The same, for a job that is due `left` from now (less than the runtime: as soon as that).
[[nodiscard]] Reservation due_in(const Reservation& reservation, Duration left) noexcept;

/// How often a job that has used so much processor time has used its reservation up.
[[nodiscard]] std::int64_t exhausted(const Reservation& reservation, Duration used) noexcept;

/// Puts a thread (gettid) under SCHED_DEADLINE, or changes what it has there. 0, or what the kernel says: EPERM (not
/// permitted, or the thread is bound to a part of its root domain, see ExclusiveCores), EBUSY (there is not so much
/// left), EINVAL (more than there is in a period, or less than a microsecond).
int reserve(pid_t thread, const Reservation& reservation) noexcept;

}  // namespace rtmdl
