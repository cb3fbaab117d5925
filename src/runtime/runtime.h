#pragma once
/// Runs a strategy on the box: releases on an absolute grid, stages on processors, results scored, everything accounted
/// for.

#include "base/context.h"
#include "data/source.h"
#include "engine/engine.h"
#include "runtime/dispatcher.h"
#include "runtime/job_record.h"
#include "runtime/stall_probe.h"

#include <rtmdl/run_report.h>
#include <rtmdl/task_file.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// One task of a run, bound to a variant and a processor.
struct RunTask {
  const TaskSpec* spec = nullptr;
  std::string variant;
  LoadRequest request;     ///< what to load; threads and placement are filled in by run()
  int priority = 0;        ///< 1 the most urgent
  double utilisation = 0;  ///< for utilisation-monotonic orders
  int processor = 0;       ///< of the infer stage
  int threads = 1;
  int slots = 1;                       ///< that the infer stage takes
  std::vector<StageTime> stage_times;  ///< for packing (SchedulerTask); may be empty
  /// Scores results on a frame of the stream: filled for metrics. May be empty. Called from one thread.
  std::function<void(std::int64_t frame, const Result& result)> score;
  /// Accuracy of what was scored, and of the source model on the same frames. May be empty.
  std::function<std::pair<double, double>()> accuracy;
};

struct RunConfig {
  std::string name;  ///< of the policy, as reported
  Policy policy = Policy::fixed_priority;
  bool system_defaults = false;  ///< what people do today: a session per task with the library's defaults, a thread per
                                 ///< task, no priorities
  bool realtime = true;          ///< SCHED_FIFO, if permitted
  std::vector<ProcessorSpec> processors;
  int host_processor = 0;  ///< of pre and post
  std::vector<RunTask> tasks;
  std::optional<Duration> duration;  ///< absent: until Context::stop
  std::filesystem::path csv;         ///< job records; empty: none
  bool log_events = false;
};

/// Everything known after a run: the report, and what the trace is drawn from.
struct RunOutcome {
  RunReport report;
  std::vector<JobRecord> records;
  std::vector<Stall> stalls;
  std::vector<SchedulerEvent> events;
  SchedulerConfig scheduler;                 ///< the core's configuration: with `events`, a replay
  std::vector<std::string> processor_names;  ///< as in `records`
  Time start{};
};

/// Loads and warms up every pipeline, plays, ends cleanly at the duration or when Context::stopping(). Throws Error
/// before the clock starts (models, data, devices); afterwards only if the job records cannot be written.
[[nodiscard]] RunOutcome run(Engine& engine, const RunConfig& config, std::uint64_t seed, const Context& context);

}  // namespace rtmdl
