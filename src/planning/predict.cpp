#include "planning/predict.h"

#include "planning/simulator.h"

#include <vector>

namespace rtmdl {

RunReport predict(const PolicyInfo& policy, const PlanProblem& problem, const Choices& choices, Duration length,
                  std::uint64_t seed) {
  Simulator simulator(problem);
  SimulationOptions o;
  o.policy = policy.order;
  o.length = length;
  o.seed = seed;
  o.collect_responses = true;
  SimulationOutcome outcome = simulator.run(choices, o);
  RunReport report;
  report.policy = policy.name;
  report.seconds = to_seconds(length);
  report.preemption = "simulated";
  std::vector<double> weights;
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    const PlanTask& task = problem.tasks[t];
    const TaskOption& option = task.options[static_cast<std::size_t>(choices[t].option)];
    TaskOutcome& from = outcome.tasks[t];
    TaskReport to;
    to.name = task.name;
    to.variant = option.variant;
    to.priority = choices[t].priority;
    to.released = from.released;
    to.completed = from.completed;
    to.missed = from.missed;
    to.dropped = from.dropped;
    to.failed = from.failed;
    to.accuracy = option.accuracy;
    to.accuracy_loss = option.accuracy_loss;
    to.effective_accuracy = from.released ? option.accuracy * static_cast<double>(from.released - from.missed) /
                                                static_cast<double>(from.released)
                                          : 0;
    to.response = response_times(from.responses_ms);
    report.tasks.push_back(to);
    weights.push_back(task.weight);
  }
  for (std::size_t p = 0; p < problem.processors.size(); ++p)
    report.processors.push_back({problem.processors[p].name, outcome.busy[p]});
  sum_up(report, weights);
  return report;
}

}  // namespace rtmdl
