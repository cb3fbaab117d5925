#pragma once
/// Choices of options that are best by utilisation alone: where searches start.
///
/// minimise Σ loss subject to Σ utilisation_p ≤ room_p on every processor: a multiple-choice knapsack with as many
/// constraints as processors. For a ladder of prices λ (Lagrangian relaxation, Fisher 1981) each task takes its option
/// of least loss + λ·utilisation, on the emptiest processor; what is too much on one is taken away and what is left
/// filled greedily, by loss per utilisation (Sinha and Zoltners 1979). Near the optimum for many tasks, where one
/// option more or less is little.

#include "planning/evaluator.h"

#include <vector>

namespace rtmdl {

/// Options for `room` of each processor (1: all of it); priorities are 0. Where nothing fits, the lightest found.
[[nodiscard]] Choices relaxed_choices(const Evaluator& evaluator, const std::vector<double>& room);

}  // namespace rtmdl
