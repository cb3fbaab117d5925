#pragma once
/// Chooses one option and one priority per task jointly: minimise Σ wᵢ·LOSSᵢ/ACCᵢᵐᵃˣ subject to missᵢ ≤ ζᵢ and the
/// storage bound (Ling et al., SenSys 2021, eq. of section 4; ../paper facts in docs/design.md).

#include "base/context.h"
#include "planning/problem.h"
#include "planning/simulator.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

class Exchange;

/// What became of one candidate of a search.
struct CandidateFate {
  const Choices& choices;
  std::string_view fate;  ///< feasible; infeasible; gave up (a limit broke in the simulation); unpromising (storage,
                          ///< memory or a processor's capacity, without simulation); unproven (a hard task's bound);
                          ///< holds, fails (one task below a set of others: set_search.h, exact.h); quick look failed
  int task = -1;          ///< whom a test or a broken limit is about, where that is known
  double loss = 0, miss_rate = 0;  ///< miss rate: of feasible and infeasible ones
};

struct PlanOptions {
  std::string method = "auto";                    ///< auto | exact | descent | nsga2
  Duration simulated = std::chrono::seconds(30);  ///< length of each simulation
  Duration budget = std::chrono::seconds(60);
  std::uint64_t seed = 1;
  double margin = 0.0;  ///< times are stretched by 1 + margin: room for what the profile did not see
  int jobs = 0;         ///< threads that search; 0: as many as the process has cores. The result is the same
  /// Told every candidate and what became of it; from several threads at once where `jobs` is not 1.
  std::function<void(const CandidateFate&)> log = {};
  int ranks = 1;  ///< processes that search together (exchange.h); the result depends on it
  /// Above 0: among the strategies met that keep every limit, the one with the least Σ wᵢ·lossᵢ + miss_weight · misses.
  double miss_weight = 0;
  bool front = true;  ///< also looks for trades beside the chosen one (pareto.h)
};

/// How long to simulate: PlanOptions' default, or longer where a task would be released fewer than 20 times; not beyond
/// 200,000 jobs in all, but until each task was released.
[[nodiscard]] Duration simulated_length(const PlanProblem& problem);

struct PlannedTask {
  Choice choice;
  double miss_rate = 0;                                      ///< predicted, with the margin
  double expected_miss_rate = 0, expected_miss_rate_95 = 0;  ///< without it: mean over seeds, half width of its 95 %
                                                             ///< confidence interval
  double accuracy_loss = 0;
  std::vector<double> utilisation;         ///< per processor
  std::optional<Duration> response_bound;  ///< only where proven (hard tasks)
};

/// One of the best trades between accuracy and misses that the search met.
struct ParetoPoint {
  double accuracy_loss = 0, miss_rate = 0;  ///< Σ wᵢ·lossᵢ, over all jobs
  bool feasible = false;                    ///< every task keeps its limit
  bool chosen = false;
  Choices choices = {};
};

/// A change of one thing that the task file asks for, which would make a strategy possible where there is none.
struct Relaxation {
  std::string what;      ///< deadline, miss_rate, period, accuracy.min; slots; storage, memory, energy.budget; stretch
  std::string task;      ///< or processor, of slots; empty: of the whole box
  std::string from, to;  ///< as a task file says them: "20 ms"; of stretch: times
  double size = 0;       ///< how much more is asked for, relative to what was: 0.35
  std::string text;      ///< for people: "faces: deadline 27 ms instead of 20 ms"
};

struct Plan {
  bool feasible = false;
  std::string reason;  ///< when not feasible: why, and how the nearest strategy falls short, in the user's units; else
                       ///< one sentence on the choice
  std::vector<PlannedTask> tasks;  ///< the strategy, or the nearest one
  double accuracy_loss = 0;        ///< Σ wᵢ·lossᵢ
  double miss_rate = 0;            ///< over all jobs
  std::int64_t bytes = 0;
  std::optional<double> watts;  ///< that the box draws on average; absent: the power of its processors is not known
  std::string method;
  int ranks = 1;               ///< processes that searched
  double space = 0;            ///< size of the search space (may exceed 2^53: a double)
  std::int64_t evaluated = 0;  ///< strategies simulated
  double seconds = 0;
  bool proven_optimal = false;  ///< with respect to the simulation (same seed, same length); if not feasible: it is
                                ///< proven that no strategy is
  std::string model;            ///< what proofs are about: "simulation, every order", "simulation, set by set"
                                ///< (set_search.h); where every task is hard "response-time analysis", and with chains
                                ///< over processors "response-time analysis, set by set"
  double loss_bound = 0;        ///< no strategy has less loss; accuracy_loss where that is proven
  std::vector<ParetoPoint> pareto;                     ///< by loss; none is beaten by another
  std::optional<std::vector<Relaxation>> relaxations;  ///< if not feasible and looked for (relax.h); smallest first
};

/// The strategy, or the nearest one.
[[nodiscard]] Choices choices_of(const Plan& plan);

/// Throws Error(bad_input) unless `method` is one that plan() has, so that a wrong one is refused before anything is
/// measured.
void require_method(const std::string& method);
/// With an exchange all its ranks call it with the same problem and options (whose `ranks` are the exchange's; method
/// nsga2); what rank 0 returns is the plan.
[[nodiscard]] Plan plan(const PlanProblem& problem, const PlanOptions& options, const Context& context,
                        Exchange* exchange = nullptr);

/// What plan() returned for the same problem and options, with another strategy than the one it chose: one of which is
/// known that it does on the box what is predicted of it.
[[nodiscard]] Plan with_strategy(Plan searched, const Choices& choices, const PlanProblem& problem,
                                 const PlanOptions& options, const Context& context);

/// The problem that plan() solves: neighbours taken to be always busy, as proofs take them, and times longer by the
/// margin (not those of proofs, which hold room of their own).
[[nodiscard]] PlanProblem with_margin(PlanProblem problem, double margin);

/// One of the `allowed` options of each task, placed so that the fullest processor is as empty as can be, then the
/// second fullest, and so on: every placement is tried where they are few, else worst-fit decreasing. Priorities
/// are 1..n by index.
[[nodiscard]] Choices balanced_choices(const PlanProblem& problem, const std::vector<std::vector<int>>& allowed);
/// The source model of each task (without one: the option with the least loss), balanced: what the baselines run.
[[nodiscard]] Choices source_choices(const PlanProblem& problem);
/// The most accurate of the models with early exits of each task (without one: as source_choices()), balanced.
[[nodiscard]] Choices exit_choices(const PlanProblem& problem);
/// The fastest variant of each task, balanced.
[[nodiscard]] Choices compressed_choices(const PlanProblem& problem);

}  // namespace rtmdl
