#pragma once
/// How stage times hang together: those of one job, and those of different jobs in one moment (stage_draw.h). All by
/// ranks, because a quantile is what the simulator draws.

#include <rtmdl/time.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rtmdl {

/// Of each value its place among all, from −0.5 to 0.5; equal values share the mean of theirs.
[[nodiscard]] std::vector<double> rank_scores(const std::vector<Duration>& values);

/// Milliseconds. 0 of none.
[[nodiscard]] double standard_deviation(const std::vector<Duration>& values);

/// TaskOption::correlation for stage times that pair up job by job: such that the variance of the jobs' totals is what
/// rank correlations between the stages make of it. 0 where fewer than 20 jobs pair up.
[[nodiscard]] double stage_correlation(const std::vector<std::vector<Duration>>& stages);

/// A stage that ran.
struct MomentSample {
  std::int64_t moment = 0;
  std::size_t job = 0;  ///< any number that its job alone has
  double score = 0;     ///< its rank among the times of its option's stage, from −0.5 to 0.5
  double weight = 0;    ///< how far those times scatter: what its score adds to the load of the moment
};

/// Sums over pairs of stages of different jobs that one processor ran in one moment.
struct MomentPairs {
  double products = 0, weights = 0;
  std::int64_t pairs = 0;
  MomentPairs& operator+=(const MomentPairs& more);
  [[nodiscard]] bool enough() const { return pairs >= 200; }
  /// PlanProcessor::correlation: the variance of what comes together in a moment is then as it was seen. 0 unless pairs
  /// are enough().
  [[nodiscard]] double correlation() const;
};
[[nodiscard]] MomentPairs moment_pairs(std::vector<MomentSample> samples);

}  // namespace rtmdl
