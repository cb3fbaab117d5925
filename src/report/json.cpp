#include "report/json.h"

#include "planning/energy.h"
#include "report/calibration.h"
#include "report/describe.h"
#include "report/json_number.h"

#include <nlohmann/json.hpp>

#include <fmt/format.h>

namespace rtmdl {
namespace {

using Json = nlohmann::ordered_json;

Json milliseconds(Duration d) { return json_number(to_ms(d)); }

Json bytes_or_null(std::optional<std::int64_t> bytes) { return bytes ? Json(*bytes) : Json(nullptr); }

Json number_or_null(const std::optional<double>& x) { return x ? json_number(*x) : Json(nullptr); }

std::string dumped(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace); }

Json stage_json(const StageSummary& s) {
  return {{"min", milliseconds(s.min)},
          {"p50", milliseconds(s.p50)},
          {"p99", milliseconds(s.p99)},
          {"max", milliseconds(s.max)}};
}

Json stalls_json(const StallReport& s) { return {{"count", s.count}, {"of", s.of}, {"max_ms", milliseconds(s.worst)}}; }

Json variant_json(const Variant& v) {
  Json json;
  json["id"] = v.id;
  json["width"] = json_number(v.width);
  json["depth"] = json_number(v.depth);
  json["resolution"] = json_number(v.resolution);
  json["precision"] = v.precision;
  json["bytes"] = v.bytes;
  json["shared_bytes"] = v.shared_bytes;
  json["accuracy"] = json_number(v.accuracy);
  json["accuracy_loss"] = json_number(v.accuracy_loss);
  json["path"] = v.path.string();
  json["median_ms"] = milliseconds(v.median);
  json["note"] = v.note;
  if (v.exits.none()) return json;
  json["exits"] = Json::array();
  for (const EarlyExit& exit : v.exits.at)
    json["exits"].push_back({{"output", exit.rule.output},
                             {"measure", sure_measure_name(exit.rule.measure)},
                             {"threshold", json_number(exit.rule.threshold)},
                             {"leaves", json_number(exit.leaves)},
                             {"accuracy", json_number(exit.accuracy)}});
  json["whole_accuracy"] = json_number(v.exits.whole_accuracy);
  return json;
}

Json profile_variant_json(const VariantProfile& v) {
  const StageSummary infer = summary(v.infer);
  Json json;
  json["id"] = v.id;
  json["processor"] = v.processor;
  json["threads"] = v.threads;
  json["segments"] = segments_of(v);
  if (!v.split.empty()) {
    json["parts"] = Json::array();
    for (std::size_t k = 0; k < v.split.size(); ++k)
      json["parts"].push_back({{"processor", v.split[k]}, {"ms", stage_json(summary(v.segment_times[k]))}});
  }
  json["ms"] = stage_json(infer);
  if (!v.exits.none()) {
    json["units"] = Json::array();
    const std::vector<double> reach = v.exits.reach();
    for (std::size_t k = 0; k < v.segment_times.size(); ++k)
      json["units"].push_back({{"run_by", json_number(reach[k])}, {"ms", stage_json(summary(v.segment_times[k]))}});
    json["mean_ms"] = milliseconds(mean_of_units(v));
  }
  json["samples"] = infer.samples;
  json["alone_ms"] = stage_json(summary(only_alone(v.infer)));
  json["pre_ms"] = stage_json(summary(v.pre));
  json["post_ms"] = stage_json(summary(v.post));
  json["interference"] = json_number(v.interference);
  json["demand"] = json_number(v.demand);
  json["representative"] = v.representative;
  json["slow_downs"] = Json::array();
  for (const SlowDown& s : v.slow_downs)
    json["slow_downs"].push_back(
        {{"task", s.task}, {"variant", s.variant}, {"processor", s.processor}, {"factor", json_number(s.factor)}});
  json["stalls"] = stalls_json(v.infer.stalls);
  json["accuracy"] = json_number(v.accuracy);
  json["accuracy_loss"] = json_number(v.accuracy_loss);
  json["bytes"] = v.bytes;
  if (v.joules) json["energy"] = {{"joules", json_number(*v.joules)}, {"from", v.metered ? "measured" : "model"}};
  json["memory_bytes"] = v.memory;
  json["reused"] = v.reused;
  return json;
}

/// Where the segments of a split model run, and how long.
Json parts_json(const TaskOption& option, const PlanProblem& problem) {
  Json parts = Json::array();
  for (std::size_t s = 1; s + 1 < option.stages.size(); ++s) {
    const StageOption& stage = option.stages[s];
    parts.push_back({{"processor", problem.processors[static_cast<std::size_t>(stage.processor)].name},
                     {"ms", milliseconds(stage.times.quantile(0.5))}});
  }
  return parts;
}

Json planned_task_json(const PlannedTask& planned, const PlanTask& task, const PlanProblem& problem) {
  const TaskOption& option = chosen_option(planned, task);
  Json json;
  json["name"] = task.name;
  json["variant"] = option.variant;
  json["priority"] = planned.choice.priority;
  json["processor"] = option.processor;
  json["segments"] = segments_of(option);
  if (is_split(option)) json["parts"] = parts_json(option, problem);
  json["slots"] = slots_of(option);
  json["threads"] = option.threads;
  json["accuracy"] = json_number(option.accuracy);
  json["accuracy_loss"] = json_number(planned.accuracy_loss);
  json["miss_rate"] = json_number(planned.miss_rate);
  json["expected_miss_rate"] = json_number(planned.expected_miss_rate);
  json["expected_miss_rate_95"] = json_number(planned.expected_miss_rate_95);
  json["miss_rate_limit"] = json_number(task.miss_rate_limit);
  Json utilisation = Json::object();
  for (std::size_t p = 0; p < problem.processors.size() && p < planned.utilisation.size(); ++p)
    utilisation[problem.processors[p].name] = json_number(planned.utilisation[p]);
  json["utilisation"] = std::move(utilisation);
  json["response_bound_ms"] = planned.response_bound ? milliseconds(*planned.response_bound) : Json(nullptr);
  if (knows_power(problem)) json["joules"] = json_number(option.joules);
  return json;
}

Json optional_milliseconds(const std::optional<Duration>& d) { return d ? milliseconds(*d) : Json(nullptr); }

std::string_view name_of(BoundDetail::Method method) {
  switch (method) {
    case BoundDetail::Method::busy_period: return "busy_period";
    case BoundDetail::Method::last_segment: return "last_segment";
    case BoundDetail::Method::by_visit: return "by_visit";
    case BoundDetail::Method::whole_chain: return "whole_chain";
    case BoundDetail::Method::none: break;
  }
  return "none";
}

std::string_view name_of(ProofTerm::Kind kind) {
  switch (kind) {
    case ProofTerm::Kind::jitter: return "jitter";
    case ProofTerm::Kind::own: return "own";
    case ProofTerm::Kind::blocking: return "blocking";
    case ProofTerm::Kind::interference: return "interference";
    case ProofTerm::Kind::kernel_stop: return "kernel_stop";
    case ProofTerm::Kind::later_release: break;
  }
  return "later_release";
}

Json proof_object(const Proof& p) {
  Json json;
  json["task"] = p.task;
  json["variant"] = p.variant;
  json["priority"] = p.priority;
  json["hard"] = p.hard;
  json["proven"] = p.proven();
  json["bound_ms"] = optional_milliseconds(p.bound);
  json["deadline_ms"] = milliseconds(p.deadline);
  json["slack_ms"] = optional_milliseconds(p.slack());
  json["method"] = name_of(p.method);
  json["growth"] = p.growth ? json_number(*p.growth) : Json(nullptr);
  json["assumption"] = p.assumption;
  json["trouble"] = p.trouble;
  json["predicted_miss_rate"] = p.predicted_miss_rate ? json_number(*p.predicted_miss_rate) : Json(nullptr);
  json["terms"] = Json::array();
  for (const ProofTerm& t : p.terms) {
    json["terms"].push_back({{"kind", name_of(t.kind)},
                             {"processor", t.processor.empty() ? Json(nullptr) : Json(t.processor)},
                             {"task", t.task},
                             {"count", t.count},
                             {"each_ms", milliseconds(t.each)},
                             {"total_ms", milliseconds(t.total)}});
  }
  json["more_accurate"] = Json::array();
  for (const ProofAlternative& a : p.larger) {
    json["more_accurate"].push_back({{"variant", a.variant},
                                     {"processor", a.processor},
                                     {"threads", a.threads},
                                     {"segments", a.segments},
                                     {"accuracy", json_number(a.accuracy)},
                                     {"accuracy_loss", json_number(a.accuracy_loss)},
                                     {"bound_ms", optional_milliseconds(a.bound)},
                                     {"proven", a.proven},
                                     {"breaks", a.breaks}});
  }
  return json;
}

Json point_json(const ParetoPoint& p, const PlanProblem& problem) {
  Json json{{"accuracy_loss", json_number(p.accuracy_loss)},
            {"miss_rate", json_number(p.miss_rate)},
            {"feasible", p.feasible},
            {"chosen", p.chosen}};
  json["variants"] = Json::object();
  for (std::size_t i = 0; i < p.choices.size() && i < problem.tasks.size(); ++i)
    json["variants"][problem.tasks[i].name] =
        problem.tasks[i].options.at(static_cast<std::size_t>(p.choices[i].option)).variant;
  return json;
}

Json task_json(const TaskReport& t) {
  Json json;
  json["name"] = t.name;
  json["variant"] = t.variant;
  json["priority"] = t.priority;
  json["released"] = t.released;
  json["completed"] = t.completed;
  json["missed"] = t.missed;
  json["dropped"] = t.dropped;
  json["failed"] = t.failed;
  json["abandoned"] = t.abandoned;
  json["missed_in_stalls"] = t.stalled;
  json["miss_rate"] = json_number(t.miss_rate);
  if (t.mean_miss_rate) {
    json["mean_miss_rate"] = json_number(*t.mean_miss_rate);
    json["mean_miss_rate_95"] = json_number(t.mean_miss_rate_95);
  }
  if (t.predicted_miss_rate) json["predicted_miss_rate"] = json_number(*t.predicted_miss_rate);
  json["accuracy"] = json_number(t.accuracy);
  json["effective_accuracy"] = json_number(t.effective_accuracy);
  json["accuracy_loss"] = json_number(t.accuracy_loss);
  json["switches"] = t.switches;
  if (!t.variants.empty()) {
    json["variants"] = Json::array();
    for (const VariantShare& v : t.variants)
      json["variants"].push_back({{"variant", v.variant}, {"completed", v.completed}});
  }
  json["throttled"] = t.throttled;
  if (t.joules) json["joules"] = json_number(*t.joules);
  json["response_ms"] = {{"p50", json_number(t.response.p50_ms)},
                         {"p99", json_number(t.response.p99_ms)},
                         {"max", json_number(t.response.max_ms)}};
  return json;
}

Json change_json(const ChangeReport& c) {
  Json json{{"asked", c.asked},
            {"at_s", json_number(c.at_s)},
            {"answer", c.answer},
            {"reason", c.reason},
            {"effective_s", c.effective_s ? json_number(*c.effective_s) : Json(nullptr)},
            {"between_jobs", c.between_jobs},
            {"held_back", c.held_back}};
  json["variants"] = Json::array();
  for (const ChangeReport::Swap& s : c.swaps)
    json["variants"].push_back(
        {{"task", s.task}, {"from", s.from}, {"to", s.to}, {"accuracy_loss", json_number(s.accuracy_loss)}});
  return json;
}

Json energy_json(const EnergyReport& e) {
  Json json{{"meter", e.meter},
            {"joules", json_number(e.joules)},
            {"watts", json_number(e.watts)},
            {"limit", number_or_null(e.limit)}};
  if (e.by_model) json["watts_by_model"] = json_number(*e.by_model);
  if (e.harvest)
    json["harvest"] = {{"eta", json_number(e.harvest->eta)},
                       {"harvested_joules", json_number(e.harvest->harvested)},
                       {"left_joules", json_number(e.harvest->left)},
                       {"off_seconds", json_number(e.harvest->off)}};
  return json;
}

Json run_object(const RunReport& r) {
  Json json;
  json["policy"] = r.policy;
  json["seconds"] = json_number(r.seconds);
  json["released"] = r.released;
  json["missed"] = r.missed;
  json["miss_rate"] = json_number(r.miss_rate);
  json["accuracy_loss"] = json_number(r.accuracy_loss);
  json["preemption"] = r.preemption;
  json["machine_stalls"] = {
      {"count", r.stalls.count}, {"max_ms", json_number(r.stalls.max_ms)}, {"missed", r.stalls.missed}};
  json["tasks"] = Json::array();
  for (const TaskReport& t : r.tasks) json["tasks"].push_back(task_json(t));
  json["processors"] = Json::array();
  for (const ProcessorReport& p : r.processors) {
    Json processor{{"name", p.name}, {"busy", json_number(p.busy)}};
    if (p.slowdown) processor["slowdown"] = json_number(*p.slowdown);
    if (p.at_once) processor["packing"] = {{"at_once", json_number(*p.at_once)}, {"gain", json_number(*p.gain)}};
    if (!p.kernel.empty()) processor["kernel"] = p.kernel;
    json["processors"].push_back(std::move(processor));
  }
  if (r.trace)
    json["trace"] = {{"records", r.trace->records},
                     {"lost", r.trace->lost},
                     {"collector_cpu_ms", json_number(r.trace->collector_cpu_ms)}};
  if (!r.changes.empty()) {
    json["changes"] = Json::array();
    for (const ChangeReport& c : r.changes) json["changes"].push_back(change_json(c));
  }
  if (r.energy) json["energy"] = energy_json(*r.energy);
  json["notes"] = r.notes;
  return json;
}

}  // namespace

std::string scale_json(const ScaleReport& report) {
  Json json;
  json["storage"] = {{"bytes", report.bytes}, {"limit", bytes_or_null(report.limit)}};
  json["tasks"] = Json::array();
  for (const TaskFront& front : report.tasks) {
    const TaskVariants& t = front.family;
    Json task;
    task["name"] = t.task;
    task["synthetic"] = front.synthetic;
    task["variants"] = Json::array();
    for (const Variant& v : t.variants) task["variants"].push_back(variant_json(v));
    task["refused"] = t.refused;
    task["dropped"] = t.dropped;
    task["reused"] = t.reused;
    task["finished"] = t.finished;
    json["tasks"].push_back(std::move(task));
  }
  return dumped(json);
}

std::string profile_json(const std::vector<TaskProfile>& tasks) {
  Json json;
  json["tasks"] = Json::array();
  for (const TaskProfile& t : tasks) {
    Json task;
    task["name"] = t.name;
    task["variants"] = Json::array();
    for (const VariantProfile& v : t.variants) task["variants"].push_back(profile_variant_json(v));
    json["tasks"].push_back(std::move(task));
  }
  return dumped(json);
}

std::string proof_json(const Proof& proof) { return dumped(proof_object(proof)); }

std::string plan_json(const Plan& plan, const PlanProblem& problem, const Proof* proof,
                      const Calibration* calibration) {
  Json json;
  json["feasible"] = plan.feasible;
  json["reason"] = plan.reason;
  json["objective"] = {{"accuracy_loss", json_number(plan.accuracy_loss)}, {"miss_rate", json_number(plan.miss_rate)}};
  json["storage"] = {{"bytes", plan.bytes}, {"limit", bytes_or_null(problem.storage)}};
  if (plan.watts)
    json["energy"] = {{"watts", json_number(*plan.watts)}, {"limit", number_or_null(problem.power_limit)}};
  json["search"] = {{"method", plan.method},
                    {"space", json_number(plan.space)},
                    {"evaluated", plan.evaluated},
                    {"seconds", json_number(plan.seconds)},
                    {"proven_optimal", plan.proven_optimal},
                    {"model", plan.model},
                    {"loss_bound", json_number(plan.loss_bound)}};
  json["tasks"] = Json::array();
  for (std::size_t i = 0; i < plan.tasks.size() && i < problem.tasks.size(); ++i)
    json["tasks"].push_back(planned_task_json(plan.tasks[i], problem.tasks[i], problem));
  json["pareto"] = Json::array();
  for (const ParetoPoint& p : plan.pareto) json["pareto"].push_back(point_json(p, problem));
  json["relaxations"] = Json::array();
  for (const Relaxation& r : plan.relaxations.value_or(std::vector<Relaxation>{}))
    json["relaxations"].push_back(
        {{"what", r.what}, {"task", r.task}, {"from", r.from}, {"to", r.to}, {"text", r.text}});
  if (proof != nullptr) json["proof"] = proof_object(*proof);
  if (calibration != nullptr) json["calibration"] = calibration_object(*calibration, problem);
  return dumped(json);
}

std::string run_json(const RunReport& report) { return dumped(run_object(report)); }

std::string compare_json(const std::string& workload, double source_load, const std::vector<RunReport>& policies) {
  Json json;
  json["workload"] = workload;
  json["source_load"] = json_number(source_load);
  json["policies"] = Json::array();
  for (const RunReport& r : policies) json["policies"].push_back(run_object(r));
  return dumped(json);
}

}  // namespace rtmdl
