#pragma once
/// Choices of options that are best by utilisation alone: where searches start. Nothing is simulated.
///
/// minimise Σ loss subject to Σ utilisation_p ≤ room_p on every processor and the bounds of storage, memory and power:
/// a multiple-choice knapsack with as many constraints as resources. At prices λ of the resources each task takes its
/// option of least loss + λ·use (Lagrangian relaxation, Fisher 1981); what is too much is taken away and what is left
/// filled greedily, by loss per use (Sinha and Zoltners 1979), and pairs of options are exchanged. Near the optimum for
/// many tasks, where one option more or less is little.

#include "planning/evaluator.h"

#include <vector>

namespace rtmdl {

/// The best found for `room` of each processor (1: all of it). Where nothing fits, what is least beyond it. Priorities
/// are 0.
[[nodiscard]] Choices relaxation(const Evaluator& evaluator, const std::vector<double>& room, std::uint64_t seed);

/// And every other distinct choice met on a ladder of prices, equal for all resources. Those that fit come first, the
/// least loss first, then the others, the least overloaded first; at least one.
[[nodiscard]] std::vector<Choices> relaxations(const Evaluator& evaluator, const std::vector<double>& room);

}  // namespace rtmdl
