#include "calibration/calibrate.h"

#include "base/units.h"
#include "planning/evaluator.h"
#include "planning/predict.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::uint64_t kSeeds = 1000;  ///< away from the seed of runs, whose releases are to be new to the model
constexpr double kChance = 1.96;        ///< deviations that 95 % stay within
constexpr double kEqualLoss = 0.001;    ///< of accuracy, summed over tasks
constexpr double kEqualExcess = 0.02;   ///< of miss rates over their limits, summed over tasks
constexpr double kSlackMargin = 0.25;   ///< that the slacker neighbour has beyond the chosen one
constexpr Duration kNeighbourBudget = std::chrono::seconds(10);

/// Of the prediction from play k: a job that a stall hit might have missed without it too, so anything between the rate
/// with and the rate without such misses is as predicted.
double difference(const CalibratedTask& task, std::size_t k) {
  return std::max({0.0, task.unstalled[k] - task.predicted, task.predicted - task.measured[k]});
}

double share(std::int64_t part, std::int64_t all) {
  return all > 0 ? static_cast<double>(part) / static_cast<double>(all) : 0;
}

class Calibrating {
 public:
  Calibrating(const PlanProblem& profiled, const ModelCorrection& known, const PlanOptions& plan,
              const CalibrateOptions& options, const Play& play, const Context& context)
      : profiled_(profiled), known_(known), plan_(plan), options_(options), play_(play), context_(context) {
    if (options.rounds < 1 || options.repeats < 1 || options.play <= Duration::zero())
      throw Error(ErrorCode::internal, "calibration: rounds, repeats and the length of plays must be positive");
    result_.correction = known;
    correct();
  }

  Calibration run(const std::function<void(const ModelCorrection&)>& keep) {
    context_.report("calibrating: planning", 0);
    Plan next = plan(margin());
    for (int r = 0; r < options_.rounds && !result_.settled && !context_.stopping(); ++r) {
      round_ = r;
      const Choices chosen = choices_of(next);
      CalibrationRound round;
      if (!play_strategy(round, "chosen", chosen, options_.repeats)) break;
      const bool holds = round.strategies.front().holds();
      if (!holds) play_neighbours(round, chosen);
      result_.correction = merged(known_, correction_from(profiled_, observed_));
      keep(result_.correction);
      correct();
      for (PlayedStrategy& strategy : round.strategies) predict_again(strategy);
      say(round);
      result_.rounds.push_back(std::move(round));
      result_.holds = holds;
      if (context_.stopping()) break;
      context_.report("calibrating: planning again", fraction());
      next = plan(margin());
      result_.settled = holds && as_good(result_.rounds.back().strategies.front(), next);
    }
    result_.plan = ending(std::move(next));
    std::sort(observed_.lateness.begin(), observed_.lateness.end());
    const TimeDistribution lateness{observed_.lateness};
    result_.lateness_p50 = lateness.quantile(0.5);
    result_.lateness_p99 = lateness.quantile(0.99);
    return std::move(result_);
  }

 private:
  Plan plan(double margin, Duration budget = Duration::max()) const {
    PlanOptions options = plan_;
    options.margin = margin;
    options.budget = std::min(options.budget, budget);
    return rtmdl::plan(model_, options, quiet());
  }

  /// See Calibration::plan.
  [[nodiscard]] Plan ending(Plan next) const {
    if (result_.rounds.empty() || (next.feasible && !result_.settled)) return next;
    const Choices& last = result_.rounds.back().strategies.front().choices;
    const Choices& choices = result_.settled ? last : nearest_played();
    if (choices == choices_of(next)) return next;
    PlanOptions options = plan_;
    options.margin = margin();
    Plan played = with_strategy(next, choices, model_, options, quiet());
    return next.feasible && !played.feasible ? next : played;
  }

  /// As the corrected model sees strategies, without a margin.
  [[nodiscard]] std::vector<Score> scores(const std::vector<Choices>& strategies) const {
    const PlanProblem problem = with_margin(model_, 0);
    Evaluator evaluator(problem, plan_, quiet());
    std::vector<Score> scores;
    for (const Choices& choices : strategies) scores.push_back(evaluator.evaluate(choices, false)->score);
    return scores;
  }

  [[nodiscard]] Choices nearest_played() const {
    std::vector<Choices> played;
    for (const CalibrationRound& round : result_.rounds)
      for (const PlayedStrategy& strategy : round.strategies) played.push_back(strategy.choices);
    const std::vector<Score> all = scores(played);
    return played[static_cast<std::size_t>(std::min_element(all.begin(), all.end(), better) - all.begin())];
  }

  [[nodiscard]] double margin() const { return result_.correction.options.empty() ? plan_.margin : options_.margin; }

  /// Whether the strategy that was played will do: nearly equal ones take turns with every sample more.
  [[nodiscard]] bool as_good(const PlayedStrategy& played, const Plan& next) const {
    if (played.choices == choices_of(next)) return true;
    const std::vector<Score> both = scores({played.choices, choices_of(next)});
    if (!next.feasible) return both[0].excess <= both[1].excess + kEqualExcess;
    return both[0].loss <= both[1].loss + kEqualLoss && keeps_limits(played.choices);
  }

  /// Without a margin and without stalls of the machine, which any strategy meets.
  [[nodiscard]] bool keeps_limits(const Choices& choices) const {
    PlanProblem calm = model_;
    calm.stalls = {};
    const std::vector<ExpectedMisses> expected =
        expected_misses(Policy::fixed_priority, calm, choices, options_.play, plan_.seed);
    for (std::size_t t = 0; t < expected.size(); ++t)
      if (expected[t].mean > calm.tasks[t].miss_rate_limit) return false;
    return true;
  }

  /// Searching has a progress of its own, which would hide ours.
  [[nodiscard]] Context quiet() const {
    Context context = context_;
    context.progress = {};
    return context;
  }

  void correct() {
    model_ = profiled_;
    apply(model_, result_.correction);
  }

  [[nodiscard]] double fraction() const {
    const int most = options_.rounds * (options_.repeats + 2);
    return std::min(1.0, static_cast<double>(plays_) / static_cast<double>(most));
  }

  /// False if it was stopped: nothing was added then.
  bool play_strategy(CalibrationRound& round, const std::string& kind, const Choices& choices, int repeats) {
    PlayedStrategy strategy{kind, choices, {}};
    std::vector<Played> plays;
    for (int k = 0; k < repeats; ++k) {
      context_.report(fmt::format("calibrating: round {} of {}, the {} strategy for {}", round_ + 1, options_.rounds,
                                  kind, format_duration(options_.play)),
                      fraction());
      plays.push_back(play_(choices, options_.play, plan_.seed + kSeeds + static_cast<std::uint64_t>(plays_)));
      ++plays_;
      if (context_.stopping()) return false;
      if (plays.back().tasks.size() != profiled_.tasks.size())
        throw Error(ErrorCode::internal, "calibration: a play reports another number of tasks");
    }
    const std::vector<ExpectedMisses> expected = expect(choices, plays.front().length);
    for (std::size_t t = 0; t < profiled_.tasks.size(); ++t) strategy.tasks.push_back(judge(t, expected[t], plays));
    for (const Played& played : plays) append(observed_, played.observed);
    round.strategies.push_back(std::move(strategy));
    return true;
  }

  /// Strategies that show the model where the chosen one does not: one that it takes to be nearer to the edge, one that
  /// it takes to be further away.
  void play_neighbours(CalibrationRound& round, const Choices& chosen) {
    std::vector<Choices> played{chosen};
    const auto neighbour = [&](const char* kind, double with_margin) {
      const Choices choices = choices_of(plan(with_margin, kNeighbourBudget));
      if (std::find(played.begin(), played.end(), choices) != played.end()) return;
      played.push_back(choices);
      if (!context_.stopping()) play_strategy(round, kind, choices, 1);
    };
    if (margin() > 0) neighbour("tighter", 0);
    if (!context_.stopping()) neighbour("slacker", margin() + kSlackMargin);
  }

  [[nodiscard]] std::vector<ExpectedMisses> expect(const Choices& choices, Duration length) const {
    PlanProblem played = model_;
    for (PlanTask& task : played.tasks) task.late = measured_with(task.late);
    return expected_misses(Policy::fixed_priority, played, choices, length, plan_.seed);
  }

  CalibratedTask judge(std::size_t t, const ExpectedMisses& expected, const std::vector<Played>& plays) const {
    CalibratedTask task;
    task.name = profiled_.tasks[t].name;
    task.predicted = expected.mean;
    task.within = true;
    for (const Played& played : plays) {
      const PlayedTask& p = played.tasks[t];
      task.measured.push_back(share(p.missed, p.released));
      task.unstalled.push_back(share(p.missed - p.stalled, p.released));
      // Misses come in clusters, so chance is at least what the simulated runs differ by; and not nothing where none of
      // them missed: one more job may.
      const double rate = (expected.mean * static_cast<double>(p.released) + 1) / (static_cast<double>(p.released) + 2);
      const double binomial = std::sqrt(rate * (1 - rate) / std::max<double>(1, static_cast<double>(p.released)));
      task.chance = std::max(task.chance, kChance * std::max(binomial, expected.deviation));
    }
    for (std::size_t k = 0; k < plays.size(); ++k)
      task.within = task.within && difference(task, k) <= options_.points + task.chance;
    return task;
  }

  void predict_again(PlayedStrategy& strategy) const {
    const std::vector<ExpectedMisses> expected = expect(strategy.choices, options_.play);
    for (std::size_t t = 0; t < expected.size(); ++t) strategy.tasks[t].corrected = expected[t].mean;
  }

  void say(const CalibrationRound& round) const {
    const PlayedStrategy& chosen = round.strategies.front();
    double worst = 0;
    const CalibratedTask* at = nullptr;
    for (const CalibratedTask& task : chosen.tasks)
      for (std::size_t k = 0; k < task.measured.size(); ++k)
        if (!at || difference(task, k) > worst) {
          worst = difference(task, k);
          at = &task;
        }
    context_.info(fmt::format("calibrating: round {}: {}; largest difference {} points ({})", round_ + 1,
                              chosen.holds() ? "the prediction holds" : "the prediction does not hold",
                              fmt::format("{:.1f}", worst * 100), at ? at->name : "none"));
  }

  const PlanProblem& profiled_;
  const ModelCorrection known_;  // a copy: `keep` may change the caller's
  const PlanOptions& plan_;
  const CalibrateOptions& options_;
  const Play& play_;
  const Context& context_;
  PlanProblem model_;  // corrected
  Observation observed_;
  Calibration result_;
  int round_ = 0, plays_ = 0;
};

}  // namespace

bool PlayedStrategy::holds() const {
  return std::all_of(tasks.begin(), tasks.end(), [](const CalibratedTask& t) { return t.within; });
}

Calibration calibrate(const PlanProblem& profiled, const ModelCorrection& known, const PlanOptions& plan,
                      const CalibrateOptions& options, const Play& play,
                      const std::function<void(const ModelCorrection&)>& keep, const Context& context) {
  return Calibrating(profiled, known, plan, options, play, context).run(keep);
}

}  // namespace rtmdl
