#pragma once
/// Upper bounds on response times under fixed priority, for tasks whose deadlines must be proven. docs/analysis.md says
/// in prose what is proven and under which assumptions.
///
/// A *visit* is what a job does on one processor in one go: consecutive stages there (with several slots, each stage is
/// a visit of its own). C is the longest time of a visit, T a period, J a release jitter; responses count from the
/// nominal release. n_h(w) is how often a visit h of a more urgent task may arrive in a window w that opens when no
/// more urgent work is there: ⌈(w + J_h)/T_h⌉, and ⌊(w + J_h)/T_h⌋ + 1 for one that may arrive by a completion, and up
/// to the beginning of a stage that cannot be stopped: there the order of what happens at one instant would matter.
///
/// Chains with one visit, to a processor with one slot (exact for preemptive sets with constant times):
///   busy_period   preemptive: the q-th job of a busy period is done within the least F(q) = q·C + Σ n_h(F)·C_h; R =
///                 max F(q) + J − (q−1)·T until F(q) ≤ q·T − J (Joseph and Pandya 1986, Audsley et al. 1993, Lehoczky
///                 1990, Tindell, Burns and Wellings 1994)
///   last_segment  not preemptive: the q-th job begins its last stage within the least s(q) = B + q·C − C_last +
///                 Σ n_h(s)·C_h, and is done C_last later; B is the longest less urgent stage, once per busy period
///                 (George, Rivierre and Spuri 1996; Davis, Burns, Bril and Lukkien 2007; Bril, Lukkien and Verhaegh
///                 2009)
/// Other chains, the smaller of:
///   by_visit      visit v is done w_v after its arrival: w_v = C_v + Σ n_h(w_v)·C_h, or as above from the beginning of
///                 its last stage. Not preemptive: max of B = longest less urgent stage, and of the task's own longest
///                 stage x there, whose end is not before the arrival: w(x) − x. If S = Σ w_v ≤ T then R = J + S: a
///                 job begins at most J after its nominal release, since the one before it is done by then (the visits
///                 inherit jitter from those before them: Tindell and Clark 1994)
///   whole_chain   q jobs of the task one after the other, without a pause, take at most W(q) = q·Σ(C_v + B_v) + Σ over
///                 the processors it visits of ⌈(W + L_h)/T_h⌉·C_h, L_h from the earliest arrival to the latest
///                 completion of h; R = max W(q) + J − (q−1)·T until W(q) ≤ q·T − J, or J + W(1) if W(1) ≤ T
///
/// A job that waits gives way when its queue is full. With R ≤ queue·T + (the least that the job's own stages take) it
/// has always begun by then; a task with a greater bound has none. Of such a task up to queue + 1 jobs may be there
/// when a window opens, besides what is released in it (on one processor with one slot: none when the window opens
/// quietly).
///
/// Where the kernel stops real-time threads for the rest of a second (PlanProcessor::realtime_share), and what is there
/// can ask for more than the share in one second (up to ⌈(1 s + J)/T⌉ + queue + 1 jobs of each task, whatever its
/// priority), the stop counts as the most urgent visit of all, once a second.
///
/// With several slots, and stages that take more than one, a bound is that of one slot for all; safe, and pessimistic.
/// Where the processor preempts, the most urgent stage that is there runs. Where it does not, nothing less urgent
/// begins while a more urgent one waits. A stage that waits so as not to disturb another waits for a more urgent one
/// that runs.

#include "planning/interference.h"
#include "planning/problem.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace rtmdl {

inline constexpr double kExecutionFactor = 1.2;

/// What proofs take a stage to last, dispatch included: StageOption::longest, or where that is zero the largest
/// observed time × `factor` + dispatch. An assumption, not a measurement, and named as such in every proof.
[[nodiscard]] Duration longest_time(const StageOption& stage, Duration dispatch, double factor = kExecutionFactor);
/// The least: StageOption::shortest, or where that is zero the smallest observed time / `factor`.
[[nodiscard]] Duration shortest_time(const StageOption& stage, double factor = kExecutionFactor);
/// Writes both into every stage, so that they stay what they are when the measured times are stretched afterwards.
void fix_proof_times(PlanProblem& problem);

/// How a bound comes about: the terms of its equation at the fixed point.
struct BoundDetail {
  enum class Method { none, busy_period, last_segment, by_visit, whole_chain };
  struct Term {                                 ///< task kKernel: what the kernel stops
    int task = 0, first_stage = 0, stages = 1;  ///< whose work it is
    std::int64_t jobs = 0;
    Duration each{};
  };
  struct Visit {
    int processor = 0, first_stage = 0, stages = 1;
    Duration own{};             ///< longest; of one job
    Duration blocking{};        ///< by a stage that has begun and cannot be stopped
    int blocker = -1;           ///< the task whose stage that is; may be the task itself (its job before)
    Duration delay{};           ///< by_visit: from the arrival to the end
    std::vector<Term> terms{};  ///< more urgent work; of whole_chain: on a processor's first visit
  };
  Method method = Method::none;
  std::optional<Duration> bound;
  Duration jitter{};
  Duration limit{};           ///< beyond this a job may be dropped before it begins: no bound
  int job = 1;                ///< of a busy period: which job has the worst response
  std::uint32_t stopped = 0;  ///< processors where the kernel may stop what is there; bit p stands for processor p
  std::vector<Visit> visits;
};

/// Reusable: keeps its memory and the facts of every option, for searches. One thread at a time.
class ResponseAnalysis {
 public:
  /// Keeps a reference; the problem must not change.
  explicit ResponseAnalysis(const PlanProblem& problem, double execution_factor = kExecutionFactor);
  /// Only the chosen options will be asked for.
  ResponseAnalysis(const PlanProblem& problem, const Choices& choices, double execution_factor);

  /// The bound of each task, from its nominal release; none where there is no proof. Tasks with priority 0 are left
  /// out, as if they were not there. Valid until the next call.
  const std::vector<std::optional<Duration>>& bounds(const Choices& choices);

  /// The bound of `task` where the tasks of the mask are more urgent (in the order of `choices`) and all others of
  /// `present`, priority 0 or not, less urgent; none when it is beyond `within`. For Audsley's assignment of priorities
  /// from the bottom up.
  std::optional<Duration> bound_below(const Choices& choices, std::size_t task, std::uint64_t more_urgent,
                                      Duration within = Duration::max(), std::uint64_t present = ~std::uint64_t{0});
  /// bound_below() does not depend on the order of the more urgent tasks, and a task that fits at a level fits at every
  /// higher one: Audsley's assignment is optimal (Davis and Burns 2011). True if every chain stays on one processor
  /// with one slot; with chains over processors what a task inherits depends on the order above it.
  [[nodiscard]] bool order_free(const Choices& choices) const;

  /// As bounds(), with the terms of one task's bound.
  BoundDetail detail(const Choices& choices, std::size_t task);

 private:
  struct Visit {
    int processor = 0, first_stage = 0, stages = 0;
    bool preemptive = true;
    std::int64_t time = 0, shortest = 0;
    std::int64_t last = 0;     ///< time of the last stage where nothing preempts it, else 0
    std::int64_t longest = 0;  ///< stage, as others see it that cannot stop it; 0 where it can be
  };
  struct Chain {
    std::int64_t period = 0, jitter = 0, limit = 0;
    std::int64_t time = 0, shortest = 0;
    std::uint32_t processors = 0;
    int queue = 1;
    bool single = false;  ///< one visit, to a processor with one slot
    std::vector<Visit> visits;
  };
  struct Outcome {
    std::optional<std::int64_t> bound;
    BoundDetail::Method method = BoundDetail::Method::none;
    int job = 1;
    std::int64_t window = 0;  ///< fixed point of busy_period, last_segment (its beginning), whole_chain
  };
  struct VisitOutcome {
    std::optional<std::int64_t> delay;
    std::int64_t window = 0;  ///< fixed point, from where the window opens
    bool pushed = false;      ///< by the task's own stage before
  };

  [[nodiscard]] Chain chain_of(std::size_t task, std::size_t option, double factor) const;
  [[nodiscard]] const Chain& chain(const Choices& choices, std::size_t task) const {
    return chains_[task][whole_ ? static_cast<std::size_t>(choices[task].option) : 0];
  }
  void sort(const Choices& choices, std::uint64_t among);
  void block(const Choices& choices, std::size_t task);
  void throttle(const Choices& choices);
  void go_through(const Choices& choices, std::size_t last, BoundDetail* detail);
  Outcome analyse(const Chain& chain, std::int64_t within);
  Outcome one_processor(const Chain& chain, std::int64_t limit);
  Outcome several(const Chain& chain, std::int64_t limit);
  VisitOutcome visit_delay(const Chain& chain, const Visit& visit, std::int64_t limit);
  void interfere(std::size_t task, const Chain& chain, const Outcome& outcome);
  void describe(const Choices& choices, std::size_t task, const Outcome& outcome, std::size_t level,
                BoundDetail& detail) const;

  const PlanProblem& problem_;
  bool whole_ = true;                                 ///< chains_ holds every option, not only the chosen
  std::vector<std::vector<Chain>> chains_;            ///< per task and option
  std::vector<std::size_t> order_;                    ///< most urgent first
  std::uint64_t present_ = 0;                         ///< tasks that are there, of any priority
  std::uint32_t stopped_ = 0;                         ///< processors where the kernel may stop them
  std::vector<std::int64_t> blocking_;                ///< per level and processor: longest stage below that level
  std::array<std::int64_t, kMaxProcessors> below_{};  ///< of the task that is analysed
  std::vector<VisitOutcome> visit_outcomes_;          ///< of several()
  Interference higher_;
  std::vector<std::optional<Duration>> bounds_;
};

/// bounds() of a ResponseAnalysis that is used once.
[[nodiscard]] std::vector<std::optional<Duration>> response_bounds(const PlanProblem& problem, const Choices& choices,
                                                                   double execution_factor = kExecutionFactor);

}  // namespace rtmdl
