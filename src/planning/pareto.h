#pragma once
/// The trades between accuracy loss and misses that a search has met, and a little more search for those beside the
/// chosen one.

#include "planning/planner.h"

#include <cstdint>
#include <vector>

namespace rtmdl {

inline constexpr double kSameLoss = 1e-9;  ///< sums of the same losses in another order differ by less

class Evaluator;

/// Among strategies that keep the limits those that no other of them beats in both figures; with them, to show what
/// the limits cost, those that break a limit and neither are beaten nor beat one that keeps all.
class ParetoFront {
 public:
  void enter(double accuracy_loss, double miss_rate, bool feasible, const Choices& choices);
  /// By accuracy loss, ascending; miss rates descend. `chosen` is set nowhere.
  [[nodiscard]] std::vector<ParetoPoint> points() const;
  [[nodiscard]] const std::vector<ParetoPoint>& feasible() const { return feasible_; }

 private:
  std::vector<ParetoPoint> feasible_, broken_;
};

/// The points with the chosen strategy among them and marked. It may be beaten by a hair, by strategies of the same
/// loss: miss rates that are close count as equal (Score); those give way. A strategy that is not feasible is marked if
/// it is there.
[[nodiscard]] std::vector<ParetoPoint> with_chosen(std::vector<ParetoPoint> points, ParetoPoint chosen);

/// Of the feasible points the one with the least loss + miss_weight · misses. Null without one.
[[nodiscard]] const ParetoPoint* least_weighted(const std::vector<ParetoPoint>& feasible, double miss_weight);

/// Fills the front on both sides of the book's best strategy: lowers and raises one option at a time, what helps the
/// busiest processors most per loss (Σ of squared loads, so that balance counts), with the orders at hand; then changes
/// single options and neighbours in the order of points of the front, seeded. A bounded number of simulations, the
/// fewer the longer they are.
void search_front(Evaluator& evaluator, std::uint64_t seed, Duration simulated);

}  // namespace rtmdl
