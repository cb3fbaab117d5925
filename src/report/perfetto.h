#pragma once
/// A run in Perfetto's own format (https://perfetto.dev), which ui.perfetto.dev and trace_processor read. What trace.h
/// shows, without its limit, in a tenth of the bytes, and with exact times on the machine's monotonic clock, so that it
/// can be laid beside a trace of the system.
///
/// One process, the run. Under it: "processors", a track per slot; "tasks", a track per task (of the same name where
/// jobs overlap: viewers show them as one); a track per core that stalled; counters of the jobs in the system and of
/// misses. A flow leads from each job over its stages. An instant at the start, "run", says what was recorded and what
/// was lost.

#include "report/trace.h"

namespace rtmdl {

/// Whole or not at all; `tasks` in the order of the run's task indices. Memory: some 100 bytes a job.
/// Throws Error(bad_input) if it cannot be written.
TraceSummary write_perfetto(const std::filesystem::path& path, const RunOutcome& outcome,
                            const std::vector<TaskInfo>& tasks);

}  // namespace rtmdl
