#include "planning/relax.h"

#include "base/units.h"
#include "planning/descent.h"
#include "planning/energy.h"
#include "planning/evaluator.h"
#include "planning/exact.h"
#include "planning/set_search.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <functional>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kMostTimes = 3;       ///< the value that was asked for
constexpr double kMostStretch = 10;    ///< of all times together
constexpr double kMostMissRate = 0.2;  ///< or kMostMissTimes the limit
constexpr double kMostMissTimes = 10;
constexpr int kMoreSlots = 3;
constexpr double kMostPowerSteps = 1e6;
constexpr double kExactSpace = 20'000;  ///< strategies; more are searched set by set
constexpr std::size_t kRememberedStrategies = 4;
constexpr double kProbeShare = 0.1;  ///< of the budget, at most

/// The power of ten of its third digit: 0.1 of 27.3.
double third_digit(double value) { return std::pow(10, std::floor(std::log10(value) + 1e-9) - 2); }

/// "27.3 ms". Values of the grids have at most four digits, so they are whole.
std::string exact_time(Duration d) {
  const double s = to_seconds(d);
  if (s >= 1) return fmt::format("{:.4g} s", s);
  return s >= 1e-3 ? fmt::format("{:.4g} ms", s * 1e3) : fmt::format("{:.4g} us", s * 1e6);
}

std::string exact_bytes(std::int64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (b >= 1e9) return fmt::format("{:.6g} GB", b / 1e9);
  if (b >= 1e6) return fmt::format("{:.6g} MB", b / 1e6);
  return b >= 1e3 ? fmt::format("{:.6g} kB", b / 1e3) : fmt::format("{} B", bytes);
}

std::string exact_watts(double w) { return w >= 1 ? fmt::format("{:.6g} W", w) : fmt::format("{:.6g} mW", w * 1e3); }

std::string exact_percent(double fraction) { return fmt::format("{:.6g} %", fraction * 100); }

/// Looks for any strategy that keeps every limit.
class Prober {
 public:
  Prober(const PlanOptions& options, const Context& context) : options_(options), context_(context) {
    quiet_ = context;
    quiet_.progress = nullptr;
    quiet_.log = nullptr;
    options_.budget = std::max(Duration(std::chrono::milliseconds(200)),
                               Duration(std::llround(static_cast<double>(options.budget.count()) * kProbeShare)));
    begun_ = std::chrono::steady_clock::now();
    whole_ = to_seconds(options.budget);
  }

  [[nodiscard]] double used() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count() / std::max(whole_, 1e-9);
  }
  [[nodiscard]] bool over() const { return used() >= 1 || context_.stopping(); }

  /// The strategy if there is one. `problem` with times as measured.
  std::optional<Choices> strategy(const PlanProblem& problem) {
    PlanProblem free = with_margin(problem, options_.margin);
    set_follower_streams(free);
    for (PlanTask& task : free.tasks)
      for (TaskOption& option : task.options) option.accuracy_loss = 0;
    Evaluator evaluator(free, options_, quiet_);
    for (std::size_t i = 0; i < evaluator.tasks(); ++i) {
      bool possible = false;
      for (std::size_t o = 0; o < evaluator.options_of(i); ++o) possible |= evaluator.possible(i, o);
      if (!possible) return std::nullopt;
    }
    for (const Choices& known : known_)
      if (names_options_of(known, free) && evaluator.evaluate(known, true)) return known;
    const int n = static_cast<int>(evaluator.tasks());
    const bool open = exact_is_open(free);
    search_descent(evaluator, options_.seed, open ? 10 + 5 * n : 60 + 20 * n);
    if (!feasible(evaluator) && open) {
      if (space_of(free) <= kExactSpace) search_exact(evaluator);
      else search_by_sets(evaluator);
    }
    if (!feasible(evaluator)) return std::nullopt;
    known_.push_front(evaluator.best()->choices);
    if (known_.size() > kRememberedStrategies) known_.pop_back();
    return known_.front();
  }

 private:
  /// accuracy.min admits options that other probes do not have.
  static bool names_options_of(const Choices& choices, const PlanProblem& problem) {
    for (std::size_t i = 0; i < choices.size(); ++i)
      if (index(choices[i].option) >= problem.tasks[i].options.size()) return false;
    return true;
  }
  static bool feasible(const Evaluator& evaluator) { return evaluator.best() && evaluator.best()->score.feasible; }

  PlanOptions options_;
  const Context& context_;
  Context quiet_;
  std::chrono::steady_clock::time_point begun_;
  double whole_ = 0;
  std::deque<Choices> known_;  ///< feasible ones of other probes
};

class Relaxer {
 public:
  Relaxer(const PlanProblem& problem, const Plan& nearest, const PlanOptions& options, const Context& context)
      : problem_(problem), nearest_(nearest), context_(context), prober_(options, context) {}

  std::vector<Relaxation> run() {
    collect();
    for (std::size_t k = 0; k < knobs_.size() && !prober_.over(); ++k) {
      context_.report(
          "plan: what would be enough",
          std::max(static_cast<double>(k) / static_cast<double>(knobs_.size()), std::min(prober_.used(), 1.0)));
      knobs_[k]();
    }
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Relaxation& a, const Relaxation& b) { return a.size < b.size; });
    return std::move(found_);
  }

 private:
  /// What is asked for in step k; 0 is as it is.
  using Change = std::function<void(PlanProblem&, int)>;

  /// Tasks that fall short in the nearest strategy.
  std::vector<std::size_t> short_tasks() const {
    std::vector<std::size_t> tasks;
    for (std::size_t i = 0; i < problem_.tasks.size() && i < nearest_.tasks.size(); ++i) {
      const PlanTask& task = problem_.tasks[i];
      const PlannedTask& planned = nearest_.tasks[i];
      const bool unproven = task.hard && (!planned.response_bound || *planned.response_bound > task.deadline);
      if (unproven || planned.miss_rate > (task.hard ? 0 : task.miss_rate_limit + 1e-9)) tasks.push_back(i);
    }
    return tasks;
  }

  void collect() {
    if (problem_.storage) knobs_.push_back([this] { bytes("storage", &PlanProblem::storage, &TaskOption::bytes); });
    if (problem_.memory) knobs_.push_back([this] { bytes("memory", &PlanProblem::memory, &TaskOption::memory); });
    if (problem_.power_limit) knobs_.push_back([this] { power(); });
    const std::vector<std::size_t> tasks = short_tasks();
    if (tasks.empty() && problem_.power_limit) knobs_.push_back([this] { stretch(); });
    if (tasks.empty()) return;
    for (const std::size_t i : tasks) knobs_.push_back([this, i] { accuracy(i); });
    for (std::size_t p = 0; p < problem_.processors.size(); ++p) knobs_.push_back([this, p] { slots(p); });
    for (const std::size_t i : tasks) knobs_.push_back([this, i] { deadline(i); });
    knobs_.push_back([this] { stretch(); });
    for (const std::size_t i : tasks) knobs_.push_back([this, i] { period(i); });
    for (const std::size_t i : tasks) knobs_.push_back([this, i] { miss_rate(i); });
  }

  /// The least step from 1 to `most` that is feasible; 0: none.
  int least_step(int most, const Change& change) {
    const auto holds = [&](int step) {
      PlanProblem changed = problem_;
      change(changed, step);
      return prober_.strategy(changed).has_value();
    };
    if (most < 1 || !holds(most)) return 0;
    int low = 0, high = most;
    while (high - low > 1) {
      if (prober_.over()) return 0;
      const int middle = low + (high - low) / 2;
      (holds(middle) ? high : low) = middle;
    }
    return high;
  }

  void add(std::string what, const std::string& task, std::string from, std::string to, double size,
           const std::string& text) {
    found_.push_back({std::move(what), task, std::move(from), std::move(to), size, text});
  }

  /// A grid of round times above `from`, up to `most`.
  struct Grid {
    std::int64_t first = 0, step = 1;
    int count = 0;
    [[nodiscard]] Duration at(int k) const { return Duration(first + (k - 1) * step); }
  };
  static Grid grid_of(Duration from, Duration most) {
    Grid grid;
    grid.step = std::max<std::int64_t>(1, std::llround(third_digit(static_cast<double>(from.count()))));
    grid.first = (from.count() / grid.step + 1) * grid.step;
    grid.count = most.count() < grid.first ? 0 : static_cast<int>((most.count() - grid.first) / grid.step) + 1;
    return grid;
  }
  static Duration times(Duration d, double factor) {
    return Duration(std::llround(static_cast<double>(d.count()) * factor));
  }
  static double growth(Duration from, Duration to) { return to_seconds(to) / to_seconds(from) - 1; }

  void deadline(std::size_t i) {
    const PlanTask& task = problem_.tasks[i];
    // Later, the frame would be overwritten, and the task file refuses it. A proof ends with the period.
    const bool periodic = task.arrivals.kind == ArrivalSpec::Kind::periodic && task.after.task < 0;
    const Duration overwritten = periodic ? task.period * (task.queue + 1) : Duration::max();
    const Duration most = std::min(times(task.deadline, kMostTimes), task.hard ? task.period : overwritten);
    const Grid grid = grid_of(task.deadline, most);
    const int step = least_step(grid.count, [&](PlanProblem& p, int k) { p.tasks[i].deadline = grid.at(k); });
    if (step == 0) return;
    const std::string from = exact_time(task.deadline), to = exact_time(grid.at(step));
    add("deadline", task.name, from, to, growth(task.deadline, grid.at(step)),
        fmt::format("{}: deadline {} instead of {}{}", task.name, to, from, task.hard ? ", which can be proven" : ""));
  }

  void period(std::size_t i) {
    const PlanTask& task = problem_.tasks[i];
    if (task.arrivals.kind != ArrivalSpec::Kind::periodic || task.after.task >= 0) return;
    const bool follows = task.deadline == task.period;
    const Grid grid = grid_of(task.period, times(task.period, kMostTimes));
    const int step = least_step(grid.count, [&](PlanProblem& p, int k) {
      p.tasks[i].period = grid.at(k);
      if (follows) p.tasks[i].deadline = grid.at(k);
    });
    if (step == 0) return;
    const std::string from = exact_time(task.period), to = exact_time(grid.at(step));
    add("period", task.name, from, to, growth(task.period, grid.at(step)),
        fmt::format("{}: period {} instead of {}{}", task.name, to, from, follows ? ", and the deadline with it" : ""));
  }

  void miss_rate(std::size_t i) {
    const PlanTask& task = problem_.tasks[i];
    if (task.hard) return;
    const double limit = task.miss_rate_limit;
    const int first = static_cast<int>(std::floor(limit * 1000 + 1e-6)) + 1;  // in steps of 0.1 %
    const int most = static_cast<int>(std::min(1000.0, 1000 * std::max(kMostMissTimes * limit, kMostMissRate)));
    const auto at = [&](int k) { return static_cast<double>(first + k - 1) / 1000; };
    const int step = least_step(most - first + 1, [&](PlanProblem& p, int k) { p.tasks[i].miss_rate_limit = at(k); });
    if (step == 0) return;
    const std::string from = exact_percent(limit), to = exact_percent(at(step));
    add("miss_rate", task.name, from, to, (at(step) - limit) / std::max(limit, 0.01),
        fmt::format("{}: miss_rate {} instead of {}", task.name, to, from));
  }

  void accuracy(std::size_t i) {
    const PlanTask& task = problem_.tasks[i];
    std::vector<double> levels;  // of accuracy.min, in steps of 0.1 %, falling
    for (const TaskOption& option : task.refused) {
      const double level = std::floor(option.accuracy * 1000 + 1e-6) / 1000;
      if (level < task.accuracy_min - 1e-9) levels.push_back(level);
    }
    std::sort(levels.begin(), levels.end(), std::greater<>());
    levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
    const auto admit = [&](PlanProblem& p, int k) {
      for (const TaskOption& option : task.refused)
        if (option.accuracy >= levels[index(k - 1)] - 1e-9) p.tasks[i].options.push_back(option);
    };
    const int step = least_step(static_cast<int>(levels.size()), admit);
    if (step == 0) return;
    PlanProblem changed = problem_;
    admit(changed, step);
    const auto strategy = prober_.strategy(changed);
    if (!strategy) return;
    const std::string from = exact_percent(task.accuracy_min), to = exact_percent(levels[index(step - 1)]);
    add("accuracy.min", task.name, from, to, (task.accuracy_min - levels[index(step - 1)]) / task.accuracy_min,
        fmt::format("{}: accuracy.min {} instead of {} would admit {} and be enough", task.name, to, from,
                    changed.tasks[i].options[index((*strategy)[i].option)].variant));
  }

  static void add_slots(PlanProblem& problem, std::size_t p, int more) {
    const int all = problem.processors[p].slots += more;
    for (PlanTask& task : problem.tasks)
      for (TaskOption& option : task.options)
        for (StageOption& stage : option.stages)
          if (option.alone && index(stage.processor) == p && stage.slots == all - more) stage.slots = all;
  }

  void slots(std::size_t p) {
    const PlanProcessor& processor = problem_.processors[p];
    const int step = least_step(std::min(kMoreSlots, kMaxSlots - processor.slots),
                                [&](PlanProblem& changed, int k) { add_slots(changed, p, k); });
    if (step == 0) return;
    add("slots", processor.name, fmt::format("{}", processor.slots), fmt::format("{}", processor.slots + step),
        static_cast<double>(step) / processor.slots,
        fmt::format("{} more core{} for {} ({} slots instead of {})", step == 1 ? "one" : fmt::format("{}", step),
                    step == 1 ? "" : "s", processor.name, processor.slots + step, processor.slots));
  }

  void bytes(const std::string& what, std::optional<std::int64_t> PlanProblem::*bound,
             std::int64_t TaskOption::*member) {
    const std::int64_t from = *(problem_.*bound);
    std::int64_t all = 0;
    for (const PlanTask& task : problem_.tasks) {
      std::int64_t most = 0;
      for (const TaskOption& option : task.options) most = std::max(most, option.*member);
      all += most;
    }
    if (all <= from) return;
    // Whole MB, kB below 10 MB; in some 1000 steps where a bound is far below what is needed.
    std::int64_t step_bytes = from >= 10'000'000  ? 1'000'000
                              : from >= 1'000'000 ? 100'000
                              : from >= 10'000    ? 1'000
                                                  : 100;
    while ((all - from) / step_bytes > 1000) step_bytes *= 10;
    const std::int64_t first = (from / step_bytes + 1) * step_bytes;
    const int count = static_cast<int>((all - first + step_bytes - 1) / step_bytes) + 1;
    const auto at = [&](int k) { return first + (k - 1) * step_bytes; };
    const int step = least_step(std::max(1, count), [&](PlanProblem& p, int k) { p.*bound = at(k); });
    if (step == 0) return;
    const std::string was = exact_bytes(from), to = exact_bytes(at(step));
    add(what, "", was, to, static_cast<double>(at(step)) / static_cast<double>(std::max<std::int64_t>(from, 1)) - 1,
        fmt::format("{} {} instead of {}", what, to, was));
  }

  void power() {
    const double from = *problem_.power_limit, step_watts = third_digit(from);
    double most = idle_watts(problem_);
    for (const PlanTask& task : problem_.tasks) {
      double draw = 0;
      for (const TaskOption& option : task.options) draw = std::max(draw, draw_watts(task, option));
      most += draw;
    }
    const double first = std::floor(from / step_watts + 1e-6) + 1;  // steps
    const auto at = [&](int k) { return (first + k - 1) * step_watts; };
    const int count = static_cast<int>(std::ceil(std::min(most / step_watts, kMostPowerSteps) - first)) + 1;
    const int step = least_step(count, [&](PlanProblem& p, int k) { p.power_limit = at(k); });
    if (step == 0) return;
    const std::string was = exact_watts(from), to = exact_watts(at(step));
    add("energy.budget", "", was, to, at(step) / from - 1, fmt::format("energy.budget {} instead of {}", to, was));
  }

  /// Every period, deadline, jitter and offset.
  void stretch() {
    const auto change = [&](PlanProblem& p, double factor) {
      for (PlanTask& task : p.tasks) {
        for (Duration* d : {&task.period, &task.deadline, &task.jitter, &task.offset, &task.interval})
          *d = times(*d, factor);
        task.arrivals.stretch(factor);
      }
    };
    const auto in_steps = [&](double most, double step) {
      const int k = least_step(static_cast<int>(std::lround((most - 1) / step)),
                               [&](PlanProblem& p, int s) { change(p, 1 + s * step); });
      return k == 0 ? 0 : 1 + k * step;
    };
    double factor = in_steps(kMostTimes, 0.01);
    if (factor == 0) factor = in_steps(kMostStretch, 0.1);
    if (factor == 0) return;
    add("stretch", "", "1", fmt::format("{:.4g}", factor), factor - 1,
        fmt::format("all periods and deadlines {:.4g} times as long", factor));
  }

  const PlanProblem& problem_;
  const Plan& nearest_;
  const Context& context_;
  Prober prober_;
  std::vector<std::function<void()>> knobs_;
  std::vector<Relaxation> found_;
};

}  // namespace

std::vector<Relaxation> smallest_relaxations(const PlanProblem& problem, const Plan& nearest,
                                             const PlanOptions& options, const Context& context) {
  if (nearest.feasible) return {};
  return Relaxer(problem, nearest, options, context).run();
}

bool seems_feasible(const PlanProblem& problem, const PlanOptions& options, const Context& context) {
  return Prober(options, context).strategy(problem).has_value();
}

}  // namespace rtmdl
