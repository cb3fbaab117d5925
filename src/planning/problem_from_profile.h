#pragma once
/// From the task file and its profile to what the planner works on.

#include "planning/problem.h"
#include "profiling/profiler.h"

#include "task/task_file.h"

#include <vector>

namespace rtmdl {

/// An option for each variant × processor × threads × segments: [pre on the host, the segments of infer on their
/// processor, post on the host], with the times measured beside a busy neighbour. A stage takes as many of its
/// processor's slots as its threads need of the cores that slots share, and one of an accelerator. Left out: variants
/// below accuracy.min (never the source), more threads where they are not 1.3× faster than one or where the kernel
/// orders by deadline. Throws
/// Error(bad_input) if a deadline cannot be met by any option even alone: names the fastest one's median and the
/// deadline.
[[nodiscard]] PlanProblem make_problem(const TaskFile& file, const std::vector<TaskProfile>& profile,
                                       Duration dispatch = std::chrono::microseconds(10));

}  // namespace rtmdl
