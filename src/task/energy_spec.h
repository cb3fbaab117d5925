#pragma once
/// What the box may draw, and where it comes from: `energy` of the task file, and `power` of its processors.

#include "task/config_node.h"

#include <rtmdl/time.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace rtmdl {

/// What a processor draws, in watts; with some of its slots in use in between, in proportion.
struct ProcessorPower {
  double busy = 0, idle = 0;
  bool operator==(const ProcessorPower&) const = default;
  /// Of each of its slots in use, beyond idle.
  [[nodiscard]] double of_slot(int slots) const { return (busy - idle) / slots; }

  /// Of `{busy: 4 W, idle: 1 W}`. Throws Error(bad_input).
  [[nodiscard]] static ProcessorPower parse(const ConfigNode& node);
};

/// What measures the energy that a run uses.
enum class MeterKind : std::uint8_t {
  constant,  ///< nothing: it is computed from `power`
  rapl,      ///< the processor's own counters
  hwmon      ///< sensors of the INA kind, on the board
};

/// Power that a source gives, constant piece by piece, again and again.
struct HarvestTrace {
  struct Piece {
    Duration lasts{};
    double watts = 0;
    bool operator==(const Piece&) const = default;
  };
  std::vector<Piece> pieces;
  Duration slot{};  ///< what its on and off times are counted in
  bool operator==(const HarvestTrace&) const = default;
};

/// In joules.
struct CapacitorSpec {
  double capacity = 0;
  double start = 0;
  double least = 0;       ///< with less the box is off
  double efficiency = 1;  ///< share of what is harvested that is stored
  bool operator==(const CapacitorSpec&) const = default;
};

struct HarvestSpec {
  enum class Kind : std::uint8_t { persistent, solar, rf, random, recorded };
  Kind kind = Kind::persistent;
  double watts = 0;  ///< while it gives some; solar: at noon
  std::uint64_t seed = 1;
  HarvestTrace recorded;
  CapacitorSpec capacitor;
  std::optional<double> eta;                  ///< absent: from the trace
  std::optional<double> mandatory, optional;  ///< joules, that stages begin with (EnergyRule)
};

struct EnergySpec {
  std::optional<double> watts;  ///< that the box may draw on average
  MeterKind meter = MeterKind::constant;
  std::optional<HarvestSpec> harvest;

  /// Throws Error(bad_input).
  [[nodiscard]] static EnergySpec parse(const ConfigNode& node);
};

}  // namespace rtmdl
