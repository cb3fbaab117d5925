#pragma once
/// From the task file and its profile to what the planner works on.

#include "planning/problem.h"
#include "profiling/profiler.h"

#include "task/task_file.h"

#include <vector>

namespace rtmdl {

/// Between releases of each task, on average; of one that runs after another as often as that gives it work when none
/// of its jobs is late (where that is not known: as often as can be).
[[nodiscard]] std::vector<Duration> mean_intervals(const TaskFile& file, const std::vector<TaskProfile>& profile);

/// An option for each variant × processor × threads × segments: [pre on the host, the segments of infer on their
/// processor, post on the host], with the times measured beside a busy neighbour, longer where a pair that was measured
/// is slower still; of a task with `split` also for each place × pair of processors that the model may be split over. A
/// stage takes as many of its processor's slots as its threads need of the cores that slots share, and one of an
/// accelerator; where it is 1.3× faster with nothing beside it there, there is an option that takes them all. Left out:
/// variants below accuracy.min (never the source), more threads where they are not 1.3× faster than one or where the
/// kernel orders by deadline, splits that
/// leave a processor as much to do as the whole model would there, or both more than another place does. Throws
/// Error(bad_input) if a deadline cannot be met by any option even alone (after the fastest of the tasks before it):
/// names the fastest one's median and the deadline.
[[nodiscard]] PlanProblem make_problem(const TaskFile& file, const std::vector<TaskProfile>& profile,
                                       Duration dispatch = std::chrono::microseconds(10));

}  // namespace rtmdl
