#pragma once
/// Times are signed 64-bit nanoseconds; points in time are on the monotonic clock (or the simulator's virtual one).

#include <chrono>
#include <cstdint>

namespace rtmdl {

using Duration = std::chrono::nanoseconds;

/// CLOCK_MONOTONIC. In the simulator the same type counts virtual nanoseconds from 0.
struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock, duration>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept;
};
using Time = MonotonicClock::time_point;

constexpr double to_ms(Duration d) noexcept { return static_cast<double>(d.count()) * 1e-6; }
constexpr double to_seconds(Duration d) noexcept { return static_cast<double>(d.count()) * 1e-9; }
constexpr Duration from_seconds(double s) noexcept {
  return Duration(static_cast<std::int64_t>(s * 1e9 + (s < 0 ? -0.5 : 0.5)));
}
constexpr Duration from_ms(double ms) noexcept { return from_seconds(ms * 1e-3); }

}  // namespace rtmdl
