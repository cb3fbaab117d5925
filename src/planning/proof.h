#pragma once
/// Why a task meets its deadline in the worst case, or why that cannot be shown: the bound of response_time.h term by
/// term, and what its more accurate variants would need. A value; explain() in report/proof_text.h puts it into words.

#include "planning/problem.h"
#include "planning/response_time.h"

#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// One summand of a bound. All of them together are the bound.
struct ProofTerm {
  enum class Kind {
    jitter,        ///< the release may be so late
    own,           ///< the task's own work, of `count` jobs
    blocking,      ///< by one stage of `task` that has begun and cannot be stopped, `count` times
    interference,  ///< `count` jobs of the more urgent `task`
    kernel_stop,   ///< real-time threads have used their share of a second, `count` times
    later_release  ///< negative: the job with the worst response is released `count` periods after the first
  };
  Kind kind = Kind::own;
  std::string processor{};                  ///< empty for jitter and later_release
  int first_stage = 0, stages = 0;          ///< of the visit it belongs to, from 0; 0 stages: of no one visit
  std::string task{};                       ///< who causes it; the task itself for own, jitter, later_release
  int its_first_stage = 0, its_stages = 0;  ///< of `task`, for interference
  std::int64_t count = 1;
  Duration each{}, total{};
};

/// What another option of the task, with less loss of accuracy, would need; all else as it is.
struct ProofAlternative {
  std::string variant, processor;
  int threads = 1, segments = 1;
  double accuracy = 0, accuracy_loss = 0;
  std::optional<Duration> bound;
  bool proven = false;              ///< of this task
  std::vector<std::string> breaks;  ///< other hard tasks that are proven now and would not be
};

struct Proof {
  std::string task, variant;
  int priority = 0;
  bool hard = false;
  Duration period{}, deadline{};
  double miss_rate_limit = 0;
  std::optional<double> predicted_miss_rate;
  BoundDetail::Method method = BoundDetail::Method::none;
  std::optional<Duration> bound;
  std::vector<ProofTerm> terms;
  std::string trouble;     ///< without a bound: why, one sentence
  std::string assumption;  ///< on execution times, one sentence
  /// All stages of the task may take so many times as long until its deadline, or that of another hard task that is
  /// proven now, is not proven any more; below 1 if it is not proven. None: no time is short enough.
  std::optional<double> growth;
  std::vector<ProofAlternative> larger;  ///< by growing loss
  /// The bound is within the deadline.
  [[nodiscard]] bool proven() const { return bound && *bound <= deadline; }
  /// What is left until the deadline; negative when the bound is beyond.
  [[nodiscard]] std::optional<Duration> slack() const {
    if (!bound) return std::nullopt;
    return deadline - *bound;
  }
};

/// The proof of one task under a strategy. Times as the problem has them: see execution_bound.h.
[[nodiscard]] Proof prove(const PlanProblem& problem, const Choices& choices, std::size_t task,
                          std::optional<double> predicted_miss_rate = std::nullopt);

/// What execution times the proofs of a problem take: one sentence.
[[nodiscard]] std::string execution_assumption(const PlanProblem& problem);

/// The place of the task of that name. Throws Error(bad_input): unknown; names the nearest.
[[nodiscard]] std::size_t find_task(const PlanProblem& problem, std::string_view name);

}  // namespace rtmdl
