#include "calibration/replan.h"

#include "base/units.h"
#include "calibration/planned_run.h"
#include "planning/admission.h"
#include "planning/energy.h"
#include "planning/lighter.h"
#include "scheduling/transition.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr Duration kLook = std::chrono::milliseconds(50), kIdleLook = std::chrono::microseconds(500);
constexpr double kSmoothing = 0.2;  ///< of each look: a slow moment of the machine is no reason to plan again

constexpr const char* kNeverIdle =
    "planned again: the other strategy could not be adopted, for no moment came without pending jobs";
constexpr std::size_t kMostNotes = 3;

bool is_off(double slowdown, double planned) { return std::abs(slowdown / planned - 1) > Drift::kTolerated; }

void stretch(std::vector<Duration>& times, double factor) {
  for (Duration& t : times) t = Duration(std::llround(static_cast<double>(t.count()) * factor));
}

/// The options that are loaded, with the times of today.
PlanProblem slowed_problem(const PlanProblem& problem, const Choices& choices,
                           const std::vector<std::vector<int>>& lighter, const std::vector<double>& slowdowns) {
  PlanProblem loaded = loaded_problem(problem, choices, lighter);
  for (PlanTask& task : loaded.tasks)
    for (TaskOption& option : task.options)
      for (StageOption& stage : option.stages) {
        const double factor = std::max(slowdowns[index(stage.processor)], 1.0);
        stretch(stage.times.sorted, factor);
        stretch(stage.alone.sorted, factor);
        stage.longest = Duration(std::llround(static_cast<double>(stage.longest.count()) * factor));
      }
  set_joules(loaded);
  return loaded;
}

RunningStrategy planned_strategy(const Choices& choices) {
  RunningStrategy strategy;
  for (const Choice& choice : choices) strategy.priorities.push_back(choice.priority);
  strategy.modes.assign(choices.size(), 0);
  return strategy;
}

std::string slowdown_text(const std::vector<double>& slowdowns, const PlanProblem& problem) {
  std::vector<std::string> each;
  for (std::size_t p = 0; p < slowdowns.size(); ++p)
    each.push_back(fmt::format("{} {:.2f}", problem.processors[p].name, slowdowns[p]));
  return fmt::format("{}", fmt::join(each, ", "));
}

}  // namespace

bool Drift::as_profiled(const std::vector<double>& slowdowns) {
  return std::none_of(slowdowns.begin(), slowdowns.end(), [](double s) { return s > 1 + kTolerated; });
}

bool Drift::seen(const std::vector<double>& slowdowns, Time now) {
  bool off = as_profiled(slowdowns) && !as_profiled(planned_);
  for (std::size_t p = 0; p < planned_.size(); ++p)
    off |= is_off(std::max(slowdowns[p], 1.0), planned_[p]);  // a faster box needs no other plan
  if (!off) {
    since_.reset();
    return false;
  }
  if (!since_) since_ = now;
  return now - *since_ >= (as_profiled(slowdowns) ? kAsProfiled : kSlower);
}

void Drift::planned(const std::vector<double>& slowdowns) {
  for (std::size_t p = 0; p < planned_.size(); ++p) planned_[p] = std::max(slowdowns[p], 1.0);
  since_.reset();
}

const std::optional<RunningStrategy>& LastSearch::result_for(const std::vector<double>& slowdowns) {
  const bool known =
      slowdowns_.size() == slowdowns.size() && Drift::as_profiled(slowdowns_) == Drift::as_profiled(slowdowns) &&
      std::equal(slowdowns.begin(), slowdowns.end(), slowdowns_.begin(),
                 [](double now, double then) { return !is_off(std::max(now, 1.0), std::max(then, 1.0)); });
  if (known) return found_;
  const Time before = MonotonicClock::now();
  found_ = search_(slowdowns);
  slowdowns_ = slowdowns;
  took_ = MonotonicClock::now() - before;
  return found_;
}

std::optional<RunningStrategy> plan_for(const PlanProblem& problem, const Choices& choices,
                                        const std::vector<std::vector<int>>& lighter,
                                        const std::vector<double>& slowdowns, const PlanOptions& options,
                                        bool fixed_order, const Context& context) {
  if (Drift::as_profiled(slowdowns)) return planned_strategy(choices);
  const Plan found = plan(slowed_problem(problem, choices, lighter, slowdowns), options, context);
  if (!found.feasible) return {};
  RunningStrategy strategy;
  for (const PlannedTask& task : found.tasks) {
    strategy.priorities.push_back(task.choice.priority);
    strategy.modes.push_back(task.choice.option);
  }
  if (fixed_order && strategy.priorities != planned_strategy(choices).priorities) return {};
  return strategy;
}

Replanner::Replanner(const RunConfig& config, PlanProblem problem, Choices choices, PlanOptions options)
    : problem_(std::move(problem)),
      choices_(std::move(choices)),
      lighter_(lighter_options(problem_, choices_)),
      options_(std::move(options)) {
  fixed_order_ = order_is_fixed(config);
  modes_ = lighter_modes(config);
  options_ = search_while_running(options_, problem_);
}

std::vector<std::string> Replanner::operator()(Dispatcher& dispatcher, const std::atomic<bool>& stopping) const {
  std::vector<std::string> notes;
  Drift drift(problem_.processors.size());
  RunningStrategy running = planned_strategy(choices_);
  Context context;
  context.stop = &stopping;
  const Time start = MonotonicClock::now();
  std::vector<double> slowdowns(problem_.processors.size(), 1.0);
  LastSearch last([&](const std::vector<double>& today) {
    return plan_for(problem_, choices_, lighter_, today, options_, fixed_order_, context);
  });
  while (!stopping.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(kLook);
    for (std::size_t p = 0; p < slowdowns.size(); ++p)
      slowdowns[p] += kSmoothing * (dispatcher.slowdown(static_cast<int>(p)) - slowdowns[p]);
    const Time now = MonotonicClock::now();
    if (!drift.seen(slowdowns, now)) continue;
    const std::optional<RunningStrategy>& strategy = last.result_for(slowdowns);
    if (stopping.load(std::memory_order_relaxed)) break;
    if (!strategy || strategy == running) drift.planned(last.slowdowns());
    if (strategy == running) continue;
    const std::string when = fmt::format("after {}, stages taking longer by the factors {}",
                                         format_duration(now - start), slowdown_text(last.slowdowns(), problem_));
    if (!strategy) {
      notes.push_back(fmt::format("planned again {}: no strategy of the loaded variants keeps every limit", when));
      continue;
    }
    const std::optional<Duration> change = adopt(*strategy, dispatcher, stopping);
    if (!change) {
      if (notes.empty() || notes.back() != kNeverIdle) notes.emplace_back(kNeverIdle);
      continue;  // tried again
    }
    drift.planned(last.slowdowns());
    running = *strategy;
    notes.push_back(fmt::format("planned again {}: another strategy from {} on (the search took {}, going over {})",
                                when, format_duration(MonotonicClock::now() - start), format_duration(last.took()),
                                format_duration(*change)));
  }
  if (notes.size() > kMostNotes) {
    const std::size_t more = notes.size() - kMostNotes;
    notes.resize(kMostNotes);
    notes.push_back(fmt::format("planned again {} times more", more));
  }
  return notes;
}

/// At a moment in which no job is pending, if there comes one; how long that took.
std::optional<Duration> Replanner::adopt(const RunningStrategy& strategy, Dispatcher& dispatcher,
                                         const std::atomic<bool>& stopping) const {
  std::vector<Terms> terms;
  for (std::size_t t = 0; t < strategy.modes.size(); ++t) {
    terms.push_back(dispatcher.terms(static_cast<int>(t)));
    terms[t].priority = strategy.priorities[t];
    terms[t].mode = strategy.modes[t] > 0 ? modes_[t][index(strategy.modes[t] - 1)] : 0;
  }
  const Time end = MonotonicClock::now() + kNoIdleMoment;
  while (!stopping.load(std::memory_order_relaxed)) {
    const Time before = MonotonicClock::now();
    if (before > end) break;
    if (dispatcher.adopt(terms)) return MonotonicClock::now() - before;
    std::this_thread::sleep_for(kIdleLook);
  }
  return {};
}

}  // namespace rtmdl
