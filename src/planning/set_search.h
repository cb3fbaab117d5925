#pragma once
/// Exact search over variants and priorities, set by set: the least loss for which Audsley's assignment finds an order.
///
/// Model. Task i keeps its limit below a set H of more urgent tasks if it does when H stand in deadline- or in
/// rate-monotonic order (Evaluator::holds_below; hard: if its response bound below H holds). What else is needed for
/// Audsley's optimal priority assignment (1991) is taken to hold as well: another task above, or a variant whose times
/// are nowhere shorter, never helps. On one preemptive processor without drops both are facts; with chains, bounded
/// queues and non-preemptive processors they hold but for rare anomalies. What is found is simulated in its own order
/// before it counts, and small spaces are searched again without these assumptions (exact.h).
///
/// Search. Best first over partial choices of variants (A*), bounded by lagrangian_bound.h. A partial choice with the
/// lightest variants elsewhere for which no order holds ends all that extend it; the set of tasks among which none can
/// be the least urgent is remembered with everything heavier (a nogood).

#include "planning/evaluator.h"

namespace rtmdl {

struct SetSearchResult {
  bool complete = false;  ///< the book's best is optimal under the model, or nothing is feasible under it
  double bound = 0;       ///< no strategy of the model has less loss
};

/// Enters what it finds into the evaluator's book. At most kMostExactTasks tasks of kMostExactOptions options.
SetSearchResult search_by_sets(Evaluator& evaluator);

}  // namespace rtmdl
