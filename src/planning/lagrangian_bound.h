#pragma once
/// A lower bound on the loss of what completes a partial choice of options: for several multipliers λ ≥ 0 of the
/// processors' capacities,
///
///     Σ chosen (loss + λ·demand) + Σ open tasks min (loss + λ·demand) − λ·capacity,
///
/// the largest of them (Lagrangian relaxation, Fisher 1981). λ = 0 gives the sum of the least losses; where processors
/// are scarce the others are closer.

#include "planning/open_tasks.h"

#include <span>
#include <vector>

namespace rtmdl {

class LagrangianBound {
 public:
  /// Multipliers that bound the empty choice best, and multiples of them: fuller choices want others.
  LagrangianBound(const Evaluator& evaluator, const OpenTasks& open);
  /// With these options of the first levels of the open tasks.
  [[nodiscard]] double operator()(std::span<const std::uint8_t> chosen) const;

 private:
  std::vector<std::vector<double>> from_;  ///< [multiplier][level]: of the tasks from there on, − λ·capacity
  std::vector<std::vector<std::vector<double>>> of_;  ///< [multiplier][level][option]
};

}  // namespace rtmdl
