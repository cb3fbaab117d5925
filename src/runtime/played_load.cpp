#include "runtime/played_load.h"

#include <cerrno>

#include <time.h>

namespace rtmdl {

double PlayedLoad::factor_now() const noexcept {
  const std::int64_t start = start_.load(std::memory_order_relaxed);
  if (start == INT64_MAX) return 1;
  return slowdown_at(slowdowns_, MonotonicClock::now() - Time(Duration(start)));
}

Duration PlayedLoad::worked(bool busy) noexcept {
  timespec t{};
  clock_gettime(busy ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

void PlayedLoad::spend(bool busy, Duration begun, double factor) noexcept {
  const Duration took = worked(busy) - begun;
  const Duration missing(static_cast<std::int64_t>(static_cast<double>(took.count()) * (factor - 1)));
  const Duration end = begun + took + missing;
  if (busy) {
    while (worked(true) < end) {
    }
    return;
  }
  const timespec until{end / std::chrono::seconds(1), (end % std::chrono::seconds(1)).count()};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

}  // namespace rtmdl
