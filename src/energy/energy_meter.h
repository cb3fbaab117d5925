#pragma once
/// Energy that the box has used, as its hardware says it.

#include "task/energy_spec.h"

#include <rtmdl/time.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

class EnergyMeter {
 public:
  struct Domain {
    std::string name;   ///< "package-0", "ina3221 VDD_GPU"
    double joules = 0;  ///< since the meter was opened
  };
  virtual ~EnergyMeter() = default;
  /// Looks at the sensors. Reads files: not for threads that are in a hurry. Counters that wrap around must be looked
  /// at before they have done so twice, sensors of power as often as this changes.
  virtual const std::vector<Domain>& read(Time now) = 0;
  /// Its values are new no more often than that.
  [[nodiscard]] virtual Duration resolution() const noexcept = 0;
};

/// All its domains together.
[[nodiscard]] double joules_of(EnergyMeter& meter, Time now);

/// RAPL: energy of each processor package and of its memory, counted by the processor (Linux powercap).
/// hwmon: sensors named ina…: power1_input, else curr1_input times in1_input, added up over time.
/// Throws Error(missing_device): there is none, or it may not be read, and what to do. `sysfs` is /sys but in tests.
/// Not for MeterKind::constant, which has nothing to be looked at.
[[nodiscard]] std::unique_ptr<EnergyMeter> open_meter(MeterKind kind, Time now,
                                                      const std::filesystem::path& sysfs = "/sys");
[[nodiscard]] std::unique_ptr<EnergyMeter> open_rapl(const std::filesystem::path& sysfs);
[[nodiscard]] std::unique_ptr<EnergyMeter> open_hwmon(Time now, const std::filesystem::path& sysfs);

/// "constant", as in the task file.
[[nodiscard]] std::string_view meter_name(MeterKind kind);

}  // namespace rtmdl
