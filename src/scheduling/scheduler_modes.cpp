// Which mode a task's next job begins in: after failures, as asked, by load, by energy.
#include "scheduling/scheduler.h"

#include <algorithm>
#include <array>
#include <utility>

namespace rtmdl {

void Scheduler::load_mode(int task, int mode) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  Modes& modes = modes_[static_cast<std::size_t>(task)];
  const Mode& from = modes.all[static_cast<std::size_t>(mode)];
  const bool by_load = t.mode != mode && (mode == 0 || from.by_load) && (t.mode == 0 || modes.all[t.mode].by_load);
  t.mode = static_cast<std::uint8_t>(mode);
  modes.next = -1;
  if (!by_load) modes.failures = 0;  // with the load modes come and go, and what fails may be what they have in common
  t.settled = modes.failures == 0;
  t.stages = from.stages;
  t.processors = from.processors;
  t.widths = from.widths;
  t.optional_from = from.optional_from;
}

/// No job of the task is in progress.
void Scheduler::change_mode(int task, int mode, Decisions& out, bool failing) noexcept {
  load_mode(task, mode);
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  out.push({.kind = Decision::Kind::change_mode,
            .failing = failing,
            .mode = t.mode,
            .task = static_cast<std::uint8_t>(task)});
}

/// The next mode that is not blocked, if need be from the first again; −1: none.
int Scheduler::usable_after(int task, int mode, bool around) const noexcept {
  const int modes = static_cast<int>(modes_[static_cast<std::size_t>(task)].all.size());
  const unsigned blocked = tasks_[static_cast<std::size_t>(task)].blocked;
  for (int m = mode + 1; m < (around ? mode + modes : modes); ++m)
    if ((blocked >> (m % modes) & 1) == 0) return m % modes;
  return -1;
}

/// From a mode that is chosen by load, one that is not, for failures: it may be elsewhere. −1: there is none.
int Scheduler::fallback_of(int task) const noexcept {
  const Modes& modes = modes_[static_cast<std::size_t>(task)];
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (!modes.adapts || !(t.mode == 0 || modes.all[t.mode].by_load)) return -1;
  for (std::size_t m = 1; m < modes.all.size(); ++m)
    if (!modes.all[m].by_load && ((t.blocked | modes.failed) >> m & 1) == 0) return static_cast<int>(m);
  return -1;
}

/// In which mode the task goes on after a job.
void Scheduler::choose_mode(int task, Decision::Kind ended, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  Modes& modes = modes_[static_cast<std::size_t>(task)];
  if (ended == Decision::Kind::finish) modes.failures = 0;
  if (ended == Decision::Kind::fail) ++modes.failures;
  t.settled = modes.failures == 0;
  int next = modes.next;
  const bool enough = modes.failures_to_fall_back > 0 && modes.failures >= modes.failures_to_fall_back;
  const bool asked = next >= 0 && !modes.adapts;  // what load asks for gives way to failures
  const bool failing = !asked && (is_blocked(t) || enough);
  if (failing) {
    next = fallback_of(task);
    if (next < 0) next = usable_after(task, t.mode, is_blocked(t));
    if (enough && next >= 0) modes.failed = static_cast<std::uint16_t>(modes.failed | 1U << t.mode);
  }
  if (next >= 0) change_mode(task, next, out, failing);
  else if (is_blocked(t)) t.state = State::stuck;
}

/// They have no mode to begin in.
void Scheduler::fail_waiting(int task, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  for (; t.waiting > 0; --t.waiting, t.head = static_cast<std::uint8_t>((t.head + 1) % kMaxQueue)) {
    const Job& job = t.ring[t.head];
    out.push({.kind = Decision::Kind::fail,
              .late = now > job.due,
              .mode = t.mode,
              .task = static_cast<std::uint8_t>(task),
              .processor = t.processors[0],
              .job = job.number,
              .release = job.release});
  }
}

void Scheduler::overrun(int task, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  Modes& modes = modes_[static_cast<std::size_t>(task)];
  const std::vector<Duration>& limits = modes.all[t.mode].limits;
  if (t.state != State::running || limits.empty() || limits[t.stage] == Duration{}) return;
  const Duration ran = spent(t, now);
  if (!t.overran) {
    if (ran < limits[t.stage]) return;
    t.overran = t.cancelled = true;
    modes.patience = ran + limits[t.stage];
    return decide(Decision::Kind::cancel, task, out);
  }
  if (ran < modes.patience) return;
  decide(Decision::Kind::give_up, task, out);
  t.blocked = static_cast<std::uint16_t>(t.blocked | 1U << t.mode);
  complete(task, now, false, out);
}

void Scheduler::restore(int task, int mode, Time, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  t.blocked = static_cast<std::uint16_t>(t.blocked & ~(1U << mode));
  if (t.state != State::stuck) return;
  t.state = State::idle;
  if (mode != t.mode) change_mode(task, mode, out, true);
}

/// The next job that begins is to be in that mode.
void Scheduler::ask_mode(int task, int mode, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  Modes& modes = modes_[static_cast<std::size_t>(task)];
  if (t.begun) {
    modes.next = mode == t.mode ? -1 : mode;
    t.settled = modes.next < 0 && modes.failures == 0;
  } else if (mode != t.mode) {
    change_mode(task, mode, out);
  }
}

void Scheduler::set_mode(int task, int mode, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  if (mode < 0 || static_cast<std::size_t>(mode) >= modes_[static_cast<std::size_t>(task)].all.size()) return;
  if ((t.blocked >> mode & 1) != 0) return;
  const int before = t.mode;
  ask_mode(task, mode, out);
  if (t.begun || t.mode == before || t.state != State::ready) return;
  const std::uint64_t bit = std::uint64_t{1} << t.bit;
  const int left = std::exchange(t.processor, t.processors[0]);
  processors_[static_cast<std::size_t>(left)].ready &= ~bit;
  processors_[t.processor].ready |= bit;
  dispatch_both(left, task, now, out);
}

/// Two tasks with pending jobs would change places.
bool Scheduler::reorders_pending() const noexcept {
  if (!is_fixed_priority(policy_)) return false;
  for (std::size_t i = 0; i < tasks_.size(); ++i)
    for (std::size_t j = 0; j < tasks_.size(); ++j) {
      const bool both = pending(static_cast<int>(i)) > 0 && pending(static_cast<int>(j)) > 0;
      if (both && tasks_[i].key < tasks_[j].key && terms_[i].priority > terms_[j].priority) return true;
    }
  return false;
}

bool Scheduler::adopt(Time, Decisions& out, bool between_jobs) noexcept {
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (between_jobs && pending(static_cast<int>(i)) > 0) return false;
    const auto same = [&](const Terms& other) { return other.priority == terms_[i].priority; };
    if (is_fixed_priority(policy_) && std::count_if(terms_.begin(), terms_.end(), same) > 1) return false;
  }
  if (!between_jobs && reorders_pending()) return false;
  for (ProcessorState& p : processors_) p.ready = 0;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    TaskState& t = tasks_[i];
    const Terms& terms = terms_[i];
    set_rank(i);
    if (t.state == State::ready) processors_[t.processor].ready |= std::uint64_t{1} << t.bit;
    t.deadline = terms.deadline;
    adaptation_.set_terms(static_cast<int>(i), t.key, terms);
    if (t.mode != 0 && !modes_[i].all[t.mode].by_load) continue;  // it fell back, for good
    const bool usable = ((t.blocked | modes_[i].failed) >> terms.mode & 1) == 0;
    if (usable && terms.mode != mode(static_cast<int>(i))) ask_mode(static_cast<int>(i), terms.mode, out);
  }
  return true;
}

/// Of each task the mode that its next job would begin in, and those that are not to be taken.
Scheduler::NextModes Scheduler::next_modes() const noexcept {
  NextModes next;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    next.wanted[i] = static_cast<std::uint8_t>(mode(static_cast<int>(i)));
    next.blocked[i] = static_cast<std::uint16_t>(tasks_[i].blocked | modes_[i].failed);
  }
  return next;
}

void Scheduler::ask_changed(const NextModes& before, const NextModes& after, Decisions& out) noexcept {
  for (std::size_t i = 0; i < tasks_.size(); ++i)
    if (after.wanted[i] != before.wanted[i]) ask_mode(static_cast<int>(i), after.wanted[i], out);
}

void Scheduler::spend_energy(Time now, Decisions& out) noexcept {
  const NextModes before = next_modes();
  NextModes next = before;
  adaptation_.spend(now, {next.wanted.data(), tasks_.size()}, {next.blocked.data(), tasks_.size()});
  ask_changed(before, next, out);
}

/// A job of `task`, which waits, was released (or, if −1, one has come to where it may leave): which variant each job
/// that has not begun is to run. They all begin on the processor that they wait for now. Returns a bit for each task
/// whose job in progress is to leave as soon as it can.
std::uint64_t Scheduler::adapt(int task, Time release, Time now, Decisions& out) noexcept {
  std::array<PendingTask, kMaxTasks> pending;
  const NextModes before = next_modes();
  NextModes next = before;
  std::size_t count = 0;
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const TaskState& t = tasks_[i];
    if (!t.begun && t.waiting == 0) continue;
    PendingTask& p = pending[count++];
    const int waiting = std::min(t.waiting + t.coming, t.queue + (t.begun ? 0 : 1));  // the rest gives way
    p = {.task = static_cast<int>(i), .key = t.key, .waiting = waiting, .begun = t.begun};
    if (t.waiting > 0) p.release = t.ring[t.head].release;
    if (policy_ == Policy::custom && !t.begun)
      p.key = order_.key(order_.context, static_cast<int>(i), p.release, t.ring[t.head].due);
    if (!t.begun) continue;
    p.mode = t.mode;
    p.stage = t.stage;
    p.running = t.state == State::running || t.state == State::preempted;
    if (p.running) p.spent = spent(t, now);
    p.begun_release = t.current.release;
  }
  const std::uint64_t leaves =
      adaptation_.choose(task, release, now, {pending.data(), count}, {next.wanted.data(), tasks_.size()},
                         {next.blocked.data(), tasks_.size()});
  ask_changed(before, next, out);
  return leaves;
}

int Scheduler::mode(int task) const noexcept {
  const TaskState& t = tasks_[static_cast<std::size_t>(task)];
  const int next = modes_[static_cast<std::size_t>(task)].next;
  return next < 0 ? t.mode : next;
}

}  // namespace rtmdl
