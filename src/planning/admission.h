#pragma once
/// Whether tasks may come, or run more often, while others run: admitted as things are, admitted with other variants of
/// the tasks that are there, or refused.
///
/// A request is judged like a plan: every hard task needs its proof, every soft one keeps its limit in the simulation.
/// First with what is in force, the task at every priority and with every option, the least loss first; then by the
/// joint search over all that is there (plan()). What is refused has no feasible strategy among the options of the
/// problem, as far as that search is exact (Verdict::proven).
///
/// What is in force at some moment is a regime. A proof of a regime covers every trace that is legal in it, from a
/// moment on in which no job is pending. So the change to another is safe in such a moment (the idle instant of Tindell
/// and Alonso, "A very simple protocol for mode changes in priority preemptive systems", 1996), whatever changes; and
/// at once if all that was released since the last such moment and all that will be is a legal trace of a regime that
/// is proven as well: the union of both, with each task at its higher rate and its shorter deadline (safe_at_once()).

#include "base/context.h"
#include "planning/planner.h"
#include "planning/problem.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Which tasks of a problem run, how often, and as what. Those that are not there keep a priority and an option.
struct Regime {
  std::vector<bool> present;
  std::vector<Duration> periods, deadlines;
  Choices choices;
  bool operator==(const Regime&) const = default;
};

/// All tasks of the problem but those that are `absent`.
[[nodiscard]] Regime regime_of(const PlanProblem& problem, const Choices& choices, const std::vector<bool>& absent);

/// The tasks that are there, with their periods and deadlines: what is planned.
struct PresentTasks {
  PlanProblem problem;
  std::vector<int> tasks;  ///< of the whole problem
};
[[nodiscard]] PresentTasks present_tasks(const PlanProblem& problem, const Regime& regime);

struct Request {
  enum class Kind : std::uint8_t { join, leave, timing };
  Kind kind = Kind::join;
  int task = 0;
  Duration period{},
      deadline{};  ///< of join and timing; zero: as it is. A deadline that equals the period goes with it
};

/// The regime with what is asked for in it.
[[nodiscard]] Regime with_request(Regime regime, const Request& request);

/// Another option of a task that is there.
struct Swap {
  int task = 0;
  int from = 0, to = 0;
  double loss = 0;  ///< weighted, more than before
};

struct Verdict {
  enum class Kind : std::uint8_t {
    admitted,  ///< nothing is lost elsewhere
    lighter,   ///< with smaller variants of tasks that are there
    refused
  };
  Kind kind = Kind::admitted;
  Regime next;              ///< of a refusal: as it is
  std::vector<Swap> swaps;  ///< of tasks that were there before
  std::string reason;       ///< of a refusal: what would miss how much, or cannot be proven, in the nearest strategy
  bool proven = false;      ///< of a refusal: it is proven that there is no feasible strategy
};

/// Of searches while a run goes on: short ones, by one thread.
[[nodiscard]] PlanOptions search_while_running(PlanOptions options, const PlanProblem& problem);

class Admission {
 public:
  /// `problem`: all tasks that there can be, with the options that may be used. `fixed_order`: the priorities that
  /// tasks begin with stay. The `simulated`, `margin`, `seed`, `budget` and `method` of `options` count.
  Admission(PlanProblem problem, Regime in_force, PlanOptions options, bool fixed_order, const Context& context);

  /// Who leaves, or runs less often without a shorter deadline, is admitted without a search.
  [[nodiscard]] Verdict ask(const Request& request) const;
  /// The best strategy for the tasks that are there: with less loss than what is in force, or as that is.
  [[nodiscard]] Verdict settle() const;

  /// Whether one may go over to it while jobs are pending.
  [[nodiscard]] bool safe_at_once(const Regime& next) const;
  /// From now on it is in force. `between_jobs`: no job was pending.
  void adopt(const Regime& next, bool between_jobs);
  [[nodiscard]] const Regime& in_force() const { return in_force_; }
  /// As it began.
  void restart() { in_force_ = united_ = first_; }

  /// What is judged: with the margin on times.
  [[nodiscard]] const PlanProblem& problem() const { return problem_; }
  [[nodiscard]] const PlanOptions& options() const { return options_; }

 private:
  [[nodiscard]] std::optional<Choices> placed(const Regime& next, int task) const;
  [[nodiscard]] Verdict searched(const Regime& next, int task) const;
  [[nodiscard]] Verdict verdict(Regime next) const;
  [[nodiscard]] bool can_gain() const;

  PlanProblem problem_;
  Regime first_, in_force_;
  Regime united_;  ///< all that jobs were released under since a moment in which none was pending
  PlanOptions options_;
  bool fixed_order_;
  const Context& context_;
};

}  // namespace rtmdl
