#pragma once
/// What strategies draw: idle, from the power of the processors, and beyond that what was metered of their stages, or
/// in proportion to the slots in use.

#include "planning/problem.h"

#include "scheduling/scheduler.h"

#include <optional>

namespace rtmdl {

/// Sets what a job of each option takes, from the mean times of its stages: to be called when these have changed.
void set_joules(PlanProblem& problem);

/// Whether it is known of every processor what it draws.
[[nodiscard]] bool knows_power(const PlanProblem& problem);
/// Of the box with nothing to do.
[[nodiscard]] double idle_watts(const PlanProblem& problem);
/// That jobs of an option draw beyond that, on average.
[[nodiscard]] double draw_watts(const PlanTask& task, const TaskOption& option);
/// That a stage draws beyond idle while it runs, with all its slots: as metered, else from its processor's power.
[[nodiscard]] double stage_watts(const PlanProblem& problem, const StageOption& stage);

/// With which energy stages of the chosen options begin, from the problem's supply, which is there. Where it does not
/// say: mandatory ones if the longest of them (p99) can end with all processors busy, but not more than nine tenths of
/// the capacity; optional ones with half of the capacity.
[[nodiscard]] EnergyRule energy_rule(const PlanProblem& problem, const Choices& choices);

}  // namespace rtmdl
