/// Reads what `rtmdl run --json` printed for the task sets of scripts/prediction, and says how far measured miss rates
/// were from the predicted ones: prediction_report [--csv FILE] [--picture FILE.svg] SET=LOAD=FILE.json[=PLAN.json] …

#include "base/atomic_file.h"
#include "report/prediction_chart.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace {

using nlohmann::json;
using rtmdl::PredictedTask;

constexpr double kPoints = 0.015;
constexpr std::int64_t kFewStalls = 100;  ///< in a run

struct Row {
  std::string set, load, variant;
  std::int64_t released = 0, stalls = 0;
  bool feasible = false;  ///< the plan is known to keep every limit
  PredictedTask task;
};

std::vector<Row> rows_of(const std::string& argument) {
  const std::size_t first = argument.find('='), second = argument.find('=', first + 1);
  const std::size_t third = second == std::string::npos ? second : argument.find('=', second + 1);
  std::ifstream in(second == std::string::npos ? "" : argument.substr(second + 1, third - second - 1));
  if (!in)
    rtmdl::bad_input(fmt::format("'{}': SET=LOAD=FILE.json or SET=LOAD=FILE.json=PLAN.json is accepted", argument));
  const json run = json::parse(in);
  std::ifstream plan(third == std::string::npos ? "" : argument.substr(third + 1));
  if (third != std::string::npos && !plan) rtmdl::bad_input(fmt::format("'{}': there is no such plan", argument));
  const bool feasible = third != std::string::npos && json::parse(plan).at("feasible").get<bool>();
  std::vector<Row> rows;
  for (const json& t : run.at("tasks")) {
    if (!t.contains("predicted_miss_rate")) continue;  // the operating system's policy
    Row row;
    row.set = argument.substr(0, first);
    row.load = argument.substr(first + 1, second - first - 1);
    row.variant = t.at("variant");
    row.released = t.at("released");
    row.feasible = feasible;
    row.stalls = run.at("machine_stalls").at("count");
    row.task.series = run.at("policy");
    row.task.label = fmt::format("{} {}", row.set, t.at("name").get<std::string>());
    row.task.predicted = t.at("predicted_miss_rate");
    row.task.measured = t.at("miss_rate");
    const double stalled = t.at("missed_in_stalls");
    if (row.released > 0)
      row.task.unstalled = std::max(0.0, row.task.measured - stalled / static_cast<double>(row.released));
    rows.push_back(row);
  }
  return rows;
}

std::string csv(const std::vector<Row>& rows) {
  std::string text =
      "set,load_percent,policy,task,variant,released,predicted,measured,measured_without_stalls,stalls\n";
  for (const Row& r : rows)
    text += fmt::format("{},{},{},{},{},{},{:.6g},{:.6g},{:.6g},{}\n", r.set, r.load, r.task.series,
                        r.task.label.substr(r.set.size() + 1), r.variant, r.released, r.task.predicted, r.task.measured,
                        r.task.unstalled, r.stalls);
  return text;
}

double quantile(std::vector<double> sorted, double q) {
  return sorted[static_cast<std::size_t>(std::lround(q * static_cast<double>(sorted.size() - 1)))];
}

void print_errors(const std::string& what, std::vector<double> errors) {
  std::sort(errors.begin(), errors.end());
  const auto within = std::upper_bound(errors.begin(), errors.end(), kPoints) - errors.begin();
  if (errors.empty()) return;
  fmt::print("| {} | {} | {:.0f} % | {:.2f} | {:.2f} | {:.2f} |\n", what, errors.size(),
             100.0 * static_cast<double>(within) / static_cast<double>(errors.size()), quantile(errors, 0.5) * 100,
             quantile(errors, 0.9) * 100, errors.back() * 100);
}

void print(const std::vector<Row>& rows) {
  std::map<std::string, std::vector<const Row*>> by_policy;
  for (const Row& r : rows) by_policy[r.task.series].push_back(&r);
  fmt::print(
      "| predicted to measured, in points | tasks | within {:g} | median | p90 | largest "
      "|\n|---|---|---|---|---|---|\n",
      kPoints * 100);
  for (const auto& [policy, of] : by_policy) {
    std::vector<double> all, calm, unstalled, feasible;
    for (const Row* r : of) {
      all.push_back(std::abs(r->task.predicted - r->task.measured));
      if (r->stalls < kFewStalls) calm.push_back(all.back());
      // A job that a stall hit might have missed without it too: anything between the two rates is as predicted.
      unstalled.push_back(std::max({0.0, r->task.unstalled - r->task.predicted, r->task.predicted - r->task.measured}));
      if (r->feasible) feasible.push_back(unstalled.back());
    }
    print_errors(policy + ", all misses", all);
    print_errors(fmt::format("{}, all misses of runs with fewer than {} machine stalls", policy, kFewStalls), calm);
    print_errors(policy + ", misses in machine stalls set aside", unstalled);
    print_errors(policy + ", set aside, where the plan keeps every limit", feasible);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::vector<Row> rows;
    std::string table, picture;
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (i + 1 < argc && argument == "--csv") {
        table = argv[++i];
      } else if (i + 1 < argc && argument == "--picture") {
        picture = argv[++i];
      } else {
        for (Row& row : rows_of(argument)) rows.push_back(std::move(row));
      }
    }
    if (rows.empty()) {
      fmt::print(
          stderr,
          "usage: prediction_report [--csv FILE] [--picture FILE.svg] SET=LOAD=FILE.json[=PLAN.json] ...   (files that "
          "`rtmdl run --json` and `rtmdl plan --json` wrote)\n");
      return 2;
    }
    std::vector<PredictedTask> tasks;
    for (const Row& r : rows) tasks.push_back(r.task);
    if (!table.empty()) rtmdl::write_file_atomically(table, csv(rows));
    if (!picture.empty()) rtmdl::write_file_atomically(picture, rtmdl::prediction_svg(tasks, kPoints));
    print(rows);
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "prediction_report: {}\n", e.what());
    return 2;
  }
}
