#include "planning/proof.h"

#include "base/excerpt.h"
#include "base/units.h"
#include "planning/execution_bound.h"
#include "task/config_node.h"

#include <rtmdl/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

using Kind = ProofTerm::Kind;
using Method = BoundDetail::Method;

const TaskOption& chosen(const PlanProblem& problem, const Choices& choices, std::size_t i) {
  return problem.tasks[i].options[static_cast<std::size_t>(choices[i].option)];
}

void add(Proof& proof, ProofTerm term) {
  term.total = term.count * term.each;
  if (term.total != Duration{}) proof.terms.push_back(std::move(term));
}

void add_terms(Proof& proof, const PlanProblem& problem, const BoundDetail& detail) {
  add(proof, {.kind = Kind::jitter, .task = proof.task, .each = detail.jitter});
  if (detail.job > 1)
    add(proof, {.kind = Kind::later_release, .task = proof.task, .count = detail.job - 1, .each = -proof.period});
  for (const BoundDetail::Visit& visit : detail.visits) {
    const ProofTerm here{.processor = problem.processors[static_cast<std::size_t>(visit.processor)].name,
                         .first_stage = visit.first_stage,
                         .stages = visit.stages};
    ProofTerm own = here;
    own.task = proof.task;
    own.count = detail.job;
    own.each = visit.own;
    add(proof, own);
    if (visit.blocking > Duration{}) {
      ProofTerm blocking = here;
      blocking.kind = Kind::blocking;
      blocking.task = problem.tasks[static_cast<std::size_t>(visit.blocker)].name;
      blocking.count = detail.method == Method::whole_chain ? detail.job : 1;
      blocking.each = visit.blocking;
      add(proof, blocking);
    }
    for (const BoundDetail::Term& term : visit.terms) {
      ProofTerm more = here;
      more.kind = Kind::interference;
      if (term.task == kKernel) {
        more.kind = Kind::kernel_stop;
        more.first_stage = more.stages = 0;
        more.count = term.jobs;
        more.each = term.each;
        add(proof, more);
        continue;
      }
      if (detail.method == Method::whole_chain) more.first_stage = more.stages = 0;
      more.its_first_stage = term.first_stage;
      more.its_stages = term.stages;
      more.task = problem.tasks[static_cast<std::size_t>(term.task)].name;
      more.count = term.jobs;
      more.each = term.each;
      add(proof, more);
    }
  }
}

/// Why there is no bound.
std::string trouble_of(const PlanProblem& problem, const Choices& choices, std::size_t task,
                       const BoundDetail& detail) {
  const auto share = [&](std::size_t i, int processor) {
    double sum = 0;
    for (const StageOption& stage : chosen(problem, choices, i).stages) {
      if (stage.processor == processor) sum += to_seconds(longest_time(stage, dispatch_cost(problem, stage.processor)));
    }
    return sum / to_seconds(problem.tasks[i].period);
  };
  Duration own{};
  for (const BoundDetail::Visit& visit : detail.visits) own += visit.own;
  const std::string name =
      fmt::format("{} (its stages are taken to last {})", problem.tasks[task].name, format_duration(own));
  for (const BoundDetail::Visit& visit : detail.visits) {
    double load = share(task, visit.processor);
    std::vector<std::string> others;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (i == task || choices[i].priority <= 0 || choices[i].priority > choices[task].priority) continue;
      const double more = share(i, visit.processor);
      if (more <= 0) continue;
      load += more;
      others.push_back(problem.tasks[i].name);
    }
    const PlanProcessor& processor = problem.processors[static_cast<std::size_t>(visit.processor)];
    if (load < 1) continue;
    const std::string with =
        others.empty() ? "" : fmt::format(" and what is more urgent ({})", fmt::join(others, ", "));
    return fmt::format("{}{} may ask for {} of {}{}", name, with, format_percent(load, 0), processor.name,
                       processor.slots > 1 ? ", and the bound counts on one of its slots only" : "");
  }
  std::string stops;
  for (const BoundDetail::Visit& visit : detail.visits) {
    const PlanProcessor& processor = problem.processors[static_cast<std::size_t>(visit.processor)];
    if (!stops.empty() || (detail.stopped >> visit.processor & 1) == 0) continue;
    stops = fmt::format(
        "; the kernel alone may stop it for {}, because all tasks together could ask for more than {} of a second of "
        "{} "
        "(sched_rt_runtime_us)",
        format_duration(from_seconds(1 - processor.realtime_share)), format_percent(processor.realtime_share, 0),
        processor.name);
  }
  return fmt::format(
      "the worst case grows beyond {}: by then a newer input may push out the one that waits (at most {} may wait), so "
      "that some jobs are never done{}",
      format_duration(detail.limit), problem.tasks[task].queue, stops);
}

/// Proof::growth, by bisection, to a thousandth. `keep`: who must stay proven.
std::optional<double> growth_of(PlanProblem problem, const Choices& choices, std::size_t task,
                                const std::vector<std::size_t>& keep) {
  auto& stages = problem.tasks[task].options[static_cast<std::size_t>(choices[task].option)].stages;
  std::vector<std::pair<Duration, Duration>> now;
  for (const StageOption& stage : stages)
    now.emplace_back(longest_time(stage, dispatch_cost(problem, stage.processor)), shortest_time(stage));
  const auto fits = [&](double factor) {
    for (std::size_t s = 0; s < stages.size(); ++s) {  // zero would mean that it is not set
      const double longest = std::floor(static_cast<double>(now[s].first.count()) * factor);
      stages[s].longest = std::max(Duration(1), Duration(static_cast<std::int64_t>(longest)));
      stages[s].shortest = std::clamp(now[s].second, Duration(1), stages[s].longest);
    }
    const auto bounds = response_bounds(problem, choices);
    return std::all_of(keep.begin(), keep.end(),
                       [&](std::size_t i) { return bounds[i] && *bounds[i] <= problem.tasks[i].deadline; });
  };
  double low = 0, high = 1;
  if (!fits(low)) return std::nullopt;
  while (high < 1000 && fits(high)) low = high, high *= 2;
  while (high - low > 1e-3 * high) {
    const double middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace

std::string execution_assumption(const PlanProblem& problem) {
  if (!problem.execution_bound.empty()) return problem.execution_bound;
  ExecutionBound standard;
  standard.margin = kExecutionFactor - 1;
  return standard.describe();
}

std::size_t find_task(const PlanProblem& problem, std::string_view name) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    if (problem.tasks[i].name == name) return i;
    names.emplace_back(problem.tasks[i].name);
  }
  const std::string near = nearest_word(name, names);
  bad_input(fmt::format(
      "there is no task '{}'; {}", excerpt(name),
      near.empty() ? fmt::format("accepted are {}", fmt::join(names, ", ")) : fmt::format("did you mean '{}'?", near)));
}

Proof prove(const PlanProblem& problem, const Choices& choices, std::size_t task,
            std::optional<double> predicted_miss_rate) {
  const PlanTask& of = problem.tasks[task];
  ResponseAnalysis analysis(problem);
  const BoundDetail detail = analysis.detail(choices, task);
  Proof proof{.task = of.name,
              .variant = chosen(problem, choices, task).variant,
              .priority = choices[task].priority,
              .hard = of.hard,
              .period = of.period,
              .deadline = of.deadline,
              .miss_rate_limit = of.miss_rate_limit,
              .predicted_miss_rate = predicted_miss_rate,
              .method = detail.method,
              .bound = detail.bound,
              .terms = {},
              .trouble = {},
              .assumption = execution_assumption(problem),
              .growth = {},
              .larger = {}};
  if (proof.bound) {
    add_terms(proof, problem, detail);
  } else {
    proof.trouble = trouble_of(problem, choices, task, detail);
  }

  const std::vector<std::optional<Duration>> now = analysis.bounds(choices);
  const auto holds = [&](std::size_t i, const std::optional<Duration>& bound) {
    return bound && *bound <= problem.tasks[i].deadline;
  };
  std::vector<std::size_t> keep{task};
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i != task && problem.tasks[i].hard && holds(i, now[i])) keep.push_back(i);
  }
  proof.growth = growth_of(problem, choices, task, keep);
  const double loss = chosen(problem, choices, task).accuracy_loss;
  for (std::size_t o = 0; o < of.options.size(); ++o) {
    const TaskOption& option = of.options[o];
    if (option.accuracy_loss >= loss) continue;
    Choices other = choices;
    other[task].option = static_cast<int>(o);
    const auto& then = analysis.bounds(other);
    ProofAlternative alternative{.variant = option.variant,
                                 .processor = option.processor,
                                 .threads = option.threads,
                                 .segments = segments_of(option),
                                 .accuracy = option.accuracy,
                                 .accuracy_loss = option.accuracy_loss,
                                 .bound = then[task],
                                 .proven = holds(task, then[task]),
                                 .breaks = {}};
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (i != task && problem.tasks[i].hard && holds(i, now[i]) && !holds(i, then[i]))
        alternative.breaks.push_back(problem.tasks[i].name);
    }
    proof.larger.push_back(std::move(alternative));
  }
  std::stable_sort(proof.larger.begin(), proof.larger.end(),
                   [](auto& a, auto& b) { return a.accuracy_loss < b.accuracy_loss; });
  return proof;
}

}  // namespace rtmdl
