#pragma once
/// Which exits a classifier gets, and how sure a job must be to leave at each: the least mean time for a bounded loss
/// of accuracy. All of them are chosen together, because who comes to an exit depends on those before it. Pure.

#include "model/exit_rule.h"

#include <array>
#include <cstddef>
#include <vector>

namespace rtmdl {

/// What an exit at one place said of inputs that nothing was fitted to. Places are in the order in which jobs come by.
struct ExitTrial {
  std::array<std::vector<float>, kSureMeasures> confidence;  ///< by measure (centroid: may be empty), input
  std::vector<float> loss;   ///< of accuracy if the input leaves here, against the whole network; negative: a gain
  double trunk_seconds = 0;  ///< from the place before to this one
  double head_seconds = 0;   ///< what asking here costs each job that comes by
};

struct ChosenExit {
  std::size_t place = 0;
  SureMeasure measure = SureMeasure::margin;
  double threshold = 1;
  double leaves = 0;  ///< share of all inputs
};

struct ExitChoice {
  std::vector<ChosenExit> exits;  ///< empty: none pays
  double seconds = 0;             ///< mean
  double loss = 0;                ///< mean
  double loss_error = 0;          ///< its standard error
};

/// How many standard errors a loss is counted greater than it was seen: 95 of 100 are less.
inline constexpr double kLossErrors = 1.64;

/// At most `most_exits` of the places, such that the mean loss plus kLossErrors standard errors is at most `most_loss`.
/// `rest_seconds`: from the last place to the end. Searches every set of places: for a price of a point of accuracy
/// each threshold (and measure) in turn is moved to the best of all its values until nothing changes, and the price is
/// found by bisection; then what room is left under the bound is used up. O(sets · steps · inputs) after sorting.
[[nodiscard]] ExitChoice choose_exits(const std::vector<ExitTrial>& trials, double rest_seconds, double most_loss,
                                      std::size_t most_exits);

}  // namespace rtmdl
