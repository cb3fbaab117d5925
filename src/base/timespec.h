#pragma once
/// Points on the monotonic clock as the system takes them.

#include <rtmdl/time.h>

#include <time.h>

namespace rtmdl {

[[nodiscard]] inline timespec to_timespec(Time when) noexcept {
  const auto ns = when.time_since_epoch().count();
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

/// Signals do not end it.
inline void sleep_until(Time when) noexcept {
  const timespec until = to_timespec(when);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0) {
  }
}

}  // namespace rtmdl
