#pragma once
/// "What if the box had only N cores": on the problem, so that nothing is measured again.

#include "planning/problem.h"

#include "task/task_file.h"

#include <vector>

namespace rtmdl {

/// Throws Error(bad_input) unless `cores` is from 1 to the number of cores that `processors` name.
void require_cores(const std::vector<ProcessorSpec>& processors, int cores);

/// Of the cores that `processors` name, in that order, the first `cores` stay. A cpu processor keeps those of its cores
/// that stay, at most as many slots, and the options whose threads these can give. One that loses all its cores becomes
/// one with the processor of the last core that stays: its stages run there, with the times that were measured on their
/// own cores. An option that takes all slots of its processor goes on doing so. Accelerators stay as they are, and so
/// do options that are split over processors which keep all cores; others of that kind go. `processors` are those of
/// the problem, in its order. Throws as require_cores() does.
[[nodiscard]] PlanProblem with_cores(const PlanProblem& problem, const std::vector<ProcessorSpec>& processors,
                                     int cores);

}  // namespace rtmdl
