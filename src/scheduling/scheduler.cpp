#include <rtmdl/error.h>
#include <rtmdl/scheduler.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

// Why no event makes more decisions than Decisions holds. Skipped jobs aside, of which there are at most kMaxTasks ·
// kMaxQueue, events make at most four. Between events, on every processor, (a) a free slot
// means an empty ready queue and (b) no ready stage beats a running one. An event makes at most one stage ready and
// frees at most one slot.
//   release:  one drop; the stage that becomes ready may preempt: preempt + start. At most 3.
//   complete: finish or fail; on the processor that it left, one start or resume in the freed slot; the stage that
//   becomes ready
//             (the next of the job, or the first of the task's next job), there or elsewhere, may preempt: preempt +
//             start. At most 4. One start a dispatch over another stage is enough: what stays ready is no more urgent
//             than what was ready before, which beat no running stage, or than what has just started. A preempted stage
//             does not go back to the ready queue.
//   expire:   a cancellation; or, between stages, an abandoned job, and then as after its last stage. At most 4.
//   drop_waiting: at most kMaxQueue drops.

namespace rtmdl {
namespace {

static_assert(kMaxTasks <= 64, "ready queues are 64-bit masks");

bool has_ranks(Policy policy) noexcept { return policy != Policy::edf && policy != Policy::fifo; }

void check_count(std::size_t count, int most, const char* what, std::size_t of = 0) {
  if (count < 1 || count > static_cast<std::size_t>(most)) {
    bad_input(fmt::format("{} {}: between 1 and {} are accepted", count, fmt::format(fmt::runtime(what), of), most));
  }
}

void check(const SchedulerConfig& config) {
  check_count(config.processors.size(), kMaxProcessors, "processors");
  check_count(config.tasks.size(), kMaxTasks, "tasks");
  for (std::size_t p = 0; p < config.processors.size(); ++p) {
    check_count(static_cast<std::size_t>(std::max(config.processors[p].slots, 0)), kMaxSlots, "slots on processor {}",
                p);
  }
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const SchedulerTask& task = config.tasks[i];
    check_count(task.stage_processors.size(), kMaxStages, "stages in task {}", i);
    for (const int p : task.stage_processors) {
      if (p < 0 || static_cast<std::size_t>(p) >= config.processors.size()) {
        bad_input(fmt::format("task {} has a stage on processor {}: there are {}", i, p, config.processors.size()));
      }
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

void Scheduler::reset(const SchedulerConfig& config) {
  check(config);
  policy_ = config.policy;
  line_ = 0;
  processors_.resize(config.processors.size());
  for (std::size_t p = 0; p < processors_.size(); ++p) {
    processors_[p].ready = 0;
    processors_[p].preemptive = config.processors[p].preemptive;
    processors_[p].slots = static_cast<std::uint8_t>(config.processors[p].slots);
    processors_[p].depth.fill(0);
  }
  tasks_.resize(config.tasks.size());
  const std::vector<int> priorities = assign_priorities(policy_, config.tasks);
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const SchedulerTask& from = config.tasks[i];
    TaskState& t = tasks_[i];
    t = {};
    t.deadline = from.deadline;
    t.queue = static_cast<std::uint8_t>(from.queue);
    t.late = from.late;
    t.stages = static_cast<std::uint8_t>(from.stage_processors.size());
    for (std::size_t s = 0; s < from.stage_processors.size(); ++s) {
      t.processors[s] = static_cast<std::uint8_t>(from.stage_processors[s]);
    }
    const auto rank =
        std::count_if(priorities.begin(), priorities.end(), [&](int other) { return other < priorities[i]; });
    t.bit = static_cast<std::uint8_t>(has_ranks(policy_) ? rank : static_cast<std::ptrdiff_t>(i));
    t.key = t.bit;
    task_of_bit_[t.bit] = static_cast<std::uint8_t>(i);
  }
}

void Scheduler::take_key(TaskState& t, const Job& job, bool keeps_place) noexcept {
  if (policy_ == Policy::edf) t.key = (job.release + t.deadline).time_since_epoch().count();
  if (policy_ == Policy::fifo && !keeps_place) t.key = line_++;
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

int Scheduler::best_ready(const ProcessorState& p) const noexcept {
  if (p.ready == 0) return -1;
  int best = task_of_bit_[static_cast<std::size_t>(std::countr_zero(p.ready))];
  if (has_ranks(policy_)) return best;
  for (std::uint64_t rest = p.ready & (p.ready - 1); rest != 0; rest &= rest - 1) {
    const int task = std::countr_zero(rest);
    if (tasks_[static_cast<std::size_t>(task)].key < tasks_[static_cast<std::size_t>(best)].key) best = task;
  }
  return best;
}

/// Jobs that would begin at or after their deadline are skipped on the way, where their task says so.
int Scheduler::best_in_time(ProcessorState& p, Time now, Decisions& out) noexcept {
  while (true) {
    const int best = best_ready(p);
    if (best < 0) return best;
    TaskState& t = tasks_[static_cast<std::size_t>(best)];
    if (t.late == Late::finish || t.begun || now < t.ring[t.head].release + t.deadline) return best;
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
            .task = static_cast<std::uint8_t>(task),
            .stage = t.stage,
            .processor = t.processor,
            .slot = t.slot,
            .level = t.level,
            .job = t.current.number,
            .release = t.current.release});
}

void Scheduler::begin(int task, int processor, int slot, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  ProcessorState& p = processors_[static_cast<std::size_t>(processor)];
  p.ready &= ~(std::uint64_t{1} << t.bit);
  if (!t.begun) {
    t.begun = true;
    t.current = t.ring[t.head];
    t.head = static_cast<std::uint8_t>((t.head + 1) % kMaxQueue);
    --t.waiting;
  }
  auto& stack = p.stack[static_cast<std::size_t>(slot)];
  auto& depth = p.depth[static_cast<std::size_t>(slot)];
  const int above = depth == 0 ? 0 : tasks_[stack[depth - 1U]].level + 1;
  t.state = State::running;
  t.slot = static_cast<std::uint8_t>(slot);
  t.level = static_cast<std::uint8_t>(std::min(above, 255));
  stack[depth++] = static_cast<std::uint8_t>(task);
  decide(Decision::Kind::start, task, out);
}

void Scheduler::dispatch(int processor, Time now, Decisions& out) noexcept {
  ProcessorState& p = processors_[static_cast<std::size_t>(processor)];
  int best = best_in_time(p, now, out);
  for (int s = 0; s < p.slots && best >= 0; ++s) {
    if (p.depth[static_cast<std::size_t>(s)] != 0) continue;
    begin(best, processor, s, out);
    best = best_in_time(p, now, out);
  }
  if (!p.preemptive) return;
  // The least urgent of the slots' tops gives way, whether it runs or would go on now that what was started over it has
  // ended.
  int worst = -1;
  for (int s = 0; s < p.slots && best >= 0; ++s) {
    const std::uint8_t depth = p.depth[static_cast<std::size_t>(s)];
    if (depth == 0) continue;
    const int top = p.stack[static_cast<std::size_t>(s)][depth - 1U];
    if (worst < 0 || tasks_[static_cast<std::size_t>(worst)].key <= tasks_[static_cast<std::size_t>(top)].key)
      worst = top;
  }
  if (worst >= 0 && beats(best, worst)) {
    TaskState& t = tasks_[static_cast<std::size_t>(worst)];
    if (t.state == State::running) decide(Decision::Kind::preempt, worst, out);
    t.state = State::preempted;
    begin(best, processor, t.slot, out);
  }
  for (int s = 0; s < p.slots; ++s) {
    const std::uint8_t depth = p.depth[static_cast<std::size_t>(s)];
    if (depth == 0) continue;
    const int top = p.stack[static_cast<std::size_t>(s)][depth - 1U];
    if (tasks_[static_cast<std::size_t>(top)].state != State::preempted) continue;
    tasks_[static_cast<std::size_t>(top)].state = State::running;
    decide(Decision::Kind::resume, top, out);
  }
}

void Scheduler::drop_oldest(int task, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  const Job& oldest = t.ring[t.head];
  out.push({.kind = Decision::Kind::drop,
            .task = static_cast<std::uint8_t>(task),
            .processor = t.processors[0],
            .job = oldest.number,
            .release = oldest.release});
  t.head = static_cast<std::uint8_t>((t.head + 1) % kMaxQueue);
  --t.waiting;
}

void Scheduler::release(int task, Time release, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (t.waiting == t.queue) drop_oldest(task, out);
  t.ring[(t.head + t.waiting++) % kMaxQueue] = {release, t.released++};
  if (t.begun) return;
  if (t.state == State::idle) {
    enqueue(task);
  } else {
    take_key(t, t.ring[t.head], true);
  }
  dispatch(t.processor, now, out);
}

/// The job in progress, whose stage is on no slot any more, is over; the task's next one becomes ready.
void Scheduler::end_job(int task, Decision::Kind kind, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  decide(kind, task, out, now > t.current.release + t.deadline);
  t.begun = false;
  t.state = State::idle;
  t.stage = 0;
  if (t.waiting > 0) enqueue(task);
}

void Scheduler::complete(int task, Time now, bool ok, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (t.state != State::running && t.state != State::preempted) return;
  const int left = t.processor;
  ProcessorState& p = processors_[t.processor];
  const auto bottom = p.stack[t.slot].begin();
  const auto top = bottom + p.depth[t.slot]--;
  const auto me = std::find(bottom, top, static_cast<std::uint8_t>(task));
  std::copy(me + 1, top, me);
  const bool cancelled = std::exchange(t.cancelled, false);
  const bool last = t.stage + 1 == t.stages;
  const bool too_late = t.late == Late::abort && now >= t.current.release + t.deadline;
  if (ok && last) {
    end_job(task, Decision::Kind::finish, now, out);
  } else if (cancelled || (ok && too_late)) {
    end_job(task, Decision::Kind::abandon, now, out);
  } else if (!ok) {
    end_job(task, Decision::Kind::fail, now, out);
  } else {
    ++t.stage;
    enqueue(task);
  }
  const int joined = t.processor;
  const bool elsewhere = t.state == State::ready && joined != left;
  dispatch(left, now, out);
  if (elsewhere) dispatch(joined, now, out);
}

void Scheduler::expire(int task, std::uint64_t job, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (t.late != Late::abort || !t.begun || t.current.number != job || t.cancelled) return;
  if (t.state != State::ready) {
    t.cancelled = true;
    decide(Decision::Kind::cancel, task, out);
    return;
  }
  processors_[t.processor].ready &= ~(std::uint64_t{1} << t.bit);
  end_job(task, Decision::Kind::abandon, now, out);
  if (t.state == State::ready) dispatch(t.processor, now, out);
}

int Scheduler::pending(int task) const noexcept {
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  return t.waiting + (t.begun ? 1 : 0);
}

void Scheduler::drop_waiting(Time, Decisions& out, int task) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  while (t.waiting > 0) drop_oldest(task, out);
  if (t.begun || t.state != State::ready) return;
  processors_[t.processor].ready &= ~(std::uint64_t{1} << t.bit);
  t.state = State::idle;
}

}  // namespace rtmdl
