#pragma once
/// A search by several processes: rank 0 has the problem, the others wait for it.

#include "planning/exchange.h"
#include "planning/planner.h"

namespace rtmdl {

/// Rank 0: plans with all ranks; `options.ranks` and the method (nsga2) are set here. Throws as plan() does.
[[nodiscard]] Plan plan_with_ranks(Exchange& exchange, const PlanProblem& problem, const PlanOptions& options,
                                   const Context& context);
/// Rank 0: ends the others' follow(), whatever became of the work. They return `status`.
void dismiss(Exchange& exchange, int status);
/// Every other rank: takes part in rank 0's searches until it is dismissed. What fails on all ranks is rank 0's to
/// report; a failure of this one alone is a warning here, and ends all ranks.
[[nodiscard]] int follow(Exchange& exchange, const Context& context);

}  // namespace rtmdl
