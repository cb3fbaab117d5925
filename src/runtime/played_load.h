#pragma once
/// Makes stages take longer for a while, as a busier or hotter machine would: to try what a strategy does then.

#include "task/slowdown.h"

#include <rtmdl/time.h>

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

namespace rtmdl {

/// Thread-safe.
class PlayedLoad {
 public:
  explicit PlayedLoad(std::vector<Slowdown> slowdowns) : slowdowns_(std::move(slowdowns)) {}
  /// The run begins at `start`; before, nothing is slowed down.
  void begin(Time start) noexcept { start_ = start.time_since_epoch().count(); }

  /// Does `work` and then nothing useful, for as long as is missing. `busy`: on this core, so that what the stage is
  /// preempted for does not count; else the thread waits, as for a device.
  template <typename Work>
  bool stretch(bool busy, const Work& work) const {
    const double factor = factor_now();
    if (factor <= 1) return work();
    const Duration begun = worked(busy);
    const bool ok = work();
    spend(busy, begun, factor);
    return ok;
  }

 private:
  [[nodiscard]] double factor_now() const noexcept;
  /// Of this thread: processor time, or the time of day.
  [[nodiscard]] static Duration worked(bool busy) noexcept;
  static void spend(bool busy, Duration begun, double factor) noexcept;

  std::vector<Slowdown> slowdowns_;
  std::atomic<std::int64_t> start_{INT64_MAX};
};

}  // namespace rtmdl
