#pragma once
/// How much the tasks ask of the box before anything is scaled.

#include "profiling/profiler.h"

#include "task/task_file.h"

#include <vector>

namespace rtmdl {

/// Time that the source models need, with one thread each on the processor that suits them best, as a share of what all
/// processors' slots give; pre- and post-processing included. Above 1 no schedule of the source models meets every
/// deadline; well below 1 one need not exist either.
[[nodiscard]] double source_load(const TaskFile& file, const std::vector<TaskProfile>& profile);

}  // namespace rtmdl
