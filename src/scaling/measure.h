#pragma once
/// Times of several models beside each other: run in turn in one loop, so that whatever disturbs the machine hits all
/// of them.

#include "scaling/scale.h"

#include <vector>

namespace rtmdl {

struct MeasureOptions {
  Duration budget = std::chrono::milliseconds(2500);  ///< about, for all requests together
  int rounds_min = 12, rounds_max = 80;
  std::size_t memory = 512'000'000;  ///< bytes, about, of all models that are loaded at a time
};

/// Loads every request once, warms up, then rounds of one run each in shuffled order. Models that together need more
/// than `memory` are measured in parts, each beside the first request; times of a part are then stretched by what the
/// first request's low quantile differs from that of all its runs, so that all times are comparable. When the context
/// says stop, what was measured so far is returned, of some requests perhaps nothing. CPU time of the calling thread
/// where it does all the work (one thread, device cpu), else wall time. Inputs are the first set (zeros if there is
/// none).
[[nodiscard]] std::vector<std::vector<Duration>> measure_times(Engine& engine, const std::vector<LoadRequest>& requests,
                                                               const std::vector<InputSet>& inputs,
                                                               const MeasureOptions& options = {},
                                                               const Context& context = {});

/// The same of models that run in segments (LoadRequest::cuts), all loaded at once: by request, then segment.
[[nodiscard]] std::vector<std::vector<std::vector<Duration>>> measure_segments(Engine& engine,
                                                                               const std::vector<LoadRequest>& requests,
                                                                               const InputSet& input,
                                                                               const MeasureOptions& options = {},
                                                                               const Context& context = {});

/// 0 ≤ q ≤ 1. Low quantiles decide (another process only ever adds time), medians are reported.
[[nodiscard]] Duration quantile(std::vector<Duration> times, double q);

}  // namespace rtmdl
