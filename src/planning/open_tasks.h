#pragma once
/// What searches that decide task by task know of the tasks that are still open: their possible options, the least that
/// they will lose, and the least that they will ask of the processors, storage, memory and power. For at most 256
/// options a task.

#include "planning/evaluator.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rtmdl {

class OpenTasks {
 public:
  /// Tasks are decided in this order; `left_out(task, option)` are options that need not be looked at.
  OpenTasks(const Evaluator& evaluator, std::vector<int> order,
            const std::function<bool(std::size_t, std::size_t)>& left_out = {});

  [[nodiscard]] std::size_t task(std::size_t level) const { return static_cast<std::size_t>(order_[level]); }
  /// Of the task of a level, least loss first, of equals the lightest.
  [[nodiscard]] const std::vector<int>& options(std::size_t level) const { return options_[level]; }
  /// A task has no option at all: nothing is feasible.
  [[nodiscard]] bool stuck() const;
  /// Σ of the least losses of the tasks from a level on.
  [[nodiscard]] double least_loss_from(std::size_t level) const { return least_loss_from_[level]; }
  /// Whether nothing that begins with these options of the first levels can keep storage, memory, power and the
  /// processors' capacities.
  [[nodiscard]] bool hopeless(std::span<const std::uint8_t> chosen) const;

 private:
  const Evaluator& evaluator_;
  std::vector<int> order_;
  std::vector<std::vector<int>> options_;
  std::vector<double> least_loss_from_;
  std::vector<std::vector<std::int64_t>> least_demand_from_;  ///< [level][processor]; last: the sum over processors
  std::vector<std::int64_t> least_memory_from_, least_bytes_from_;
  std::vector<double> least_watts_from_;  ///< the idle box included
};

}  // namespace rtmdl
