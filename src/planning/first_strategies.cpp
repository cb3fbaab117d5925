#include "planning/first_strategies.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

constexpr int kLadder = 8;                           ///< prices from 2^-8 to 2^8 of the usual one
constexpr int kPriceSteps = 30;                      ///< of the search for the prices at which resources are just full
constexpr double kPriceStep = 0.5;                   ///< a resource twice as full as wanted: × e^0.5
constexpr std::array kFills = {1.0, 0.9, 0.8, 0.7};  ///< how full processors may be: waiting costs deadlines too

std::size_t index(int i) { return static_cast<std::size_t>(i); }

/// What options take of each resource, as shares of what there is.
class Shares {
 public:
  Shares(const Evaluator& evaluator, const Genome& genome) : evaluator_(evaluator), genome_(genome) {
    const PlanProblem& problem = evaluator.problem();
    const auto share = [](std::int64_t bytes, std::int64_t bound) {
      return static_cast<double>(bytes) / static_cast<double>(std::max<std::int64_t>(bound, 1));
    };
    resources_ = processors() + (problem.storage ? 1 : 0) + (problem.memory ? 1 : 0);
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      of_.emplace_back();
      for (std::size_t o = 0; o < problem.tasks[i].options.size(); ++o) {
        std::vector<double> shares;
        for (std::size_t p = 0; p < processors(); ++p) shares.push_back(evaluator.utilisation(i, o, p));
        const TaskOption& option = problem.tasks[i].options[o];
        if (problem.storage) shares.push_back(share(option.bytes, *problem.storage));
        if (problem.memory) shares.push_back(share(option.memory, *problem.memory));
        of_.back().push_back(std::move(shares));
      }
    }
  }

  [[nodiscard]] std::size_t processors() const { return evaluator_.problem().processors.size(); }
  [[nodiscard]] std::size_t resources() const { return resources_; }

  [[nodiscard]] Choices cheapest(const std::vector<double>& prices, double loss_price) const {
    Choices choices(of_.size());
    for (std::size_t i = 0; i < of_.size(); ++i) {
      double least = std::numeric_limits<double>::infinity();
      for (const int o : genome_.open(i)) {
        double cost = loss_price * evaluator_.loss(i, index(o));
        for (std::size_t r = 0; r < resources_; ++r) cost += prices[r] * of_[i][index(o)][r];
        if (cost < least) least = cost, choices[i].option = o;
      }
    }
    return choices;
  }

  [[nodiscard]] std::vector<double> used(const Choices& choices) const {
    std::vector<double> sums(resources_, 0.0);
    for (std::size_t i = 0; i < of_.size(); ++i) {
      for (std::size_t r = 0; r < resources_; ++r) sums[r] += of_[i][index(choices[i].option)][r];
    }
    return sums;
  }

  /// What a resource costs in accuracy where both are chosen from: the loss that tasks may have, by what that may free.
  [[nodiscard]] double usual_price() const {
    double losses = 0, shares = 0;
    for (std::size_t i = 0; i < of_.size(); ++i) {
      double least = std::numeric_limits<double>::infinity(), most = 0, low = least, high = 0;
      for (const int o : genome_.open(i)) {
        const double loss = evaluator_.loss(i, index(o));
        const double sum = std::accumulate(of_[i][index(o)].begin(), of_[i][index(o)].end(), 0.0);
        least = std::min(least, loss), most = std::max(most, loss);
        low = std::min(low, sum), high = std::max(high, sum);
      }
      losses += most - least;
      shares += high - low;
    }
    return losses > 0 && shares > 0 ? losses / shares : 1;
  }

 private:
  const Evaluator& evaluator_;
  const Genome& genome_;
  std::size_t resources_ = 0;
  std::vector<std::vector<std::vector<double>>> of_;  ///< task, option, resource
};

std::vector<int> options_of(const Choices& choices) {
  std::vector<int> options;
  for (const Choice& c : choices) options.push_back(c.option);
  return options;
}

}  // namespace

std::vector<int> rate_monotonic_order(const PlanProblem& problem) {
  std::vector<int> order(problem.tasks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return problem.tasks[index(a)].period < problem.tasks[index(b)].period; });
  return order;
}

std::vector<int> utilisation_monotonic_order(const Evaluator& evaluator, const Choices& choices) {
  std::vector<double> sums(choices.size(), 0.0);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    for (std::size_t p = 0; p < evaluator.problem().processors.size(); ++p)
      sums[i] += evaluator.utilisation(i, index(choices[i].option), p);
  }
  std::vector<int> order(choices.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return sums[index(a)] > sums[index(b)]; });
  return order;
}

std::vector<Choices> relaxations(const Evaluator& evaluator, const Genome& genome) {
  const Shares shares(evaluator, genome);
  struct Found {
    Choices choices;
    double overload = 0, loss = 0;
  };
  std::vector<Found> found;
  std::set<std::vector<int>> seen;
  const auto add = [&](const Choices& choices) {
    if (!seen.insert(options_of(choices)).second) return;
    Found f{choices, 0, evaluator.loss(choices)};
    for (const double used : shares.used(choices)) f.overload += std::max(used - 1, 0.0);
    found.push_back(std::move(f));
  };
  const double usual = shares.usual_price();
  for (int k = -kLadder; k <= kLadder; ++k) {
    std::vector<double> prices(shares.resources(), std::ldexp(usual, k));
    add(shares.cheapest(prices, 1));
    const std::vector<double> used = shares.used(shares.cheapest(prices, 1));
    const double mean = std::accumulate(used.begin(), used.end(), 0.0) / static_cast<double>(used.size());
    for (std::size_t r = 0; r < prices.size() && mean > 0; ++r) prices[r] *= used[r] / mean;
    add(shares.cheapest(prices, 1));  // the fuller ones are dearer
  }
  for (const double fill : kFills) {
    std::vector<double> prices(shares.resources(), usual);
    for (int step = 0; step < kPriceSteps; ++step) {
      const Choices choices = shares.cheapest(prices, 1);
      add(choices);
      const std::vector<double> used = shares.used(choices);
      for (std::size_t r = 0; r < prices.size(); ++r) {
        const double wanted = r < shares.processors() ? fill : 1.0;
        prices[r] *= std::exp(kPriceStep * std::clamp(used[r] / wanted - 1, -1.0, 1.0));
      }
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return a.overload != b.overload ? a.overload < b.overload : a.loss < b.loss;
  });
  std::vector<Choices> choices;
  for (Found& f : found) choices.push_back(std::move(f.choices));
  return choices;
}

std::vector<Choices> first_strategies(const Evaluator& evaluator, const Genome& genome, std::size_t most) {
  const Shares shares(evaluator, genome);
  const std::vector<double> one(shares.resources(), 1.0), none(shares.resources(), 0.0);
  std::vector<Choices> combinations = {shares.cheapest(none, 1), shares.cheapest(one, 0)};
  for (Choices& c : relaxations(evaluator, genome)) combinations.push_back(std::move(c));

  std::vector<Choices> strategies;
  std::set<std::vector<double>> seen;
  const auto add = [&](Choices choices, const std::vector<int>& order) {
    set_priorities(choices, order);
    if (strategies.size() < most && seen.insert(genome.encode(choices)).second)
      strategies.push_back(std::move(choices));
  };
  const std::vector<int> deadline = deadline_monotonic_order(evaluator.problem());
  const std::vector<int> rate = rate_monotonic_order(evaluator.problem());
  const std::size_t half = std::max<std::size_t>(most / 2, 1);
  for (std::size_t c = 0; c < std::min(half, combinations.size()); ++c) add(combinations[c], deadline);
  for (const Choices& c : combinations) add(c, rate), add(c, utilisation_monotonic_order(evaluator, c));
  return strategies;
}

}  // namespace rtmdl
