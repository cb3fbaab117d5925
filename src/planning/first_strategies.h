#pragma once
/// Strategies that an evolutionary search starts from. Nothing is simulated here.

#include "planning/evaluator.h"
#include "planning/genome.h"

#include <vector>

namespace rtmdl {

/// Tasks by period; ties by index.
[[nodiscard]] std::vector<int> rate_monotonic_order(const PlanProblem& problem);
/// The largest utilisation of the chosen options, over all processors, first; ties by index.
[[nodiscard]] std::vector<int> utilisation_monotonic_order(const Evaluator& evaluator, const Choices& choices);

/// Distinct combinations of open options that are optimal for some prices of the resources (Lagrangian relaxation of
/// the multiple-choice knapsack: each task takes the option with the least loss + Σ price·share; resources are the
/// processors, and storage and memory where they are bounded). Those that fit come first, the least loss first, then
/// the others, the least overloaded first. Priorities are not set.
[[nodiscard]] std::vector<Choices> relaxations(const Evaluator& evaluator, const Genome& genome);

/// The least losses, the fastest options and `relaxations` in deadline-, rate- and utilisation-monotonic order, the
/// most promising first: distinct, at most `most`, at least one.
[[nodiscard]] std::vector<Choices> first_strategies(const Evaluator& evaluator, const Genome& genome, std::size_t most);

}  // namespace rtmdl
