#pragma once
/// What running stages side by side gave, seen from a run's own records.

#include "runtime/job_record.h"

#include <span>

namespace rtmdl {

struct Packing {
  double at_once = 0;  ///< stages in progress on the processor, mean over the time in which any is; 0: none ever was
  /// Time that the same stages would have taken one after the other, as they took where nothing was beside them in this
  /// run (where one never was alone: the least that it took), over the time in which any was in progress.
  double gain = 1;
};

/// Of the completed, failed and given up jobs' stages on a processor; preempted ones count as in progress.
[[nodiscard]] Packing packing_of(std::span<const JobRecord> records, int processor);

}  // namespace rtmdl
