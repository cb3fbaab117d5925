#pragma once
/// What was measured pair by pair, brought into a problem.

#include "planning/problem.h"
#include "profiling/profiler.h"

#include <vector>

namespace rtmdl {

/// Fills PlanProblem::slow_downs and the options' kinds. Where an option can run beside one that slows it down by more
/// than its times beside a neighbour say (TaskOption::slow_down), these become as much longer: searches and proofs rest
/// on them.
void take_pairs(PlanProblem& problem, const std::vector<TaskProfile>& profile);

}  // namespace rtmdl
