#pragma once
/// Stalls of the machine in a simulation (PlanProblem::stalls), one after the other, as seeded.

#include "planning/problem.h"

#include <cstdint>

namespace rtmdl {

class SimulatedStalls {
 public:
  void reset(const StallModel* model, std::uint64_t seed) noexcept;  ///< null: there are none
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }
  /// How long the next one takes a processor away.
  [[nodiscard]] std::int64_t lasting(int processor) const noexcept;
  void advance() noexcept;

 private:
  const StallModel* model_ = nullptr;
  std::uint64_t seed_ = 0, number_ = 0;
  std::int64_t next_ = 0;
};

}  // namespace rtmdl
