#include "planning/execution_bound.h"

#include "base/excerpt.h"
#include "base/units.h"
#include "planning/response_time.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>

namespace rtmdl {
namespace {

constexpr int kBootstraps = 200;
constexpr std::uint64_t kSeed = 20;

/// Generalised Pareto: P(X > x) = (1 + shape·x/scale)^(−1/shape), exp(−x/scale) at shape 0.
struct Tail {
  double shape = 0, scale = 0;
  /// The value that is exceeded with probability p.
  [[nodiscard]] double exceeded_with(double p) const {
    return shape < 1e-9 ? -scale * std::log(p) : scale / shape * (std::pow(p, -shape) - 1);
  }
};

/// `excesses` ascending.
Tail fitted(const std::vector<double>& excesses) {
  const double n = static_cast<double>(excesses.size());
  double mean = 0, weighted = 0;  // E[X], E[X·(1 − F(X))]
  for (std::size_t j = 0; j < excesses.size(); ++j) {
    mean += excesses[j] / n;
    weighted += excesses[j] * (1 - (static_cast<double>(j) + 0.65) / n) / n;
  }
  const double spread = mean - 2 * weighted;
  if (mean <= 0 || spread <= 0) return {0, mean};
  const double shape = 2 - mean / spread;
  if (shape <= 0) return {0, mean};
  return {shape, 2 * mean * weighted / spread};
}

/// Upper confidence limit of the excess that is exceeded with probability p: the percentile of the bootstrap. Of the
/// usual limits it is the one that covers heavy tails about as often as it says; for light tails it covers nearly
/// always.
double upper_limit(const Tail& tail, std::size_t count, double p, double confidence) {
  const double estimate = tail.exceeded_with(p);
  if (estimate <= 0) return estimate;
  std::mt19937_64 random(kSeed);
  std::vector<double> sample(count), found;
  for (int b = 0; b < kBootstraps; ++b) {
    for (double& x : sample) x = tail.exceeded_with((static_cast<double>(random() >> 11) + 0.5) * 0x1p-53);
    std::sort(sample.begin(), sample.end());
    found.push_back(fitted(sample).exceeded_with(p));
  }
  std::sort(found.begin(), found.end());
  return std::max(estimate, found[static_cast<std::size_t>(confidence * (kBootstraps - 1))]);
}

bool falls_back(const TimeDistribution& times, const ExecutionBound& bound) {
  return bound.kind == ExecutionBound::Kind::extreme_value && times.sorted.size() < kLeastSamplesForATail;
}

}  // namespace

ExecutionBound ExecutionBound::parse(std::string_view text) {
  const auto refuse = [&]() {
    bad_input(
        fmt::format("'{}' is not accepted: observed, observed:PERCENT (0 % to 1000 %), evt or evt:PROBABILITY "
                    "(1e-15 to 0.1) are, such as observed:30% or evt:1e-9",
                    excerpt(text)));
  };
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  ExecutionBound bound;
  if (name == "evt") {
    bound.kind = Kind::extreme_value;
  } else if (name != "observed") {
    refuse();
  }
  if (colon == std::string_view::npos) return bound;
  const std::string_view value = text.substr(colon + 1);
  if (bound.kind == Kind::extreme_value) {
    const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), bound.exceedance);
    if (ec != std::errc{} || end != value.data() + value.size()) refuse();
    if (!(bound.exceedance >= 1e-15 && bound.exceedance <= 0.1)) refuse();
    return bound;
  }
  try {
    bound.margin = parse_fraction(value);
  } catch (const Error&) {
    refuse();
  }
  if (!(bound.margin >= 0 && bound.margin <= 10)) refuse();
  return bound;
}

std::string ExecutionBound::describe() const {
  if (kind == Kind::observed) {
    return fmt::format("no stage takes longer than its longest measured time + {}",
                       format_percent(margin, std::abs(margin * 100 - std::round(margin * 100)) < 1e-6 ? 0 : 1));
  }
  return fmt::format(
      "a job's stages take longer than assumed with a probability of at most {:g} (extreme-value fit of the longest "
      "measured times, {:g} % confidence; with fewer than {} samples: longest measured time + {})",
      exceedance, confidence * 100, kLeastSamplesForATail, format_percent(margin, 0));
}

Duration execution_bound(const TimeDistribution& times, const ExecutionBound& bound, Duration dispatch) {
  const double most = static_cast<double>(times.max().count());
  if (bound.kind == ExecutionBound::Kind::observed || falls_back(times, bound))
    return Duration(static_cast<std::int64_t>(std::ceil(most * (1 + bound.margin)))) + dispatch;
  const std::size_t n = times.sorted.size();
  const std::size_t tail_size = std::min(n / 5, static_cast<std::size_t>(3 * std::sqrt(static_cast<double>(n))));
  const double threshold = static_cast<double>(times.sorted[n - tail_size - 1].count());
  std::vector<double> excesses;
  for (std::size_t k = n - tail_size; k < n; ++k)
    excesses.push_back(static_cast<double>(times.sorted[k].count()) - threshold);
  const double p = bound.exceedance * static_cast<double>(n) / static_cast<double>(tail_size);  // beyond the threshold
  const double limit = p >= 1 ? most : threshold + upper_limit(fitted(excesses), tail_size, p, bound.confidence);
  // Beyond centuries the double would not fit; no plan can use such a bound.
  return Duration(static_cast<std::int64_t>(std::min(std::ceil(std::max(limit, most)), 1e15))) + dispatch;
}

int set_execution_bounds(PlanProblem& problem, const ExecutionBound& bound) {
  int without_fit = 0;
  for (PlanTask& task : problem.tasks) {
    for (TaskOption& option : task.options) {
      ExecutionBound share = bound;
      share.exceedance /= static_cast<double>(std::max<std::size_t>(option.stages.size(), 1));
      for (StageOption& stage : option.stages) {
        stage.longest = execution_bound(stage.times, share, dispatch_cost(problem, stage.processor));
        if (!stage.alone.sorted.empty())
          stage.longest =
              std::max(stage.longest, execution_bound(stage.alone, share, dispatch_cost(problem, stage.processor)));
        stage.shortest = {};
        stage.shortest = shortest_time(stage, 1 + bound.margin);
        without_fit += !stage.times.sorted.empty() && falls_back(stage.times, bound);
      }
    }
  }
  problem.execution_bound = bound.describe();
  return without_fit;
}

}  // namespace rtmdl
