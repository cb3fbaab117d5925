#include "planning/source_load.h"

#include "planning/problem_from_profile.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace rtmdl {
namespace {

double mean_seconds(const StageTimes& stage) {
  const std::vector<Duration> times = planning_times(stage);
  if (times.empty()) return 0;
  return to_seconds(std::accumulate(times.begin(), times.end(), Duration{})) / static_cast<double>(times.size());
}

}  // namespace

double source_load(const TaskFile& file, const std::vector<TaskProfile>& profile) {
  double needed = 0, slots = 0;
  for (const ProcessorSpec& p : file.processors) slots += p.slots;
  const std::vector<Duration> intervals = mean_intervals(file, profile);
  for (std::size_t t = 0; t < file.tasks.size(); ++t) {
    double least = std::numeric_limits<double>::infinity();
    for (const VariantProfile& v : profile[t].variants)
      if (v.source && v.threads == 1 && v.cuts.empty())
        least = std::min(least, mean_seconds(v.pre) + mean_seconds(v.infer) + mean_seconds(v.post));
    if (least < std::numeric_limits<double>::infinity()) needed += least / to_seconds(intervals[t]);
  }
  return needed / slots;
}

}  // namespace rtmdl
