#pragma once
/// Whether the core under the calling thread runs as fast as it can: power limits, heat and hypervisors slow cores to a
/// fraction for tens of milliseconds, in which no clock and no thread shows anything but that all work takes longer.

#include <rtmdl/time.h>

namespace rtmdl {

/// Of one core; from one thread at a time. A look takes about a microsecond at full speed.
class CoreSpeed {
 public:
  /// Learns what the look takes at full speed.
  CoreSpeed() noexcept;
  /// Share of the full speed, 0..1, where it is below kSlow in two looks in a row (one may be an interrupt); else 1.
  [[nodiscard]] double now() noexcept;

  static constexpr double kSlow = 0.3;

 private:
  [[nodiscard]] static Duration look() noexcept;
  Duration full_{};  ///< the shortest look so far
};

/// Whether the kernel leaves the core's frequency alone: else an idle core is slow, and nothing is wrong with it.
[[nodiscard]] bool keeps_its_speed(int core);

}  // namespace rtmdl
