#pragma once
/// How long a stage may take at most, for proofs: an assumption that rests on measured times, chosen by the user and
/// named in every report. Measured times alone bound nothing: neither choice is a guarantee about what was not seen.

#include "planning/problem.h"

#include <string>
#include <string_view>

namespace rtmdl {

struct ExecutionBound {
  enum class Kind {
    observed,      ///< largest observed time × (1 + margin)
    extreme_value  ///< a quantile far in the tail, by extreme-value theory
  };
  Kind kind = Kind::observed;
  double margin = 0.2;
  double exceedance = 1e-6;  ///< probability that a job exceeds what its stages are taken to last
  double confidence = 0.95;  ///< that the bound is not below the true quantile

  /// "observed", "observed:30%", "evt", "evt:1e-9". Throws Error(bad_input): names what is accepted.
  static ExecutionBound parse(std::string_view text);
  /// One sentence for reports.
  [[nodiscard]] std::string describe() const;
};

/// Below this many samples a tail cannot be fitted: extreme_value falls back to observed × (1 + margin).
inline constexpr std::size_t kLeastSamplesForATail = 50;

/// With `extreme_value`: peaks over a threshold (the √n·3 largest samples, at most a fifth), a generalised Pareto
/// distribution fitted to their excesses by probability-weighted moments (Hosking and Wallis 1987); the shape is never
/// taken below 0, since a bounded tail cannot be learnt from samples; upper confidence limit by a parametric bootstrap
/// with a fixed seed; never below the largest sample. It takes samples for independent and alike. Dispatch is added.
[[nodiscard]] Duration execution_bound(const TimeDistribution& times, const ExecutionBound& bound, Duration dispatch);

/// Fills StageOption::longest and shortest (smallest observed / (1 + margin)) of every stage and
/// PlanProblem::execution_bound. A stage gets its share of the exceedance of a job (union bound). Returns how many
/// stages had too few samples for a fit.
int set_execution_bounds(PlanProblem& problem, const ExecutionBound& bound);

}  // namespace rtmdl
