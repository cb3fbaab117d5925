#include "planning/simulator.h"

#include "planning/energy.h"
#include "planning/lighter.h"
#include "planning/stage_draw.h"
#include "scheduling/arrivals.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace rtmdl {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr int kTransition = kMaxTasks;     ///< among releases: instead of a task's, a change of what runs
constexpr std::int64_t kLook = 1'000'000;  ///< for a moment without jobs, where no completion is to be waited for

/// When something of each task comes next. Minima of blocks of eight, so that an update and a look cost about 8 + n/8
/// comparisons: faster than a heap for the at most 64 tasks there can be. The last block is kTransition's.
class EventTimes {
 public:
  void reset() noexcept {
    times_.fill(kNever);
    blocks_.fill(kNever);
    used_ = 0;
    next_ = kNever;
  }
  void set(int task, std::int64_t time) noexcept {
    const std::size_t i = static_cast<std::size_t>(task);
    times_[i] = time;
    const std::size_t block = i / 8;
    std::int64_t least = kNever;
    for (std::size_t k = block * 8; k < block * 8 + 8; ++k) least = std::min(least, times_[k]);
    blocks_[block] = least;
    used_ = std::max(used_, block + 1);
    next_ = kNever;
    for (std::size_t b = 0; b < used_; ++b) next_ = std::min(next_, blocks_[b]);
  }
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }
  [[nodiscard]] int next_task() const noexcept {
    std::size_t b = 0;
    while (blocks_[b] != next_) ++b;
    std::size_t i = b * 8;
    while (times_[i] != next_) ++i;
    return static_cast<int>(i);
  }

 private:
  std::array<std::int64_t, kMaxTasks + 8> times_{};
  std::array<std::int64_t, kMaxTasks / 8 + 1> blocks_{};
  std::size_t used_ = 0;
  std::int64_t next_ = kNever;
};

std::int64_t slowed(std::int64_t time, double factor) noexcept {
  return factor == 1 ? time : static_cast<std::int64_t>(static_cast<double>(time) * factor);
}

struct StageRun {
  const Duration* sorted = nullptr;
  std::uint64_t last = 0;           ///< index of the largest sample
  const Duration* alone = nullptr;  ///< null: as beside others
  std::uint64_t last_alone = 0;
  StageDraw draw{};
  bool can_be_cut = false;
};

struct TaskRun {
  Duration jitter{};
  Duration period{};
  Arrivals releases, expiries;  ///< expiries: of the job whose deadline comes next
  std::int64_t actual = 0;      ///< when the next job is released
  Duration end{};               ///< no nominal release from then on
  std::int64_t remaining = 0;   ///< of a preempted stage; under contention: `work` below
  double work = 0;              ///< left of the stage in progress: nanoseconds beside busy neighbours
  double gain = 0;              ///< by how much it is faster with none: times/alone − 1
  std::int64_t most_misses = kNever;
  std::uint64_t job = 0;
  std::uint64_t expiring = 0;        ///< the job whose deadline comes next
  bool cancelled = false;            ///< the stage in progress ends before its time
  std::uint8_t mode = 0, stage = 0;  ///< in progress
  int ran = 0;                       ///< stages after the first that its job has begun
  std::uint64_t running = 0;         ///< job that it is of
  bool exits = false;                ///< some option that it may run has early exits
  std::vector<const TaskOption*> options = std::vector<const TaskOption*>(1);  ///< of each mode
  std::vector<std::array<StageRun, kMaxStages>> modes = std::vector<std::array<StageRun, kMaxStages>>(1);
};

/// What is on a slot; of a stage that takes several, on the first of them.
struct SlotRun {
  std::int64_t since = 0;
  std::int16_t task = -1;
  std::int16_t width = 1;
  std::uint16_t slots = 1;   ///< a bit for each, from the processor's first on
  std::int64_t settled = 0;  ///< up to when the work done is counted, when paced
  double speed = 1;
};

constexpr std::int64_t kThrottlePeriod = 1'000'000'000;
constexpr std::uint64_t kStallStream = (1 << 16) - 1;  ///< beyond the releases', below the stages'

/// What the machine does to a slot.
struct Core {
  std::int64_t budget = kNever, used = 0;  ///< of this second, by real-time threads
  bool throttled = false;
  std::int64_t stalled_until = 0;  ///< 0: is not
  [[nodiscard]] bool still() const noexcept { return throttled || stalled_until != 0; }
};

/// Stalls of the machine, one after the other, as seeded.
class Stalls {
 public:
  void reset(const StallModel* model, std::uint64_t seed) noexcept {
    model_ = model;
    seed_ = seed;
    number_ = 0;
    next_ = kNever;
    if (model_ == nullptr) return;
    next_ = 0;
    advance();
  }
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }
  /// How long the next one takes a processor away.
  [[nodiscard]] std::int64_t lasting(int processor) const noexcept {
    const auto& stall = model_->lasting[mix(seed_, kStallStream, 2 * number_) % model_->lasting.size()];
    return index(processor) < stall.size() ? stall[index(processor)].count() : 0;
  }
  void advance() noexcept {
    ++number_;
    const double gap = -std::log1p(-uniform(mix(seed_, kStallStream, 2 * number_ + 1))) / model_->per_second;
    next_ += static_cast<std::int64_t>(std::min(gap, 1e6) * 1e9) + 1;
  }

 private:
  const StallModel* model_ = nullptr;
  std::uint64_t seed_ = 0, number_ = 0;
  std::int64_t next_ = kNever;
};

}  // namespace

std::vector<Duration> release_times(const PlanProblem& problem, int task, Duration length, std::uint64_t seed) {
  const PlanTask& of = problem.tasks[index(task)];
  std::vector<Duration> times;
  for (Arrivals next(of.arrivals, of.period, of.offset, seed, task); next.next() < length; next.advance())
    times.push_back(next.next());
  return times;
}

std::vector<std::int64_t> most_releases(const PlanProblem& problem, Duration length, std::uint64_t seed) {
  std::vector<std::int64_t> released;
  for (const PlanTask& task : problem.tasks) {
    const int i = static_cast<int>(released.size()), before = task.after.task;
    std::int64_t& jobs = released.emplace_back(0);
    if (before < 0) jobs = static_cast<std::int64_t>(release_times(problem, i, length, seed).size());
    for (std::int64_t k = 0; before >= 0 && k < released[index(before)]; ++k)
      jobs += released_by(problem.tasks[index(before)], static_cast<std::uint64_t>(k), task.after);
  }
  return released;
}

double SimulationOutcome::miss_rate() const {
  std::int64_t released = 0, missed = 0;
  for (const TaskOutcome& task : tasks) {
    released += task.released;
    missed += task.missed;
  }
  return released ? static_cast<double>(missed) / static_cast<double>(released) : 0;
}

struct Simulator::State {
  SchedulerConfig config;
  Scheduler scheduler;
  Decisions decisions;
  EventTimes releases, deadlines;  ///< deadlines: of tasks whose jobs are given up then
  std::vector<TaskRun> tasks;
  std::vector<int> first_slot;       ///< per processor
  std::vector<std::int64_t> finish;  ///< per slot, kNever when nothing runs on it
  std::vector<SlotRun> slots;
  std::vector<int> slot_processor;
  std::vector<std::int64_t> busy;      ///< per processor
  std::vector<std::int64_t> dispatch;  ///< per processor
  std::vector<Core> cores;             ///< per slot
  bool limited = false;                ///< one of them has a budget
  bool machine = false;                ///< budgets, stalls or the supply count
  Stalls stalls;
  std::optional<EnergyStore> supply;  ///< if it counts
  double watts = 0;                   ///< that are drawn of it
  std::int64_t next_look = kNever;    ///< at it
  std::int64_t last_end = kNever;     ///< where it counts nothing is waited for longer
  double idle_watts = 0;
  std::vector<double> slot_watts;  ///< per processor: of a slot in use, beyond idle
  std::int64_t window_end = 0;     ///< of the second that budgets are for
  std::int64_t counted = 0;        ///< budgets are used up to then
  bool paced = false;              ///< the machine counts, or a chosen option knows its times alone
  bool packs = false;              ///< a processor has several slots
  bool neighbours_count = false;   ///< a chosen option knows its times alone
  std::vector<double> pressures;   ///< on each task by each, row by row; below 0: not known; empty: none is
  std::span<const Slowdown> slowdowns;
  struct Due {
    int task = 0;
    int jobs = 0;
    std::int64_t nominal = 0;
  };
  std::vector<std::vector<int>> followers;  ///< of each task: those that run after it
  std::vector<Due> due;                     ///< released now, the last of them first
  Transitions* transitions = nullptr;
  std::optional<Transition> asked;  ///< not carried out yet
  std::int64_t asked_at = 0, held_back = 0;
  std::size_t holding = 0;  ///< of Transition::giving_way
  Duration length{};
  std::uint64_t run_seed = 0;
  SimulationOutcome outcome;

  explicit State(SchedulerConfig c) : config(std::move(c)), scheduler(config) {}
  void prepare(const PlanProblem& problem, const Choices& choices, const SimulationOptions& options);
  /// `Stages`: a SchedulerTask or a SchedulerMode.
  template <typename Stages>
  void set_mode(const PlanProblem& problem, std::size_t task, std::size_t mode, const TaskOption& option, bool adapts,
                Stages& scheduled);
  void prepare_pressures(const PlanProblem& problem, const Choices& choices, std::span<const std::vector<int>> lighter);
  template <bool paced_, bool observed>
  void loop(const PlanProblem& problem, std::uint64_t seed, bool collect,
            const std::function<void(const SimulatedEvent&)>& observer);
  template <bool paced_>
  bool cut_short(int task, std::size_t slot, std::int64_t now) noexcept;
  bool stands_still(std::size_t slot) noexcept;
  void settle(std::size_t slot, std::int64_t now) noexcept;
  void pace(std::size_t slot, std::int64_t now, double others_busy) noexcept;
  void join(std::size_t slot, int& in_use) noexcept;
  void repace(std::int64_t now, int in_use) noexcept;
  [[nodiscard]] double others_busy(std::size_t slot, int in_use) const noexcept;
  /// Of the stage on the slot.
  template <typename Look>
  void for_each_core(std::size_t slot, const Look& look) noexcept {
    const auto first = static_cast<std::size_t>(first_slot[static_cast<std::size_t>(slot_processor[slot])]);
    for (unsigned rest = slots[slot].slots; rest != 0; rest &= rest - 1)
      look(cores[first + static_cast<std::size_t>(std::countr_zero(rest))]);
  }
  void follow(const PlanProblem& problem, const Decision& finished);
  void vacate(std::size_t slot, std::int64_t now) noexcept;
  void count_draw(std::int64_t now) noexcept;
  [[nodiscard]] bool any_pending() const noexcept;
  void sum_up(std::int64_t now) noexcept;
  [[nodiscard]] Answer answer_of(const TaskRun& t) const noexcept;
  void count_change(const TaskRun& t, const Decision& finished) noexcept;
  void begin_transitions(const PlanProblem& problem);
  void go_over(const PlanProblem& problem, std::int64_t now);
  bool carry_out(const PlanProblem& problem, std::int64_t now);
  void hold_back(std::int64_t now);
  void let_go(std::int64_t now);
  void release_from(const PlanProblem& problem, int task, Duration from, std::int64_t now);
  void take_terms(const PlanProblem& problem, int task, const Terms& terms, std::int64_t now);
  std::int64_t next_change() noexcept;
  void count_budgets(std::int64_t until) noexcept;
  void change_machine(std::int64_t now, int& in_use) noexcept;
};

Simulator::Simulator(const PlanProblem& problem) : problem_(problem) {
  SchedulerConfig config;
  for (const PlanProcessor& p : problem.processors) config.processors.push_back({p.preemptive, p.slots});
  for (const PlanTask& task : problem.tasks) {
    const auto name = [&] { return "task " + task.name; };
    if (task.period <= Duration{}) bad_input(name() + ": the period must be positive");
    if (task.options.empty()) bad_input(name() + " has no option to choose from");
    for (const TaskOption& option : task.options) {
      if (option.stages.empty()) bad_input(fmt::format("{}: option {} has no stage", name(), option.variant));
    }
    config.tasks.push_back({.period = mean_interval(task),
                            .deadline = task.deadline,
                            .priority = static_cast<int>(config.tasks.size()) + 1,
                            .queue = task.queue,
                            .stage_processors = {task.options.front().stages.front().processor}});
  }
  state_ = std::make_unique<State>(std::move(config));
  State& s = *state_;
  s.tasks.resize(problem.tasks.size());
  s.followers.resize(problem.tasks.size());
  for (std::size_t i = problem.tasks.size(); i-- > 0;)
    if (const int before = problem.tasks[i].after.task; before >= 0)
      s.followers[index(before)].push_back(static_cast<int>(i));
  s.outcome.tasks.resize(problem.tasks.size());
  for (std::size_t p = 0; p < problem.processors.size(); ++p) {
    s.first_slot.push_back(static_cast<int>(s.slots.size()));
    s.slots.resize(s.slots.size() + static_cast<std::size_t>(problem.processors[p].slots));
    s.packs |= problem.processors[p].slots > 1;
    s.slot_processor.resize(s.slots.size(), static_cast<int>(p));
    s.dispatch.push_back(dispatch_cost(problem, static_cast<int>(p)).count());
    s.slot_watts.push_back(slot_watts(problem.processors[p]));
    const double share = problem.processors[p].realtime_share;
    Core core;
    if (share < 1) core.budget = static_cast<std::int64_t>(share * kThrottlePeriod), s.limited = true;
    s.cores.resize(s.slots.size(), core);
  }
  s.idle_watts = idle_watts(problem);
  s.finish.resize(s.slots.size());
  s.busy.resize(problem.processors.size());
  s.outcome.busy.resize(problem.processors.size());
}

Simulator::~Simulator() = default;

template <typename Stages>
void Simulator::State::set_mode(const PlanProblem& problem, std::size_t task, std::size_t mode,
                                const TaskOption& option, bool adapts, Stages& scheduled) {
  scheduled.stage_processors.clear();
  scheduled.stage_slots.clear();
  scheduled.stage_times.clear();
  scheduled.stage_loads.clear();
  scheduled.pressures.clear();
  take_exits(problem.tasks[task], option, adapts, scheduled);
  tasks[task].options[mode] = &option;
  tasks[task].exits |= option.optional_from > 0;
  const bool times_count = packs || option.optional_from > 0;
  for (std::size_t k = 0; k < option.stages.size(); ++k) {
    const StageOption& from = option.stages[k];
    const Duration cost(dispatch[static_cast<std::size_t>(from.processor)]);
    scheduled.stage_processors.push_back(from.processor);
    scheduled.stage_slots.push_back(from.slots);
    if (times_count) scheduled.stage_times.push_back(expected_time(from, cost));
    if (adapts) scheduled.stage_loads.push_back(expected_load(from, cost));
    if (k >= kMaxStages) continue;  // the scheduler refuses it
    static const Duration kNone{};
    StageRun& to = tasks[task].modes[mode][k];
    to = {.sorted = &kNone, .draw = {problem, static_cast<int>(task), option, static_cast<int>(k)}};
    to.can_be_cut = option.stages.size() < 3 || (k > 0 && k + 1 < option.stages.size());
    if (!from.times.sorted.empty()) to.sorted = from.times.sorted.data(), to.last = from.times.sorted.size() - 1;
    if (!from.alone.sorted.empty() && slots.size() > 1) {
      to.alone = from.alone.sorted.data();
      to.last_alone = from.alone.sorted.size() - 1;
      paced = neighbours_count = true;
    }
  }
}

void Simulator::State::prepare(const PlanProblem& problem, const Choices& choices, const SimulationOptions& options) {
  if (choices.size() != problem.tasks.size()) {
    bad_input(fmt::format("{} choices for {} tasks", choices.size(), problem.tasks.size()));
  }
  config.policy = options.policy;
  slowdowns = options.slowdowns;
  const bool stalling = options.machine && problem.stalls.per_second > 0 && !problem.stalls.lasting.empty();
  const bool lives_on = options.machine && problem.supply.has_value();
  config.energy = lives_on ? energy_rule(problem, choices) : EnergyRule{};
  supply.reset();
  last_end = next_look = kNever;
  machine = (limited && options.machine) || stalling || lives_on;
  paced = machine;
  neighbours_count = false;
  stalls.reset(stalling ? &problem.stalls : nullptr, options.seed);
  window_end = limited && options.machine ? kThrottlePeriod : kNever;
  counted = 0;
  for (Core& core : cores) core.used = 0, core.throttled = false, core.stalled_until = 0;
  releases.reset();
  deadlines.reset();
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    const TaskOption& option = task.options.at(static_cast<std::size_t>(choices[i].option));
    SchedulerTask& scheduled = config.tasks[i];
    scheduled.priority = choices[i].priority;
    TaskRun& t = tasks[i];
    const int index = static_cast<int>(i);
    const std::span<const int> lighter =
        options.lighter.empty() ? std::span<const int>{} : std::span<const int>(options.lighter[i]);
    t.modes.resize(lighter.size() + 1);
    t.options.resize(lighter.size() + 1);
    t.exits = false;
    set_mode(problem, i, 0, option, !options.lighter.empty(), scheduled);
    scheduled.fallbacks.resize(lighter.size());
    for (std::size_t m = 0; m < lighter.size(); ++m) {
      const TaskOption& other = task.options.at(static_cast<std::size_t>(lighter[m]));
      set_mode(problem, i, m + 1, other, true, scheduled.fallbacks[m]);
      scheduled.fallbacks[m].loss = weighted_loss(task, other, option);
    }
    scheduled.utilisation = options.policy == Policy::utilisation_monotonic ? utilisation(task, option) : 0;
    t.jitter = task.jitter;
    t.period = task.period;
    t.releases = Arrivals(task.arrivals, task.period, task.offset, options.seed, index);
    t.expiries = t.releases;
    t.job = 0;
    t.end = (options.active >> i & 1) ? options.length : Duration{};
    t.cancelled = false;
    t.expiring = 0;
    scheduled.late = task.late;
    t.most_misses = options.most_misses.empty() ? kNever : options.most_misses[i];
    const Duration first = t.releases.next();
    t.actual = (first + release_jitter(options.seed, index, 0, task.jitter)).count();
    if (first < t.end && task.after.task < 0) {
      releases.set(index, t.actual);
      if (task.late == Late::abort) deadlines.set(index, (first + task.deadline).count());
    }
    TaskOutcome& o = outcome.tasks[i];
    o.released = o.completed = o.missed = o.dropped = o.failed = o.abandoned = 0;
    o.completed_in.fill(0);
    o.in_time_in.fill(0);
    o.changed_in.fill(0);
    o.changed_in_time_in.fill(0);
    o.switches = 0;
    o.joules = 0;
    o.worst_response = {};
    o.responses_ms.clear();
    if (options.collect_responses) o.responses_ms.reserve(static_cast<std::size_t>(t.end / mean_interval(task) + 1));
  }
  pressures.clear();
  if (neighbours_count && problem.slow_downs.kinds() > 0) prepare_pressures(problem, choices, options.lighter);
  scheduler.reset(config);
  if (lives_on) {
    Duration longest{};
    for (const PlanTask& task : problem.tasks) longest = std::max(longest, task.deadline);
    last_end = (options.length + longest).count();
    next_look = kSupplyLook.count();
    supply.emplace(*problem.supply, config.energy.mandatory_joules);
    watts = idle_watts;
    decisions.clear();
    scheduler.set_energy(supply->joules(), Time{}, decisions);
  }
  due.clear();
  transitions = options.transitions;
  asked.reset();
  length = options.length;
  run_seed = options.seed;
  std::fill(finish.begin(), finish.end(), kNever);
  std::fill(slots.begin(), slots.end(), SlotRun{});
  std::fill(busy.begin(), busy.end(), 0);
  outcome.events = 0;
  outcome.given_up = false;
  outcome.seconds = to_seconds(options.length);
  if (transitions) begin_transitions(problem);
}

/// What is asked for before the first release.
void Simulator::State::begin_transitions(const PlanProblem& problem) {
  decisions.clear();
  while (transitions->next() <= Duration{}) go_over(problem, 0);
  decisions.clear();  // nothing was pending
}

/// Something is asked for, or what was asked for may be carried out now.
void Simulator::State::go_over(const PlanProblem& problem, std::int64_t now) {
  if (!asked) {
    asked = transitions->decide();
    asked_at = now;
    held_back = 0;
    holding = 0;
  }
  const bool adopted = asked && carry_out(problem, now);
  const bool given_up = asked && !adopted && now - asked_at >= kNoIdleMoment.count();
  if (asked && !adopted && !given_up) return hold_back(now);
  if (asked) {
    let_go(now);
    asked.reset();
    transitions->ended({adopted, Duration(now), held_back});
  }
  const Duration next = transitions->next();
  releases.set(kTransition, next < length ? std::max(next.count(), now) : kNever);
}

bool Simulator::State::carry_out(const PlanProblem& problem, std::int64_t now) {
  for (std::size_t i = 0; i < tasks.size(); ++i) scheduler.propose(static_cast<int>(i), asked->terms[i]);
  if (!scheduler.adopt(Time(Duration(now)), decisions, asked->between_jobs)) return false;
  let_go(now);
  for (std::size_t i = 0; i < tasks.size(); ++i) take_terms(problem, static_cast<int>(i), asked->terms[i], now);
  return true;
}

/// Looks again when the next stage ends.
void Simulator::State::hold_back(std::int64_t now) {
  const std::size_t all = asked->giving_way.size(), wanted = gives_way(Duration(now - asked_at), all);
  for (; holding < wanted; ++holding) releases.set(asked->giving_way[holding], kNever);
  const std::int64_t end = *std::min_element(finish.begin(), finish.end());
  std::int64_t look = end == kNever ? now + kLook : end;
  if (holding < all)
    look = std::min(look, asked_at + (kIdlePatience + kNextGivesWay * static_cast<int>(holding)).count());
  releases.set(kTransition, look);
}

void Simulator::State::let_go(std::int64_t now) {
  for (; holding > 0; --holding) {
    const int task = asked->giving_way[holding - 1];
    TaskRun& t = tasks[index(task)];
    for (; t.releases.next().count() < now; t.releases.advance(), ++t.job) ++held_back;
    t.actual = std::max(now, (t.releases.next() + release_jitter(run_seed, task, t.job, t.jitter)).count());
    releases.set(task, t.releases.next() < t.end ? t.actual : kNever);
  }
}

void Simulator::State::release_from(const PlanProblem& problem, int task, Duration from, std::int64_t now) {
  TaskRun& t = tasks[index(task)];
  t.end = length;
  t.releases = Arrivals(problem.tasks[index(task)].arrivals, t.period, from, run_seed, task);
  t.actual = std::max(now, (t.releases.next() + release_jitter(run_seed, task, t.job, t.jitter)).count());
  releases.set(task, t.releases.next() < t.end ? t.actual : kNever);
}

/// Of a task that nothing else releases. One whose period changes has its next job a new period after its last, but not
/// in the past.
void Simulator::State::take_terms(const PlanProblem& problem, int task, const Terms& terms, std::int64_t now) {
  const PlanTask& of = problem.tasks[index(task)];
  TaskRun& t = tasks[index(task)];
  if (of.after.task >= 0) return;
  if (!terms.present) {
    t.end = Duration{};
    releases.set(task, kNever);
    return;
  }
  const bool joins = t.end == Duration{};
  const bool periodic = of.arrivals.kind == ArrivalSpec::Kind::periodic;
  const Duration period = periodic ? terms.period : of.period, next = t.releases.next();
  if (!joins && period == t.period) return;
  const Duration from = joins                 ? std::max(Duration(now) + of.offset, next)  // a period after its last
                        : next.count() <= now ? next
                                              : std::max(next - t.period + period, Duration(now));
  t.period = period;
  release_from(problem, task, from, now);
}

void Simulator::State::prepare_pressures(const PlanProblem& problem, const Choices& choices,
                                         std::span<const std::vector<int>> lighter) {
  const auto option = [&](std::size_t i) -> const TaskOption& {
    return problem.tasks[i].options[index(choices[i].option)];
  };
  for (std::size_t i = 0; i < tasks.size(); ++i)
    for (std::size_t j = 0; j < tasks.size(); ++j) {
      const std::optional<double> known = pressure(problem, option(i), option(j));
      pressures.push_back(known.value_or(-1));
      if (!packs) continue;
      SchedulerTask& scheduled = config.tasks[i];
      scheduled.pressures.push_back(known.value_or(1));
      for (std::size_t m = 0; m < scheduled.fallbacks.size(); ++m) {
        const TaskOption& other = problem.tasks[i].options[index(lighter[i][m])];
        if (other.kind >= 0)
          scheduled.fallbacks[m].pressures.push_back(pressure(problem, other, option(j)).value_or(1));
      }
    }
}

/// Jobs of the tasks after one that was in time.
void Simulator::State::follow(const PlanProblem& problem, const Decision& finished) {
  for (const int task : followers[finished.task]) {
    if (tasks[index(task)].end == Duration{}) continue;
    const int jobs = released_by(problem.tasks[finished.task], finished.job, problem.tasks[index(task)].after);
    if (jobs > 0) due.push_back({task, jobs, finished.release.time_since_epoch().count()});
  }
}

/// A stage leaves the slot, for good or preempted.
void Simulator::State::vacate(std::size_t slot, std::int64_t now) noexcept {
  const SlotRun& s = slots[slot];
  const auto p = index(slot_processor[slot]);
  const std::int64_t used = (now - s.since) * s.width;
  busy[p] += used;
  if (slot_watts[p] > 0) outcome.tasks[index(s.task)].joules += static_cast<double>(used) * 1e-9 * slot_watts[p];
}

/// From now on, by the stages that advance.
void Simulator::State::count_draw(std::int64_t now) noexcept {
  supply->advance(Duration(now), watts);
  watts = supply->off() ? 0 : idle_watts;
  for (std::size_t s = 0; s < slots.size(); ++s)
    if (finish[s] != kNever) watts += slots[s].width * slot_watts[index(slot_processor[s])];
}

bool Simulator::State::any_pending() const noexcept {
  for (std::size_t t = 0; t < tasks.size(); ++t)
    if (scheduler.pending(static_cast<int>(t)) > 0) return true;
  return false;
}

/// Of the energy; jobs that are not over for want of it are dropped.
void Simulator::State::sum_up(std::int64_t now) noexcept {
  outcome.seconds = std::max(outcome.seconds, static_cast<double>(now) * 1e-9);
  outcome.joules = idle_watts * outcome.seconds;
  for (const TaskOutcome& o : outcome.tasks) outcome.joules += o.joules;
  outcome.harvest.reset();
  if (!supply) return;
  supply->advance(from_seconds(outcome.seconds), watts);
  outcome.joules = supply->drawn();
  outcome.harvest = {config.energy.eta, supply->harvested(), supply->joules(), to_seconds(supply->waited())};
  for (std::size_t t = 0; t < tasks.size() && !outcome.given_up; ++t) {
    const int left = scheduler.pending(static_cast<int>(t));
    outcome.tasks[t].dropped += left;
    outcome.tasks[t].missed += left;
  }
}

/// Of the stage that has just ended.
Answer Simulator::State::answer_of(const TaskRun& t) const noexcept {
  const TaskOption& option = *t.options[t.mode];
  if (option.optional_from == 0 || t.stage + 1 < option.optional_from || t.stage > segments_of(option)) return {};
  const double utility = index(t.stage) <= option.unit_accuracy.size() ? option.unit_accuracy[t.stage - 1U] : 0;
  return {t.stage >= units_until_sure(option, t.running), utility};
}

void Simulator::State::count_change(const TaskRun& t, const Decision& finished) noexcept {
  const TaskOption& option = *t.options[finished.mode];
  if (option.optional_from == 0) return;
  const double change = accuracy_change(option, t.ran - 1, units_until_sure(option, finished.job));  // the last is post
  TaskOutcome& o = outcome.tasks[finished.task];
  o.changed_in[finished.mode] += change;
  if (!finished.late) o.changed_in_time_in[finished.mode] += change;
}

/// Counts what the stage on a slot has done since it was last looked at.
void Simulator::State::settle(std::size_t slot, std::int64_t now) noexcept {
  SlotRun& s = slots[slot];
  TaskRun& t = tasks[static_cast<std::size_t>(s.task)];
  t.work -= static_cast<double>(now - s.settled) * s.speed;
  s.settled = now;
}

/// The task's stage on that slot, running or preempted, goes on for kCancelDelay at most. Whether it would have longer.
template <bool paced_>
bool Simulator::State::cut_short(int task, std::size_t slot, std::int64_t now) noexcept {
  TaskRun& t = tasks[static_cast<std::size_t>(task)];
  const bool on_top = slots[slot].task == task;
  if constexpr (paced_) {
    if (on_top) settle(slot, now);
    if (t.work <= static_cast<double>(kCancelDelay.count())) return false;
    t.work = static_cast<double>(kCancelDelay.count());
    if (on_top && finish[slot] != kNever) finish[slot] = now + static_cast<std::int64_t>(t.work / slots[slot].speed);
  } else {
    std::int64_t& left = on_top ? finish[slot] : t.remaining;
    const std::int64_t most = kCancelDelay.count() + (on_top ? now : 0);
    if (left <= most) return false;
    left = most;
  }
  return true;
}

/// Whether the machine has stopped a core that the stage there needs.
bool Simulator::State::stands_still(std::size_t slot) noexcept {
  bool still = supply && supply->off();
  for_each_core(slot, [&](const Core& core) { still |= core.still(); });
  return still;
}

/// Rounded down, so that no stage takes longer than beside neighbours that are always busy.
void Simulator::State::pace(std::size_t slot, std::int64_t now, double others_busy) noexcept {
  SlotRun& s = slots[slot];
  const TaskRun& t = tasks[static_cast<std::size_t>(s.task)];
  s.speed = 1 + (1 - others_busy) * t.gain;
  finish[slot] = now + static_cast<std::int64_t>(std::max(t.work, 0.0) / s.speed);
}

/// A stage begins or goes on there, unless the core stands still.
void Simulator::State::join(std::size_t slot, int& in_use) noexcept {
  if (!stands_still(slot)) {
    in_use += slots[slot].width;
    return;
  }
  finish[slot] = kNever;
  slots[slot].speed = 0;
}

void Simulator::State::repace(std::int64_t now, int in_use) noexcept {
  for (std::size_t s = 0; s < slots.size(); ++s) {
    if (finish[s] == kNever) continue;
    settle(s, now);
    pace(s, now, others_busy(s, in_use));
  }
}

/// As far as it concerns the stage on the slot, 0 to 1.
double Simulator::State::others_busy(std::size_t slot, int in_use) const noexcept {
  const int width = slots[slot].width, others = std::max(static_cast<int>(slots.size()) - width, 1);
  if (pressures.empty()) return static_cast<double>(in_use - width) / others;
  const std::size_t row = index(slots[slot].task) * tasks.size();
  double sum = 0;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    if (s == slot || finish[s] == kNever) continue;
    const double by = pressures[row + index(slots[s].task)];
    sum += by < 0 ? static_cast<double>(slots[s].width) / others : by;
  }
  return std::min(sum, 1.0);
}

/// When the machine next stops a slot or lets it go on.
std::int64_t Simulator::State::next_change() noexcept {
  std::int64_t first = std::min({window_end, stalls.next(), next_look});
  for (std::size_t s = 0; s < slots.size(); ++s) {
    const Core& core = cores[s];
    if (core.stalled_until != 0) first = std::min(first, core.stalled_until);
    if (window_end == kNever || finish[s] == kNever || core.budget == kNever) continue;
    for_each_core(
        s, [&](const Core& c) { first = std::min(first, counted + std::max<std::int64_t>(c.budget - c.used, 0)); });
  }
  return first;
}

void Simulator::State::count_budgets(std::int64_t until) noexcept {
  for (std::size_t s = 0; s < slots.size(); ++s)
    if (finish[s] != kNever) for_each_core(s, [&](Core& c) { c.used += until - counted; });
  counted = until;
}

void Simulator::State::change_machine(std::int64_t now, int& in_use) noexcept {
  const bool stall = now == stalls.next(), second_ends = now == window_end;
  for (std::size_t s = 0; s < slots.size(); ++s) {
    Core& core = cores[s];
    if (second_ends) core.used = 0, core.throttled = false;
    else if (core.used >= core.budget) core.throttled = true;
    if (core.stalled_until <= now) core.stalled_until = 0;
    if (const std::int64_t lasting = stall ? stalls.lasting(slot_processor[s]) : 0; lasting > 0)
      core.stalled_until = std::max(core.stalled_until, now + lasting);
  }
  if (now == next_look) {
    supply->advance(Duration(now), watts);
    supply->look();
    next_look += kSupplyLook.count();
  }
  for (std::size_t s = 0; s < slots.size(); ++s) {
    if (slots[s].task < 0) continue;
    const bool stood = finish[s] == kNever, stands = stands_still(s);
    if (stood && !stands) {
      slots[s].settled = now;
      finish[s] = now;  // until it is paced
      in_use += slots[s].width;
    } else if (!stood && stands) {
      settle(s, now);
      slots[s].speed = 0;
      finish[s] = kNever;
      in_use -= slots[s].width;
    }
  }
  if (second_ends) window_end += kThrottlePeriod;
  if (stall) stalls.advance();
}

/// paced_: stages advance at a speed that changes (others start or end, a core is stopped); else an end that is set
/// once stays.
template <bool paced_, bool observed>
void Simulator::State::loop(const PlanProblem& problem, std::uint64_t seed, bool collect,
                            const std::function<void(const SimulatedEvent&)>& observer) {
  const std::size_t slot_count = slots.size();
  int in_use = 0, paced_for = 0;  // slots that advance
  std::int64_t now = 0;
  std::int64_t events = 0;
  while (!outcome.given_up) {
    std::size_t ending = 0;
    std::int64_t end = finish[0];
    for (std::size_t s = 1; s < slot_count; ++s) {
      if (finish[s] < end) end = finish[s], ending = s;
    }
    decisions.clear();
    bool looked = false;  // at the supply
    if constexpr (paced_) {
      if (machine) {
        const std::int64_t event = due.empty() ? std::min({end, releases.next(), deadlines.next()}) : now;
        bool waiting = event != kNever;  // for something, if only for a slot that stands still
        for (std::size_t s = 0; s < slot_count; ++s) waiting |= finish[s] == kNever && slots[s].task >= 0;
        if (supply) {
          if (now > last_end) break;
          waiting = waiting || any_pending();
        }
        if (waiting) {
          const std::int64_t change = next_change();
          count_budgets(std::min(change, event));
          if (change < event) {
            now = change;
            looked = change == next_look;
            change_machine(now, in_use);
            repace(now, in_use);
            paced_for = in_use;
            if (supply) count_draw(now);
            if (!looked) continue;
          }
        }
      }
    }
    if (looked) {
      scheduler.set_energy(supply->joules(), Time(Duration(now)), decisions);
    } else if (!due.empty()) {
      const Due first = due.back();
      if (--due.back().jobs == 0) due.pop_back();
      ++outcome.tasks[static_cast<std::size_t>(first.task)].released;
      scheduler.release(first.task, Time(Duration(first.nominal)), Time(Duration(now)), decisions);
    } else if (end <= releases.next() && end <= deadlines.next()) {
      if (end == kNever) break;
      now = end;
      finish[ending] = kNever;
      if constexpr (paced_) in_use -= slots[ending].width;
      vacate(ending, now);
      const int completed = std::exchange(slots[ending].task, std::int16_t{-1});  // nothing there that could go on
      const bool cancelled = std::exchange(tasks[static_cast<std::size_t>(completed)].cancelled, false);
      const TaskRun& t = tasks[static_cast<std::size_t>(completed)];
      scheduler.complete(completed, Time(Duration(now)), !cancelled, decisions, t.exits ? answer_of(t) : Answer{});
    } else if (deadlines.next() <= releases.next()) {
      const int task = deadlines.next_task();
      TaskRun& t = tasks[static_cast<std::size_t>(task)];
      now = deadlines.next();
      const Duration expired = t.expiries.next();
      t.expiries.advance();
      deadlines.set(task, t.expiries.next() < t.end ? now + (t.expiries.next() - expired).count() : kNever);
      scheduler.expire(task, t.expiring++, Time(Duration(now)), decisions);
    } else {
      const int task = releases.next_task();
      if (task == kTransition) {
        now = releases.next();
        go_over(problem, now);
      } else {
        TaskRun& t = tasks[static_cast<std::size_t>(task)];
        now = t.actual;
        const Duration nominal = t.releases.next();
        ++outcome.tasks[static_cast<std::size_t>(task)].released;
        t.releases.advance();
        ++t.job;
        t.actual = std::max(now, (t.releases.next() + release_jitter(seed, task, t.job, t.jitter)).count());
        releases.set(task, t.releases.next() < t.end ? t.actual : kNever);
        scheduler.release(task, Time(nominal), Time(Duration(now)), decisions);
      }
    }
    events += !looked;
    for (const Decision& d : decisions.items()) {
      const std::size_t slot = static_cast<std::size_t>(first_slot[d.processor] + d.slot());
      TaskRun& t = tasks[d.task];
      TaskOutcome& o = outcome.tasks[d.task];
      switch (d.kind) {
        case Decision::Kind::start: {
          const StageRun& stage = t.modes[d.mode][d.stage];
          if (t.exits) {
            t.ran = d.stage == 0 ? 0 : t.ran + 1;
            t.mode = d.mode, t.stage = d.stage, t.running = d.job;
          }
          const std::uint64_t u = stage.draw.quantile(seed, d.job, d.release.time_since_epoch());
          const double slower = slowdowns.empty() ? 1 : slowdown_at(slowdowns, Duration(now));
          const std::int64_t time = slowed(interpolated(stage.sorted, stage.last, u) + dispatch[d.processor], slower);
          finish[slot] = now + time;
          slots[slot] = {.since = now,
                         .task = d.task,
                         .width = static_cast<std::int16_t>(std::popcount(d.slots)),
                         .slots = d.slots,
                         .settled = now};
          if constexpr (paced_) {
            t.work = static_cast<double>(time);
            t.gain = 0;
            if (stage.alone != nullptr) {
              const std::int64_t alone =
                  slowed(interpolated(stage.alone, stage.last_alone, u) + dispatch[d.processor], slower);
              if (alone > 0 && alone < time) t.gain = t.work / static_cast<double>(alone) - 1;
            }
            join(slot, in_use);
            paced_for = -1;
          }
          break;
        }
        case Decision::Kind::preempt:
          if constexpr (paced_) {
            settle(slot, now);
            if (finish[slot] != kNever) in_use -= slots[slot].width;
          } else {
            t.remaining = finish[slot] - now;
          }
          finish[slot] = kNever;
          vacate(slot, now);
          slots[slot].task = -1;
          break;
        case Decision::Kind::resume:
          finish[slot] = paced_ ? now : now + t.remaining;  // when paced, repace() says
          slots[slot] = {.since = now,
                         .task = d.task,
                         .width = static_cast<std::int16_t>(std::popcount(d.slots)),
                         .slots = d.slots,
                         .settled = now};
          if constexpr (paced_) {
            join(slot, in_use);
            paced_for = -1;
          }
          break;
        case Decision::Kind::finish: {
          const Duration response = Duration(now) - d.release.time_since_epoch();
          ++o.completed;
          if (!d.late && !followers[d.task].empty()) follow(problem, d);
          o.missed += d.late;
          ++o.completed_in[d.mode];
          o.in_time_in[d.mode] += !d.late;
          if (t.exits) count_change(t, d);
          o.worst_response = std::max(o.worst_response, response);
          if (collect) o.responses_ms.push_back(static_cast<float>(to_ms(response)));
          outcome.given_up |= o.missed > t.most_misses;
          break;
        }
        case Decision::Kind::cancel:
          t.cancelled = t.modes[d.mode][d.stage].can_be_cut && cut_short<paced_>(d.task, slot, now);
          break;
        case Decision::Kind::fail:  // nothing fails here
        case Decision::Kind::give_up: break;
        case Decision::Kind::change_mode: ++o.switches; break;
        case Decision::Kind::abandon: ++o.abandoned; [[fallthrough]];
        case Decision::Kind::drop:
          ++o.dropped;
          ++o.missed;
          outcome.given_up |= o.missed > t.most_misses;
          break;
      }
      if constexpr (observed) observer({Time(Duration(now)), d});
    }
    if constexpr (paced_) {
      if (in_use != paced_for) {
        paced_for = in_use;
        repace(now, in_use);
      }
      if (supply) count_draw(now);
    }
  }
  sum_up(now);
  outcome.events = events;
  for (std::size_t p = 0; p < busy.size(); ++p) {
    const double capacity = static_cast<double>(std::max<std::int64_t>(now, 1)) * config.processors[p].slots;
    outcome.busy[p] = static_cast<double>(busy[p]) / capacity;
  }
}

const SimulationOutcome& Simulator::run(const Choices& choices, const SimulationOptions& options,
                                        const std::function<void(const SimulatedEvent&)>& observer) {
  State& s = *state_;
  s.prepare(problem_, choices, options);
  if (s.paced) {
    if (observer) s.loop<true, true>(problem_, options.seed, options.collect_responses, observer);
    else s.loop<true, false>(problem_, options.seed, options.collect_responses, observer);
  } else {
    if (observer) s.loop<false, true>(problem_, options.seed, options.collect_responses, observer);
    else s.loop<false, false>(problem_, options.seed, options.collect_responses, observer);
  }
  return s.outcome;
}

}  // namespace rtmdl
