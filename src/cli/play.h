#pragma once
/// Playing a policy on the box, as `run` and `compare` do.

#include "calibration/live_score.h"
#include "cli/session.h"
#include "planning/policies.h"
#include "runtime/runtime.h"

#include <memory>
#include <string>
#include <vector>

namespace rtmdl {

/// What the source models say on the frames that are played: computed once for all policies of a command. Null of tasks
/// that run after others: what they are given depends on the run.
using References = std::vector<std::unique_ptr<StreamReferences>>;
[[nodiscard]] References make_references(Session& session, std::optional<Duration> duration);

/// Throws Error(missing_device) unless the energy meter that the task file names is there.
void require_meter(const TaskFile& file);

/// Runs one policy; job records go to the workspace's runs/POLICY.csv, the trace to runs/POLICY.pftrace and
/// runs/POLICY.trace.json.
[[nodiscard]] RunOutcome play(Session& session, const PolicyInfo& policy, std::optional<Duration> duration,
                              References& references);

/// "trace:  …/rtmdl.pftrace, …/rtmdl.trace.json (ui.perfetto.dev opens either)"
[[nodiscard]] std::string trace_line(const Session& session, const std::string& policy);

/// Whether every task keeps its limit; says which does not.
[[nodiscard]] bool within_limits(Session& session, const RunReport& report);

}  // namespace rtmdl
