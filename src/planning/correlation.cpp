#include "planning/correlation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

namespace rtmdl {
namespace {

constexpr std::size_t kLeastJobs = 20;
constexpr double kUniformVariance = 1.0 / 12;

double pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

/// Σ over pairs of x·y is half of (Σx)² − Σx².
struct PairSum {
  double sum = 0, squares = 0;
  void add(double x) { sum += x, squares += x * x; }
  [[nodiscard]] double pairs() const { return (sum * sum - squares) / 2; }
};

}  // namespace

std::vector<double> rank_scores(const std::vector<Duration>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> scores(values.size());
  const double n = static_cast<double>(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i;
    while (j + 1 < order.size() && values[order[j + 1]] == values[order[i]]) ++j;
    for (std::size_t k = i; k <= j; ++k) scores[order[k]] = (static_cast<double>(i + j + 1) / n - 1) / 2;
    i = j + 1;
  }
  return scores;
}

double standard_deviation(const std::vector<Duration>& values) {
  if (values.empty()) return 0;
  double sum = 0, squares = 0;
  for (const Duration d : values) sum += to_ms(d);
  const double mean = sum / static_cast<double>(values.size());
  for (const Duration d : values) squares += (to_ms(d) - mean) * (to_ms(d) - mean);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

double stage_correlation(const std::vector<std::vector<Duration>>& stages) {
  if (stages.size() < 2 || stages.front().size() < kLeastJobs) return 0;
  for (const auto& stage : stages)
    if (stage.size() != stages.front().size()) return 0;
  double shared = 0, all = 0;
  for (std::size_t i = 0; i < stages.size(); ++i)
    for (std::size_t j = i + 1; j < stages.size(); ++j) {
      const double weight = standard_deviation(stages[i]) * standard_deviation(stages[j]);
      shared += weight * pearson(rank_scores(stages[i]), rank_scores(stages[j]));
      all += weight;
    }
  // Two stages of a job both take the common quantile with probability correlation².
  return all > 0 ? std::sqrt(std::clamp(shared / all, 0.0, 1.0)) : 0;
}

MomentPairs& MomentPairs::operator+=(const MomentPairs& more) {
  products += more.products;
  weights += more.weights;
  pairs += more.pairs;
  return *this;
}

double MomentPairs::correlation() const {
  if (!enough() || weights <= 0) return 0;
  // Both of a pair take the moment's quantile with probability correlation².
  return std::sqrt(std::clamp(products / weights / kUniformVariance, 0.0, 1.0));
}

MomentPairs moment_pairs(std::vector<MomentSample> samples) {
  std::sort(samples.begin(), samples.end(), [](const MomentSample& a, const MomentSample& b) {
    return std::tie(a.moment, a.job) < std::tie(b.moment, b.job);
  });
  MomentPairs all;
  for (auto from = samples.begin(); from != samples.end();) {
    PairSum products, weights, jobs;
    const std::int64_t moment = from->moment;
    while (from != samples.end() && from->moment == moment) {
      double product = 0, weight = 0, stages = 0;  // of one job: its own pairs do not count
      for (const std::size_t job = from->job; from != samples.end() && from->moment == moment && from->job == job;
           ++from) {
        product += from->score * from->weight;
        weight += from->weight;
        ++stages;
      }
      products.add(product);
      weights.add(weight);
      jobs.add(stages);
    }
    all.products += products.pairs();
    all.weights += weights.pairs();
    all.pairs += std::llround(jobs.pairs());
  }
  return all;
}

}  // namespace rtmdl
