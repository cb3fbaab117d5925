#pragma once
/// From the job records of a run to what the planning model can learn from them. Pure.

#include "planning/model_correction.h"
#include "planning/problem.h"
#include "runtime/job_record.h"
#include "runtime/stall_probe.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rtmdl {

/// What was run, and what came of it.
struct RunRecords {
  std::span<const JobRecord> jobs;
  const std::vector<Stall>& stalls;     ///< by start
  std::vector<std::vector<int>> cores;  ///< per processor of the problem; empty: any core
  std::uint64_t seed = 0;               ///< of the releases
  /// When stalls were looked for; empty: they were not.
  struct {
    Time from{}, to{};
  } watched{};
};

/// A stage's time is from its start to its end without what ran over it on its slot (preemption), what starting that
/// cost, and what the machine's stalls took. Jobs that a stall hit are left out, unless stalls hit more than a quarter
/// of their task's jobs: that is then how this machine is, and only the stalls' time is taken out. Only completed jobs
/// count. The dispatch cost of a stage is the time from when it could start (released, the stage before it ended, the
/// slot free) to when it did. Moments (planning/correlation.h) are those of the clock.
/// Stalls of several cores that overlap are one; what the kernel does to real-time threads that have used their share
/// of a second is none.
[[nodiscard]] Observation observe(const RunRecords& run, const PlanProblem& problem, const Choices& choices);

}  // namespace rtmdl
