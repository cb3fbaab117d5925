#include "planning/policies.h"

#include "planning/simulator.h"

#include "task/config_node.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {

const std::vector<PolicyInfo>& policies() {
  static const std::vector<PolicyInfo> all{
      {"rtmdl", "the plan: one variant and one priority per task, chosen jointly", Policy::fixed_priority,
       VariantChoice::planned},
      {"adaptive", "the plan, and lighter variants job by job while the box cannot keep up with it",
       Policy::fixed_priority, VariantChoice::planned, false, true},
      {"default",
       "what people do today: source models, a session per task with ONNX Runtime's defaults, a thread per task, no "
       "priorities",
       Policy::fifo, VariantChoice::source, true},
      {"dm-nmc", "source models, deadline-monotonic priorities (the paper's DM-NMC)", Policy::deadline_monotonic,
       VariantChoice::source},
      {"rm-nmc", "source models, rate-monotonic priorities", Policy::rate_monotonic, VariantChoice::source},
      {"um-nmc", "source models, the largest utilisation first (the paper's UM-NMC)", Policy::utilisation_monotonic,
       VariantChoice::source},
      {"edf-nmc", "source models, earliest deadline first", Policy::edf, VariantChoice::source},
      {"fifo-nmc", "source models, first come first served", Policy::fifo, VariantChoice::source},
      {"dm-mc", "every model at its fastest acceptable variant, deadline-monotonic (the paper's DM-MC)",
       Policy::deadline_monotonic, VariantChoice::compressed},
      {"edf-adaptive",
       "source models, earliest deadline first, lighter variants when a miss is predicted (Pantheon's rule)",
       Policy::edf, VariantChoice::source, false, true},
      {"zygarde",
       "models with early exits, else the source models; deadline, utility and what is stored decide what runs "
       "(Zygarde's rule)",
       Policy::zygarde, VariantChoice::exits},
      {"edf", "the plan's variants, earliest deadline first", Policy::edf, VariantChoice::planned},
      {"fifo", "the plan's variants, first come first served", Policy::fifo, VariantChoice::planned},
  };
  return all;
}

const PolicyInfo& find_policy(std::string_view name) {
  std::vector<std::string_view> names;
  for (const PolicyInfo& p : policies()) {
    if (p.name == name) return p;
    names.push_back(p.name);
  }
  const std::string near = nearest_word(name, names);
  bad_input(fmt::format("unknown policy '{}'{}; accepted are {}", name,
                        near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near), fmt::join(names, ", ")));
}

namespace {

constexpr double kMostSimulated = 256;
constexpr Duration kSimulated = std::chrono::seconds(10);

/// Of all placements of the chosen variants, where they are few, the one with which the policy is simulated to miss
/// least; the given one where nothing is better. (A balanced placement may fill the processor that every job's
/// pre-processing needs.)
Choices least_missed(const PlanProblem& problem, Policy order, const Choices& given) {
  std::vector<std::vector<int>> ways(given.size());
  double placements = 1;
  for (std::size_t t = 0; t < given.size(); ++t) {
    const std::vector<TaskOption>& options = problem.tasks[t].options;
    const TaskOption& chosen = options[static_cast<std::size_t>(given[t].option)];
    ways[t].push_back(given[t].option);
    for (std::size_t o = 0; o < options.size(); ++o)
      if (options[o].variant == chosen.variant && options[o].cuts.empty() && static_cast<int>(o) != given[t].option)
        ways[t].push_back(static_cast<int>(o));
    placements *= static_cast<double>(ways[t].size());
  }
  if (placements > kMostSimulated) return given;
  Simulator simulator(problem);
  SimulationOptions options;
  options.policy = order;
  options.length = kSimulated;
  Choices trial = given, best = given;
  double least = 2;  // more than every job
  for (std::size_t k = 0; k < static_cast<std::size_t>(placements); ++k) {
    std::size_t rest = k;
    for (std::size_t t = 0; t < trial.size(); ++t) {
      trial[t].option = ways[t][rest % ways[t].size()];
      rest /= ways[t].size();
    }
    if (const double missed = simulator.run(trial, options).miss_rate(); missed < least) least = missed, best = trial;
  }
  return best;
}

}  // namespace

Choices choices_for(const PolicyInfo& policy, const PlanProblem& problem, const Plan& plan) {
  Choices choices;
  switch (policy.variants) {
    case VariantChoice::planned: choices = choices_of(plan); break;
    case VariantChoice::source: choices = source_choices(problem); break;
    case VariantChoice::exits: choices = exit_choices(problem); break;
    case VariantChoice::compressed: choices = compressed_choices(problem); break;
  }
  const bool fixed = policy.variants == VariantChoice::planned || policy.variants == VariantChoice::exits;
  if (!fixed && !policy.system_defaults) choices = least_missed(problem, policy.order, choices);
  if (policy.order == Policy::fixed_priority || choices.empty()) return choices;
  std::vector<SchedulerTask> tasks(problem.tasks.size());
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    tasks[t].period = mean_interval(problem.tasks[t]);
    tasks[t].deadline = problem.tasks[t].deadline;
    tasks[t].utilisation =
        utilisation(problem.tasks[t], problem.tasks[t].options[static_cast<std::size_t>(choices[t].option)]);
  }
  const std::vector<int> priorities = assign_priorities(policy.order, tasks);
  for (std::size_t t = 0; t < choices.size(); ++t) choices[t].priority = priorities[t];
  return choices;
}

}  // namespace rtmdl
