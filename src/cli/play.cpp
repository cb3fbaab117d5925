#include "cli/play.h"

#include "base/units.h"
#include "calibration/answer_requests.h"
#include "calibration/planned_run.h"
#include "calibration/replan.h"
#include "energy/energy_meter.h"
#include "planning/predict.h"
#include "report/perfetto.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr Duration kSimulatedRuns = std::chrono::minutes(10);  ///< in all, to expect what a run misses

}  // namespace

void require_meter(const TaskFile& file) {
  if (file.energy.meter != MeterKind::constant) static_cast<void>(open_meter(file.energy.meter, MonotonicClock::now()));
}

References make_references(Session& session, std::optional<Duration> duration) {
  References references;
  for (const TaskSpec& task : session.file().tasks) {
    if (task.after.task >= 0) {
      references.push_back(nullptr);
      continue;
    }
    const std::size_t jobs = duration ? static_cast<std::size_t>(*duration / task.period) + 1 : kStreamFrames;
    references.push_back(
        std::make_unique<StreamReferences>(session.engine(), task, session.options().seed, jobs, session.context()));
  }
  session.check_complete("the preparation of the run");
  return references;
}

RunOutcome play(Session& session, const PolicyInfo& policy, std::optional<Duration> duration, References& references) {
  const PlanProblem& problem = session.problem();
  const Plan no_plan;
  const Plan& plan = policy.variants == VariantChoice::planned ? session.plan() : no_plan;
  if (policy.variants == VariantChoice::planned && !plan.feasible)
    session.context().warn(fmt::format("no strategy is feasible ({}); running the nearest", plan.reason));
  const LoadedOptions loaded = session.loaded(policy, choices_for(policy, problem, plan));
  const Choices& choices = loaded.choices;
  RunConfig config = make_run_config(session.file(), policy, problem, choices, session.variants());
  config.duration = duration;
  config.slowdowns = session.options().slowdowns;
  const std::string name(policy.name);
  config.csv = session.workspace().runs() / (name + ".csv");
  TransitionGate gate;
  const std::unique_ptr<Requests> requests = session.requests(policy, loaded, order_is_fixed(config));
  if (requests) {
    config.gate = &gate;
    config.supervise = AnswerRequests(config, *requests, gate);
  } else if (policy.adapts && policy.order == Policy::fixed_priority) {
    config.supervise = Replanner(config, problem, choices, session.plan_options());
  }
  std::vector<std::unique_ptr<LiveScore>> scores;
  for (std::size_t t = 0; t < config.tasks.size(); ++t) {
    if (!references[t]) {
      config.notes.push_back(fmt::format("{}: its accuracy is the profile's; what other tasks give it is not scored",
                                         problem.tasks[t].name));
      continue;
    }
    scores.push_back(std::make_unique<LiveScore>(*references[t]));
    LiveScore* score = scores.back().get();
    config.tasks[t].score = [score](std::int64_t frame, const Result& result) { score->add(frame, result); };
    config.tasks[t].accuracy = [score] { return score->value(); };
  }
  RunOutcome outcome = run(session.engine(), config, session.options().seed, session.context());
  if (requests) outcome.report.changes = requests->report();
  if (!policy.system_defaults) {
    const Duration played = from_seconds(outcome.report.seconds);
    const auto runs = static_cast<int>(std::clamp<std::int64_t>(kSimulatedRuns / std::max(played, Duration(1)), 1, 16));
    const std::vector<ExpectedMisses> expected = expected_misses(
        policy, problem, choices, played, session.options().seed, runs, session.options().slowdowns, requests.get());
    for (std::size_t t = 0; t < expected.size(); ++t) outcome.report.tasks[t].predicted_miss_rate = expected[t].mean;
  }
  const std::vector<TaskInfo> infos = task_infos(session.file());
  write_trace(session.workspace().runs() / (name + ".trace.json"), outcome, infos);
  write_perfetto(session.workspace().runs() / (name + ".pftrace"), outcome, infos);
  return outcome;
}

std::string trace_line(const Session& session, const std::string& policy) {
  const std::filesystem::path runs = session.workspace().runs();
  return fmt::format("trace:  {}, {} (ui.perfetto.dev opens either)", (runs / (policy + ".pftrace")).string(),
                     (runs / (policy + ".trace.json")).string());
}

bool within_limits(Session& session, const RunReport& report) {
  bool kept = true;
  if (report.energy && over_budget(*report.energy) > kSameBudget) {
    kept = false;
    session.context().warn(fmt::format("{}: the box drew {} on average; its budget is {}", report.policy,
                                       format_watts(report.energy->watts), format_watts(*report.energy->limit)));
  }
  for (std::size_t t = 0; t < report.tasks.size(); ++t) {
    const double limit = session.file().tasks[t].miss_rate;
    if (report.tasks[t].miss_rate <= limit) continue;
    kept = false;
    session.context().warn(fmt::format("{}: {} missed {} of its jobs; its limit is {}", report.policy,
                                       report.tasks[t].name, format_percent(report.tasks[t].miss_rate),
                                       format_percent(limit)));
  }
  return kept;
}

}  // namespace rtmdl
