#include "planning/lagrangian_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rtmdl {
namespace {}  // namespace

LagrangianBound::LagrangianBound(const Evaluator& evaluator, const OpenTasks& open) {
  const std::size_t processors = evaluator.problem().processors.size(), n = evaluator.tasks();
  const auto share = [&](std::size_t k, int o, std::size_t p) {
    return static_cast<double>(evaluator.demand(open.task(k), index(o), p)) /
           static_cast<double>(std::max<std::int64_t>(evaluator.capacity(p), 1));
  };
  const auto cost = [&](std::size_t k, int o, const std::vector<double>& lambda) {
    double sum = evaluator.loss(open.task(k), index(o));
    for (std::size_t p = 0; p < processors; ++p) sum += lambda[p] * share(k, o, p);
    return sum;
  };
  const auto dual = [&](const std::vector<double>& lambda) {
    double sum = 0;
    for (std::size_t k = 0; k < n; ++k) {
      double least = kInfinity;
      for (const int o : open.options(k)) least = std::min(least, cost(k, o, lambda));
      sum += least;
    }
    for (const double l : lambda) sum -= l;
    return sum;
  };
  // One processor after the other by golden section: the bound is concave in each.
  std::vector<double> lambda(processors, 0.0);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t p = 0; p < processors; ++p) {
      const auto at = [&](double log_l) {
        auto trial = lambda;
        trial[p] = std::exp(log_l);
        return dual(trial);
      };
      double low = std::log(1e-6), high = std::log(1e3);
      for (int step = 0; step < 40; ++step) {
        const double a = low + (high - low) * 0.382, b = low + (high - low) * 0.618;
        (at(a) < at(b) ? low : high) = at(a) < at(b) ? a : b;
      }
      auto trial = lambda, none = lambda;
      trial[p] = std::exp((low + high) / 2);
      none[p] = 0;
      lambda = dual(trial) > dual(none) ? trial : none;
    }
  }
  std::vector<std::vector<double>> multipliers{std::vector<double>(processors, 0.0)};
  for (const double factor : {0.35, 0.6, 0.8, 1.0, 1.25, 1.7, 2.8}) {
    auto scaled = lambda;
    for (double& l : scaled) l *= factor;
    multipliers.push_back(scaled);
  }
  for (const std::vector<double>& l : multipliers) {
    auto& of = of_.emplace_back(n);
    auto& from = from_.emplace_back(n + 1, 0.0);
    for (const double x : l) from[n] -= x;
    for (std::size_t k = n; k-- > 0;) {
      of[k].assign(evaluator.options_of(open.task(k)), 0);
      double least = kInfinity;
      for (const int o : open.options(k)) least = std::min(least, of[k][index(o)] = cost(k, o, l));
      from[k] = from[k + 1] + least;
    }
  }
}

double LagrangianBound::operator()(std::span<const std::uint8_t> chosen) const {
  double most = -kInfinity;
  for (std::size_t m = 0; m < from_.size(); ++m) {
    double sum = from_[m][chosen.size()];
    for (std::size_t k = 0; k < chosen.size(); ++k) sum += of_[m][k][chosen[k]];
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace rtmdl
