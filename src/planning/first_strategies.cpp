#include "planning/first_strategies.h"

#include "planning/relaxation.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

constexpr std::array kFills = {1.0, 0.9, 0.8, 0.7};  ///< how full processors may be: waiting costs deadlines too

}  // namespace

std::vector<int> utilisation_monotonic_order(const Evaluator& evaluator, const Choices& choices) {
  std::vector<double> sums;
  for (std::size_t i = 0; i < choices.size(); ++i) sums.push_back(evaluator.utilisation(i, index(choices[i].option)));
  std::vector<int> order(choices.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return sums[index(a)] > sums[index(b)]; });
  return order;
}

std::vector<Choices> first_strategies(const Evaluator& evaluator, const Genome& genome, std::size_t most) {
  std::vector<Choices> strategies;
  std::set<std::vector<double>> seen;
  const auto add = [&](Choices choices, const std::vector<int>& order) {
    set_priorities(choices, order);
    if (strategies.size() < most && seen.insert(genome.encode(choices)).second)
      strategies.push_back(std::move(choices));
  };
  // Dealt from the rooms in turn, so that none fills the places alone.
  std::vector<std::vector<Choices>> of_room;
  std::size_t longest = 0;
  for (const double fill : kFills) {
    of_room.push_back(relaxations(evaluator, std::vector<double>(evaluator.problem().processors.size(), fill)));
    longest = std::max(longest, of_room.back().size());
  }
  std::vector<Choices> combinations;
  for (std::size_t k = 0; k < longest; ++k)
    for (const auto& room : of_room)
      if (k < room.size()) combinations.push_back(room[k]);
  const std::vector<int> deadline = deadline_monotonic_order(evaluator.problem());
  const std::vector<int> rate = rate_monotonic_order(evaluator.problem());
  const std::size_t half = std::max<std::size_t>(most / 2, 1);
  for (std::size_t c = 0; c < std::min(half, combinations.size()); ++c) add(combinations[c], deadline);
  for (const Choices& c : combinations) add(c, rate), add(c, utilisation_monotonic_order(evaluator, c));
  return strategies;
}

}  // namespace rtmdl
