#pragma once
/// What a policy would do on this box, told by the simulator from the profile.

#include "planning/policies.h"
#include "planning/problem.h"

#include <rtmdl/run_report.h>

#include <cstdint>

namespace rtmdl {

/// The report that a run of this length and seed should give. Not for policies with `system_defaults`: what the
/// operating system decides is not simulated.
[[nodiscard]] RunReport predict(const PolicyInfo& policy, const PlanProblem& problem, const Choices& choices,
                                Duration length, std::uint64_t seed);

}  // namespace rtmdl
