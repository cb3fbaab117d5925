#pragma once
/// From a task file, a policy and the choices it makes to what run() plays.

#include "planning/policies.h"
#include "planning/problem.h"
#include "profiling/scale_tasks.h"
#include "runtime/run_config.h"

#include "task/task_file.h"

#include <vector>

namespace rtmdl {

/// Keeps pointers into `file`. Scores, duration and job records are the caller's to fill in.
/// Throws Error(bad_input) if a chosen variant is not among `variants`.
[[nodiscard]] RunConfig make_run_config(const TaskFile& file, const PolicyInfo& policy, const PlanProblem& problem,
                                        const Choices& choices, const std::vector<TaskVariants>& variants);

/// The modes of each task that are chosen by load, lighter and lighter.
[[nodiscard]] std::vector<std::vector<int>> lighter_modes(const RunConfig& config);
/// Priorities stay as they are when models are loaded: the back-end's threads, and streams of a device, keep theirs.
[[nodiscard]] bool order_is_fixed(const RunConfig& config);

}  // namespace rtmdl
