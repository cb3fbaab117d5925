#pragma once
/// Runs a strategy on the box: releases on an absolute grid, stages on processors, results scored, everything accounted
/// for.

#include "base/context.h"
#include "engine/engine.h"
#include "runtime/dispatcher.h"
#include "runtime/job_record.h"
#include "runtime/run_config.h"
#include "runtime/stall_probe.h"

#include "scheduling/run_report.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// Everything known after a run: the report, and what the trace is drawn from.
struct RunOutcome {
  RunReport report;
  std::vector<JobRecord> records;
  std::vector<Stall> stalls;
  std::vector<SchedulerEvent> events;
  SchedulerConfig scheduler;                            ///< the core's configuration: with `events`, a replay
  std::vector<std::string> processor_names;             ///< as in `records`
  std::vector<std::vector<std::string>> variant_names;  ///< of each task in each mode
  Time start{};
};

/// Loads and warms up every pipeline, plays, ends cleanly at the duration or when Context::stopping(). Throws Error
/// before the clock starts (models, data, devices); afterwards only if the job records cannot be written.
[[nodiscard]] RunOutcome run(Engine& engine, const RunConfig& config, std::uint64_t seed, const Context& context);

}  // namespace rtmdl
