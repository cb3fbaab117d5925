#include "cli/play.h"
#include "planning/simulator.h"
#include "report/json.h"
#include "report/table.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

#include <unistd.h>

namespace rtmdl {
namespace {

RunReport simulate(const PolicyInfo& policy, const PlanProblem& problem, const Choices& choices, Duration length, std::uint64_t seed) {
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
    to.effective_accuracy = from.released ? option.accuracy * static_cast<double>(from.released - from.missed) / static_cast<double>(from.released) : 0;
    to.response = response_times(from.responses_ms);
    report.tasks.push_back(to);
    weights.push_back(task.weight);
  }
  for (std::size_t p = 0; p < problem.processors.size(); ++p) report.processors.push_back({problem.processors[p].name, outcome.busy[p]});
  sum_up(report, weights);
  return report;
}

}  // namespace

int simulate_verb(const Options& options) {
  const PolicyInfo& policy = find_policy(options.policy);
  if (policy.system_defaults)
    bad_input("--policy default cannot be simulated: it leaves every decision to the operating system; `rtmdl run --policy default` measures it");
  Session session(options);
  const PlanProblem& problem = session.problem();
  const Plan no_plan;
  const Plan& plan = policy.variants == VariantChoice::planned ? session.plan() : no_plan;
  const RunReport report =
      simulate(policy, problem, choices_for(policy, problem, plan), options.duration.value_or(std::chrono::seconds(60)), options.seed);
  session.print(run_table(report, task_infos(session.file()), isatty(STDOUT_FILENO) == 1));
  session.print_json(run_json(report));
  return options.strict && !within_limits(session, report) ? 3 : 0;
}

}  // namespace rtmdl
