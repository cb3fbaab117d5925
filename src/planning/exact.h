#pragma once
/// Exact search: the least loss over all options and priority orders, with respect to the simulation (same seed, same
/// length).
///
/// Combinations of options come best first (A*: loss so far + the least loss of every task still open), so the first
/// for which some order keeps every limit is optimal. Left out are only combinations that cannot keep the limits
/// whatever the order: storage, memory, an option whose own times miss too often (Evaluator::possible), a processor
/// whose demand exceeds its capacity (Evaluator::demand).
///
/// Options are *not* dropped because another is faster, smaller and more accurate: with bounded queues, chains and
/// non-preemptive processors a shorter stage can make another task miss (a job that is no longer dropped takes time
/// from others), so dominance would not be exact.
///
/// Orders: deadline-monotonic first. When every processor in use is preemptive, a task is touched only by the tasks
/// above it, so orders are grown from the top and a prefix that breaks a limit ends all orders below it; prefixes are
/// remembered across combinations. Otherwise all n! orders are simulated, each until a limit breaks.

#include "planning/evaluator.h"

namespace rtmdl {

/// 16 tasks of up to 256 options is what a remembered prefix can name.
inline constexpr std::size_t kMostExactTasks = 16;
inline constexpr std::size_t kMostExactOptions = 256;

/// Whether the exact searches take a problem of this size.
[[nodiscard]] bool exact_is_open(const PlanProblem& problem);

/// Enters what it finds into the evaluator's book. True: the book's best is optimal, or it is proven that nothing is
/// feasible. False: the budget or the memory ended first.
bool search_exact(Evaluator& evaluator);

}  // namespace rtmdl
