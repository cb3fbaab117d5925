#pragma once
/// What every search method shares: facts about single options that need no simulation, the judging of whole
/// strategies, and the book of what was found: the best strategy, the front, the number of simulations, the time left.

#include "base/context.h"
#include "planning/pareto.h"
#include "planning/planner.h"
#include "planning/response_time.h"
#include "planning/simulator.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace rtmdl {

/// How good a strategy is. Feasible before not. Feasible: least loss, fewest misses (in steps of 0.2
/// points), least loaded busiest processor, most room between worst response and deadline. Infeasible: least excess
/// over the limits, then most room (a miss more or less is a coarse measure), then as above.
struct Score {
  bool feasible = false;
  double excess = 0;  ///< Σ of what is beyond a limit: miss rates in points of 1, storage, memory and power as shares
                      ///< of their bound
  double loss = 0;    ///< Σ wᵢ·lossᵢ
  double miss_rate = 0;  ///< over all jobs
  double peak = 0;       ///< utilisation of the busiest processor
  double tightness = 0;  ///< largest worst response / deadline
};
[[nodiscard]] bool better(const Score& a, const Score& b);

struct Strategy {
  Choices choices;
  Score score;
  std::vector<double> miss_rates;               ///< per task
  std::vector<std::optional<Duration>> bounds;  ///< per task; empty when no task is hard
};

/// What a search has found so far.
struct Book {
  std::optional<Strategy> best;
  std::vector<ParetoPoint> pareto;
  std::int64_t evaluated = 0;
};

inline constexpr double kMostStrain = 2;
inline constexpr double kSameWatts = 1e-9;  ///< sums of the same draws in another order differ by less
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Evaluator {
 public:
  /// `problem` is kept by reference; its times are taken as they are.
  Evaluator(const PlanProblem& problem, const PlanOptions& options, const Context& context);

  [[nodiscard]] const PlanProblem& problem() const { return problem_; }
  [[nodiscard]] const Context& context() const { return context_; }
  [[nodiscard]] std::size_t tasks() const { return problem_.tasks.size(); }
  [[nodiscard]] std::size_t options_of(std::size_t task) const { return problem_.tasks[task].options.size(); }
  [[nodiscard]] double loss(std::size_t task, std::size_t option) const;
  /// Mean time on a processor as a share of the period and of the slots.
  [[nodiscard]] double utilisation(std::size_t task, std::size_t option, std::size_t processor) const;
  [[nodiscard]] double utilisation(std::size_t task, std::size_t option) const;  ///< over all processors
  [[nodiscard]] std::vector<double> utilisation(const Choices& choices) const;   ///< per processor
  /// Time that the option's jobs take from the processor at the least if the task keeps its limit: the (1 − ζ)·N
  /// shortest of the N jobs with the very times that the simulation gives them.
  [[nodiscard]] std::int64_t demand(std::size_t task, std::size_t option, std::size_t processor) const;
  /// Slots × the span from the first release to the last deadline: jobs that are in time take all their time within it.
  [[nodiscard]] std::int64_t capacity(std::size_t processor) const { return capacity_[processor]; }
  /// False when too many jobs miss whatever else runs: release jitter + own times alone exceed the deadline.
  [[nodiscard]] bool possible(std::size_t task, std::size_t option) const { return facts_[task][option].possible; }
  [[nodiscard]] double least_miss_rate(std::size_t task, std::size_t option) const {
    return facts_[task][option].least_miss_rate;
  }

  [[nodiscard]] std::int64_t bytes(const Choices& choices) const;      ///< each model counted once
  [[nodiscard]] bool shares_models() const { return shares_models_; }  ///< two tasks have an option with the same model
  [[nodiscard]] std::int64_t memory(const Choices& choices) const;
  /// What the task's jobs draw with that option beyond the idle box, and what the box draws with these choices.
  [[nodiscard]] double watts(std::size_t task, std::size_t option) const { return facts_[task][option].watts; }
  [[nodiscard]] double watts(const Choices& choices) const;
  [[nodiscard]] double idle_watts() const { return idle_watts_; }
  [[nodiscard]] bool fits(const Choices& choices) const;  ///< storage, memory and the limit of power hold
  [[nodiscard]] double loss(const Choices& choices) const;
  /// It fits and no necessary condition is broken.
  [[nodiscard]] bool promising(const Choices& choices) const;

  /// Simulates. With `give_up`, nothing is returned (and nothing entered in the book) as soon as a limit is broken.
  /// `strain`, if wanted: per task, the response that all jobs keep but those that may miss, over the deadline (hard:
  /// the bound, where that is more); at most kMostStrain, which dropped jobs count as.
  std::optional<Strategy> evaluate(const Choices& choices, bool give_up, std::vector<double>* strain = nullptr);
  /// Whether the `count` most urgent tasks of `order` keep their limits and proofs when only they run. On preemptive
  /// processors the others do not touch them, so a broken limit stays broken whatever is added below.
  /// Without `proofs`, only their limits in the simulation.
  bool prefix_holds(const std::vector<int>& order, std::size_t count, const Choices& choices, bool proofs = true);
  /// Whether the task keeps its limit (hard: its proof) when the tasks of the set `higher` are more urgent, those of
  /// `lower` less, both in deadline-monotonic or both in rate-monotonic order, and no others there. Bit i stands for
  /// task i.
  bool holds_below(std::size_t task, std::uint64_t higher, std::uint64_t lower, const Choices& choices);
  [[nodiscard]] bool all_hard() const { return all_hard_; }
  [[nodiscard]] bool all_preemptive(const Choices& choices) const;
  /// A quick look: false when half of what may be missed is missed in the first quarter, which is the hardest: all
  /// tasks are released at once. Says nothing for sure; proofs are not looked at.
  bool looks_feasible(const Choices& choices);

  [[nodiscard]] const std::optional<Strategy>& best() const { return best_; }
  /// Σ of each task's least loss among its possible options: no strategy has less.
  [[nodiscard]] double least_loss() const;
  /// The best is feasible and no task has a possible option of less loss: no search is needed to call it optimal.
  [[nodiscard]] bool at_least_loss() const;
  [[nodiscard]] std::vector<ParetoPoint> pareto() const { return front_.points(); }
  [[nodiscard]] const std::vector<ParetoPoint>& feasible_front() const { return front_.feasible(); }
  [[nodiscard]] std::int64_t evaluated() const { return evaluated_; }
  [[nodiscard]] Book book() const { return {best_, front_.points(), evaluated_}; }
  /// Enters what another search of the same problem with the same options has found.
  void absorb(const Book& book);
  /// Counts time as `other` does: for the evaluators of several threads that share one budget.
  void keep_time_of(const Evaluator& other) { started_ = other.started_, share_ = other.share_; }
  [[nodiscard]] double seconds() const;
  /// What follows may use the budget up to this share of it.
  void allow(double share) { share_ = share; }
  [[nodiscard]] double allowed() const { return share_; }
  /// The allowed share of the budget is used up, or the user wants to stop.
  [[nodiscard]] bool out_of_time() const;
  /// Share of the budget that is used.
  [[nodiscard]] double used() const;

 private:
  struct Facts {
    double loss = 0;
    bool possible = true;
    double least_miss_rate = 0;
    int model = 0;  ///< equal where the content is
    std::vector<std::int64_t> demand;
    std::vector<double> utilisation;
    double watts = 0;
  };
  Facts facts_of(std::size_t task, std::size_t option) const;
  double strain_of(std::size_t task, const TaskOutcome& outcome, std::optional<Duration> bound) const;
  /// So many of these jobs.
  [[nodiscard]] std::int64_t may_miss(std::size_t task, std::int64_t jobs) const;
  /// The simulation went to its end, and every task kept its limit; the task did.
  [[nodiscard]] bool limits_hold(const SimulationOutcome& outcome) const;
  [[nodiscard]] bool limit_holds(std::size_t task, const SimulationOutcome& outcome) const;
  void enter(const Strategy& strategy, bool fits);
  void tell(const Choices& choices, std::string_view fate, int task = -1, double miss_rate = 0) const;

  const PlanProblem& problem_;
  const PlanOptions& options_;
  const Context& context_;
  Simulator simulator_;
  ResponseAnalysis analysis_;
  std::vector<std::vector<Duration>> releases_;  ///< nominal, of each task; none of one that runs after another
  /// Per task: the most that may miss. Of one that runs after another, whose jobs are as many as that one has in time:
  /// the most that ever may.
  std::vector<std::int64_t> limits_;
  std::vector<std::vector<Facts>> facts_;
  std::vector<std::int64_t> capacity_;
  double idle_watts_ = 0;
  std::vector<int> dm_, rm_;
  std::vector<std::int64_t> quick_;     ///< limits of a quick look
  std::vector<std::int64_t> only_one_;  ///< limits of which only the tested task's is set, else the highest number
  bool any_hard_ = false, all_hard_ = true, shares_models_ = false;
  std::optional<Strategy> best_;
  ParetoFront front_;
  std::int64_t evaluated_ = 0;
  double share_ = 1;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// Tasks by deadline, by period; ties by index.
[[nodiscard]] std::vector<int> deadline_monotonic_order(const PlanProblem& problem);
[[nodiscard]] std::vector<int> rate_monotonic_order(const PlanProblem& problem);
/// Writes priorities 1..n in the order of `order`.
void set_priorities(Choices& choices, const std::vector<int>& order);

}  // namespace rtmdl
