#include "runtime/compiled_plan.h"

#include "base/atomic_file.h"
#include "base/excerpt.h"
#include "base/hash.h"
#include "data/pipeline.h"
#include "model/exits.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int kFormat = 3;
constexpr double kMostWatts = 1e9;                                               ///< and joules
constexpr std::int64_t kLongest = std::numeric_limits<std::int64_t>::max() / 4;  ///< nanoseconds

/// Of the workspace if it is in there, else where it is.
std::string portable(const fs::path& model, const fs::path& folder) {
  const fs::path relative = fs::weakly_canonical(model).lexically_relative(fs::weakly_canonical(folder));
  const bool inside = !relative.empty() && *relative.begin() != "..";
  return inside ? relative.string() : fs::absolute(model).string();
}

Json mode_json(const RunMode& mode, const RunConfig& config, const fs::path& folder) {
  Json j;
  j["variant"] = mode.variant;
  j["model"] = portable(mode.request.model, folder);
  j["model_sha256"] = sha256_of_file(mode.request.model);
  j["shapes"] = Json::object();
  for (const auto& [input, shape] : mode.request.shapes) j["shapes"][input] = shape;
  j["cuts"] = mode.request.cuts;
  j["places"] = Json::array();
  for (const RunPlace& place : mode.places)
    j["places"].push_back({{"processor", config.processors[static_cast<std::size_t>(place.processor)].name},
                           {"threads", place.threads},
                           {"slots", place.slots}});
  j["stage_times_ns"] = Json::array();
  for (const StageTime& t : mode.stage_times) j["stage_times_ns"].push_back({t.alone.count(), t.beside.count()});
  j["stage_limits_ns"] = Json::array();
  for (const Duration limit : mode.stage_limits) j["stage_limits_ns"].push_back(limit.count());
  j["stage_loads_ns"] = Json::array();
  for (const StageLoad& load : mode.stage_loads)
    j["stage_loads_ns"].push_back({load.mean.count(), load.likely.count()});
  j["stage_watts"] = mode.stage_watts;
  j["joules"] = mode.joules;
  if (mode.loss) j["loss"] = *mode.loss;
  if (!mode.pressures.empty()) j["pressures"] = mode.pressures;
  if (mode.optional_from > 0) {
    j["optional_from"] = mode.optional_from;
    j["reaches"] = mode.reaches;
    if (!mode.leave_losses.empty()) j["leave_losses"] = mode.leave_losses;
  }
  return j;
}

/// Played faster or slower than the task file says, whose kind of arrivals it has.
Json arrivals_json(const ArrivalSpec& arrivals) {
  Json j{{"calm", {arrivals.calm.mean.count(), arrivals.calm.lasts.count()}},
         {"burst", {arrivals.burst.mean.count(), arrivals.burst.lasts.count()}},
         {"length", arrivals.length.count()},
         {"times", Json::array()}};
  for (const Duration time : arrivals.times) j["times"].push_back(time.count());
  return j;
}

Json task_json(const RunTask& task, const RunConfig& config, const fs::path& folder) {
  Json j;
  j["name"] = task.spec->name;
  j["priority"] = task.priority;
  j["utilisation"] = task.utilisation;
  j["period_ns"] = task.spec->period.count();
  j["deadline_ns"] = task.spec->deadline.count();
  j["jitter_ns"] = task.spec->jitter.count();
  j["offset_ns"] = task.spec->offset.count();
  if (task.spec->arrivals.kind != ArrivalSpec::Kind::periodic) j["arrivals_ns"] = arrivals_json(task.spec->arrivals);
  j["failures_to_fall_back"] = task.failures_to_fall_back;
  j["modes"] = {mode_json(task, config, folder)};
  for (const RunMode& mode : task.fallbacks) j["modes"].push_back(mode_json(mode, config, folder));
  return j;
}

std::int64_t whole(const Json& value, std::int64_t least, std::int64_t most, std::string_view what) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) ||
      value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
    bad_input(fmt::format("its {} is not a whole number from {} to {}", what, least, most));
  return value.get<std::int64_t>();
}

int small(const Json& j, const char* key, int least, int most) {
  return static_cast<int>(whole(j.at(key), least, most, key));
}

Duration time_of(const Json& j, const char* key, Duration least) {
  return Duration(whole(j.at(key), least.count(), kLongest, key));
}

/// The opposite of arrivals_json().
void take_arrivals(const Json& j, ArrivalSpec& arrivals) {
  const auto time = [&](const Json& value) { return Duration(whole(value, 0, kLongest, "time of arrivals")); };
  arrivals.calm = {time(j.at("calm").at(0)), time(j.at("calm").at(1))};
  arrivals.burst = {time(j.at("burst").at(0)), time(j.at("burst").at(1))};
  arrivals.length = time(j.at("length"));
  arrivals.times.clear();
  for (const Json& t : j.at("times")) arrivals.times.push_back(time(t));
  if ((arrivals.kind == ArrivalSpec::Kind::trace) == arrivals.times.empty())
    bad_input("the arrivals of one of its tasks are of another kind");
  const bool ascend =
      std::adjacent_find(arrivals.times.begin(), arrivals.times.end(), std::greater_equal<>()) == arrivals.times.end();
  if (!ascend || (!arrivals.times.empty() && arrivals.length <= arrivals.times.back()))
    bad_input("the arrivals of one of its tasks are not in order");
  if (arrivals.kind == ArrivalSpec::Kind::random && arrivals.calm.mean <= Duration{})
    bad_input("the arrivals of one of its tasks have no mean");
}

/// The bytes that were planned with: another model under the same name is another plan.
fs::path model_of(const Json& j, const fs::path& folder, const std::string& task) {
  const fs::path model = folder / j.at("model").get<std::string>();
  std::error_code ec;
  if (!fs::exists(model, ec)) bad_input(fmt::format("the model of task '{}' is gone: {}", task, model.string()));
  if (sha256_of_file(model) != j.at("model_sha256").get<std::string>())
    bad_input(fmt::format("the model of task '{}' is another one now: {}", task, model.string()));
  return model;
}

RunPlace place_from(const Json& j, const RunConfig& config) {
  RunPlace place;
  const std::string processor = j.at("processor");
  place.processor = -1;
  for (std::size_t p = 0; p < config.processors.size(); ++p)
    if (config.processors[p].name == processor) place.processor = static_cast<int>(p);
  if (place.processor < 0)
    bad_input(fmt::format("it names the processor '{}', which is not there", excerpt(processor)));
  place.threads = small(j, "threads", 1, 1024);
  place.slots = small(j, "slots", 1, config.processors[static_cast<std::size_t>(place.processor)].slots);
  return place;
}

RunMode mode_from(const Json& j, const TaskSpec& spec, const RunConfig& config, const fs::path& folder) {
  RunMode mode;
  mode.variant = j.at("variant");
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& [input, shape] : j.at("shapes").items()) shapes[input] = shape.get<std::vector<std::int64_t>>();
  mode.request = load_request(spec, model_of(j, folder, spec.name), shapes);
  mode.request.cuts = j.at("cuts").get<std::vector<int>>();
  if (mode.request.cuts.size() >= kMaxSegments) bad_input(fmt::format("task '{}' has too many segments", spec.name));
  mode.places.clear();
  for (const Json& place : j.at("places")) mode.places.push_back(place_from(place, config));
  if (mode.places.size() != 1 && mode.places.size() != mode.request.cuts.size() + 1)
    bad_input(fmt::format("task '{}' has {} places for {} segments", spec.name, mode.places.size(),
                          mode.request.cuts.size() + 1));
  for (const Json& t : j.at("stage_times_ns"))
    mode.stage_times.push_back(
        {Duration(whole(t.at(0), 0, kLongest, "stage time")), Duration(whole(t.at(1), 0, kLongest, "stage time"))});
  for (const Json& limit : j.at("stage_limits_ns"))
    mode.stage_limits.push_back(Duration(whole(limit, 0, kLongest, "stage limit")));
  for (const Json& load : j.at("stage_loads_ns"))
    mode.stage_loads.push_back({Duration(whole(load.at(0), 0, kLongest, "stage load")),
                                Duration(whole(load.at(1), 0, kLongest, "stage load"))});
  mode.stage_watts = j.at("stage_watts").get<std::vector<double>>();
  mode.joules = j.at("joules").get<double>();
  if (j.contains("loss")) mode.loss = j["loss"].get<double>();
  mode.pressures = j.value("pressures", std::vector<double>{});
  if (j.contains("optional_from")) {
    mode.request.exits = read_exits(load_model(mode.request.model));
    if (mode.request.exits.size() != mode.request.cuts.size())
      bad_input(fmt::format("the model of task '{}' has {} exits, not {}", spec.name, mode.request.exits.size(),
                            mode.request.cuts.size()));
    mode.optional_from = small(j, "optional_from", 1, kMaxStages);
    mode.reaches = j.at("reaches").get<std::vector<double>>();
    mode.leave_losses = j.value("leave_losses", std::vector<double>{});
  }
  const std::size_t stages = mode.request.cuts.size() + 3;
  for (const std::size_t given :
       {mode.stage_times.size(), mode.stage_limits.size(), mode.stage_loads.size(), mode.stage_watts.size()})
    if (given != 0 && given != stages)
      bad_input(fmt::format("task '{}' has watts or times of {} stages, not of {}", spec.name, given, stages));
  const auto is_power = [](double watts) { return watts >= 0 && watts < kMostWatts; };
  if (!is_power(mode.joules) || !std::all_of(mode.stage_watts.begin(), mode.stage_watts.end(), is_power))
    bad_input(fmt::format("task '{}' has watts or joules that cannot be", spec.name));
  return mode;
}

RunTask task_from(const Json& j, TaskSpec& spec, const RunConfig& config, const fs::path& folder) {
  if (j.at("name") != spec.name) bad_input(fmt::format("it is of other tasks than '{}'", spec.name));
  spec.period = time_of(j, "period_ns", Duration(1));
  spec.deadline = time_of(j, "deadline_ns", Duration(1));
  spec.jitter = time_of(j, "jitter_ns", Duration(0));
  spec.offset = time_of(j, "offset_ns", Duration(0));
  if (spec.arrivals.kind != ArrivalSpec::Kind::periodic) take_arrivals(j.at("arrivals_ns"), spec.arrivals);
  RunTask task;
  task.spec = &spec;
  task.priority = small(j, "priority", 1, kMaxTasks);
  task.utilisation = j.at("utilisation");
  task.failures_to_fall_back = small(j, "failures_to_fall_back", 0, std::numeric_limits<int>::max());
  const Json& modes = j.at("modes");
  if (!modes.is_array() || modes.empty() || modes.size() > kMaxModes)
    bad_input(fmt::format("task '{}' does not have 1 to {} modes", spec.name, kMaxModes));
  static_cast<RunMode&>(task) = mode_from(modes[0], spec, config, folder);
  for (std::size_t m = 1; m < modes.size(); ++m) task.fallbacks.push_back(mode_from(modes[m], spec, config, folder));
  return task;
}

void require_pressures(const RunMode& mode, std::size_t tasks) {
  const auto wrong = [](double p) { return !(p >= 0 && p <= 1); };
  if (!mode.pressures.empty() && mode.pressures.size() != tasks)
    bad_input(fmt::format("it has pressures of {} of {} tasks", mode.pressures.size(), tasks));
  if (std::any_of(mode.pressures.begin(), mode.pressures.end(), wrong))
    bad_input("it has a pressure that is not between 0 and 1");
}

Json rule_json(const EnergyRule& rule) {
  return {{"eta", rule.eta},
          {"mandatory_joules", rule.mandatory_joules},
          {"optional_joules", rule.optional_joules},
          {"capacity_joules", rule.capacity_joules}};
}

EnergyRule rule_from(const Json& j) {
  EnergyRule rule;
  rule.eta = j.at("eta").get<double>();
  rule.mandatory_joules = j.at("mandatory_joules").get<double>();
  rule.optional_joules = j.at("optional_joules").get<double>();
  rule.capacity_joules = j.at("capacity_joules").get<double>();
  return rule;
}

RunConfig config_from(const Json& j, TaskFile& file, const fs::path& folder) {
  RunConfig config;
  config.name = file.adapt ? "adaptive" : "rtmdl";
  config.processors = file.processors;
  config.host_processor = file.host_processor();
  config.energy.meter = file.energy.meter;
  config.energy.limit = file.energy.watts;
  if (file.energy.harvest) {
    config.energy.supply = make_supply(*file.energy.harvest);
    config.energy.rule = rule_from(j.at("energy_rule"));
  }
  config.notes = j.at("notes").get<std::vector<std::string>>();
  const Json& tasks = j.at("tasks");
  if (!tasks.is_array() || tasks.size() != file.tasks.size())
    bad_input(fmt::format("it does not have the {} tasks of the task file", file.tasks.size()));
  std::set<int> priorities;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    config.tasks.push_back(task_from(tasks[t], file.tasks[t], config, folder));
    require_pressures(config.tasks.back(), tasks.size());
    for (const RunMode& mode : config.tasks.back().fallbacks) require_pressures(mode, tasks.size());
    if (!priorities.insert(config.tasks.back().priority).second) bad_input("two of its tasks have the same priority");
  }
  return config;
}

}  // namespace

void save_compiled_plan(const fs::path& path, const TaskFile& file, const RunConfig& config) {
  Json j;
  j["compiled_plan"] = kFormat;
  j["task_file_sha256"] = file.sha256;
  j["notes"] = config.notes;
  if (config.energy.supply) j["energy_rule"] = rule_json(config.energy.rule);
  j["tasks"] = Json::array();
  for (const RunTask& task : config.tasks) j["tasks"].push_back(task_json(task, config, path.parent_path()));
  const std::string text = j.dump(2) + "\n";
  std::error_code ec;
  if (fs::exists(path, ec) && read_file(path) == text) return;
  write_file_atomically(path, text);
}

CompiledPlan load_compiled_plan(const fs::path& path, const fs::path& tasks) {
  CompiledPlan plan;
  plan.file = std::make_unique<TaskFile>(TaskFile::load(tasks));
  const std::string again = fmt::format("run `rtmdl plan {}`", tasks.string());
  std::error_code ec;
  if (!fs::exists(path, ec)) bad_input(fmt::format("{}: there is no plan yet: {}", path.string(), again));
  try {
    const Json j = Json::parse(read_file(path));
    if (j.at("compiled_plan") != kFormat) bad_input("it was written by another version of rtmdl");
    if (j.at("task_file_sha256") != plan.file->sha256) bad_input("the task file has changed since");
    plan.config = config_from(j, *plan.file, path.parent_path());
  } catch (const nlohmann::json::exception&) {
    bad_input(fmt::format("{}: not a compiled plan: {}", path.string(), again));
  } catch (const Error& e) {
    if (e.code() != ErrorCode::bad_input) throw;
    bad_input(fmt::format("{}: {}: {}", path.string(), e.what(), again));
  }
  return plan;
}

}  // namespace rtmdl
