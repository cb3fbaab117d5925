#pragma once
/// The plan on disk: JSON that people can read and compare, which `run`, `simulate` and `compare` take their strategy
/// from.

#include "planning/planner.h"
#include "planning/problem.h"

#include <filesystem>
#include <optional>
#include <string>

namespace rtmdl {

/// What a plan depends on: the problem (times included) and the options that change its result. A plan with another key
/// is out of date.
[[nodiscard]] std::string plan_key(const PlanProblem& problem, const PlanOptions& options);

/// Atomic.
void save_plan(const std::filesystem::path& path, const Plan& plan, const PlanProblem& problem, const std::string& key);

/// Absent: no file. Throws Error(bad_input): not a plan. A plan with another key gives an empty optional as well (it is
/// out of date).
[[nodiscard]] std::optional<Plan> load_plan(const std::filesystem::path& path, const PlanProblem& problem,
                                            const std::string& key);

}  // namespace rtmdl
