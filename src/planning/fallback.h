#pragma once
/// What a task runs when its jobs fail: another variant, or the same elsewhere (`fallback` of the task file).

#include "planning/problem.h"

#include <cstddef>

namespace rtmdl {

/// The fastest option of PlanTask::fallback's kind; where any will do and an accelerator may be lost, the same variant
/// elsewhere comes first, else another one on the same processors. Null: there is none.
[[nodiscard]] const TaskOption* fallback_of(const PlanProblem& problem, const Choices& choices, std::size_t task);

}  // namespace rtmdl
