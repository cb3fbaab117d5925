#pragma once
/// Upper bounds on response times under fixed priority, for tasks whose deadlines must be proven.
///
/// Joseph and Pandya (1986) and Audsley et al. (1993) for one preemptive processor; Tindell and Clark (1994) for chains
/// of stages over several processors, where what a stage inherits from the ones before it is release jitter. Stage s of
/// task i on processor p, counted from its arrival there, is done within the least w > 0 with
///
///     w = B + Cᵢₛ + Σ over higher-priority stages (j, r) on p of n_jr(w)·Cⱼᵣ,     n_jr(w) = ⌈(w + J_jr) / Tⱼ⌉
///
/// J_jr is how much earlier or later than a period apart the stage may arrive: the bound on the end of the stage before
/// it (from the nominal release) minus the least time before it. If a higher-priority task has no bound within its
/// period, its jobs pile up in its queue and n_jr(w) = ⌈(w + J) / T⌉ + queue + 1: what is there when the window opens,
/// and what is released in it. B is 0 on a preemptive processor; elsewhere it is the longest stage of equal or lower
/// priority (equal: the task's own job before may push others into this one, Davis, Burns, Bril and Lukkien 2007). A
/// task's bound holds if it is within its period (then no job meets the one before it); otherwise it has none. With
/// several slots the bound is that of one slot: a stage never changes its slot, and what runs there before it or over
/// it while it waits arrived after the last moment at which the slot ran something less urgent; safe, and pessimistic.
///
/// n_jr counts arrivals before the end of the window for a first stage (a release comes after the completions of its
/// instant), and also those at its very end, ⌊(w + J_jr) / Tⱼ⌋ + 1, for a later one.
///
/// C is the largest observed time × kExecutionFactor + the dispatch cost: an assumption, not a measurement, and named
/// as such in every proof.

#include "planning/problem.h"

#include <optional>
#include <vector>

namespace rtmdl {

inline constexpr double kExecutionFactor = 1.2;

/// The bound of each task, from its nominal release; none where there is no proof. Tasks with priority 0 are left out,
/// as if they were not there.
[[nodiscard]] std::vector<std::optional<Duration>> response_bounds(const PlanProblem& problem, const Choices& choices,
                                                                   double execution_factor = kExecutionFactor);

}  // namespace rtmdl
