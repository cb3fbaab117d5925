#pragma once
/// Whether earliest-deadline-first keeps every deadline: the processor demand criterion (Baruah, Rosier and Howell
/// 1990).
///
/// In an interval of length t, jobs whose release and deadline both lie in it need at most
///
///     h(t) = Σ over tasks with D − J ≤ t of (⌊(t + J − D)/T⌋ + 1)·C
///
/// (a job released J late has only D − J left). All deadlines are kept if B(t) + h(t) ≤ t for every t ≥ min(D − J),
/// where B(t) is the longest stage that cannot be stopped of a task with D > t: it may have begun just before (Jeffay,
/// Stanat and Martel 1991; for jobs of several pieces Baruah 2005). On preemptive processors B = 0 and the condition is
/// also necessary. It is looked at from the largest deadline down with jumps: QPA (Zhang and Burns 2009), once for each
/// range of t in which B is constant.

#include "planning/problem.h"
#include "planning/response_time.h"

#include <string>

namespace rtmdl {

struct EdfVerdict {
  enum class Outcome {
    schedulable,
    demand_exceeds,  ///< more is asked for in `interval` than fits
    not_applicable,  ///< the criterion says nothing about such a set: `reason`
    undecided        ///< too close to a full processor to be decided in reasonable time
  };
  Outcome outcome = Outcome::schedulable;
  int processor = -1;    ///< that is overfull
  Duration interval{};   ///< that fails
  Duration demand{};     ///< h of it
  Duration blocking{};   ///< B of it
  std::string reason{};  ///< one sentence; empty if schedulable
};

/// h(interval) of the tasks whose chain lies on the processor.
[[nodiscard]] Duration edf_demand(const PlanProblem& problem, const Choices& choices, int processor, Duration interval,
                                  double execution_factor = kExecutionFactor);

/// For sets in which every task's chain lies on one processor with one slot (each may have its own). Priorities are not
/// looked at.
[[nodiscard]] EdfVerdict edf_schedulable(const PlanProblem& problem, const Choices& choices,
                                         double execution_factor = kExecutionFactor);

}  // namespace rtmdl
