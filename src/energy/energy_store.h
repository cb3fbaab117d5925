#pragma once
/// A capacitor between a source of energy and the box. Where nothing is left in it the box is off until there is enough
/// to begin something.

#include "energy/harvest.h"
#include "task/energy_spec.h"

#include <rtmdl/time.h>

#include <optional>

namespace rtmdl {

/// What a box lives on that harvests.
struct EnergySupply {
  HarvestTrace trace;
  CapacitorSpec capacitor;
  double eta = 1;
  std::optional<double> mandatory{}, optional{};  ///< joules; absent: from what stages draw (planning/energy.h)
};
/// Of the task file. Its η, where that says none, is that of the trace.
[[nodiscard]] EnergySupply make_supply(const HarvestSpec& spec);

/// E' = efficiency · harvested − drawn, within 0 and the capacity; exact, as long as each is constant piece by piece.
/// Keeps a reference to the supply. Not thread-safe.
class EnergyStore {
 public:
  /// `begins_with`: joules that something is begun with.
  explicit EnergyStore(const EnergySupply& supply, double begins_with = 0)
      : capacitor_(&supply.capacitor),
        source_(supply.trace),
        begins_with_(begins_with),
        joules_(supply.capacitor.start) {}
  /// To a moment, from the start; so much was drawn all the time since the last call, while there was any.
  void advance(Duration now, double watts) noexcept;
  /// So much was drawn at once.
  void take(double joules) noexcept;
  /// Whether the box is off is decided here, to be called often.
  void look() noexcept;
  [[nodiscard]] bool off() const noexcept { return off_; }
  /// That it had too little to begin anything, as far as looks tell.
  [[nodiscard]] Duration waited() const noexcept { return waited_; }

  [[nodiscard]] double joules() const noexcept { return joules_; }
  [[nodiscard]] double harvested() const noexcept { return harvested_; }  ///< what the source gave
  [[nodiscard]] double drawn() const noexcept { return drawn_; }

 private:
  const CapacitorSpec* capacitor_;
  HarvestCursor source_;
  Duration now_{}, looked_{}, waited_{};
  bool off_ = false;
  double begins_with_, joules_, harvested_ = 0, drawn_ = 0;
};

}  // namespace rtmdl
