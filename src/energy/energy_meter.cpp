#include "energy/energy_meter.h"

#include <stdexcept>

namespace rtmdl {

double joules_of(EnergyMeter& meter, Time now) {
  double sum = 0;
  for (const EnergyMeter::Domain& domain : meter.read(now)) sum += domain.joules;
  return sum;
}

std::unique_ptr<EnergyMeter> open_meter(MeterKind kind, Time now, const std::filesystem::path& sysfs) {
  switch (kind) {
    case MeterKind::rapl: return open_rapl(sysfs);
    case MeterKind::hwmon: return open_hwmon(now, sysfs);
    case MeterKind::constant: break;
  }
  throw std::logic_error("constant power is computed, not metered");
}

std::string_view meter_name(MeterKind kind) {
  switch (kind) {
    case MeterKind::rapl: return "rapl";
    case MeterKind::hwmon: return "hwmon";
    case MeterKind::constant: break;
  }
  return "constant";
}

}  // namespace rtmdl
