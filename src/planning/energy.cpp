#include "planning/energy.h"

#include <algorithm>

namespace rtmdl {

double stage_watts(const PlanProblem& problem, const StageOption& stage) {
  const PlanProcessor& on = problem.processors[index(stage.processor)];
  if (stage.watts) return *stage.watts;
  return on.power ? on.power->of_slot(on.slots) * stage.slots : 0;
}

void set_joules(PlanProblem& problem) {
  for (PlanTask& task : problem.tasks)
    for (std::vector<TaskOption>* options : {&task.options, &task.refused})
      for (TaskOption& option : *options) {
        option.joules = 0;
        for (const StageOption& stage : option.stages)
          option.joules +=
              load_seconds(stage, dispatch_cost(problem, stage.processor)) / stage.slots * stage_watts(problem, stage);
      }
}

bool knows_power(const PlanProblem& problem) {
  return std::all_of(problem.processors.begin(), problem.processors.end(),
                     [](const PlanProcessor& p) { return p.power.has_value(); });
}

double idle_watts(const PlanProblem& problem) {
  double sum = 0;
  for (const PlanProcessor& p : problem.processors) sum += p.power ? p.power->idle : 0;
  return sum;
}

double draw_watts(const PlanTask& task, const TaskOption& option) {
  return option.joules / to_seconds(mean_interval(task));
}

EnergyRule energy_rule(const PlanProblem& problem, const Choices& choices) {
  constexpr double kNearlyAll = 0.99, kMostStored = 0.9, kOptional = 0.5;
  const EnergySupply& supply = problem.supply.value();
  const double capacity = supply.capacitor.capacity;
  double busy = 0, longest = 0;
  for (const PlanProcessor& p : problem.processors) busy += p.power ? p.power->busy : 0;
  for (std::size_t t = 0; t < choices.size(); ++t)
    for (const StageOption& stage : problem.tasks[t].options[index(choices[t].option)].stages)
      longest = std::max(longest, to_seconds(stage.times.quantile(kNearlyAll)));
  EnergyRule rule;
  rule.eta = supply.eta;
  rule.mandatory_joules =
      supply.mandatory.value_or(std::min(supply.capacitor.least + busy * longest, kMostStored * capacity));
  rule.capacity_joules = capacity;
  rule.optional_joules = supply.optional.value_or(kOptional * capacity);
  return rule;
}

}  // namespace rtmdl
