// Linux powercap: /sys/class/powercap/intel-rapl:N is a package (AMD's too), intel-rapl:N:M a part of it. Cores and
// graphics are in their package's count, memory is not; `psys`, where there is one, counts all of them again.
#include "energy/energy_meter.h"
#include "energy/sensor_file.h"

#include <rtmdl/error.h>

#include <optional>

#include <fmt/format.h>

namespace rtmdl {
namespace {

class RaplMeter final : public EnergyMeter {
 public:
  void add(const std::string& name, const std::filesystem::path& zone) {
    const std::filesystem::path counter = zone / "energy_uj";
    const std::optional<std::int64_t> now = read_number(counter);
    if (!now)
      throw Error(ErrorCode::missing_device,
                  fmt::format("energy.meter: rapl: {} cannot be read; run as root, or allow it with `chmod a+r {}`",
                              counter.string(), counter.string()));
    zones_.push_back({counter, *now, read_number(zone / "max_energy_range_uj").value_or(0)});
    domains_.push_back({name, 0});
  }
  [[nodiscard]] bool empty() const { return zones_.empty(); }
  [[nodiscard]] Duration resolution() const noexcept override { return std::chrono::milliseconds(1); }

  const std::vector<Domain>& read(Time) override {
    for (std::size_t z = 0; z < zones_.size(); ++z) {
      Zone& zone = zones_[z];
      const std::int64_t count = read_number(zone.counter).value_or(zone.last);
      std::int64_t more = count - zone.last;
      if (more < 0) more += zone.range;  // it has wrapped around
      zone.last = count;
      domains_[z].joules += static_cast<double>(more) * 1e-6;
    }
    return domains_;
  }

 private:
  struct Zone {
    std::filesystem::path counter;
    std::int64_t last = 0, range = 0;  ///< microjoules
  };
  std::vector<Zone> zones_;
  std::vector<Domain> domains_;
};

}  // namespace

std::unique_ptr<EnergyMeter> open_rapl(const std::filesystem::path& sysfs) {
  const std::filesystem::path folder = sysfs / "class/powercap";
  auto meter = std::make_unique<RaplMeter>();
  for (const std::filesystem::path& zone : entries_of(folder)) {
    const std::string place = zone.filename().string(), name = read_word(zone / "name");
    const bool package = place.starts_with("intel-rapl:") && name.starts_with("package");
    if (package || (place.starts_with("intel-rapl:") && name == "dram"))
      meter->add(package ? name : fmt::format("{} {}", place.substr(place.find(':') + 1), name), zone);
  }
  if (meter->empty())
    throw Error(
        ErrorCode::missing_device,
        fmt::format("energy.meter: rapl: this machine has no such counters ({} has no intel-rapl package; "
                    "virtual machines mostly have none); accepted are constant, or hwmon where there are sensors",
                    folder.string()));
  return meter;
}

}  // namespace rtmdl
