#pragma once
/// Heuristic search for spaces too large to be searched whole.
///
/// Starts from the least loss with deadline-monotonic priorities, then climbs (climb.h); where nothing holds so, lowers
/// one option at a time, the one that relieves the processors of the tasks that miss the most for the least loss (a few
/// of the best by that estimate are simulated); then a seeded local search: raise an option, exchange two tasks'
/// options, move a stage to another processor, change the order. Every accepted step is better by Score. With many
/// tasks it and climbing take turns.

#include "planning/evaluator.h"

#include <random>

namespace rtmdl {

/// Enters what it finds into the evaluator's book. Ends after `patience` simulations without a better strategy, or out
/// of time.
void search_descent(Evaluator& evaluator, std::uint64_t seed, int patience);
/// Its local search alone, from `start`.
void polish(Evaluator& evaluator, const Strategy& start, std::uint64_t seed, int patience);

}  // namespace rtmdl
