#pragma once
/// The random numbers behind the simulator's stage times. Every stage of every job has a quantile in [0, 2^32), uniform
/// over the jobs, that depends on the seed and on nothing that a strategy changes but the option: common random
/// numbers.
///
/// Quantiles are not independent. Slow and fast moments of a machine last longer than a job: a stage takes the quantile
/// of its moment on its processor (PlanProcessor::correlation), or that of its job (TaskOption::correlation), or one of
/// its own. A moment is the kMoment that the job's nominal release lies in, so that a job's times are known before
/// anything is scheduled.

#include "planning/problem.h"
#include "scheduling/arrivals.h"

#include <cstdint>

namespace rtmdl {

inline constexpr int kMomentBits = 27;
inline constexpr Duration kMoment{std::int64_t{1} << kMomentBits};  ///< 134 ms

/// Draws the quantiles of one stage of an option.
class StageDraw {
 public:
  StageDraw() = default;
  StageDraw(const PlanProblem& problem, int task, const TaskOption& option, int stage);

  /// Of job `job`, whose nominal release (from the start of the run) is `nominal`.
  [[nodiscard]] std::uint64_t quantile(std::uint64_t seed, std::uint64_t job, Duration nominal) const noexcept {
    const std::uint64_t bits = mix(seed, own_, job);
    const std::uint64_t dice = bits & 0xffffffffULL;
    if (dice >= below_job_) return bits >> 32;
    if (dice >= below_moment_) return mix(seed, job_, job) >> 32;
    return mix(seed, moment_, static_cast<std::uint64_t>(nominal.count()) >> kMomentBits) >> 32;
  }

 private:
  std::uint64_t own_ = 0, job_ = 0, moment_ = 0;    ///< streams of random numbers
  std::uint64_t below_moment_ = 0, below_job_ = 0;  ///< probabilities × 2^32: of the moment's, of it or the job's
};

/// The time at quantile u / 2^32 of sorted[0..last]; between two samples interpolated. For times below 2^47 ns (39
/// hours).
[[nodiscard]] inline std::int64_t interpolated(const Duration* sorted, std::uint64_t last, std::uint64_t u) noexcept {
  const std::uint64_t position = u * last;
  const std::uint64_t below = position >> 32;
  const std::int64_t a = sorted[below].count();
  const std::int64_t b = sorted[below + (below < last)].count();
  const std::int64_t part = static_cast<std::int64_t>((position & 0xffffffffULL) >> 16);
  return a + (((b - a) * part) >> 16);
}

/// The least time that a stage takes at a quantile, whatever runs beside it: of its times alone where they are known.
/// Without dispatch.
[[nodiscard]] Duration least_time(const StageOption& stage, std::uint64_t quantile) noexcept;

}  // namespace rtmdl
