#include "planning/admission.h"

#include "planning/evaluator.h"
#include "planning/pareto.h"
#include "planning/response_time.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// All tasks, the most urgent first.
std::vector<int> order_of(const Choices& choices) {
  std::vector<int> order(choices.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return choices[index(a)].priority < choices[index(b)].priority; });
  return order;
}

std::vector<int> present_of(std::vector<int> order, const Regime& regime) {
  std::erase_if(order, [&](int task) { return !regime.present[index(task)]; });
  return order;
}

/// Of the tasks that are there, priorities from 1 on.
Choices part_of(const Choices& choices, const std::vector<int>& tasks) {
  Choices part;
  for (const int task : tasks) part.push_back(choices[index(task)]);
  const std::vector<int> order = order_of(part);
  set_priorities(part, order);
  return part;
}

/// The options of `part` in the order of `part`; tasks that are not there keep their places in the whole order.
Choices whole_of(const Choices& before, const std::vector<int>& tasks, const Choices& part) {
  Choices whole = before;
  std::vector<int> priorities;
  for (const int task : tasks) priorities.push_back(before[index(task)].priority);
  std::sort(priorities.begin(), priorities.end());
  for (std::size_t k = 0; k < tasks.size(); ++k)
    whole[index(tasks[k])] = {part[k].option, priorities[index(part[k].priority - 1)]};
  return whole;
}

/// Of a task's timing in both: the higher rate, the shorter deadline.
void unite(Regime& united, const Regime& with, std::size_t t) {
  if (!with.present[t]) return;
  const bool both = united.present[t];
  united.periods[t] = both ? std::min(united.periods[t], with.periods[t]) : with.periods[t];
  united.deadlines[t] = both ? std::min(united.deadlines[t], with.deadlines[t]) : with.deadlines[t];
  united.present[t] = true;
}

constexpr Duration kLongestSearch = std::chrono::seconds(3), kLongestSimulation = std::chrono::seconds(10);

}  // namespace

PlanOptions search_while_running(PlanOptions options, const PlanProblem& problem) {
  Duration last_offset{};
  for (const PlanTask& task : problem.tasks) last_offset = std::max(last_offset, task.offset);
  options.budget = std::min(options.budget, kLongestSearch);
  options.simulated = std::min(options.simulated, std::max(kLongestSimulation, 2 * last_offset));
  options.front = false;
  options.jobs = 1;
  options.log = {};
  return options;
}

Regime with_request(Regime regime, const Request& request) {
  const std::size_t t = index(request.task);
  if (request.kind != Request::Kind::timing) regime.present[t] = request.kind == Request::Kind::join;
  Duration &period = regime.periods[t], &deadline = regime.deadlines[t];
  if (request.period > Duration{}) {
    if (deadline == period) deadline = request.period;
    period = request.period;
  }
  if (request.deadline > Duration{}) deadline = request.deadline;
  return regime;
}

Regime regime_of(const PlanProblem& problem, const Choices& choices, const std::vector<bool>& absent) {
  Regime regime;
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    regime.present.push_back(!absent[t]);
    regime.periods.push_back(problem.tasks[t].period);
    regime.deadlines.push_back(problem.tasks[t].deadline);
  }
  regime.choices = choices;
  return regime;
}

PresentTasks present_tasks(const PlanProblem& problem, const Regime& regime) {
  PresentTasks present;
  present.problem = problem;
  present.problem.tasks.clear();
  std::vector<int> places(problem.tasks.size(), -1);
  for (std::size_t t = 0; t < problem.tasks.size(); ++t) {
    if (!regime.present[t]) continue;
    places[t] = static_cast<int>(present.tasks.size());
    present.tasks.push_back(static_cast<int>(t));
    PlanTask& task = present.problem.tasks.emplace_back(problem.tasks[t]);
    task.period = regime.periods[t];
    task.deadline = regime.deadlines[t];
    if (task.after.task >= 0) task.after.task = places[index(task.after.task)];
  }
  return present;
}

Admission::Admission(PlanProblem problem, Regime in_force, PlanOptions options, bool fixed_order,
                     const Context& context)
    : problem_(with_margin(std::move(problem), options.margin)),
      first_(std::move(in_force)),
      in_force_(first_),
      united_(first_),
      options_(search_while_running(std::move(options), problem_)),
      fixed_order_(fixed_order),
      context_(context) {
  options_.margin = 0;
  options_.miss_weight = 0;
}

Verdict Admission::ask(const Request& request) const {
  const std::size_t t = index(request.task);
  const bool joins = request.kind == Request::Kind::join;
  if (in_force_.present[t] == joins) {
    const std::string& name = problem_.tasks[t].name;
    return {Verdict::Kind::refused, in_force_, {}, name + (joins ? " is there already" : " is not there"), false};
  }
  Regime next = with_request(in_force_, request);
  const bool milder = !joins && next.periods[t] >= in_force_.periods[t] && next.deadlines[t] >= in_force_.deadlines[t];
  if (milder) return verdict(std::move(next));
  const auto choices = placed(next, request.task);
  if (!choices) return searched(next, request.task);
  next.choices = *choices;
  return verdict(std::move(next));
}

/// Whether a task that is there has an option with less loss than the one that it runs.
bool Admission::can_gain() const {
  for (std::size_t t = 0; t < in_force_.present.size(); ++t) {
    const std::vector<TaskOption>& options = problem_.tasks[t].options;
    const double loss = options[index(in_force_.choices[t].option)].accuracy_loss;
    const auto better = [&](const TaskOption& other) { return other.accuracy_loss < loss; };
    if (in_force_.present[t] && std::any_of(options.begin(), options.end(), better)) return true;
  }
  return false;
}

Verdict Admission::settle() const {
  const PresentTasks now = present_tasks(problem_, in_force_);
  Verdict as_it_is = verdict(in_force_);
  if (now.tasks.empty()) return as_it_is;
  Evaluator evaluator(now.problem, options_, context_);
  const bool holds = evaluator.evaluate(part_of(in_force_.choices, now.tasks), true).has_value();
  if (holds && !can_gain()) return as_it_is;
  Verdict found = searched(in_force_, -1);
  if (found.kind == Verdict::Kind::refused) return as_it_is;
  double gained = 0;
  for (const Swap& swap : found.swaps) gained -= swap.loss;
  return holds && gained <= kSameLoss ? as_it_is : found;
}

/// With all others as they are: the least loss of the task for which there is a place among them.
std::optional<Choices> Admission::placed(const Regime& next, int task) const {
  const PresentTasks now = present_tasks(problem_, next);
  Evaluator evaluator(now.problem, options_, context_);
  const auto evaluate = [&](const Choices& whole) { return evaluator.evaluate(part_of(whole, now.tasks), true); };
  if (in_force_.present[index(task)] && evaluate(next.choices)) return next.choices;

  const std::vector<int> before = order_of(next.choices);
  std::vector<std::vector<int>> orders{before};
  std::vector<int> others = before;
  std::erase(others, task);
  for (std::size_t place = 0; place <= others.size() && !fixed_order_; ++place) {
    if (place < others.size() && !next.present[index(others[place])])
      continue;  // one place among those there is enough
    std::vector<int> order = others;
    order.insert(order.begin() + static_cast<std::ptrdiff_t>(place), task);
    if (order != before) orders.push_back(order);
  }
  const std::vector<TaskOption>& ways = problem_.tasks[index(task)].options;
  std::vector<int> options(ways.size());
  std::iota(options.begin(), options.end(), 0);
  std::stable_sort(options.begin(), options.end(),
                   [&](int a, int b) { return ways[index(a)].accuracy_loss < ways[index(b)].accuracy_loss; });
  Choices choices = next.choices;
  for (const int option : options) {
    choices[index(task)].option = option;
    std::optional<std::pair<Score, Choices>> best;
    for (const std::vector<int>& order : orders) {
      if (evaluator.out_of_time()) break;
      set_priorities(choices, order);
      const auto strategy = evaluate(choices);
      if (strategy && (!best || better(strategy->score, best->first))) best.emplace(strategy->score, choices);
    }
    if (best) return best->second;
  }
  return {};
}

/// By the joint search.
Verdict Admission::searched(const Regime& next, int task) const {
  const PresentTasks now = present_tasks(problem_, next);
  const Plan found = plan(now.problem, options_, context_);
  Regime as_found = next;
  as_found.choices = whole_of(next.choices, now.tasks, choices_of(found));
  Verdict refusal{Verdict::Kind::refused, in_force_, {}, {}, found.proven_optimal};
  const std::string name = task < 0 ? "the tasks that are there" : problem_.tasks[index(task)].name;
  refusal.reason = fmt::format("with {}, {}", name, found.reason);
  if (!found.feasible) return refusal;
  if (!fixed_order_ || order_of(as_found.choices) == order_of(next.choices)) return verdict(std::move(as_found));
  for (std::size_t t = 0; t < next.choices.size(); ++t) as_found.choices[t].priority = next.choices[t].priority;
  Evaluator evaluator(now.problem, options_, context_);
  if (evaluator.evaluate(part_of(as_found.choices, now.tasks), true)) return verdict(std::move(as_found));
  refusal.proven = false;
  refusal.reason = fmt::format(
      "with {}, a strategy was found only in another order of priorities, which threads of the back-end keep", name);
  return refusal;
}

/// Of a regime that is to come.
Verdict Admission::verdict(Regime next) const {
  Verdict v;
  for (std::size_t t = 0; t < next.choices.size(); ++t) {
    const int from = in_force_.choices[t].option, to = next.choices[t].option;
    if (from == to || !next.present[t] || !in_force_.present[t]) continue;
    const std::vector<TaskOption>& options = problem_.tasks[t].options;
    const double loss =
        problem_.tasks[t].weight * (options[index(to)].accuracy_loss - options[index(from)].accuracy_loss);
    v.swaps.push_back({static_cast<int>(t), from, to, loss});
    if (loss > kSameLoss) v.kind = Verdict::Kind::lighter;
  }
  v.next = std::move(next);
  return v;
}

bool Admission::safe_at_once(const Regime& next) const {
  for (std::size_t t = 0; t < next.present.size(); ++t)
    if (united_.present[t] && united_.choices[t].option != next.choices[t].option) return false;
  if (present_of(order_of(united_.choices), united_) != present_of(order_of(next.choices), united_)) return false;
  Regime both = united_;
  both.choices = next.choices;
  for (std::size_t t = 0; t < next.present.size(); ++t) unite(both, next, t);
  const PresentTasks all = present_tasks(problem_, both);
  const auto is_hard = [](const PlanTask& task) { return task.hard; };
  if (std::none_of(all.problem.tasks.begin(), all.problem.tasks.end(), is_hard)) return true;
  const auto bounds = response_bounds(all.problem, part_of(both.choices, all.tasks));
  for (std::size_t k = 0; k < bounds.size(); ++k) {
    const PlanTask& task = all.problem.tasks[k];
    if (task.hard && !(bounds[k] && *bounds[k] <= task.deadline)) return false;
  }
  return true;
}

void Admission::adopt(const Regime& next, bool between_jobs) {
  in_force_ = next;
  if (between_jobs) {
    united_ = next;
    return;
  }
  united_.choices = next.choices;
  for (std::size_t t = 0; t < next.present.size(); ++t) unite(united_, next, t);
}

}  // namespace rtmdl
