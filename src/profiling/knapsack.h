#pragma once
/// The multiple-choice knapsack: one option of every group, the most value within a limit. Pure.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rtmdl {

struct KnapsackOption {
  std::int64_t bytes = 0;
  double value = 0;
};

/// Which option of each group. Options ascend in both within a group, at least one each; the first of each together
/// must fit. Merges fronts of (bytes, value) group by group: exact while no merged front has more than 20000 points;
/// beyond, it is thinned out evenly.
[[nodiscard]] std::vector<std::size_t> choose_options(const std::vector<std::vector<KnapsackOption>>& groups,
                                                      std::int64_t limit);

}  // namespace rtmdl
