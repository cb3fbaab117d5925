#pragma once
/// From the task file and its profile to what the planner works on.

#include "planning/problem.h"
#include "profiling/profiler.h"

#include <rtmdl/task_file.h>

#include <vector>

namespace rtmdl {

/// An option for each variant × processor × threads × segments: [pre on the host, the segments of infer on their
/// processor, post on the host], with
/// the times measured beside a busy neighbour. Left out: variants below accuracy.min (never the source), more threads
/// where they are not 1.3× faster than one, threads that the processor's cores cannot give to each of its slots. Throws
/// Error(bad_input) if a deadline cannot be met by any option even alone: names the fastest one's median and the
/// deadline.
[[nodiscard]] PlanProblem make_problem(const TaskFile& file, const std::vector<TaskProfile>& profile,
                                       Duration dispatch = std::chrono::microseconds(10));

}  // namespace rtmdl
