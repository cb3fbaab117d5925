#pragma once
/// Telling the machine's stalls from a stage's own time. Pure.

#include "profiling/store.h"

#include <rtmdl/time.h>

#include <span>
#include <vector>

namespace rtmdl {

struct TimedRun {
  Duration wall{};
  Duration cpu{};  ///< of the measuring thread; zero where that says nothing (pool threads or a device did the work)
  bool stolen =
      false;  ///< the hypervisor took time from these cores while it or its neighbours in time ran (/proc/stat), or the
              ///< core was far below its speed just before or after it (base/core_speed.h)
};

struct CleanTimes {
  std::vector<Duration> samples;  ///< in the order measured
  StallReport stalls;
};

/// A run is a stall if its thread stood still (wall − cpu) for more than max(0.5 ms, 20 % of the median), or if time
/// was stolen while it ran and it took longer than the median by as much. If more than half would be stalls, they are
/// how this machine is: all are kept.
[[nodiscard]] CleanTimes without_stalls(std::span<const TimedRun> runs);

}  // namespace rtmdl
