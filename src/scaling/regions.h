#pragma once
/// Which units become integer: the least of unit times + conversions + λ · sensitivity, exactly, as a minimum cut
/// (project selection, Picard 1976): the source's side is integer.

#include <vector>

namespace rtmdl {

/// One tensor between units; converting it is paid once in each direction, however many read it.
struct RegionTensor {
  int producer = -1;  ///< -1: an input of the graph, float
  std::vector<int> readers;
  bool leaves = false;    ///< an output of the graph, float
  double to_integer = 0;  ///< cost if the producer is float and a reader is integer
  double to_float = 0;    ///< cost if the producer is integer and a reader is float
};

struct RegionProblem {
  std::vector<double> float_cost, integer_cost;  ///< by unit, ≥ 0
  std::vector<bool> possible;                    ///< units that have an integer form
  std::vector<RegionTensor> tensors;
};

/// Cost of a choice.
[[nodiscard]] double region_cost(const RegionProblem& problem, const std::vector<bool>& integer);
/// A choice of least cost; among equals one with the fewest integer units.
[[nodiscard]] std::vector<bool> cheapest_regions(const RegionProblem& problem);

}  // namespace rtmdl
