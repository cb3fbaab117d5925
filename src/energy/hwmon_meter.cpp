// INA219, INA226, INA3221 and their kin, as Linux' hwmon shows them: power in microwatts, voltage in millivolts,
// current in milliamperes. Power is taken to change linearly between two looks.
#include "energy/energy_meter.h"
#include "energy/sensor_file.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr int kMostChannels = 4;
constexpr Duration kUsualInterval = std::chrono::milliseconds(50), kLongestInterval = std::chrono::milliseconds(200);

struct Channel {
  std::filesystem::path power, current, voltage;  ///< power empty: of the other two

  [[nodiscard]] std::optional<double> watts() const {
    if (!power.empty()) {
      const std::optional<std::int64_t> microwatts = read_number(power);
      return microwatts ? std::optional(static_cast<double>(*microwatts) * 1e-6) : std::nullopt;
    }
    const std::optional<std::int64_t> milliamperes = read_number(current), millivolts = read_number(voltage);
    if (!milliamperes || !millivolts) return std::nullopt;
    return static_cast<double>(*milliamperes) * static_cast<double>(*millivolts) * 1e-6;
  }
};

class HwmonMeter final : public EnergyMeter {
 public:
  explicit HwmonMeter(Time now) : last_(now) {}
  /// A sensor of channels that can be read.
  void add(const std::filesystem::path& sensor, const std::string& name) {
    for (int c = 1; c <= kMostChannels; ++c) {
      const auto file = [&](const char* kind, const char* what) {
        return sensor / fmt::format("{}{}_{}", kind, c, what);
      };
      const bool has_power = std::filesystem::exists(file("power", "input"));
      Channel channel{has_power ? file("power", "input") : std::filesystem::path(), file("curr", "input"),
                      file("in", "input")};
      const std::optional<double> watts = channel.watts();
      if (!watts) continue;
      std::string label = read_word(file("power", "label"));
      if (label.empty()) label = read_word(file("in", "label"));
      channels_.push_back(std::move(channel));
      watts_.push_back(*watts);
      domains_.push_back({fmt::format("{} {}", name, label.empty() ? fmt::format("{}", c) : label), 0});
    }
    const std::optional<std::int64_t> interval = read_number(sensor / "update_interval");
    const Duration of_sensor = interval ? Duration(std::chrono::milliseconds(*interval)) : kUsualInterval;
    resolution_ =
        std::max(resolution_, std::clamp(of_sensor, Duration(std::chrono::milliseconds(1)), kLongestInterval));
  }
  [[nodiscard]] bool empty() const { return channels_.empty(); }
  [[nodiscard]] Duration resolution() const noexcept override { return resolution_; }

  const std::vector<Domain>& read(Time now) override {
    const double seconds = to_seconds(now - last_);
    last_ = now;
    for (std::size_t c = 0; c < channels_.size(); ++c) {
      const double watts = channels_[c].watts().value_or(watts_[c]);
      domains_[c].joules += (watts + watts_[c]) / 2 * seconds;
      watts_[c] = watts;
    }
    return domains_;
  }

 private:
  Time last_;
  Duration resolution_{};
  std::vector<Channel> channels_;
  std::vector<double> watts_;  ///< at the last look
  std::vector<Domain> domains_;
};

}  // namespace

std::unique_ptr<EnergyMeter> open_hwmon(Time now, const std::filesystem::path& sysfs) {
  const std::filesystem::path folder = sysfs / "class/hwmon";
  auto meter = std::make_unique<HwmonMeter>(now);
  for (const std::filesystem::path& sensor : entries_of(folder))
    if (const std::string name = read_word(sensor / "name"); name.starts_with("ina")) meter->add(sensor, name);
  if (meter->empty())
    throw Error(
        ErrorCode::missing_device,
        fmt::format("energy.meter: hwmon: no sensor of the INA kind can be read in {}; accepted are constant, or "
                    "rapl on PCs",
                    folder.string()));
  return meter;
}

}  // namespace rtmdl
