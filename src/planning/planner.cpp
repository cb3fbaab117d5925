#include "planning/planner.h"

#include "base/excerpt.h"
#include "base/units.h"
#include "planning/descent.h"
#include "planning/energy.h"
#include "planning/evaluator.h"
#include "planning/exact.h"
#include "planning/exchange.h"
#include "planning/islands.h"
#include "planning/pareto.h"
#include "planning/predict.h"
#include "planning/response_time.h"
#include "planning/set_search.h"

#include <rtmdl/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

constexpr std::size_t kMostTasksOftenProven = 10;  ///< with more, `auto` gives proofs less time
constexpr int kLeastReleases = 20;
constexpr double kMostJobs = 2e5, kPlentyOfJobs = 2e4;
constexpr double kMostJobsEnumerated = 2e7;
constexpr double kDescentShare = 0.2;  ///< of the budget, for a first strategy
constexpr double kAutoExactShare = 0.7,
                 kAutoLongShotShare = 0.3;  ///< of the budget, before `auto` goes back to descent

void check(const PlanProblem& problem, const PlanOptions& options) {
  require_method(options.method);
  if (problem.tasks.empty()) bad_input("nothing to plan: there is no task");
  if (options.simulated <= Duration{})
    bad_input(fmt::format("simulated time {}: it must be positive", format_duration(options.simulated)));
  if (options.margin < 0) bad_input(fmt::format("margin {}: it must not be negative", format_percent(options.margin)));
  if (!(options.miss_weight >= 0))
    bad_input(fmt::format("weight of misses {}: it must not be negative", options.miss_weight));
  for (const PlanTask& task : problem.tasks) {
    if (task.deadline <= Duration{}) bad_input(fmt::format("task {}: the deadline must be positive", task.name));
    if (task.offset >= options.simulated) {
      bad_input(fmt::format("task {}: it is first released after {}, but only {} are simulated", task.name,
                            format_duration(task.offset), format_duration(options.simulated)));
    }
  }
}

struct Searched {
  bool proven = false;  ///< the best in the book is optimal, or it is proven that nothing is feasible
  double bound = 0;     ///< no strategy has less loss
  std::string model;    ///< with respect to what
};

/// Whether trying every order of every combination is a matter of seconds.
bool small_enough_to_enumerate(const PlanProblem& problem, const PlanOptions& options) {
  double jobs = 0;
  for (const std::int64_t released : most_releases(problem, options.simulated, options.seed))
    jobs += static_cast<double>(released);
  return space_of(problem) * jobs <= kMostJobsEnumerated;
}

/// Every chain on one processor with one slot: ResponseAnalysis::order_free whatever is chosen.
bool chains_stay(const PlanProblem& problem) {
  const auto stays = [&](const TaskOption& option) {
    return std::all_of(option.stages.begin(), option.stages.end(), [&](const StageOption& stage) {
      return stage.processor == option.stages.front().processor &&
             problem.processors[index(stage.processor)].slots == 1;
    });
  };
  return std::all_of(problem.tasks.begin(), problem.tasks.end(), [&](const PlanTask& task) {
    return std::all_of(task.options.begin(), task.options.end(), stays);
  });
}

std::string set_model(const Evaluator& evaluator) {
  if (!evaluator.all_hard()) return "simulation, set by set";
  return chains_stay(evaluator.problem()) ? "response-time analysis" : "response-time analysis, set by set";
}

Searched search(Evaluator& evaluator, const PlanOptions& options, Exchange* exchange) {
  const PlanProblem& problem = evaluator.problem();
  const int n = static_cast<int>(problem.tasks.size());
  if (options.method == "exact" && !exact_is_open(problem)) {
    bad_input(fmt::format("method exact takes at most {} tasks of at most {} options: use descent", kMostExactTasks,
                          kMostExactOptions));
  }
  if (options.method == "nsga2") {
    // What descends in a moment is among the first strategies; where there are many tasks evolution alone would take
    // long.
    evaluator.allow(kDescentShare);
    const std::uint64_t rank = exchange ? static_cast<std::uint64_t>(exchange->rank()) : 0;
    search_descent(evaluator, options.seed + rank, 20 + 10 * n);
    evaluator.allow(1);
    search_islands(evaluator, options, {.seed = options.seed, .jobs = options.jobs}, exchange);
    return {false, evaluator.least_loss(), set_model(evaluator)};
  }
  const bool exact = options.method == "exact" || (options.method == "auto" && exact_is_open(problem));
  Searched result{false, evaluator.least_loss(), set_model(evaluator)};
  if (exact) {
    evaluator.allow(kDescentShare);
    search_descent(evaluator, options.seed, 5 + 2 * n);
    evaluator.allow(options.method == "exact"                       ? 1
                    : problem.tasks.size() <= kMostTasksOftenProven ? kAutoExactShare
                                                                    : kAutoLongShotShare);
    const SetSearchResult by_sets = search_by_sets(evaluator);
    result.proven = by_sets.complete;
    result.bound = by_sets.bound;
    if (small_enough_to_enumerate(problem, options) && search_exact(evaluator)) {
      result = {true, evaluator.best()->score.loss, "simulation, every order"};
    }
    evaluator.allow(1);
    if (result.proven || evaluator.out_of_time()) return result;
  }
  search_descent(evaluator, options.seed + (exact ? 1 : 0), 300 + 50 * n);
  return result;
}

/// Limits that no choice can keep, whatever else runs.
std::vector<std::string> hopeless_limits(const Evaluator& evaluator) {
  const PlanProblem& problem = evaluator.problem();
  std::vector<std::string> lines;
  Choices smallest(problem.tasks.size()), lightest(problem.tasks.size()), sparest(problem.tasks.size());
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    const auto& options = problem.tasks[i].options;
    const auto least = [&](auto member) {
      return static_cast<int>(
          std::min_element(options.begin(), options.end(),
                           [&](const TaskOption& a, const TaskOption& b) { return a.*member < b.*member; }) -
          options.begin());
    };
    smallest[i].option = least(&TaskOption::bytes);
    lightest[i].option = least(&TaskOption::memory);
    sparest[i].option = least(&TaskOption::joules);
  }
  // With models that tasks share, the smallest variants need not be the least in all.
  if (problem.storage && !evaluator.shares_models() && evaluator.bytes(smallest) > *problem.storage) {
    lines.push_back(fmt::format("storage: the smallest variants need {}, the bound is {}",
                                format_bytes(evaluator.bytes(smallest)), format_bytes(*problem.storage)));
  }
  if (problem.memory && evaluator.memory(lightest) > *problem.memory) {
    lines.push_back(fmt::format("memory: the lightest variants need {}, the bound is {}",
                                format_bytes(evaluator.memory(lightest)), format_bytes(*problem.memory)));
  }
  if (problem.power_limit && evaluator.watts(sparest) > *problem.power_limit + kSameWatts)
    lines.push_back(fmt::format("energy: the variants that need least draw {} (idle {}), the budget is {}",
                                format_watts(evaluator.watts(sparest)), format_watts(evaluator.idle_watts()),
                                format_watts(*problem.power_limit)));
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    double least = 1;
    bool possible = false;
    for (std::size_t o = 0; o < task.options.size(); ++o) {
      possible |= evaluator.possible(i, o);
      least = std::min(least, evaluator.least_miss_rate(i, o));
    }
    if (possible) continue;
    lines.push_back(fmt::format(
        "{}: alone on the machine its fastest variant misses {} of its deadlines of {} (limit {})", task.name,
        format_percent(least), format_duration(task.deadline), format_percent(task.hard ? 0 : task.miss_rate_limit)));
  }
  return lines;
}

/// How a strategy falls short, task by task.
std::vector<std::string> shortfalls(const Evaluator& evaluator, const Strategy& strategy) {
  const PlanProblem& problem = evaluator.problem();
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    const double limit = task.hard ? 0 : task.miss_rate_limit;
    if (strategy.miss_rates[i] > limit) {
      lines.push_back(fmt::format("{} would miss {} of its deadlines (limit {})", task.name,
                                  format_percent(strategy.miss_rates[i]), format_percent(limit)));
    }
    if (!task.hard) continue;
    const auto& bound = strategy.bounds[i];
    if (!bound) {
      lines.push_back(fmt::format("{} is hard, but no response time within its period of {} can be proven", task.name,
                                  format_duration(task.period)));
    } else if (*bound > task.deadline) {
      lines.push_back(fmt::format("{} is hard, but its response bound of {} is beyond its deadline of {}", task.name,
                                  format_duration(*bound), format_duration(task.deadline)));
    }
  }
  const std::int64_t bytes = evaluator.bytes(strategy.choices), memory = evaluator.memory(strategy.choices);
  if (problem.storage && bytes > *problem.storage) {
    lines.push_back(fmt::format("the variants would need {} of storage (bound {})", format_bytes(bytes),
                                format_bytes(*problem.storage)));
  }
  if (problem.memory && memory > *problem.memory) {
    lines.push_back(fmt::format("the variants would need {} of memory (bound {})", format_bytes(memory),
                                format_bytes(*problem.memory)));
  }
  const double watts = evaluator.watts(strategy.choices);
  if (problem.power_limit && watts > *problem.power_limit + kSameWatts)
    lines.push_back(
        fmt::format("the box would draw {} (budget {})", format_watts(watts), format_watts(*problem.power_limit)));
  return lines;
}

/// The book's best, or with a weight on misses the point of the front with the least sum. Then `proven` stays only
/// where nothing can be better: the least loss, and no misses.
Strategy chosen_of(Evaluator& evaluator, double miss_weight, bool& proven) {
  Strategy best = evaluator.best().value();
  if (miss_weight <= 0 || !best.score.feasible) return best;
  const double least_loss = best.score.loss;
  const ParetoPoint* point = least_weighted(evaluator.feasible_front(), miss_weight);
  if (point != nullptr && point->accuracy_loss + miss_weight * point->miss_rate <
                              best.score.loss + miss_weight * best.score.miss_rate - 1e-12) {
    const Choices choices = point->choices;
    best = evaluator.evaluate(choices, false).value_or(best);
  }
  proven = proven && best.score.miss_rate <= 0 && best.score.loss <= least_loss + 1e-9;
  return best;
}

std::string reason_of(const Plan& plan, const Evaluator& evaluator, const Strategy& strategy, double miss_weight) {
  if (plan.feasible && miss_weight > 0 && !plan.proven_optimal) {
    return fmt::format(
        "accuracy loss {}, {} of deadlines predicted to be missed: of {} simulations within the limits the least loss "
        "+ {:g} x misses",
        format_percent(plan.accuracy_loss, 2), format_percent(plan.miss_rate, 2), plan.evaluated, miss_weight);
  }
  if (plan.feasible) {
    const std::string rank =
        plan.proven_optimal
            ? fmt::format("the least possible among {:.0f} strategies", plan.space)
            : fmt::format("the least found in {} simulations (space: {:.3g} strategies)", plan.evaluated, plan.space);
    return fmt::format("accuracy loss {}, {}; {} of deadlines predicted to be missed",
                       format_percent(plan.accuracy_loss, 2), rank, format_percent(plan.miss_rate, 2));
  }
  const auto hopeless = hopeless_limits(evaluator);
  std::string text =
      plan.proven_optimal || !hopeless.empty()
          ? std::string("no strategy keeps every limit")
          : fmt::format("no strategy that keeps every limit was found in {} simulations", plan.evaluated);
  if (!hopeless.empty()) text += fmt::format(": {}", fmt::join(hopeless, "; "));
  return text + fmt::format(". In the nearest one {}", fmt::join(shortfalls(evaluator, strategy), "; "));
}

/// Writes the strategy into the plan. Of its search the plan knows already.
void choose(Plan& plan, const Strategy& strategy, std::vector<ParetoPoint> front, const PlanProblem& problem,
            const PlanOptions& options, const Evaluator& evaluator) {
  plan.feasible = strategy.score.feasible;
  plan.accuracy_loss = strategy.score.loss;
  plan.miss_rate = strategy.score.miss_rate;
  plan.bytes = evaluator.bytes(strategy.choices);
  plan.watts = knows_power(problem) ? std::optional(evaluator.watts(strategy.choices)) : std::nullopt;
  plan.pareto =
      with_chosen(std::move(front), {plan.accuracy_loss, plan.miss_rate, plan.feasible, true, strategy.choices});
  plan.tasks.clear();
  const auto expected =
      expected_misses(Policy::fixed_priority, problem, strategy.choices, options.simulated, options.seed + 1);
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    const TaskOption& option = task.options[index(strategy.choices[i].option)];
    PlannedTask planned{strategy.choices[i],
                        strategy.miss_rates[i],
                        expected[i].mean,
                        expected[i].half_width,
                        option.accuracy_loss,
                        std::vector<double>(problem.processors.size(), 0.0),
                        {}};
    for (const StageOption& stage : option.stages) {
      const std::size_t p = index(stage.processor);
      planned.utilisation[p] += load_seconds(stage, dispatch_cost(problem, stage.processor)) /
                                to_seconds(mean_interval(task)) / problem.processors[p].slots;
    }
    if (task.hard) planned.response_bound = strategy.bounds[i];
    plan.tasks.push_back(std::move(planned));
  }
}

}  // namespace

Choices choices_of(const Plan& plan) {
  Choices choices;
  for (const PlannedTask& task : plan.tasks) choices.push_back(task.choice);
  return choices;
}

PlanProblem with_margin(PlanProblem problem, double margin) {
  fix_proof_times(problem);
  const auto stretch = [&](Duration& d) { d = Duration(std::llround(static_cast<double>(d.count()) * (1 + margin))); };
  stretch(problem.dispatch);
  for (PlanProcessor& p : problem.processors) stretch(p.dispatch);
  for (PlanTask& task : problem.tasks) {
    for (TaskOption& option : task.options) {
      for (StageOption& stage : option.stages) {
        stage.alone = {};
        if (margin != 0) std::for_each(stage.times.sorted.begin(), stage.times.sorted.end(), stretch);
      }
    }
  }
  return problem;
}

Duration simulated_length(const PlanProblem& problem) {
  double jobs_per_ns = 0;
  Duration wanted{}, least{};
  for (const PlanTask& task : problem.tasks) {
    jobs_per_ns += 1 / static_cast<double>(mean_interval(task).count());
    wanted = std::max(wanted, task.offset + mean_interval(task) * kLeastReleases);
    wanted = std::max(wanted, task.offset + representative_stretch(task.arrivals));
    least = std::max(least, task.offset + Duration(1));
  }
  if (static_cast<double>(wanted.count()) * jobs_per_ns > kMostJobs) {
    wanted = Duration(static_cast<std::int64_t>(kMostJobs / jobs_per_ns));
  }
  // Of many tasks 30 s tell more than is needed, and cost as much more.
  Duration standard = PlanOptions{}.simulated;
  if (static_cast<double>(standard.count()) * jobs_per_ns > kPlentyOfJobs)
    standard = std::max(Duration(static_cast<std::int64_t>(kPlentyOfJobs / jobs_per_ns)), wanted * 5);
  return std::max({std::min(standard, PlanOptions{}.simulated), wanted, least});
}

void require_method(const std::string& method) {
  if (method == "auto" || method == "exact" || method == "descent" || method == "nsga2") return;
  bad_input(fmt::format("method {}: unknown; accepted are auto, exact, descent, nsga2", excerpt(method)));
}

Plan plan(const PlanProblem& problem, const PlanOptions& options, const Context& context, Exchange* exchange) {
  check(problem, options);
  if (exchange && options.method != "nsga2")
    bad_input(fmt::format("method {}: only nsga2 searches with several processes", options.method));
  const PlanProblem slowed = with_margin(problem, options.margin);
  Evaluator evaluator(slowed, options, context);
  Plan result;
  const Searched searched = search(evaluator, options, exchange);
  if (options.front) search_front(evaluator, options.seed + 2, options.simulated);
  // A task that misses spares those after it work: what fails for some tasks may hold for more of them.
  const bool independent =
      std::all_of(slowed.tasks.begin(), slowed.tasks.end(), [](const PlanTask& task) { return task.after.task < 0; });
  result.proven_optimal = (searched.proven && independent) || evaluator.at_least_loss();
  result.model = searched.model;
  const Strategy best = chosen_of(evaluator, options.miss_weight, result.proven_optimal);
  result.method = searched.proven || options.method == "exact" ? "exact"
                  : options.method == "nsga2"                  ? "nsga2"
                                                               : "descent";
  result.loss_bound = result.proven_optimal
                          ? best.score.loss
                          : std::min(independent ? searched.bound : evaluator.least_loss(), best.score.loss);
  result.ranks = options.ranks;
  result.space = space_of(problem);
  result.evaluated = evaluator.evaluated();
  choose(result, best, evaluator.pareto(), problem, options, evaluator);
  result.reason = reason_of(result, evaluator, best, options.miss_weight);
  result.seconds = evaluator.seconds();
  return result;
}

Plan with_strategy(Plan searched, const Choices& choices, const PlanProblem& problem, const PlanOptions& options,
                   const Context& context) {
  const PlanProblem slowed = with_margin(problem, options.margin);
  Evaluator evaluator(slowed, options, context);
  const Strategy strategy = evaluator.evaluate(choices, false).value();
  const double least = searched.accuracy_loss;
  searched.proven_optimal = searched.proven_optimal && searched.feasible == strategy.score.feasible &&
                            (!searched.feasible || strategy.score.loss <= least + kSameLoss);
  searched.loss_bound = std::min(searched.loss_bound, strategy.score.loss);
  choose(searched, strategy, std::move(searched.pareto), problem, options, evaluator);
  searched.reason = reason_of(searched, evaluator, strategy, 0);
  if (searched.feasible && strategy.score.loss > least + kSameLoss) {
    searched.reason = fmt::format(
        "accuracy loss {}: played on the box, where it did what was predicted; {} at the least "
        "without that; {} of deadlines predicted to be missed",
        format_percent(strategy.score.loss, 2), format_percent(least, 2), format_percent(searched.miss_rate, 2));
  }
  return searched;
}

}  // namespace rtmdl
