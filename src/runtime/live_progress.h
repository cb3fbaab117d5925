#pragma once
/// What a run says of itself while it goes on.

#include "base/context.h"
#include "runtime/live_statistics.h"

#include <string>
#include <vector>

namespace rtmdl {

struct LiveTask {
  std::string name;
  double miss_rate_limit = 0;  ///< ζ
};

/// "faces 0.4/1 % 12.3 ms, …": miss rate so far, its limit, 99th percentile of the response times. The tasks worst off
/// against their limits come first, so that a narrow terminal shows them; tasks of which no job is over are left out.
[[nodiscard]] std::string live_text(const LiveStatistics& statistics, const std::vector<LiveTask>& tasks);

/// A context whose progress reports carry live_text(). Both references outlive it.
[[nodiscard]] Context with_live_text(const Context& context, const LiveStatistics& statistics,
                                     std::vector<LiveTask> tasks);

}  // namespace rtmdl
