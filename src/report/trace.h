#pragma once
/// A run as Chrome JSON, which ui.perfetto.dev and chrome://tracing open. Times count from the start of the run.
///
/// Process "processors": a track per processor and slot; a stage that another displaced contains it. Process "tasks": a
/// track per task, its jobs from release to finish (more tracks only where jobs of one task overlap), deadlines and
/// misses as instants, a counter of misses. Process "machine": a track per core that stalled. Flows lead from a job's
/// release over its stages to its finish.

#include "report/task_info.h"
#include "runtime/runtime.h"

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace rtmdl {

struct TraceOptions {
  std::size_t event_limit = 1'000'000;  ///< about 150 MB; viewers do not like more. Names and stalls come on top
};

struct TraceSummary {
  std::size_t events = 0;
  std::size_t jobs = 0;           ///< in the trace
  std::size_t jobs_left_out = 0;  ///< by the limit; the trace says so itself
};

/// `tasks` in the order of the run's task indices.
[[nodiscard]] std::string trace_json(const RunOutcome& outcome, const std::vector<TaskInfo>& tasks,
                                     const TraceOptions& options = {}, TraceSummary* summary = nullptr);
/// Whole or not at all. Throws Error(bad_input) if it cannot be written.
TraceSummary write_trace(const std::filesystem::path& path, const RunOutcome& outcome,
                         const std::vector<TaskInfo>& tasks, const TraceOptions& options = {});

}  // namespace rtmdl
