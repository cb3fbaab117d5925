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

}  // namespace rtmdl
