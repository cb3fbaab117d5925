/// Reads what `rtmdl scale --json` printed for families of one task each and prints the table and the figures of merit
/// that README quotes: family_report [--unshared-bytes] NAME=FILE.json …

#include "base/units.h"

#include <rtmdl/error.h>
#include <rtmdl/time.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace {

using nlohmann::json;

double latency(const json& v) { return v.at("median_ms").get<double>(); }
double accuracy(const json& v) { return v.at("accuracy").get<double>(); }

void print_table(const std::string& name, const json& variants) {
  const json& source = variants.front();
  fmt::print(
      "\n{}\n\n| level | time | × faster | accuracy | points lost | bytes | shared | \n|---|---|---|---|---|---|---|\n",
      name);
  for (const json& v : variants)
    fmt::print("| {} | {:.3g} ms | {:.1f} | {:.2f} % | {:+.2f} | {} | {} |\n", v.at("id").get<std::string>(),
               latency(v), latency(source) / latency(v), accuracy(v) * 100, (accuracy(source) - accuracy(v)) * 100,
               rtmdl::format_bytes(v.at("bytes").get<std::int64_t>()),
               rtmdl::format_bytes(v.at("shared_bytes").get<std::int64_t>()));
}

/// The best accuracy among levels that take at most `share` of the source's time, as points lost.
std::string lost_at(const json& variants, double share) {
  const json* best = nullptr;
  for (const json& v : variants)
    if (latency(v) <= share * latency(variants.front()) && (best == nullptr || accuracy(v) > accuracy(*best)))
      best = &v;
  if (best == nullptr) return "no level";
  return fmt::format("{:+.2f} points ({})", (accuracy(variants.front()) - accuracy(*best)) * 100,
                     best->at("id").get<std::string>());
}

void print_merit(const json& family) {
  const json& variants = family.at("tasks").front().at("variants");
  const json& source = variants.front();
  double fastest = latency(source), bytes = 0;
  const json* int8 = nullptr;
  for (const json& v : variants) {
    fastest = std::min(fastest, latency(v));
    bytes += v.at("bytes").get<double>() - v.at("shared_bytes").get<double>();
    if (v.at("id") == "int8") int8 = &v;
  }
  fmt::print("\n- spans {:.1f}x in time; {:.2f} of the source's bytes in all\n", latency(source) / fastest,
             bytes / source.at("bytes").get<double>());
  if (int8 != nullptr)
    fmt::print("- int8 of the source: {:.1f}x faster, {:+.2f} points lost\n", latency(source) / latency(*int8),
               (accuracy(source) - accuracy(*int8)) * 100);
  fmt::print("- at half the time: {}; at a quarter: {}; at an eighth: {}\n", lost_at(variants, 0.5),
             lost_at(variants, 0.25), lost_at(variants, 0.125));
}

/// What the levels would take if none shared anything.
std::int64_t unshared_bytes(const json& family) {
  std::int64_t sum = 0;
  for (const json& v : family.at("tasks").front().at("variants")) sum += v.at("bytes").get<std::int64_t>();
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const bool only_bytes = argc > 1 && std::string(argv[1]) == "--unshared-bytes";
    if (argc < (only_bytes ? 3 : 2)) {
      fmt::print(
          stderr,
          "usage: family_report [--unshared-bytes] NAME=FILE.json ...   (files that `rtmdl scale --json` wrote)\n");
      return 2;
    }
    for (int i = only_bytes ? 2 : 1; i < argc; ++i) {
      const std::string argument = argv[i];
      const std::size_t equals = argument.find('=');
      std::ifstream in(argument.substr(equals + 1));
      if (equals == std::string::npos || !in)
        rtmdl::bad_input(fmt::format("'{}': NAME=FILE.json is accepted", argument));
      const json family = json::parse(in);
      if (only_bytes) {
        fmt::print("{}\n", unshared_bytes(family));
        continue;
      }
      print_table(argument.substr(0, equals), family.at("tasks").front().at("variants"));
      print_merit(family);
    }
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "family_report: {}\n", e.what());
    return 2;
  }
}
