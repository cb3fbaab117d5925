#pragma once
/// The policies that `run`, `simulate` and `compare` know by name, and what each makes of a task set.

#include "planning/planner.h"
#include "planning/problem.h"

#include "scheduling/scheduler.h"

#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

enum class VariantChoice {
  planned,     ///< the plan's variants
  source,      ///< the original models
  exits,       ///< models with early exits; the original ones where there are none
  compressed,  ///< every model at its fastest acceptable variant
};

struct PolicyInfo {
  std::string_view name;
  std::string_view summary;  ///< one line, for --help
  Policy order = Policy::fixed_priority;
  VariantChoice variants = VariantChoice::source;
  bool system_defaults = false;
  bool adapts = false;  ///< jobs may be given lighter variants as load changes (planning/lighter.h)
};

[[nodiscard]] const std::vector<PolicyInfo>& policies();
/// Throws Error(bad_input): unknown; names the nearest.
[[nodiscard]] const PolicyInfo& find_policy(std::string_view name);

/// Options and priorities of every task under a policy. `plan` is used by policies with planned variants. The
/// baselines' models are placed so that they are simulated to miss least or, where there are too many placements to
/// try, so that the fullest processor is as empty as can be: both are kinder to them than the paper's one accelerator.
[[nodiscard]] Choices choices_for(const PolicyInfo& policy, const PlanProblem& problem, const Plan& plan);

}  // namespace rtmdl
