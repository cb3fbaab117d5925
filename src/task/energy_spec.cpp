#include "task/energy_spec.h"

#include "base/excerpt.h"
#include "base/units.h"

#include <rtmdl/error.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kMostWatts = 1e5, kMostJoules = 1e9;
constexpr double kLongestTrace = 7 * 24 * 3600.0;  ///< seconds
constexpr std::size_t kMostPieces = 1'000'000;
constexpr Duration kShortestHarvest = std::chrono::milliseconds(1);  ///< piece of a trace

double positive(const ConfigNode& node, double value, double most, std::string (*format)(double)) {
  if (value > 0 && value <= most) return value;
  node.fail(
      fmt::format("'{}' is out of range: more than {} up to {} is accepted", node.text(), format(0), format(most)));
}

double positive_watts(const ConfigNode& node) { return positive(node, node.watts(), kMostWatts, format_watts); }
double positive_joules(const ConfigNode& node) { return positive(node, node.joules(), kMostJoules, format_joules); }

double joules_up_to(const ConfigNode& node, double most) {
  const double joules = node.joules();
  if (joules > most) node.fail(fmt::format("'{}' is more than the capacitor's {}", node.text(), format_joules(most)));
  return joules;
}

/// `budget`, or `battery` and `for`.
std::optional<double> parse_budget(const ConfigNode& node) {
  const ConfigNode budget = node["budget"], battery = node["battery"], lasts = node["for"];
  if (budget.present() && battery.present())
    battery.fail("`budget` says already what may be drawn; one of them is accepted");
  if (lasts.present() && !battery.present()) lasts.fail("is of a battery: write for instance `battery: 20 Wh`");
  if (budget.present()) return positive_watts(budget);
  if (!battery.present()) return std::nullopt;
  if (!lasts.present()) battery.fail("for how long? Write for instance `for: 8 h` beside it");
  const double seconds = to_seconds(lasts.duration());
  if (seconds <= 0) lasts.fail(fmt::format("'{}' is out of range: more than 0 s is accepted", lasts.text()));
  return positive_joules(battery) / seconds;
}

CapacitorSpec parse_capacitor(const ConfigNode& node) {
  CapacitorSpec capacitor;
  if (node.is_scalar()) {
    capacitor.capacity = positive_joules(node);
    capacitor.start = capacitor.capacity;
    return capacitor;
  }
  node.require_map("a capacity such as 20 J, or a map such as {capacity: 20 J, start: 10 J}");
  node.allow({"capacity", "start", "min", "efficiency"});
  capacitor.capacity = positive_joules(node["capacity"]);
  capacitor.start = node["start"].present() ? joules_up_to(node["start"], capacitor.capacity) : capacitor.capacity;
  if (node["min"].present()) capacitor.least = joules_up_to(node["min"], capacitor.capacity);
  if (node["efficiency"].present()) capacitor.efficiency = node["efficiency"].fraction();
  return capacitor;
}

bool parse_row(std::string_view line, double& seconds, double& watts) {
  const auto number = [](std::string_view text, double& value) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() && std::isfinite(value);
  };
  const auto comma = line.find(',');
  return comma != std::string_view::npos && number(line.substr(0, comma), seconds) &&
         number(line.substr(comma + 1), watts);
}

/// A line holds seconds and watts from then on; the first may say so.
HarvestTrace read_trace(const ConfigNode& node, const std::filesystem::path& path) {
  std::ifstream file(path);
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error) || !file)
    node.fail(
        fmt::format("'{}' is not there; accepted are persistent, solar, rf, random, or a file with seconds and "
                    "watts in a line",
                    excerpt(node.text(), 200)));
  HarvestTrace trace;
  double before = 0;
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (++number == 1 && !line.empty() && std::isalpha(static_cast<unsigned char>(line.front()))) continue;
    const std::string place = fmt::format("{}:{}", path.string(), number);
    double seconds = 0, watts = 0;
    if (!parse_row(line, seconds, watts) || !(seconds >= 0 && seconds <= kLongestTrace) ||
        !(watts >= 0 && watts <= kMostWatts))
      bad_input(
          fmt::format("{}: '{}' is no row of a harvest trace: a line holds seconds, 0 to {:.0f}, a comma and "
                      "watts",
                      place, excerpt(line), kLongestTrace));
    if (trace.pieces.size() == kMostPieces) bad_input(fmt::format("{}: more than {} rows", place, kMostPieces));
    if (!trace.pieces.empty()) {
      trace.pieces.back().lasts = from_seconds(seconds - before);
      if (trace.pieces.back().lasts < kShortestHarvest)
        bad_input(fmt::format("{}: '{}' is not at least {} after the line before it", place, excerpt(line),
                              format_duration(kShortestHarvest)));
    }
    trace.pieces.push_back({{}, watts});
    before = seconds;
  }
  if (trace.pieces.size() < 2) bad_input(fmt::format("{}: at least two rows are needed", path.string()));
  Duration all{};
  for (const HarvestTrace::Piece& piece : trace.pieces) all += piece.lasts;
  trace.slot = all / static_cast<std::int64_t>(trace.pieces.size() - 1);
  trace.pieces.back().lasts = trace.slot;
  return trace;
}

HarvestSpec parse_harvest(const ConfigNode& node) {
  using Kind = HarvestSpec::Kind;
  node.require_map("a map such as {trace: solar, power: 6 W, capacitor: 20 J}");
  node.allow({"trace", "power", "seed", "capacitor", "eta", "mandatory", "optional"});
  HarvestSpec harvest;
  const std::string trace = node["trace"].text();
  harvest.kind = trace == "persistent" ? Kind::persistent
                 : trace == "solar"    ? Kind::solar
                 : trace == "rf"       ? Kind::rf
                 : trace == "random"   ? Kind::random
                                       : Kind::recorded;
  const bool recorded = harvest.kind == Kind::recorded;
  for (const char* key : {"power", "seed"})
    if (recorded && node[key].present()) node[key].fail("is of a trace that is made up; this one is a file");
  if (recorded) harvest.recorded = read_trace(node["trace"], node["trace"].path());
  else harvest.watts = positive_watts(node["power"]);
  if (node["seed"].present()) harvest.seed = static_cast<std::uint64_t>(node["seed"].integer(0));
  harvest.capacitor = parse_capacitor(node["capacitor"]);
  if (node["eta"].present()) harvest.eta = node["eta"].number(0, 1);
  const double most = harvest.capacitor.capacity;
  if (node["mandatory"].present()) harvest.mandatory = joules_up_to(node["mandatory"], most);
  if (node["optional"].present()) harvest.optional = joules_up_to(node["optional"], most);
  return harvest;
}

}  // namespace

ProcessorPower ProcessorPower::parse(const ConfigNode& node) {
  node.require_map("a map such as {busy: 4 W, idle: 1 W}");
  node.allow({"busy", "idle"});
  ProcessorPower power;
  power.busy = positive_watts(node["busy"]);
  if (node["idle"].present()) power.idle = node["idle"].watts();
  if (power.idle > power.busy)
    node["idle"].fail(fmt::format("'{}' is more than the {} of `busy`", node["idle"].text(), format_watts(power.busy)));
  return power;
}

EnergySpec EnergySpec::parse(const ConfigNode& node) {
  EnergySpec energy;
  if (!node.present()) return energy;
  node.require_map("a map such as {budget: 5 W}, or {battery: 20 Wh, for: 8 h}");
  node.allow({"budget", "battery", "for", "meter", "harvest"});
  energy.watts = parse_budget(node);
  if (const ConfigNode meter = node["meter"]; meter.present()) {
    const std::string text = meter.one_of({"constant", "rapl", "hwmon"});
    energy.meter = text == "rapl" ? MeterKind::rapl : text == "hwmon" ? MeterKind::hwmon : MeterKind::constant;
  }
  if (node["harvest"].present()) energy.harvest = parse_harvest(node["harvest"]);
  return energy;
}

}  // namespace rtmdl
