#include "planning/predict.h"

#include "planning/energy.h"
#include "planning/lighter.h"
#include "planning/simulator.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace rtmdl {

namespace {

/// Two-sided 95 % quantile, by the first terms of its expansion around the normal one (Abramowitz and Stegun 26.7.5);
/// within 1 % from 3 degrees of freedom on.
double student_t(double degrees) {
  constexpr double z = 1.959964;
  const double g1 = (z * z * z + z) / 4, g2 = (5 * std::pow(z, 5) + 16 * z * z * z + 3 * z) / 96;
  const double g3 = (3 * std::pow(z, 7) + 19 * std::pow(z, 5) + 17 * z * z * z - 15 * z) / 384;
  return z + g1 / degrees + g2 / (degrees * degrees) + g3 / (degrees * degrees * degrees);
}

/// Of the variants that its jobs ran.
void set_accuracy(const PlanTask& task, int planned, std::vector<int> modes, const TaskOutcome& from, TaskReport& to) {
  modes.insert(modes.begin(), planned);
  double accuracy = 0, loss = 0, in_time = 0;
  for (std::size_t m = 0; m < modes.size(); ++m) {
    const TaskOption& option = task.options[index(modes[m])];
    const auto jobs = static_cast<double>(from.completed_in[m]);
    const double most = source_accuracy(option);
    accuracy += jobs * option.accuracy + from.changed_in[m];
    loss += jobs * option.accuracy_loss - (most > 0 ? from.changed_in[m] / most : 0);
    in_time += static_cast<double>(from.in_time_in[m]) * option.accuracy + from.changed_in_time_in[m];
    if (modes.size() > 1 && from.completed_in[m] > 0) to.variants.push_back({option.variant, from.completed_in[m]});
  }
  const auto completed = static_cast<double>(from.completed);
  const TaskOption& option = task.options[index(planned)];
  to.accuracy = completed > 0 ? accuracy / completed : option.accuracy;
  to.accuracy_loss = completed > 0 ? loss / completed : option.accuracy_loss;
  to.effective_accuracy = from.released > 0 ? in_time / static_cast<double>(from.released) : 0;
}

}  // namespace

RunReport predict(const PolicyInfo& policy, const PlanProblem& problem, const Choices& choices, Duration length,
                  std::uint64_t seed, std::span<const Slowdown> slowdowns, Requests* requests) {
  Simulator simulator(problem);
  std::vector<std::vector<int>> lighter;
  if (policy.adapts) lighter = lighter_options(problem, choices);
  SimulationOptions o;
  o.policy = policy.order;
  o.length = length;
  o.seed = seed;
  o.collect_responses = true;
  o.lighter = lighter;
  o.slowdowns = slowdowns;
  o.transitions = requests;
  if (requests) requests->begin_again();
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
    to.abandoned = from.abandoned;
    to.failed = from.failed;
    to.switches = from.switches;
    set_accuracy(task, choices[t].option, lighter.empty() ? std::vector<int>{} : lighter[t], from, to);
    to.response = response_times(from.responses_ms);
    if (knows_power(problem)) to.joules = from.joules;
    report.tasks.push_back(to);
    weights.push_back(task.weight);
  }
  for (std::size_t p = 0; p < problem.processors.size(); ++p)
    report.processors.push_back({problem.processors[p].name, outcome.busy[p]});
  if (requests) report.changes = requests->report();
  if (knows_power(problem))
    report.energy = {.meter = "constant",
                     .joules = outcome.joules,
                     .watts = outcome.joules / outcome.seconds,
                     .by_model = {},
                     .limit = problem.power_limit,
                     .harvest = outcome.harvest};
  sum_up(report, weights);
  return report;
}

std::vector<ExpectedMisses> expected_misses(Policy policy, const PlanProblem& problem, const Choices& choices,
                                            Duration length, std::uint64_t seed, int runs) {
  PolicyInfo info;
  info.order = policy;
  return expected_misses(info, problem, choices, length, seed, runs, {});
}

std::vector<ExpectedMisses> expected_misses(const PolicyInfo& policy, const PlanProblem& problem,
                                            const Choices& choices, Duration length, std::uint64_t seed, int runs,
                                            std::span<const Slowdown> slowdowns, Requests* requests) {
  std::vector<ExpectedMisses> expected(problem.tasks.size());
  std::vector<double> squares(problem.tasks.size());
  Simulator simulator(problem);
  SimulationOptions o;
  std::vector<std::vector<int>> lighter;
  if (policy.adapts) lighter = lighter_options(problem, choices);
  o.policy = policy.order;
  o.length = length;
  o.lighter = lighter;
  o.slowdowns = slowdowns;
  o.transitions = requests;
  for (int r = 0; r < runs; ++r) {
    o.seed = seed + static_cast<std::uint64_t>(r);
    if (requests) requests->begin_again();
    const SimulationOutcome& outcome = simulator.run(choices, o);
    for (std::size_t t = 0; t < expected.size(); ++t) {
      const double rate = outcome.tasks[t].miss_rate();
      expected[t].mean += rate / runs;
      squares[t] += rate * rate / runs;
    }
  }
  for (std::size_t t = 0; t < expected.size(); ++t)
    expected[t].deviation = std::sqrt(std::max(0.0, squares[t] - expected[t].mean * expected[t].mean));
  for (ExpectedMisses& e : expected) {
    if (runs > 1) e.half_width = student_t(runs - 1) * e.deviation / std::sqrt(runs - 1.0);
  }
  return expected;
}

}  // namespace rtmdl
