#include "cli/calibrate.h"

#include "base/units.h"
#include "calibration/observe.h"
#include "calibration/planned_run.h"
#include "planning/policies.h"
#include "runtime/runtime.h"

#include <fmt/format.h>

namespace rtmdl {
namespace {

Played play_choices(Session& session, const Choices& choices, Duration length, std::uint64_t seed) {
  const PlanProblem& problem = session.profiled_problem();
  TaskFile file = session.file();
  for (TaskSpec& task : file.tasks) {
    task.late = measured_with(task.late);
    task.fallback.after = 0;  // what is measured is the strategy
  }
  RunConfig config = make_run_config(file, find_policy("rtmdl"), problem, choices, session.variants());
  config.duration = length;
  Context context = session.context();
  context.progress = {};  // of loading and playing: a round has its own
  const RunOutcome outcome = run(session.engine(), config, seed, context);
  Played played;
  played.length = from_seconds(outcome.report.seconds);
  for (const TaskReport& t : outcome.report.tasks) played.tasks.push_back({t.released, t.missed, t.stalled});
  RunRecords records{outcome.records, outcome.stalls, {}, seed, {}};
  if (outcome.report.preemption == "kernel") records.watched = {outcome.start, outcome.start + played.length};
  for (const ProcessorSpec& p : config.processors) records.cores.push_back(p.cores);
  played.observed = observe(records, problem, choices);
  return played;
}

}  // namespace

Calibration calibrate_session(Session& session) {
  CalibrateOptions options;
  if (session.options().calibrate_for) options.play = *session.options().calibrate_for;
  if (session.options().margin) options.margin = *session.options().margin;
  const PlanProblem& profiled = session.profiled_problem();
  const WorkspaceLock lock(session.workspace(), session.context());  // what others measure would be in the times
  for (const PlanTask& task : profiled.tasks)
    if (task.offset + 20 * mean_interval(task) > options.play)
      session.context().warn(
          fmt::format("{} is released fewer than 20 times in {}: its miss rates will say little; --calibrate-for takes "
                      "longer plays",
                      task.name, format_duration(options.play)));
  const Play play = [&](const Choices& choices, Duration length, std::uint64_t seed) {
    return play_choices(session, choices, length, seed);
  };
  return calibrate(
      profiled, session.correction(), session.plan_options(), options, play,
      [&](const ModelCorrection& correction) { session.correct(correction); }, session.context());
}

}  // namespace rtmdl
