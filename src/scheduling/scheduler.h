#pragma once
/// The scheduler core: what runs next, where. A deterministic state machine: events in (release, stage completion,
/// deadline), decisions out. It has no thread, no clock and no I/O; the runtime drives it with a real clock and
/// engines, the simulator with a virtual clock and sampled times, so what is predicted is what happens, and every run
/// can be replayed from its event log.
///
/// A job is a chain of stages, each bound to one processor. Every processor has its own ready queue (the paper's
/// independent CPU and GPU queues). A task has at most one job in progress; further releases wait in a bounded queue in
/// which the newest wins. On a preemptive processor the jobs in progress on one slot form a stack: a job that is
/// started over another gets a higher `level`, which a driver maps to a kernel priority.
///
/// Packing: a processor runs as many stages side by side as it has slots for them. A stage that takes several (as many
/// cores as it has threads) begins when it gets them all. On a processor that does not preempt, and under FIFO, later
/// ones wait behind it; else they may use what is free until then. A stage joins more urgent ones only if these stay in
/// time beside it, as far as their times, and what each neighbour does to them, are known. Of free slots those that
/// have been free for longest are taken, so that the load is spread.
///
/// Modes: a task may have other stages to run instead (another variant, another processor). A job keeps the mode that
/// it began with. After so many failed jobs in a row the next job begins in the next mode. A stage that runs for longer
/// than its limit is cancelled and its job fails; if it has not ended by twice the limit it is given up: taken off its
/// slots, and its mode is blocked until restore(), because a thread is stuck in it. Modes that say what they cost are
/// also chosen from at every release, so that jobs are in time, and when energy gets short (adaptation.h).
///
/// Early exits: some stages of a mode may be optional. A job whose answer is sure before them goes on with its last
/// stage; so does one that is not sure, if others would be late otherwise (adaptation.h). Under Policy::zygarde it is
/// energy and time that decide whether optional stages run.

#include "scheduling/adaptation.h"
#include "scheduling/energy_reserve.h"
#include "task/limits.h"

#include <rtmdl/time.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

inline constexpr int kMaxStages = 24;
inline constexpr int kMaxModes = 16;

/// Order of the ready queues. The *_monotonic policies are fixed-priority with priorities by assign_priorities().
enum class Policy : std::uint8_t {
  fixed_priority,
  deadline_monotonic,
  rate_monotonic,
  utilisation_monotonic,
  edf,
  fifo,
  custom,   ///< by JobOrder
  zygarde,  ///< by EnergyRule
};
[[nodiscard]] std::string_view policy_name(Policy policy) noexcept;
/// Whether a task's priority is the same for all its jobs.
[[nodiscard]] constexpr bool is_fixed_priority(Policy policy) noexcept {
  return policy != Policy::edf && policy != Policy::fifo && policy != Policy::custom && policy != Policy::zygarde;
}

/// What a stage is expected to take at most.
struct StageTime {
  Duration alone{};   ///< with nothing else on its processor
  Duration beside{};  ///< beside other stages there
};

/// What a stage takes beside busy neighbours, dispatch included.
struct StageLoad {
  Duration mean{};
  Duration likely{};  ///< most are shorter
};

/// Stages that a task may run instead of its own.
struct SchedulerMode {
  std::vector<int> stage_processors;     ///< processor of each stage, in order; 1..kMaxStages
  std::vector<int> stage_slots{};        ///< that it takes at once, up to its processor's; empty: one each
  std::vector<StageTime> stage_times{};  ///< empty: not known, whatever is packed beside it
  std::vector<Duration> stage_limits{};  ///< of what it runs, preemption left out; zero or empty: none
  std::vector<StageLoad> stage_loads{};  ///< empty: not known; then nobody gives way to what it delays
  double joules = 0;                     ///< that a job takes beyond what the box draws idle, on average
  /// Jobs may be given this mode, or another one from it, as load changes (adaptation.h): weighted accuracy that a job
  /// in it loses against mode 0, whose processor its first stage must have too. Absent: only after failures.
  std::optional<double> loss{};
  /// By task: how far its stages bring these from their time alone to that beside, 0 to 1. Several add up, to 1 at
  /// most. Empty: any does it in full, as does a task that is in a fallback.
  std::vector<double> pressures{};
  /// Stages from this one on may be left out, but for the last; 0: none. What is before them, and each of them, ends
  /// with an Answer.
  int optional_from = 0;
  std::vector<double> reaches{};  ///< share of the jobs that run each stage, as expected; empty: all do
  /// Weighted accuracy that a job loses, if it is not sure, by leaving after each stage; empty: none leaves
  /// for others' sake.
  std::vector<double> leave_losses{};
};

struct SchedulerTask {
  Duration period{};
  Duration deadline{};     ///< relative
  int priority = 0;        ///< 1 is the most urgent; distinct; used by fixed_priority
  double utilisation = 0;  ///< used by utilisation_monotonic: the largest first
  int queue = 1;           ///< released jobs that may be there without having begun, 1..kMaxQueue; the oldest gives way
  Late late = Late::finish;
  std::vector<int> stage_processors;  ///< of mode 0, as in SchedulerMode; so the next nine
  std::vector<int> stage_slots{};
  std::vector<StageTime> stage_times{};
  std::vector<Duration> stage_limits{};
  std::vector<StageLoad> stage_loads{};
  double joules = 0;
  std::vector<double> pressures{};
  int optional_from = 0;
  std::vector<double> reaches{};
  std::vector<double> leave_losses{};
  std::vector<SchedulerMode> fallbacks{};  ///< modes 1, 2, …; up to kMaxModes in all
  int failures_to_fall_back = 0;           ///< failed jobs in a row after which the next mode is taken; 0: never
  bool present = true;                     ///< false: it is expected to release nothing until other terms are adopted
};

/// What holds for a task from an adoption on.
struct Terms {
  int priority = 0;  ///< under fixed_priority; distinct
  int mode = 0;      ///< that it goes back to when there is slack
  Duration period{}, deadline{};
  bool present = true;
  bool operator==(const Terms&) const = default;
};

/// Of a job, when a stage has ended after which it may leave out others.
struct Answer {
  bool sure = false;   ///< good enough
  double utility = 0;  ///< how good, 0 to 1
  bool operator==(const Answer&) const = default;
};

/// Policy::zygarde (Islam et al., IMWUT 2020). Of the stages that wait the one with the greatest
/// (1 − α·(d − t)) + (1 − β·utility) + γ goes first, d the job's deadline, γ 1 until its answer is sure, then 0. Stages
/// of a job that is sure run while η · (what is stored) is enough for them, and as long as its last stage will be in
/// time. `mandatory_joules` and `capacity_joules` count under every policy.
struct EnergyRule {
  double alpha = 0;  ///< per second; 0: 1 / the longest deadline
  double beta = 1;
  double eta = 1;               ///< how predictable the source of energy is, 0 to 1
  double optional_joules = 0;   ///< for optional stages
  double mandatory_joules = 0;  ///< less than that, and no stage begins
  double capacity_joules = 0;  ///< that can be stored: jobs get lighter modes when little of it is left. 0: they do not
};

struct SchedulerProcessor {
  bool preemptive = true;  ///< false: a stage runs to its end once started
  int slots = 1;           ///< stages that run side by side
};

/// An order of the user's own (Policy::custom): of stages that wait for a processor the one with the smallest key goes
/// first, ties by index. Asked whenever a stage begins to wait; must not block. The same arguments should give the same
/// key if runs are to be replayed.
struct JobOrder {
  std::int64_t (*key)(void* context, int task, Time release, Time deadline) noexcept = nullptr;
  void* context = nullptr;
};

struct SchedulerConfig {
  Policy policy = Policy::fixed_priority;
  JobOrder order{};  ///< of Policy::custom
  EnergyRule energy{};
  EnergyBudget budget{};  ///< kept where modes are chosen by load
  std::vector<SchedulerProcessor> processors;
  std::vector<SchedulerTask> tasks;
};

struct Decision {
  enum class Kind : std::uint8_t {
    start,    ///< begin the stage on the slot
    preempt,  ///< the stage in progress on the slot stands still from now
    resume,   ///< it goes on
    finish,   ///< the job is complete; `late` says whether after its deadline
    fail,     ///< the job ended by a failed stage, or before it began (no slots): every mode of its task is blocked
    drop,     ///< the job ended before it began: overwritten by a newer release, or skipped
    cancel,   ///< the stage on the slot is asked to end soon, its job is to be given up; complete() follows
    abandon,  ///< the job in progress was given up: `late: abort`
    give_up,  ///< the stage on the slot has not ended although it was asked to: it is off its slots, complete() must
              ///< not follow, restore() when it ends; the job's fail does
    change_mode,  ///< jobs that begin from now on do so in `mode`; no job, stage or slots are meant
  };
  Kind kind = Kind::start;
  bool late = false;
  bool failing = false;   ///< of change_mode: because jobs failed, or a thread is stuck
  std::uint8_t mode = 0;  ///< of the job; of one that has not begun: of the next that begins
  std::uint8_t task = 0;
  std::uint8_t stage = 0;
  std::uint8_t processor = 0;
  std::uint8_t level = 0;   ///< preemption depth on its slots, 0 the outermost
  std::uint16_t slots = 0;  ///< a bit for each that it takes; 0 of a job that has not begun
  std::uint64_t job = 0;    ///< counts the task's releases from 0
  Time release{};           ///< of the job
  /// The first of its slots.
  [[nodiscard]] std::uint8_t slot() const noexcept {
    return slots == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(std::countr_zero(slots));
  }
};

/// Decisions of one event, in the order in which they take effect. Fixed capacity: no event makes more. Few events make
/// more than four; one may skip every job that waits, and one that frees many slots starts as many stages; one that
/// says that there is energy again may do so on every processor.
class Decisions {
 public:
  void clear() noexcept { size_ = 0; }
  void push(const Decision& d) noexcept { items_[size_++] = d; }
  [[nodiscard]] std::span<const Decision> items() const noexcept { return {items_.data(), size_}; }

 private:
  std::array<Decision, kMaxTasks*(kMaxQueue + 1) + 3 * kMaxSlots * kMaxProcessors + 8> items_;
  std::size_t size_ = 0;
};

/// Priorities 1..n for a monotonic policy (ties by index); the given ones for fixed_priority; by index for EDF and FIFO
/// (unused there).
[[nodiscard]] std::vector<int> assign_priorities(Policy policy, std::span<const SchedulerTask> tasks);

/// Not thread-safe: its driver serialises events. Events are noexcept, O(1) in the number of jobs (amortised where jobs
/// are skipped; a release where jobs may change their modes looks at all that are pending: adaptation.h), and do not
/// allocate.
class Scheduler {
 public:
  /// Throws Error(bad_input) on more than kMax… of anything, unknown processors, equal priorities under fixed_priority,
  /// queue < 1, stages that take more slots than there are, negative limits, pressures outside 0..1, optional stages
  /// that are the first or the last.
  explicit Scheduler(const SchedulerConfig& config);
  /// As a new Scheduler(config), in the memory of this one.
  void reset(const SchedulerConfig& config);

  /// A job of `task` is released now. `release` is its nominal release (deadlines count from it). A job counts as begun
  /// when its first stage starts; under FIFO a newer job takes the place in the line of the one it overwrites.
  /// `coming`: of the task, that are released right after it in the same moment; variants are chosen once for all of
  /// them.
  void release(int task, Time release, Time now, Decisions& out, int coming = 0) noexcept;
  /// The stage in progress of `task` ended. A preempted stage may end too (its driver saw that before the preemption
  /// took hold). A preempted stage goes on only on its own slot. Ignored when no stage of `task` is in progress.
  /// `answer` is looked at where the job may leave out stages.
  void complete(int task, Time now, bool ok, Decisions& out, Answer answer = {}) noexcept;

  /// The deadline of a job of a task with Late::abort has come. Ignored when that job is not in progress. A stage that
  /// completes all the same counts; the job ends with the last of them or before the next.
  void expire(int task, std::uint64_t job, Time now, Decisions& out) noexcept;

  /// Looks at the clock: cancels the task's stage in progress if it has run for its limit, gives it up if it has run
  /// for twice that. Then the task goes on in the next mode that is not blocked, from the first again after the last;
  /// without one its jobs fail as they are released. Ignored (no decision) in every other case.
  void overrun(int task, Time now, Decisions& out) noexcept;
  /// The stage that was given up in that mode has ended. The task keeps the mode that it has, unless it had none.
  void restore(int task, int mode, Time now, Decisions& out) noexcept;
  /// The task's next job begins in that mode. Ignored if it is blocked or there is none such.
  void set_mode(int task, int mode, Time now, Decisions& out) noexcept;
  /// Another strategy, to be adopted.
  void propose(int task, const Terms& terms) noexcept { terms_[static_cast<std::size_t>(task)] = terms; }
  /// That were proposed last.
  [[nodiscard]] const Terms& terms(int task) const noexcept { return terms_[static_cast<std::size_t>(task)]; }
  /// From now on it is as was proposed; period, deadline and mode hold for jobs that are released or begin from now on.
  /// Between jobs: false, and nothing happens, while any is pending. Else only while the order of the tasks that have
  /// pending jobs stays. False as well if two priorities are equal. Tasks of which nothing was proposed keep what they
  /// have.
  bool adopt(Time now, Decisions& out, bool between_jobs = true) noexcept;
  /// So much energy is stored now (EnergyRule).
  void set_energy(double joules, Time now, Decisions& out) noexcept;
  /// So much energy was drawn since the first of these events (EnergyBudget), the box's idle draw included. Looked at
  /// every kEnergyLook.
  void set_drawn(double joules, Time now, Decisions& out) noexcept;
  /// In which the task's next job begins, as things are.
  [[nodiscard]] int mode(int task) const noexcept;

  /// By how much stages take longer on a processor than was expected (SchedulerMode::stage_loads): as of late, and
  /// since reset() (0: nothing ended there).
  [[nodiscard]] double slowdown(int processor) const noexcept { return adaptation_.factor(processor); }
  [[nodiscard]] double mean_slowdown(int processor) const noexcept { return adaptation_.mean_factor(processor); }

  /// Jobs released so far and not yet finished, failed or dropped.
  [[nodiscard]] int pending(int task) const noexcept;
  /// Ends what waits or runs at the end of a run: a drop decision for each waiting job (jobs in progress are left
  /// alone).
  void drop_waiting(Time now, Decisions& out, int task) noexcept;

 private:
  enum class State : std::uint8_t { idle, ready, running, preempted, stuck };  ///< stuck: every mode is blocked
  struct Job {
    Time release{}, due{};
    std::uint64_t number = 0;
  };
  struct TaskState {
    std::int64_t key =
        0;  ///< the smaller goes first: rank, absolute deadline, place in the line, or as EnergyRule says
    Duration deadline{};
    Job current;  ///< the job in progress; meaningful while begun
    State state = State::idle;
    bool begun = false;
    bool cancelled = false;     ///< the stage in progress was asked to end
    bool overran = false;       ///< it ran for its limit
    std::uint8_t mode = 0;      ///< of the job in progress; none: of the next
    std::uint16_t blocked = 0;  ///< a bit for each mode that a thread is stuck in
    bool settled = true;        ///< no mode was asked for, and the last job to end did not fail
    Late late = Late::finish;
    std::uint8_t stage = 0, stages = 0;
    std::uint8_t optional_from = 0;
    bool sure = false;  ///< the job in progress is; what it runs is optional
    float utility = 0;  ///< of its answer
    std::uint8_t processor = 0, level = 0;
    std::uint8_t bit = 0;     ///< of its ready masks
    std::uint16_t slots = 0;  ///< a bit for each that the stage in progress takes
    Time since{};             ///< when it was started or resumed
    Duration ran{};           ///< until it was last preempted
    std::uint8_t queue = 1, waiting = 0, head = 0;
    int coming = 0;  ///< jobs of which it is known that they will be released in this moment
    std::uint64_t released = 0;
    std::array<Job, kMaxQueue> ring;  ///< jobs that have not begun, the oldest at `head`
    std::array<std::uint8_t, kMaxStages> processors{}, widths{};
  };
  struct ProcessorState {
    std::uint64_t ready = 0;
    bool preemptive = true;
    std::uint8_t slots = 1;
    std::array<std::uint8_t, kMaxSlots> depth{};
    std::array<std::uint64_t, kMaxSlots> freed{};  ///< which stage that ended, counted, left each empty
    std::uint64_t ended = 0;
    std::array<std::array<std::uint8_t, kMaxTasks>, kMaxSlots> stack;  ///< tasks, outermost first
  };

  /// Beside what TaskState holds of the mode that is in use.
  struct Mode {
    std::uint8_t stages = 0;
    std::array<std::uint8_t, kMaxStages> processors{}, widths{};
    std::vector<Duration> limits;  ///< empty: none
    std::vector<StageTime> rest;   ///< alone from each stage to the end of the job, and that stage beside others;
                                   ///< empty: not known
    bool by_load = false;          ///< it has a `loss`
    std::vector<double> pressures;
    std::uint8_t optional_from = 0;
  };
  /// Of a task: what is seldom looked at.
  struct Modes {
    std::vector<Mode> all;
    int next = -1;     ///< asked for while a job is in progress
    int failures = 0;  ///< in a row, in this mode
    int failures_to_fall_back = 0;
    std::uint16_t failed = 0;  ///< a bit for each mode that was left for its failures
    bool adapts = false;       ///< some modes are chosen by load
    Duration patience{};       ///< of a stage that overran: what it may run before it is given up
  };

  template <typename From>
  static void take_stages(const From& from, Mode& to);
  [[nodiscard]] static bool is_blocked(const TaskState& t) noexcept { return (t.blocked >> t.mode & 1) != 0; }
  /// On the stage in progress, until now.
  [[nodiscard]] static Duration spent(const TaskState& t, Time now) noexcept {
    return t.state == State::running ? t.ran + (now - t.since) : t.ran;
  }
  void set_rank(std::size_t task) noexcept;
  void load_mode(int task, int mode) noexcept;
  void change_mode(int task, int mode, Decisions& out, bool failing = false) noexcept;
  [[nodiscard]] int usable_after(int task, int mode, bool around) const noexcept;
  [[nodiscard]] int fallback_of(int task) const noexcept;
  void choose_mode(int task, Decision::Kind ended, Decisions& out) noexcept;
  void ask_mode(int task, int mode, Decisions& out) noexcept;
  struct NextModes {
    std::array<std::uint8_t, kMaxTasks> wanted{};
    std::array<std::uint16_t, kMaxTasks> blocked{};
  };
  [[nodiscard]] NextModes next_modes() const noexcept;
  void ask_changed(const NextModes& before, const NextModes& after, Decisions& out) noexcept;
  void spend_energy(Time now, Decisions& out) noexcept;
  std::uint64_t adapt(int task, Time release, Time now, Decisions& out) noexcept;
  [[nodiscard]] std::uint8_t next_stage(int task, Answer answer, Time now, Decisions& out) noexcept;
  [[nodiscard]] bool leaves_now(const TaskState& t, Time now) const noexcept;
  std::uint32_t leave_in_time(Time now) noexcept;
  [[nodiscard]] std::int64_t energy_key(const TaskState& t, const Job& job) const noexcept;
  [[nodiscard]] bool reorders_pending() const noexcept;
  void fail_waiting(int task, Time now, Decisions& out) noexcept;
  void dispatch_both(int left, int task, Time now, Decisions& out) noexcept;
  void dispatch_all(std::uint32_t processors, Time now, Decisions& out) noexcept;
  void enqueue(int task) noexcept;
  void drop_oldest(int task, Decisions& out) noexcept;
  void take_key(TaskState& t, const Job& job, bool keeps_place) noexcept;
  [[nodiscard]] int best_ready(std::uint64_t ready) const noexcept;
  [[nodiscard]] int best_in_time(ProcessorState& p, std::uint64_t waits, Time now, Decisions& out) noexcept;
  void end_job(int task, Decision::Kind kind, Time now, Decisions& out) noexcept;
  [[nodiscard]] bool beats(int ready, int started) const noexcept;
  [[nodiscard]] bool keeps_in_time(int joining, unsigned displaced, bool beside_more, const ProcessorState& p,
                                   Time now) const noexcept;
  [[nodiscard]] double pressure_on(int task, int joining, unsigned displaced, const ProcessorState& p) const noexcept;
  enum class Placed : std::uint8_t { started, no_slot, would_delay };
  void displace(int task, Time now, Decisions& out) noexcept;
  Placed place(int task, int processor, Time now, Decisions& out) noexcept;
  void begin(int task, int processor, std::uint16_t slots, Time now, Decisions& out) noexcept;
  [[nodiscard]] int top(const ProcessorState& p, int slot) const noexcept;
  [[nodiscard]] bool on_top(int task) const noexcept;
  void dispatch(int processor, Time now, Decisions& out) noexcept;
  void decide(Decision::Kind kind, int task, Decisions& out, bool late = false) const noexcept;

  Policy policy_ = Policy::fixed_priority;
  JobOrder order_;
  std::vector<TaskState> tasks_;
  std::vector<Modes> modes_;  ///< of each task
  std::vector<ProcessorState> processors_;
  std::array<std::uint8_t, kMaxTasks> task_of_bit_{};
  std::vector<Terms> terms_;  ///< of each task
  std::int64_t line_ = 0;     ///< places given under FIFO
  EnergyRule energy_;
  double horizon_ = 0;                              ///< 1/α, nanoseconds
  bool may_begin_ = true, may_add_ = true;          ///< there is energy for a stage; for an optional one
  std::array<Duration, kMaxProcessors> longest_{};  ///< of the stages there
  Adaptation adaptation_;
};

}  // namespace rtmdl
