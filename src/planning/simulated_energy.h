#pragma once
/// What stages draw in a simulation, and what the box lives on (PlanProblem::supply). Where the supply counts it is
/// looked at every kSupplyLook, and nothing is waited for longer than the longest deadline after the end.

#include "energy/energy_store.h"
#include "planning/problem.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace rtmdl {

struct SimulationOutcome;

inline constexpr Duration kSupplyLook = std::chrono::milliseconds(1);

class SimulatedEnergy {
 public:
  explicit SimulatedEnergy(const PlanProblem& problem);  ///< keeps a reference
  /// A new run, in which the supply, if there is one, counts or not. With which energy its stages begin.
  EnergyRule reset(const Choices& choices, Duration length, bool supply_counts);

  /// Some stage draws anything beyond idle.
  [[nodiscard]] bool drawn() const noexcept { return drawn_; }
  /// By the box until now, of which `stages` by stages.
  [[nodiscard]] double used(std::int64_t now, double stages) const noexcept {
    return supply_ ? supply_->drawn() : idle_watts_ * static_cast<double>(now) * 1e-9 + stages;
  }

  [[nodiscard]] bool counts() const noexcept { return supply_.has_value(); }
  [[nodiscard]] bool off() const noexcept { return supply_ && supply_->off(); }
  [[nodiscard]] std::int64_t next_look() const noexcept { return next_look_; }  ///< if it does not count: never
  [[nodiscard]] std::int64_t last_end() const noexcept { return last_end_; }
  // If it counts:
  [[nodiscard]] double joules() const noexcept { return supply_->joules(); }
  void look() noexcept;  ///< it is next_look()
  /// Of the box without stages, as it is now.
  [[nodiscard]] double base_watts() const noexcept { return supply_->off() ? 0 : idle_watts_; }
  /// From now on.
  void draw(std::int64_t now, double watts) noexcept;

  /// All that was used until the end of outcome.seconds.
  void report(SimulationOutcome& outcome) noexcept;

 private:
  const PlanProblem& problem_;
  double idle_watts_ = 0;
  bool drawn_ = false;
  std::optional<EnergyStore> supply_;
  double eta_ = 1;
  double watts_ = 0;  ///< that are drawn of it
  std::int64_t next_look_ = 0, last_end_ = 0;
};

}  // namespace rtmdl
