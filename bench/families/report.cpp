/// Reads what `rtmdl scale --json` printed for families of one task each and prints the table and the figures of merit
/// that README quotes: family_report [--unshared-bytes] NAME=FILE.json …
/// With --front PICTURE.svg, draws the first family beside VGG19's of the RT-mDL paper (figure of nine levels).

#include "base/atomic_file.h"
#include "base/units.h"
#include "report/front.h"

#include <rtmdl/error.h>
#include <rtmdl/time.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

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
  if (source.at("id") != "source") {
    fmt::print("\n- the source was dropped: factors and points are those of the first level\n");
    return;
  }
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

void draw(const std::string& name, const json& family, const std::string& picture) {
  // Ling et al. 2021, VGG19 on CIFAR-10, Jetson AGX Xavier; the source last there, first here.
  const std::vector<rtmdl::MeasuredLevel> paper{{23.7, 0.855}, {23.3, 0.849}, {22.3, 0.847},
                                                {21.2, 0.848}, {19.7, 0.839}, {18.1, 0.840},
                                                {16.3, 0.831}, {14.4, 0.823}, {12.1, 0.807}};
  std::vector<rtmdl::MeasuredLevel> ours;
  for (const json& v : family.at("tasks").front().at("variants")) ours.push_back({latency(v), accuracy(v)});
  rtmdl::write_file_atomically(
      picture, rtmdl::relative_front_svg(ours, paper, {name + ", rtmdl", "VGG19, RT-mDL (SenSys 2021)"}));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    bool only_bytes = false;
    std::string picture;
    if (!arguments.empty() && arguments.front() == "--unshared-bytes") {
      only_bytes = true;
      arguments.erase(arguments.begin());
    } else if (arguments.size() > 1 && arguments.front() == "--front") {
      picture = arguments[1];
      arguments.erase(arguments.begin(), arguments.begin() + 2);
    }
    if (arguments.empty()) {
      fmt::print(
          stderr,
          "usage: family_report [--unshared-bytes | --front PICTURE.svg] NAME=FILE.json ...   (files that `rtmdl "
          "scale --json` wrote)\n");
      return 2;
    }
    for (const std::string& argument : arguments) {
      const std::size_t equals = argument.find('=');
      std::ifstream in(argument.substr(equals + 1));
      if (equals == std::string::npos || !in)
        rtmdl::bad_input(fmt::format("'{}': NAME=FILE.json is accepted", argument));
      const std::string name = argument.substr(0, equals);
      const json family = json::parse(in);
      if (only_bytes) {
        fmt::print("{}\n", unshared_bytes(family));
        continue;
      }
      if (!picture.empty()) draw(name, family, std::exchange(picture, ""));
      print_table(name, family.at("tasks").front().at("variants"));
      print_merit(family);
    }
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "family_report: {}\n", e.what());
    return 2;
  }
}
