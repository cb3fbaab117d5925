#include "profiling/stalls.h"

#include <algorithm>

namespace rtmdl {
namespace {

constexpr Duration kLeast = std::chrono::microseconds(500);

Duration median_wall(std::span<const TimedRun> runs) {
  std::vector<Duration> walls;
  walls.reserve(runs.size());
  for (const TimedRun& run : runs) walls.push_back(run.wall);
  const auto middle = walls.begin() + static_cast<std::ptrdiff_t>((walls.size() - 1) / 2);
  std::nth_element(walls.begin(), middle, walls.end());
  return *middle;
}

}  // namespace

CleanTimes without_stalls(std::span<const TimedRun> runs) {
  CleanTimes clean;
  clean.stalls.of = static_cast<std::int64_t>(runs.size());
  if (runs.empty()) return clean;
  const Duration median = median_wall(runs);
  const Duration slack = std::max(kLeast, median / 5);
  const auto stalled = [&](const TimedRun& run) {
    if (run.cpu > Duration::zero() && run.wall - run.cpu > slack) return true;
    return run.stolen && run.wall > median + slack;
  };
  const auto suspects = std::count_if(runs.begin(), runs.end(), stalled);
  const bool believed = 2 * static_cast<std::size_t>(suspects) <= runs.size();
  for (const TimedRun& run : runs) {
    if (believed && stalled(run)) {
      ++clean.stalls.count;
      clean.stalls.worst = std::max(clean.stalls.worst, run.wall - median);
    } else {
      clean.samples.push_back(run.wall);
    }
  }
  return clean;
}

}  // namespace rtmdl
