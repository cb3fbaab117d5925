#include "base/units.h"

#include "base/excerpt.h"

#include <rtmdl/error.h>

#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include <fmt/format.h>

namespace rtmdl {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 9> kTimeUnits{{{"ns", 1e-9},
                                          {"us", 1e-6},
                                          {"µs", 1e-6},
                                          {"μs", 1e-6},
                                          {"ms", 1e-3},
                                          {"s", 1.0},
                                          {"min", 60.0},
                                          {"m", 60.0},
                                          {"h", 3600.0}}};
constexpr std::array<Unit, 7> kByteUnits{
    {{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}}};
constexpr std::array<Unit, 1> kPercentUnits{{{"%", 1}}};

constexpr std::array<Unit, 3> kRateUnits{{{"Hz", 1}, {"kHz", 1e3}, {"MHz", 1e6}}};
constexpr std::array<Unit, 4> kPowerUnits{{{"uW", 1e-6}, {"mW", 1e-3}, {"W", 1}, {"kW", 1e3}}};
constexpr std::array<Unit, 7> kEnergyUnits{
    {{"uJ", 1e-6}, {"mJ", 1e-3}, {"J", 1}, {"kJ", 1e3}, {"mWh", 3.6}, {"Wh", 3600}, {"kWh", 3.6e6}}};
constexpr double kMostEnergy = 1e12;

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

double parse_quantity(std::string_view text, std::span<const Unit> units, std::string_view kind,
                      std::string_view accepted) {
  const std::string_view s = trimmed(text);
  double value = 0;
  const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (ec != std::errc{} || !std::isfinite(value))
    bad_input(fmt::format("'{}' is not a {}: write a number and a unit ({})", excerpt(text), kind, accepted));
  const std::string_view unit = trimmed(s.substr(static_cast<std::size_t>(end - s.data())));
  if (unit.empty()) bad_input(fmt::format("'{}' has no unit: write a {} with one of {}", text, kind, accepted));
  for (const Unit& u : units)
    if (u.name == unit) return value * u.factor;
  bad_input(fmt::format("'{}' has the unknown unit '{}': a {} takes one of {}", excerpt(text), excerpt(unit), kind,
                        accepted));
}

}  // namespace

Duration parse_duration(std::string_view text) {
  const double s = parse_quantity(text, kTimeUnits, "time", "ns, us, ms, s, min, h");
  if (std::abs(s) > 1e8) bad_input(fmt::format("'{}' is out of range: a time is at most 10^8 s", text));
  return from_seconds(s);
}

std::int64_t parse_bytes(std::string_view text) {
  const double b = parse_quantity(text, kByteUnits, "size", "B, kB, MB, GB, KiB, MiB, GiB");
  if (b < 0 || b > 9e15) bad_input(fmt::format("'{}' is out of range: a size is 0 B to 9 PB", text));
  return static_cast<std::int64_t>(std::llround(b));
}

double parse_fraction(std::string_view text) { return parse_quantity(text, kPercentUnits, "percentage", "%") / 100; }

double parse_hertz(std::string_view text) { return parse_quantity(text, kRateUnits, "rate", "Hz, kHz, MHz"); }

double parse_watts(std::string_view text) {
  const double w = parse_quantity(text, kPowerUnits, "power", "uW, mW, W, kW");
  if (w < 0 || w > kMostEnergy) bad_input(fmt::format("'{}' is out of range: a power is at least 0 W", text));
  return w;
}

double parse_joules(std::string_view text) {
  const double j = parse_quantity(text, kEnergyUnits, "energy", "uJ, mJ, J, kJ, mWh, Wh, kWh");
  if (j < 0 || j > kMostEnergy) bad_input(fmt::format("'{}' is out of range: an energy is at least 0 J", text));
  return j;
}

namespace {

/// In thousandths or thousands of the unit where that is shorter.
std::string with_prefix(double value, const char* unit) {
  const double size = std::abs(value);
  if (size >= 1e4) return fmt::format("{:.4g} k{}", value / 1e3, unit);
  if (size >= 1 || size == 0) return fmt::format("{:.4g} {}", value, unit);
  return size >= 1e-3 ? fmt::format("{:.3g} m{}", value * 1e3, unit) : fmt::format("{:.3g} u{}", value * 1e6, unit);
}

}  // namespace

std::string format_watts(double watts) { return with_prefix(watts, "W"); }
std::string format_joules(double joules) { return with_prefix(joules, "J"); }

std::string format_duration(Duration d) {
  const double s = std::abs(to_seconds(d));
  const char* sign = d.count() < 0 ? "-" : "";
  if (s >= 60) return fmt::format("{}{:.1f} min", sign, s / 60);
  if (s >= 1) return fmt::format("{}{:.3g} s", sign, s);
  if (s >= 1e-3) return fmt::format("{}{:.3g} ms", sign, s * 1e3);
  if (s >= 1e-6) return fmt::format("{}{:.3g} us", sign, s * 1e6);
  return fmt::format("{} ns", d.count());
}

std::string format_bytes(std::int64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (b >= 1e9) return fmt::format("{:.2f} GB", b / 1e9);
  if (b >= 1e6) return fmt::format("{:.1f} MB", b / 1e6);
  if (b >= 1e3) return fmt::format("{:.1f} kB", b / 1e3);
  return fmt::format("{} B", bytes);
}

std::string format_percent(double fraction, int decimals) { return fmt::format("{:.{}f} %", fraction * 100, decimals); }

}  // namespace rtmdl
