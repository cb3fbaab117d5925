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
