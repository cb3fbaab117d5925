#pragma once
/// Times of several models beside each other: run in turn in one loop, so that whatever disturbs the machine hits all
/// of them.

#include "scaling/scale.h"

#include <vector>

namespace rtmdl {

struct MeasureOptions {
  Duration budget = std::chrono::milliseconds(2500);  ///< about, for all requests together
  int rounds_min = 12, rounds_max = 80;
};

/// Loads every request once, warms up, then rounds of one run each in shuffled order. CPU time of the calling thread
/// where it does all the work (one thread, device cpu), else wall time. Inputs are the first set (zeros if there is
/// none).
[[nodiscard]] std::vector<std::vector<Duration>> measure_times(Engine& engine, const std::vector<LoadRequest>& requests,
                                                               const std::vector<InputSet>& inputs,
                                                               const MeasureOptions& options = {});

/// 0 ≤ q ≤ 1. Low quantiles decide (another process only ever adds time), medians are reported.
[[nodiscard]] Duration quantile(std::vector<Duration> times, double q);

}  // namespace rtmdl
