#include "task/arrival_spec.h"

#include "base/excerpt.h"
#include "base/units.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kLeastShare = 0.01;  ///< of the mean interval, kept apart where there is no `min`
constexpr int kBurstsThatShow = 10;
constexpr std::size_t kMostTimes = 1'000'000;
constexpr double kLatest = 7 * 24 * 3600.0;  ///< seconds, of a recorded release

/// `min`: at most the mean interval.
Duration parse_least(const ConfigNode& node, Duration most) {
  const Duration least = positive_duration(node);
  if (least > most)
    node.fail(fmt::format("'{}' is longer than the mean interval of {}", node.text(), format_duration(most)));
  return least;
}

ArrivalSpec::Phase parse_phase(const ConfigNode& node, const char* example) {
  node.require_map(example);
  node.allow({"mean", "lasts"});
  const ArrivalSpec::Phase phase{positive_duration(node["mean"]), positive_duration(node["lasts"])};
  if (phase.lasts < phase.mean)
    node["lasts"].fail(fmt::format("'{}' is shorter than the mean interval in it, {}", node["lasts"].text(),
                                   format_duration(phase.mean)));
  return phase;
}

ArrivalSpec parse_random(const ConfigNode& node, bool sporadic, Duration& least) {
  node.require_map(sporadic ? "a map such as {min: 20 ms, mean: 50 ms}" : "a map such as {mean: 50 ms}");
  node.allow({"min", "mean"});
  ArrivalSpec arrivals;
  arrivals.kind = ArrivalSpec::Kind::random;
  arrivals.calm.mean = positive_duration(node["mean"]);
  if (sporadic || node["min"].present()) least = parse_least(node["min"], arrivals.calm.mean);
  return arrivals;
}

ArrivalSpec parse_bursty(const ConfigNode& node, Duration& least) {
  node.require_map("a map such as {calm: {mean: 200 ms, lasts: 5 s}, burst: {mean: 20 ms, lasts: 1 s}}");
  node.allow({"min", "calm", "burst"});
  ArrivalSpec arrivals;
  arrivals.kind = ArrivalSpec::Kind::random;
  arrivals.calm = parse_phase(node["calm"], "a map such as {mean: 200 ms, lasts: 5 s}");
  arrivals.burst = parse_phase(node["burst"], "a map such as {mean: 20 ms, lasts: 1 s}");
  if (node["min"].present()) least = parse_least(node["min"], std::min(arrivals.calm.mean, arrivals.burst.mean));
  return arrivals;
}

double parse_seconds(const std::string& text, const std::string& place) {
  double seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, seconds);
  if (error != std::errc{} || last != end || !(seconds >= 0 && seconds <= kLatest))
    bad_input(fmt::format("{}: '{}' is not a release time: a line holds seconds from the start, 0 to {:.0f}", place,
                          excerpt(text), kLatest));
  return seconds;
}

/// One time a line.
ArrivalSpec parse_trace(const ConfigNode& node, Duration& least) {
  const std::filesystem::path path = node.path();
  std::error_code error;
  std::ifstream file(path);
  if (!std::filesystem::is_regular_file(path, error) || !file)
    node.fail(fmt::format("'{}' cannot be read; a trace is a file with a release time in seconds a line",
                          excerpt(path.string(), 200)));
  ArrivalSpec arrivals;
  arrivals.kind = ArrivalSpec::Kind::trace;
  std::vector<Duration>& times = arrivals.times;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const std::string place = fmt::format("{}:{}", path.string(), times.size() + 1);
    if (times.size() == kMostTimes) bad_input(fmt::format("{}: more than {} releases", place, kMostTimes));
    times.push_back(from_seconds(parse_seconds(line, place)));
    if (times.size() == 1) continue;
    const Duration gap = times.back() - *(times.end() - 2);
    if (gap < kShortestPeriod)
      bad_input(fmt::format("{}: '{}' is not at least {} after the line before it", place, excerpt(line),
                            format_duration(kShortestPeriod)));
    least = times.size() == 2 ? gap : std::min(least, gap);
  }
  if (times.size() < 2) bad_input(fmt::format("{}: at least two releases are needed", path.string()));
  const Duration pause = (times.back() - times.front()) / static_cast<std::int64_t>(times.size() - 1);
  arrivals.length = times.back() + pause;
  return arrivals;
}

}  // namespace

Duration positive_duration(const ConfigNode& node) {
  const Duration d = node.duration();
  if (d < kShortestPeriod || d > kLongestPeriod)
    node.fail(fmt::format("'{}' is out of range: {} to {} is accepted", node.text(), format_duration(kShortestPeriod),
                          format_duration(kLongestPeriod)));
  return d;
}

ArrivalSpec ArrivalSpec::parse(const ConfigNode& node, Duration& least) {
  least = {};
  if (node.is_scalar()) {
    static_cast<void>(node.one_of({"periodic"}));
    return {};
  }
  node.require_map("`periodic`, or a map such as {sporadic: {min: 20 ms, mean: 50 ms}}");
  node.allow({"sporadic", "poisson", "bursty", "trace"});
  if (const std::size_t found = node.members().size(); found != 1)
    node.fail(fmt::format("{} kinds; one of sporadic, poisson, bursty, trace is accepted", found));
  if (node["sporadic"].present()) return parse_random(node["sporadic"], true, least);
  if (node["poisson"].present()) return parse_random(node["poisson"], false, least);
  if (node["bursty"].present()) return parse_bursty(node["bursty"], least);
  return parse_trace(node["trace"], least);
}

void ArrivalSpec::stretch(double factor) {
  const auto times_factor = [factor](Duration& d) {
    d = Duration(std::llround(static_cast<double>(d.count()) * factor));
  };
  for (Phase* phase : {&calm, &burst}) {
    times_factor(phase->mean);
    times_factor(phase->lasts);
  }
  std::for_each(times.begin(), times.end(), times_factor);
  times_factor(length);
}

Duration least_interval(const ArrivalSpec& arrivals) {
  Duration mean = arrivals.calm.mean;
  if (arrivals.burst.lasts > Duration{}) mean = std::min(mean, arrivals.burst.mean);
  return std::max(from_seconds(to_seconds(mean) * kLeastShare), kShortestPeriod);
}

Duration mean_interval(const ArrivalSpec& arrivals, Duration period) {
  if (arrivals.kind == ArrivalSpec::Kind::periodic) return period;
  if (arrivals.kind == ArrivalSpec::Kind::trace)
    return arrivals.length / static_cast<std::int64_t>(arrivals.times.size());
  if (arrivals.burst.lasts == Duration{}) return arrivals.calm.mean;
  double releases = 0;  // of one phase of each
  for (const ArrivalSpec::Phase& phase : {arrivals.calm, arrivals.burst})
    releases += to_seconds(phase.lasts) / to_seconds(phase.mean);
  return from_seconds(to_seconds(arrivals.calm.lasts + arrivals.burst.lasts) / releases);
}

Duration representative_stretch(const ArrivalSpec& arrivals) {
  return arrivals.length + kBurstsThatShow * (arrivals.calm.lasts + arrivals.burst.lasts);
}

}  // namespace rtmdl
