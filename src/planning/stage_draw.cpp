#include "planning/stage_draw.h"

#include "scheduling/scheduler.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

constexpr std::uint64_t kFirstStageStream = 1 << 16;  ///< the streams below are the releases'
constexpr std::uint64_t kStreamsPerTask = 256;        ///< one per stage, and the job's
constexpr std::uint64_t kFirstMomentStream = kFirstStageStream + kStreamsPerTask * kMaxTasks;
static_assert(kMaxStages < kStreamsPerTask - 1);

constexpr std::uint64_t stream_of(int task, std::uint64_t stage) noexcept {
  return kFirstStageStream + static_cast<std::uint64_t>(task) * kStreamsPerTask + stage;
}

std::uint64_t threshold(double probability) {
  return static_cast<std::uint64_t>(std::clamp(probability, 0.0, 1.0) * 4294967296.0);
}

/// With which probability a stage takes its job's quantile. Two stages are to take the same one with probability
/// TaskOption::correlation²; those on one processor do already where both take their moment's.
double share_of_job(const PlanProblem& problem, const TaskOption& option) {
  const auto of_moment = [&](const StageOption& s) { return problem.processors[index(s.processor)].correlation; };
  double greatest = 0, alike = 0;
  for (const StageOption& s : option.stages) greatest = std::max(greatest, of_moment(s));
  if (greatest <= 0) return option.correlation;
  int pairs = 0;
  for (auto a = option.stages.begin(); a != option.stages.end(); ++a)
    for (auto b = a + 1; b != option.stages.end(); ++b, ++pairs)
      if (a->processor == b->processor) alike += of_moment(*a) * of_moment(*a);
  if (pairs > 0) alike /= pairs;
  const double wanted = std::sqrt(std::max(0.0, option.correlation * option.correlation - alike));
  return std::min(wanted, 1 - greatest);
}

}  // namespace

StageDraw::StageDraw(const PlanProblem& problem, int task, const TaskOption& option, int stage)
    : own_(stream_of(task, static_cast<std::uint64_t>(stage))), job_(stream_of(task, kStreamsPerTask - 1)) {
  const int processor = option.stages[index(stage)].processor;
  const double moment = problem.processors[index(processor)].correlation;
  moment_ = kFirstMomentStream + static_cast<std::uint64_t>(processor);
  below_moment_ = threshold(moment);
  below_job_ = threshold(moment + share_of_job(problem, option));
}

Duration least_time(const StageOption& stage, std::uint64_t quantile) noexcept {
  if (stage.times.sorted.empty()) return Duration{};
  const std::int64_t loaded = interpolated(stage.times.sorted.data(), stage.times.sorted.size() - 1, quantile);
  if (stage.alone.sorted.empty()) return Duration(loaded);
  return Duration(std::min(loaded, interpolated(stage.alone.sorted.data(), stage.alone.sorted.size() - 1, quantile)));
}

}  // namespace rtmdl
