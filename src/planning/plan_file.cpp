#include "planning/plan_file.h"

#include "base/atomic_file.h"
#include "base/excerpt.h"
#include "base/hash.h"

#include <rtmdl/error.h>

#include <cmath>
#include <cstdint>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using Json = nlohmann::ordered_json;

void feed(std::string& text, const TimeDistribution& times) {
  for (const Duration d : times.sorted) text += fmt::format("{},", d.count());
  text += ';';
}

/// The limit of power, and what the box lives on.
void feed(std::string& text, const PlanProblem& problem) {
  text += fmt::format("{}|", problem.power_limit.value_or(-1));
  if (!problem.supply) return;
  const EnergySupply& s = *problem.supply;
  text += fmt::format("{},{},{},{},{},{},{}:", s.capacitor.capacity, s.capacitor.start, s.capacitor.least,
                      s.capacitor.efficiency, s.eta, s.mandatory.value_or(-1), s.optional.value_or(-1));
  for (const HarvestTrace::Piece& piece : s.trace.pieces)
    text += fmt::format("{},{},", piece.lasts.count(), piece.watts);
}

Json task_json(const PlannedTask& t, const PlanTask& task) {
  const TaskOption& option = task.options[static_cast<std::size_t>(t.choice.option)];
  Json j;
  j["name"] = task.name;
  j["variant"] = option.variant;
  j["processor"] = option.processor;
  j["threads"] = option.threads;
  j["segments"] = segments_of(option);
  j["slots"] = slots_of(option);
  j["priority"] = t.choice.priority;
  j["miss_rate"] = t.miss_rate;
  j["expected_miss_rate"] = t.expected_miss_rate;
  j["expected_miss_rate_95"] = t.expected_miss_rate_95;
  j["accuracy_loss"] = t.accuracy_loss;
  j["utilisation"] = t.utilisation;
  if (t.response_bound) j["response_bound_ns"] = t.response_bound->count();
  return j;
}

/// A float would be cast, whatever it is.
std::int64_t whole_number(const Json& j, const char* key) {
  const Json& value = j.at(key);
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX))
    bad_input(fmt::format("its {} is not a whole number", key));
  return value.get<std::int64_t>();
}

PlannedTask task_from(const Json& j, const PlanTask& task) {
  PlannedTask t;
  t.choice.option = -1;
  for (std::size_t o = 0; o < task.options.size(); ++o) {
    const TaskOption& option = task.options[o];
    if (option.variant == j.at("variant") && option.processor == j.at("processor") &&
        option.threads == j.at("threads") && segments_of(option) == j.at("segments") &&
        slots_of(option) == j.at("slots"))
      t.choice.option = static_cast<int>(o);
  }
  if (t.choice.option < 0)
    bad_input(fmt::format("the plan names the variant '{}' of task '{}', which the profile does not have",
                          excerpt(j.at("variant").get<std::string>()), task.name));
  const std::int64_t priority = whole_number(j, "priority");
  if (priority < 1 || priority > INT32_MAX)
    bad_input(fmt::format("the priority of task '{}' is {}", task.name, priority));
  t.choice.priority = static_cast<int>(priority);
  t.miss_rate = j.at("miss_rate");
  t.expected_miss_rate = j.at("expected_miss_rate");
  t.expected_miss_rate_95 = j.at("expected_miss_rate_95");
  t.accuracy_loss = j.at("accuracy_loss");
  t.utilisation = j.at("utilisation").get<std::vector<double>>();
  if (j.contains("response_bound_ns")) t.response_bound = Duration(whole_number(j, "response_bound_ns"));
  return t;
}

ParetoPoint point_from(const Json& j, const PlanProblem& problem) {
  ParetoPoint point{j.at("accuracy_loss"), j.at("miss_rate"), j.at("feasible"), j.at("chosen"), {}};
  if (!j.contains("choices")) return point;
  for (const Json& c : j.at("choices")) {
    const std::size_t task = point.choices.size();
    const auto whole = [&](std::size_t part, std::size_t least, std::size_t most) {
      const Json& value = c.at(part);
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() < least || value.get<std::uint64_t>() > most)
        bad_input("a point of its front is of another problem");
      return static_cast<int>(value.get<std::uint64_t>());
    };
    if (task >= problem.tasks.size()) bad_input("a point of its front is of another problem");
    const int option = whole(0, 0, problem.tasks[task].options.size() - 1);
    point.choices.push_back({option, whole(1, 1, problem.tasks.size())});
  }
  if (point.choices.size() != problem.tasks.size()) bad_input("a point of its front is of another problem");
  return point;
}

/// 1 to n, each once, as planning gives them.
void require_priorities(const Plan& plan) {
  std::set<int> seen;
  for (const PlannedTask& t : plan.tasks) seen.insert(t.choice.priority);
  if (seen.size() != plan.tasks.size() || (!seen.empty() && *seen.rbegin() != static_cast<int>(plan.tasks.size())))
    bad_input(fmt::format("its priorities are not 1 to {}, each once", plan.tasks.size()));
}

}  // namespace

std::string plan_key(const PlanProblem& problem, const PlanOptions& options) {
  std::string text =
      fmt::format("plan 9|{}|{}|{}|{}|{}|{}|{}|", options.method, options.simulated.count(), options.seed,
                  options.margin, options.budget.count(), options.miss_weight, options.front);
  text += fmt::format("{}|{}|{}|", problem.storage.value_or(-1), problem.memory.value_or(-1), problem.dispatch.count());
  text += fmt::format("{}:", problem.stalls.per_second);
  feed(text, problem);
  for (const std::vector<Duration>& stall : problem.stalls.lasting)
    for (const Duration d : stall) text += fmt::format("{},", d.count());
  text += fmt::format("{}:{}:", fmt::join(problem.slow_downs.demand, ","), fmt::join(problem.slow_downs.factor, ","));
  for (const PlanProcessor& p : problem.processors)
    text += fmt::format("{},{},{},{},{},{},{},{}|", p.name, p.preemptive, p.slots, p.dispatch.count(), p.realtime_share,
                        p.correlation, p.power ? p.power->busy : -1, p.power ? p.power->idle : -1);
  for (const PlanTask& t : problem.tasks) {
    text +=
        fmt::format("{},{},{},{},{},{},{},{},{},{}|", t.name, t.period.count(), t.deadline.count(), t.jitter.count(),
                    t.offset.count(), t.miss_rate_limit, t.hard, t.weight, t.queue, static_cast<int>(t.late));
    if (t.arrivals.kind != ArrivalSpec::Kind::periodic || t.after.task >= 0) {
      const ArrivalSpec& a = t.arrivals;
      text += fmt::format("{},{},{},{},{},{},{},{},{},{}:", static_cast<int>(a.kind), a.calm.mean.count(),
                          a.calm.lasts.count(), a.burst.mean.count(), a.burst.lasts.count(), a.length.count(),
                          t.after.task, t.after.per_detection, t.after.most, t.interval.count());
      for (const Duration time : a.times) text += fmt::format("{},", time.count());
    }
    for (const std::uint8_t boxes : t.detections) text += fmt::format("{},", boxes);
    for (const TaskOption& o : t.options) {
      text += fmt::format("{},{},{},{},{},{},{},{},{},{}:", fmt::join(o.cuts, "+"), o.correlation, o.variant, o.content,
                          o.processor, o.threads, o.accuracy, o.accuracy_loss, o.bytes, o.memory);
      text += fmt::format("{},{},{},{}:", o.alone, o.kind, o.demand, o.slow_down);
      for (const StageOption& s : o.stages) {
        text += fmt::format("{},{},{},{}:", s.processor, s.slots, s.longest.count(), s.shortest.count());
        if (s.watts) text += fmt::format("{} W:", *s.watts);
        feed(text, s.times);
        feed(text, s.alone);
      }
    }
  }
  return sha256(text);
}

void save_plan(const std::filesystem::path& path, const Plan& plan, const PlanProblem& problem,
               const std::string& key) {
  Json j;
  j["key"] = key;
  j["feasible"] = plan.feasible;
  j["reason"] = plan.reason;
  j["accuracy_loss"] = plan.accuracy_loss;
  j["miss_rate"] = plan.miss_rate;
  j["bytes"] = plan.bytes;
  if (plan.watts) j["watts"] = *plan.watts;
  j["method"] = plan.method;
  j["ranks"] = plan.ranks;
  j["space"] = plan.space;
  j["evaluated"] = plan.evaluated;
  j["seconds"] = plan.seconds;
  j["proven_optimal"] = plan.proven_optimal;
  j["model"] = plan.model;
  j["loss_bound"] = plan.loss_bound;
  j["tasks"] = Json::array();
  for (std::size_t t = 0; t < plan.tasks.size(); ++t) j["tasks"].push_back(task_json(plan.tasks[t], problem.tasks[t]));
  j["pareto"] = Json::array();
  for (const ParetoPoint& p : plan.pareto) {
    Json point{
        {"accuracy_loss", p.accuracy_loss}, {"miss_rate", p.miss_rate}, {"feasible", p.feasible}, {"chosen", p.chosen}};
    for (const Choice& c : p.choices) point["choices"].push_back({c.option, c.priority});
    j["pareto"].push_back(std::move(point));
  }
  if (plan.relaxations) {
    j["relaxations"] = Json::array();
    for (const Relaxation& r : *plan.relaxations)
      j["relaxations"].push_back(
          {{"what", r.what}, {"task", r.task}, {"from", r.from}, {"to", r.to}, {"size", r.size}, {"text", r.text}});
  }
  write_file_atomically(path, j.dump(2) + "\n");
}

std::optional<Plan> load_plan(const std::filesystem::path& path, const PlanProblem& problem, const std::string& key) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) return std::nullopt;
  try {
    const Json j = Json::parse(read_file(path));
    if (j.at("key") != key) return std::nullopt;
    Plan plan;
    plan.feasible = j.at("feasible");
    plan.reason = j.at("reason");
    plan.accuracy_loss = j.at("accuracy_loss");
    plan.miss_rate = j.at("miss_rate");
    plan.bytes = whole_number(j, "bytes");
    if (j.contains("watts")) plan.watts = j["watts"].get<double>();
    plan.method = j.at("method");
    plan.ranks = j.value("ranks", 1);
    plan.space = j.at("space");
    plan.evaluated = whole_number(j, "evaluated");
    plan.seconds = j.at("seconds");
    plan.proven_optimal = j.at("proven_optimal");
    plan.model = j.at("model");
    plan.loss_bound = j.at("loss_bound");
    if (j.at("tasks").size() != problem.tasks.size()) bad_input("it has another number of tasks");
    for (std::size_t t = 0; t < problem.tasks.size(); ++t)
      plan.tasks.push_back(task_from(j.at("tasks")[t], problem.tasks[t]));
    require_priorities(plan);
    for (const Json& p : j.at("pareto")) plan.pareto.push_back(point_from(p, problem));
    if (j.contains("relaxations")) {
      plan.relaxations.emplace();
      for (const Json& r : j.at("relaxations"))
        plan.relaxations->push_back({r.at("what"), r.at("task"), r.at("from"), r.at("to"), r.at("size"), r.at("text")});
    }
    return plan;
  } catch (const Json::exception& e) {
    bad_input(fmt::format("{}: not a plan ({}); delete it and run `rtmdl plan` again", path.string(), e.what()));
  } catch (const Error& e) {
    bad_input(fmt::format("{}: not this task file's plan: {}; delete it and run `rtmdl plan` again", path.string(),
                          e.what()));
  }
}

}  // namespace rtmdl
