#pragma once
/// Strategies that an evolutionary search starts from. Nothing is simulated here.

#include "planning/evaluator.h"
#include "planning/genome.h"

#include <vector>

namespace rtmdl {

/// The largest utilisation of the chosen options, over all processors, first; ties by index.
[[nodiscard]] std::vector<int> utilisation_monotonic_order(const Evaluator& evaluator, const Choices& choices);

/// The relaxations (relaxation.h) that leave some room, in deadline-, rate- and utilisation-monotonic order, the most
/// promising first: distinct, at most `most`, at least one.
[[nodiscard]] std::vector<Choices> first_strategies(const Evaluator& evaluator, const Genome& genome, std::size_t most);

}  // namespace rtmdl
