#include "scheduling/scheduler.h"
#include <rtmdl/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

// Why no event makes more decisions than Decisions holds: jobs that are skipped, dropped or fail before they begin are
// those that wait, at most kMaxTasks · kMaxQueue; one job ends and its stage may be given up; each task may change its
// mode; an event dispatches once on each processor at most (usually on one or two), and a dispatch starts, preempts and
// resumes at most one stage per slot each. Where every stage takes one slot it is four decisions: between events a free
// slot means an empty ready queue and no ready stage beats a running one, and an event makes at most one stage ready
// and frees at most one slot.

namespace rtmdl {
namespace {

static_assert(kMaxTasks <= 64, "ready queues are 64-bit masks");

static_assert(kMaxModes <= 16, "blocked modes are a 16-bit mask");

void check_count(std::size_t count, int most, const char* what, std::size_t of = 0) {
  if (count < 1 || count > static_cast<std::size_t>(most)) {
    bad_input(fmt::format("{} {}: between 1 and {} are accepted", count, fmt::format(fmt::runtime(what), of), most));
  }
}

/// `Mode`: a SchedulerMode, or a task with what it runs in mode 0.
template <typename Mode>
void check_stages(const SchedulerConfig& config, std::size_t task, const Mode& mode) {
  const std::size_t stages = mode.stage_processors.size();
  check_count(stages, kMaxStages, "stages in task {}", task);
  for (const int p : mode.stage_processors) {
    if (p < 0 || static_cast<std::size_t>(p) >= config.processors.size()) {
      bad_input(fmt::format("task {} has a stage on processor {}: there are {}", task, p, config.processors.size()));
    }
  }
  const auto check_each = [&](std::size_t count, const char* what) {
    if (count != 0 && count != stages)
      bad_input(fmt::format("task {} has {} for {} of {} stages", task, what, count, stages));
  };
  check_each(mode.stage_slots.size(), "slots");
  check_each(mode.stage_times.size(), "times");
  check_each(mode.stage_limits.size(), "limits");
  check_each(mode.stage_loads.size(), "loads");
  for (std::size_t s = 0; s < mode.stage_slots.size(); ++s) {
    const int slots = config.processors[static_cast<std::size_t>(mode.stage_processors[s])].slots;
    if (mode.stage_slots[s] < 1 || mode.stage_slots[s] > slots)
      bad_input(fmt::format("task {} has a stage that takes {} slots: between 1 and {} are accepted", task,
                            mode.stage_slots[s], slots));
  }
  for (const Duration limit : mode.stage_limits)
    if (limit < Duration{})
      bad_input(fmt::format("task {} has a stage with a limit of {} ns: a positive one is accepted, or 0 for none",
                            task, limit.count()));
  if (!mode.pressures.empty() && mode.pressures.size() != config.tasks.size())
    bad_input(fmt::format("task {} has pressures of {} of {} tasks", task, mode.pressures.size(), config.tasks.size()));
  for (const double pressure : mode.pressures)
    if (!(pressure >= 0 && pressure <= 1))
      bad_input(fmt::format("task {} has a pressure of {}: between 0 and 1 are accepted", task, pressure));
  if (!(mode.joules >= 0 && std::isfinite(mode.joules)))
    bad_input(fmt::format("task {} has a mode that takes {} J: 0 or more is accepted", task, mode.joules));
  check_each(mode.reaches.size(), "shares of jobs");
  check_each(mode.leave_losses.size(), "losses");
  const int last = static_cast<int>(stages) - 1;
  if (mode.optional_from != 0 && (mode.optional_from < 1 || mode.optional_from >= last))
    bad_input(fmt::format("task {} has optional stages from {} on: the first of {} and the last are not optional", task,
                          mode.optional_from, stages));
}

void check_lighter(std::size_t i, const SchedulerTask& task, const SchedulerMode& mode) {
  if (!(*mode.loss >= 0 && std::isfinite(*mode.loss)))
    bad_input(fmt::format("task {} has a mode that loses {}: 0 or more is accepted", i, *mode.loss));
  if (mode.stage_loads.empty() || task.stage_loads.empty())
    bad_input(fmt::format("task {} is to change its mode with the load: its modes must say what they take", i));
  if (mode.stage_processors.front() != task.stage_processors.front())
    bad_input(fmt::format("task {} is to change its mode with the load: all begin on the same processor", i));
}

void check(const SchedulerConfig& config) {
  check_count(config.processors.size(), kMaxProcessors, "processors");
  check_count(config.tasks.size(), kMaxTasks, "tasks");
  for (std::size_t p = 0; p < config.processors.size(); ++p) {
    check_count(static_cast<std::size_t>(std::max(config.processors[p].slots, 0)), kMaxSlots, "slots on processor {}",
                p);
  }
  if (config.policy == Policy::custom && !config.order.key) bad_input("a custom policy needs an order");
  if (!(config.budget.watts >= 0 && config.budget.burst >= 0))
    bad_input(
        fmt::format("a budget of {} W and {} J: neither may be less than 0", config.budget.watts, config.budget.burst));
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const SchedulerTask& task = config.tasks[i];
    check_count(task.fallbacks.size() + 1, kMaxModes, "modes in task {}", i);
    check_stages(config, i, task);
    for (const SchedulerMode& mode : task.fallbacks) {
      check_stages(config, i, mode);
      if (mode.loss) check_lighter(i, task, mode);
    }
    if (task.queue < 1 || task.queue > kMaxQueue) {
      bad_input(fmt::format("task {} has a queue of {}: between 1 and {} are accepted", i, task.queue, kMaxQueue));
    }
    for (std::size_t j = 0; config.policy == Policy::fixed_priority && j < i; ++j) {
      if (config.tasks[j].priority == task.priority) {
        bad_input(fmt::format("tasks {} and {} both have priority {}: priorities are distinct", j, i, task.priority));
      }
    }
  }
}

}  // namespace

std::string_view policy_name(Policy policy) noexcept {
  switch (policy) {
    case Policy::fixed_priority: return "fixed_priority";
    case Policy::deadline_monotonic: return "deadline_monotonic";
    case Policy::rate_monotonic: return "rate_monotonic";
    case Policy::utilisation_monotonic: return "utilisation_monotonic";
    case Policy::edf: return "edf";
    case Policy::fifo: return "fifo";
    case Policy::custom: return "custom";
    case Policy::zygarde: return "zygarde";
  }
  return "unknown";
}

std::vector<int> assign_priorities(Policy policy, std::span<const SchedulerTask> tasks) {
  std::vector<int> order(tasks.size());
  std::iota(order.begin(), order.end(), 0);
  const auto urgent = [&](int a, int b) {
    const SchedulerTask& x = tasks[static_cast<std::size_t>(a)];
    const SchedulerTask& y = tasks[static_cast<std::size_t>(b)];
    switch (policy) {
      case Policy::deadline_monotonic: return x.deadline < y.deadline;
      case Policy::rate_monotonic: return x.period < y.period;
      case Policy::utilisation_monotonic: return x.utilisation > y.utilisation;
      default: return false;
    }
  };
  std::vector<int> priorities(tasks.size());
  if (policy == Policy::fixed_priority) {
    for (std::size_t i = 0; i < tasks.size(); ++i) priorities[i] = tasks[i].priority;
    return priorities;
  }
  std::stable_sort(order.begin(), order.end(), urgent);
  for (std::size_t k = 0; k < order.size(); ++k)
    priorities[static_cast<std::size_t>(order[k])] = static_cast<int>(k) + 1;
  return priorities;
}

Scheduler::Scheduler(const SchedulerConfig& config) { reset(config); }

template <typename From>
void Scheduler::take_stages(const From& from, Mode& to) {
  to.stages = static_cast<std::uint8_t>(from.stage_processors.size());
  for (std::size_t s = 0; s < from.stage_processors.size(); ++s) {
    to.processors[s] = static_cast<std::uint8_t>(from.stage_processors[s]);
    to.widths[s] = from.stage_slots.empty() ? std::uint8_t{1} : static_cast<std::uint8_t>(from.stage_slots[s]);
  }
  to.limits.assign(from.stage_limits.begin(), from.stage_limits.end());
  to.pressures.assign(from.pressures.begin(), from.pressures.end());
  to.optional_from = static_cast<std::uint8_t>(from.optional_from);
  to.rest.clear();
  if (!from.stage_times.empty()) to.rest.resize(from.stage_times.size() + 1);
  for (std::size_t s = from.stage_times.size(); s-- > 0;)
    to.rest[s] = {to.rest[s + 1].alone + from.stage_times[s].alone, from.stage_times[s].beside};
}

void Scheduler::reset(const SchedulerConfig& config) {
  check(config);
  policy_ = config.policy;
  order_ = config.order;
  line_ = 0;
  processors_.resize(config.processors.size());
  for (std::size_t p = 0; p < processors_.size(); ++p) {
    processors_[p].ready = 0;
    processors_[p].preemptive = config.processors[p].preemptive;
    processors_[p].slots = static_cast<std::uint8_t>(config.processors[p].slots);
    processors_[p].depth.fill(0);
    processors_[p].freed.fill(0);
    processors_[p].ended = 0;
  }
  tasks_.resize(config.tasks.size());
  modes_.resize(config.tasks.size());
  const std::vector<int> priorities = assign_priorities(policy_, config.tasks);
  terms_.clear();
  energy_ = config.energy;
  may_begin_ = may_add_ = true;
  longest_.fill({});
  Duration longest_deadline{1};
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const SchedulerTask& from = config.tasks[i];
    TaskState& t = tasks_[i];
    t = {};
    t.deadline = from.deadline;
    t.queue = static_cast<std::uint8_t>(from.queue);
    t.late = from.late;
    terms_.push_back({priorities[i], 0, from.period, from.deadline, from.present});
    longest_deadline = std::max(longest_deadline, from.deadline);
    modes_[i].failures_to_fall_back = from.failures_to_fall_back;
    modes_[i].failed = 0;
    modes_[i].adapts = std::any_of(from.fallbacks.begin(), from.fallbacks.end(),
                                   [](const SchedulerMode& mode) { return mode.loss.has_value(); });
    std::vector<Mode>& modes = modes_[i].all;
    modes.resize(from.fallbacks.size() + 1);
    take_stages(from, modes[0]);
    for (std::size_t m = 1; m < modes.size(); ++m) {
      take_stages(from.fallbacks[m - 1], modes[m]);
      modes[m].by_load = from.fallbacks[m - 1].loss.has_value();
    }
    for (const Mode& mode : modes)
      for (std::size_t stage = 0; stage + 1 < mode.rest.size(); ++stage)
        longest_[mode.processors[stage]] = std::max(longest_[mode.processors[stage]], mode.rest[stage].beside);
    load_mode(static_cast<int>(i), 0);
  }
  for (std::size_t i = 0; i < tasks_.size(); ++i) set_rank(i);
  horizon_ = energy_.alpha > 0 ? 1e9 / energy_.alpha : static_cast<double>(longest_deadline.count());
  adaptation_.reset(config);
}

/// Of ranked policies from the priority that was proposed last.
void Scheduler::set_rank(std::size_t task) noexcept {
  TaskState& t = tasks_[task];
  t.bit = static_cast<std::uint8_t>(task);
  if (is_fixed_priority(policy_)) {
    const int priority = terms_[task].priority;
    t.bit = static_cast<std::uint8_t>(
        std::count_if(terms_.begin(), terms_.end(), [&](const Terms& other) { return other.priority < priority; }));
    t.key = t.bit;
  }
  task_of_bit_[t.bit] = static_cast<std::uint8_t>(task);
}

void Scheduler::take_key(TaskState& t, const Job& job, bool keeps_place) noexcept {
  if (policy_ == Policy::edf) t.key = job.due.time_since_epoch().count();
  if (policy_ == Policy::fifo && !keeps_place) t.key = line_++;
  if (policy_ == Policy::custom)
    t.key = order_.key(order_.context, static_cast<int>(&t - tasks_.data()), job.release, job.due);
  if (policy_ == Policy::zygarde) t.key = energy_key(t, job);
}

/// The task's next stage (the first of its oldest waiting job, when none has begun) enters the ready queue of its
/// processor.
void Scheduler::enqueue(int task) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  t.state = State::ready;
  t.processor = t.processors[t.stage];
  take_key(t, t.begun ? t.current : t.ring[t.head], false);
  processors_[t.processor].ready |= std::uint64_t{1} << t.bit;
}

int Scheduler::best_ready(std::uint64_t ready) const noexcept {
  if (ready == 0) return -1;
  int best = task_of_bit_[static_cast<std::size_t>(std::countr_zero(ready))];
  if (is_fixed_priority(policy_)) return best;
  for (std::uint64_t rest = ready & (ready - 1); rest != 0; rest &= rest - 1) {
    const int task = std::countr_zero(rest);
    if (tasks_[static_cast<std::size_t>(task)].key < tasks_[static_cast<std::size_t>(best)].key) best = task;
  }
  return best;
}

/// Of those that are not known to wait. Jobs that would begin at or after their deadline are skipped on the way, where
/// their task says so.
int Scheduler::best_in_time(ProcessorState& p, std::uint64_t waits, Time now, Decisions& out) noexcept {
  while (true) {
    const int best = best_ready(p.ready & ~waits);
    if (best < 0) return best;
    TaskState& t = tasks_[static_cast<std::size_t>(best)];
    if (t.late == Late::finish || t.begun || now < t.ring[t.head].due) return best;
    drop_oldest(best, out);
    if (t.waiting > 0) {
      take_key(t, t.ring[t.head], true);
    } else {
      p.ready &= ~(std::uint64_t{1} << t.bit);
      t.state = State::idle;
    }
  }
}

bool Scheduler::beats(int ready, int started) const noexcept {
  return policy_ != Policy::fifo &&
         tasks_[static_cast<std::size_t>(ready)].key < tasks_[static_cast<std::size_t>(started)].key;
}

void Scheduler::decide(Decision::Kind kind, int task, Decisions& out, bool late) const noexcept {
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  out.push({.kind = kind,
            .late = late,
            .mode = t.mode,
            .task = static_cast<std::uint8_t>(task),
            .stage = t.stage,
            .processor = t.processor,
            .level = t.level,
            .slots = t.slots,
            .job = t.current.number,
            .release = t.current.release});
}

int Scheduler::top(const ProcessorState& p, int slot) const noexcept {
  const std::uint8_t depth = p.depth[static_cast<std::size_t>(slot)];
  return depth == 0 ? -1 : p.stack[static_cast<std::size_t>(slot)][depth - 1U];
}

/// Of every slot that it takes.
bool Scheduler::on_top(int task) const noexcept {
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  for (unsigned rest = t.slots; rest != 0; rest &= rest - 1)
    if (top(processors_[t.processor], std::countr_zero(rest)) != task) return false;
  return true;
}

void Scheduler::begin(int task, int processor, std::uint16_t slots, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  ProcessorState& p = processors_[static_cast<std::size_t>(processor)];
  p.ready &= ~(std::uint64_t{1} << t.bit);
  if (!t.begun) {
    t.begun = true;
    t.current = t.ring[t.head];
    t.head = static_cast<std::uint8_t>((t.head + 1) % kMaxQueue);
    --t.waiting;
    t.sure = false;
    t.utility = 0;
  }
  int level = 0;
  for (unsigned rest = slots; rest != 0; rest &= rest - 1) {
    const int slot = std::countr_zero(rest);
    if (const int below = top(p, slot); below >= 0)
      level = std::max(level, tasks_[static_cast<std::size_t>(below)].level + 1);
    p.stack[static_cast<std::size_t>(slot)][p.depth[static_cast<std::size_t>(slot)]++] =
        static_cast<std::uint8_t>(task);
  }
  t.state = State::running;
  t.since = now;
  t.ran = {};
  t.slots = slots;
  t.level = static_cast<std::uint8_t>(std::min(level, 255));
  decide(Decision::Kind::start, task, out);
}

/// Of `joining` and of what runs there and will not be displaced.
double Scheduler::pressure_on(int task, int joining, unsigned displaced, const ProcessorState& p) const noexcept {
  const std::vector<double>& of =
      modes_[static_cast<std::size_t>(task)].all[tasks_[static_cast<std::size_t>(task)].mode].pressures;
  if (of.empty()) return 1;
  const auto by = [&](int other) {
    const std::uint8_t mode = tasks_[static_cast<std::size_t>(other)].mode;
    const bool known = mode == 0 || modes_[static_cast<std::size_t>(other)].all[mode].by_load;  // then lighter
    return known ? of[static_cast<std::size_t>(other)] : 1;
  };
  double sum = by(joining);
  for (int s = 0; s < p.slots; ++s) {
    const int other = top(p, s);
    if (other < 0 || other == task) continue;
    const TaskState& o = tasks_[static_cast<std::size_t>(other)];
    const bool stays = o.state == State::running && (o.slots & displaced) == 0;
    if (stays && std::countr_zero(o.slots) == s) sum += by(other);
  }
  return std::min(sum, 1.0);
}

/// Whether no more urgent stage that would be in time alone would be late beside `joining`, which takes the slots
/// `displaced` from others. If it only takes the place of one that runs, it is no news where one is like another.
bool Scheduler::keeps_in_time(int joining, unsigned displaced, bool beside_more, const ProcessorState& p,
                              Time now) const noexcept {
  for (int s = 0; s < p.slots; ++s) {
    const int task = top(p, s);
    if (task < 0) continue;
    const TaskState& t = tasks_[static_cast<std::size_t>(task)];
    const Mode& mode = modes_[static_cast<std::size_t>(task)].all[t.mode];
    const std::vector<StageTime>& times = mode.rest;
    if (!beside_more && mode.pressures.empty()) continue;
    if (times.empty() || t.state != State::running || t.key > tasks_[static_cast<std::size_t>(joining)].key) continue;
    const Duration slack = t.current.due - now;
    const Duration after = times[t.stage + 1U].alone;
    const Duration ran = spent(t, now);
    const auto rest = [&](Duration stage) { return std::max(stage - ran, Duration{}) + after; };
    const Duration alone = times[t.stage].alone - after, beside = times[t.stage].beside;
    if (rest(alone) > slack || rest(beside) <= slack) continue;
    const auto longer = static_cast<double>((beside - alone).count()) * pressure_on(task, joining, displaced, p);
    if (rest(alone + Duration(static_cast<std::int64_t>(longer))) > slack) return false;
  }
  return true;
}

void Scheduler::displace(int task, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (t.state == State::running) {
    decide(Decision::Kind::preempt, task, out);
    t.ran += now - t.since;
  }
  t.state = State::preempted;
}

/// Starts the ready stage if it gets its slots: free ones first, then those of the least urgent that it may preempt.
Scheduler::Placed Scheduler::place(int task, int processor, Time now, Decisions& out) noexcept {
  ProcessorState& p = processors_[static_cast<std::size_t>(processor)];
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  int wanted = t.widths[t.stage];
  if (p.slots == 1) {  // the usual case, kept short
    const int below = top(p, 0);
    if (below >= 0 && !(p.preemptive && beats(task, below))) return Placed::no_slot;
    if (below >= 0) displace(below, now, out);
    begin(task, processor, 1, now, out);
    return Placed::started;
  }
  std::uint16_t slots = 0;
  for (; wanted > 0; --wanted) {
    int longest = -1;
    for (int s = 0; s < p.slots; ++s) {
      if (p.depth[static_cast<std::size_t>(s)] != 0 || (slots >> s & 1) != 0) continue;
      if (longest < 0 || p.freed[static_cast<std::size_t>(s)] < p.freed[static_cast<std::size_t>(longest)]) longest = s;
    }
    if (longest < 0) break;
    slots = static_cast<std::uint16_t>(slots | 1U << longest);
  }
  bool joins = slots != 0;
  std::uint16_t taken = 0;
  for (; wanted > 0 && p.preemptive; --wanted) {
    int worst = -1, at = 0;
    for (int s = 0; s < p.slots; ++s) {
      if (p.depth[static_cast<std::size_t>(s)] == 0 || (taken >> s & 1) != 0) continue;
      const int other = top(p, s);
      if (worst < 0 || tasks_[static_cast<std::size_t>(worst)].key <= tasks_[static_cast<std::size_t>(other)].key)
        worst = other, at = s;
    }
    if (worst < 0 || !beats(task, worst)) break;
    taken = static_cast<std::uint16_t>(taken | 1U << at);
    joins |= tasks_[static_cast<std::size_t>(worst)].state != State::running;  // it stood idle
  }
  if (wanted > 0) return Placed::no_slot;
  if (!keeps_in_time(task, taken, joins, p, now)) return Placed::would_delay;
  for (unsigned rest = taken; rest != 0; rest &= rest - 1) displace(top(p, std::countr_zero(rest)), now, out);
  begin(task, processor, static_cast<std::uint16_t>(slots | taken), now, out);
  return Placed::started;
}

void Scheduler::dispatch(int processor, Time now, Decisions& out) noexcept {
  if (!may_begin_) return;
  ProcessorState& p = processors_[static_cast<std::size_t>(processor)];
  std::uint64_t waits = 0;
  for (int best = best_in_time(p, waits, now, out); best >= 0; best = best_in_time(p, waits, now, out)) {
    const Placed placed = place(best, processor, now, out);
    if (placed == Placed::started) continue;
    const TaskState& t = tasks_[static_cast<std::size_t>(best)];
    // Without a slot for this one there is none for those behind it.
    if (!p.preemptive || policy_ == Policy::fifo || (placed == Placed::no_slot && t.widths[t.stage] == 1)) break;
    waits |= std::uint64_t{1} << t.bit;
  }
  if (!p.preemptive) return;
  for (int s = 0; s < p.slots; ++s) {
    const int task = top(p, s);
    if (task < 0) continue;
    TaskState& t = tasks_[static_cast<std::size_t>(task)];
    if (t.state != State::preempted || std::countr_zero(t.slots) != s || !on_top(task)) continue;
    t.state = State::running;
    t.since = now;
    decide(Decision::Kind::resume, task, out);
  }
}

void Scheduler::drop_oldest(int task, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  const Job& oldest = t.ring[t.head];
  out.push({.kind = Decision::Kind::drop,
            .mode = t.mode,
            .task = static_cast<std::uint8_t>(task),
            .processor = t.processors[0],
            .job = oldest.number,
            .release = oldest.release});
  t.head = static_cast<std::uint8_t>((t.head + 1) % kMaxQueue);
  --t.waiting;
}

void Scheduler::release(int task, Time release, Time now, Decisions& out, int coming) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (t.waiting == t.queue) drop_oldest(task, out);
  t.ring[(t.head + t.waiting++) % kMaxQueue] = {release, release + t.deadline, t.released++};
  const bool foreseen = std::exchange(t.coming, coming) > 0;
  if (adaptation_.active() && !foreseen) adapt(task, release, now, out);
  if (policy_ == Policy::zygarde) dispatch_all(leave_in_time(now), now, out);
  if (t.begun) return;
  if (t.state == State::idle) {
    enqueue(task);
  } else if (t.state == State::stuck) {
    return fail_waiting(task, now, out);
  } else {
    take_key(t, t.ring[t.head], true);
  }
  dispatch(t.processor, now, out);
}

/// The job in progress, whose stage is on no slot any more, is over; the task's next one becomes ready.
void Scheduler::end_job(int task, Decision::Kind kind, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  decide(kind, task, out, now > t.current.due);
  t.begun = false;
  t.state = State::idle;
  t.stage = 0;
  if (kind != Decision::Kind::finish || !t.settled) choose_mode(task, kind, out);
  if (t.waiting == 0) return;
  if (t.state == State::stuck) fail_waiting(task, now, out);
  else enqueue(task);
}

/// On the processor that the task has left and, if another, on the one where it is ready now.
void Scheduler::dispatch_both(int left, int task, Time now, Decisions& out) noexcept {
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  const int joined = t.processor;
  const bool elsewhere = t.state == State::ready && joined != left;
  dispatch(left, now, out);
  if (elsewhere) dispatch(joined, now, out);
}

void Scheduler::dispatch_all(std::uint32_t processors, Time now, Decisions& out) noexcept {
  for (; processors != 0; processors &= processors - 1) dispatch(std::countr_zero(processors), now, out);
}

void Scheduler::complete(int task, Time now, bool ok, Decisions& out, Answer answer) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (t.state != State::running && t.state != State::preempted) return;
  const int left = t.processor;
  if (ok && adaptation_.follows()) adaptation_.observe(task, t.mode, t.stage, spent(t, now));
  ProcessorState& p = processors_[t.processor];
  for (unsigned rest = t.slots; rest != 0; rest &= rest - 1) {
    const auto slot = static_cast<std::size_t>(std::countr_zero(rest));
    const auto bottom = p.stack[slot].begin();
    const auto end = bottom + p.depth[slot]--;
    const auto me = std::find(bottom, end, static_cast<std::uint8_t>(task));
    std::copy(me + 1, end, me);
    if (p.depth[slot] == 0) p.freed[slot] = p.ended + 1;
  }
  ++p.ended;
  const bool cancelled = std::exchange(t.cancelled, false);
  const bool overran = cancelled && std::exchange(t.overran, false);
  const bool last = t.stage + 1 == t.stages;
  const bool too_late = t.late == Late::abort && now >= t.current.due;
  if (ok && last) {
    end_job(task, Decision::Kind::finish, now, out);
  } else if (cancelled || (ok && too_late)) {
    end_job(task, overran ? Decision::Kind::fail : Decision::Kind::abandon, now, out);
  } else if (!ok) {
    end_job(task, Decision::Kind::fail, now, out);
  } else {
    if (t.optional_from == 0) ++t.stage;
    else t.stage = next_stage(task, answer, now, out);
    enqueue(task);
  }
  if (policy_ != Policy::zygarde) return dispatch_both(left, task, now, out);
  const std::uint32_t joined = t.state == State::ready ? 1U << t.processor : 0U;
  dispatch_all(leave_in_time(now) | joined | 1U << left, now, out);
}

void Scheduler::expire(int task, std::uint64_t job, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (t.late != Late::abort || !t.begun || t.current.number != job || t.cancelled) return;
  if (t.state != State::ready) {
    t.cancelled = true;
    decide(Decision::Kind::cancel, task, out);
    return;
  }
  const int waited_on = t.processor;
  processors_[t.processor].ready &= ~(std::uint64_t{1} << t.bit);
  end_job(task, Decision::Kind::abandon, now, out);
  dispatch_both(waited_on, task, now, out);  // it may have kept others waiting
}

int Scheduler::pending(int task) const noexcept {
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  return t.waiting + (t.begun ? 1 : 0);
}

void Scheduler::drop_waiting(Time now, Decisions& out, int task) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  while (t.waiting > 0) drop_oldest(task, out);
  if (t.begun || t.state != State::ready) return;
  processors_[t.processor].ready &= ~(std::uint64_t{1} << t.bit);
  t.state = State::idle;
  dispatch(t.processor, now, out);  // what waited behind it
}

}  // namespace rtmdl
