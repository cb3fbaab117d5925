#include "base/reservation.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace rtmdl {
namespace {

constexpr Duration kLongestPeriod = std::chrono::seconds(4);  ///< a little less than the kernel's
constexpr std::uint32_t kSchedDeadline = 6;

/// struct sched_attr of the first version, which not every C library has.
struct KernelAttributes {
  std::uint32_t size = sizeof(KernelAttributes);
  std::uint32_t policy = kSchedDeadline;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
};

std::uint64_t nanoseconds(Duration d) noexcept { return static_cast<std::uint64_t>(std::max(d, Duration{}).count()); }

}  // namespace

double Reservation::share() const noexcept {
  return period > Duration{} ? to_seconds(runtime) / to_seconds(period) : 0;
}

Reservation reservation_of(Duration runtime, Duration deadline, Duration period, Duration lead) noexcept {
  const Duration shorter = std::min(period, kLongestPeriod) - lead;
  return {runtime, std::min(deadline - lead, shorter), shorter};
}

Reservation due_in(const Reservation& reservation, Duration left) noexcept {
  return {reservation.runtime, std::min(std::max(left, reservation.runtime), reservation.period), reservation.period};
}

std::int64_t exhausted(const Reservation& reservation, Duration used) noexcept {
  if (used <= Duration{} || reservation.runtime <= Duration{}) return 0;
  return (used - Duration(1)) / reservation.runtime;
}

int reserve(pid_t thread, const Reservation& reservation) noexcept {
  KernelAttributes attributes;
  attributes.runtime = nanoseconds(reservation.runtime);
  attributes.deadline = nanoseconds(reservation.deadline);
  attributes.period = nanoseconds(reservation.period);
  return syscall(SYS_sched_setattr, thread, &attributes, 0) == 0 ? 0 : errno;
}

}  // namespace rtmdl
