#include "planning/simulated_energy.h"

#include "planning/energy.h"
#include "planning/event_times.h"
#include "planning/simulator.h"

#include <algorithm>

namespace rtmdl {

SimulatedEnergy::SimulatedEnergy(const PlanProblem& problem) : problem_(problem), idle_watts_(idle_watts(problem)) {
  for (const PlanTask& task : problem.tasks)
    for (const TaskOption& option : task.options)
      for (const StageOption& stage : option.stages) drawn_ |= stage_watts(problem, stage) > 0;
}

EnergyRule SimulatedEnergy::reset(const Choices& choices, Duration length, bool supply_counts) {
  supply_.reset();
  next_look_ = last_end_ = EventTimes::kNever;
  if (!supply_counts || !problem_.supply) return {};
  const EnergyRule rule = energy_rule(problem_, choices);
  eta_ = rule.eta;
  Duration longest{};
  for (const PlanTask& task : problem_.tasks) longest = std::max(longest, task.deadline);
  last_end_ = (length + longest).count();
  next_look_ = kSupplyLook.count();
  supply_.emplace(*problem_.supply, rule.mandatory_joules);
  watts_ = idle_watts_;
  return rule;
}

void SimulatedEnergy::look() noexcept {
  supply_->advance(Duration(next_look_), watts_);
  supply_->look();
  next_look_ += kSupplyLook.count();
}

void SimulatedEnergy::draw(std::int64_t now, double watts) noexcept {
  supply_->advance(Duration(now), watts_);
  watts_ = watts;
}

void SimulatedEnergy::report(SimulationOutcome& outcome) noexcept {
  outcome.joules = idle_watts_ * outcome.seconds;
  for (const TaskOutcome& o : outcome.tasks) outcome.joules += o.joules;
  outcome.harvest.reset();
  if (!supply_) return;
  supply_->advance(from_seconds(outcome.seconds), watts_);
  outcome.joules = supply_->drawn();
  outcome.harvest = {eta_, supply_->harvested(), supply_->joules(), to_seconds(supply_->waited())};
}

}  // namespace rtmdl
