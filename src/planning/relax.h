#pragma once
/// When nothing is feasible: the smallest change of one thing that would make it so, in the user's units.
///
/// For each knob (deadline, miss rate, period and accuracy.min of the tasks that fall short in the nearest strategy;
/// slots of the processors; storage; memory; power; all times together) the least value on a grid of round figures for
/// which a search finds a strategy that keeps every limit: by bisection, so that the value found was seen feasible and
/// the one a step below it not. A probe first plays strategies that were feasible in other probes, then searches
/// without regard to accuracy loss, exactly where the space is small (there, and only there, a value below is proven
/// infeasible).

#include "planning/planner.h"

#include <vector>

namespace rtmdl {

/// `nearest`: what plan() gave for the problem. Empty if that is feasible, or nothing was found within
/// `options.budget`, which bounds the whole. Smallest first. Within three times the value (miss rates: up to 20 % or
/// ten times; slots: three more), storage, memory and power without end, all times together up to ten times.
[[nodiscard]] std::vector<Relaxation> smallest_relaxations(const PlanProblem& problem, const Plan& nearest,
                                                           const PlanOptions& options, const Context& context);

/// Whether some strategy keeps every limit, as far as the probe of smallest_relaxations() finds one.
[[nodiscard]] bool seems_feasible(const PlanProblem& problem, const PlanOptions& options, const Context& context);

}  // namespace rtmdl
