// One event after the other, and what the scheduler core decides.
#include "planning/simulator_state.h"

#include <algorithm>
#include <utility>

namespace rtmdl {
namespace {

std::int64_t slowed(std::int64_t time, double factor) noexcept {
  return factor == 1 ? time : static_cast<std::int64_t>(static_cast<double>(time) * factor);
}

}  // namespace

/// Jobs of the tasks after one that was in time.
void Simulator::State::follow(const Decision& finished) {
  for (const int task : followers[finished.task]) {
    if (!releases.active(task)) continue;
    const int jobs = released_by(problem.tasks[finished.task], finished.job, problem.tasks[index(task)].after);
    if (jobs > 0) due.push_back({task, jobs, finished.release.time_since_epoch().count()});
  }
}

/// A stage leaves the slot, for good or preempted.
template <SimulatorLoop as>
void Simulator::State::vacate(std::size_t slot, std::int64_t now) noexcept {
  const SlotRun& s = slots[slot];
  const std::int64_t used = (now - s.since) * s.width;
  busy[index(slot_processor[slot])] += used;
  if constexpr (as != SimulatorLoop::plain)
    outcome.tasks[index(s.task)].joules += static_cast<double>(used) * 1e-9 * s.watts;
}

/// What was drawn until now, by stages in progress as well.
void Simulator::State::look_at_budget(std::int64_t now) noexcept {
  double joules = 0;
  for (const TaskOutcome& o : outcome.tasks) joules += o.joules;
  for (const SlotRun& s : slots)
    if (s.task >= 0) joules += static_cast<double>((now - s.since) * s.width) * 1e-9 * s.watts;
  scheduler.set_drawn(energy.used(now, joules), Time(Duration(now)), decisions);
  const Duration next = Duration(now) + kEnergyLook;
  releases.look(next < length ? next.count() : kNever);
}

bool Simulator::State::any_pending() const noexcept {
  for (std::size_t t = 0; t < tasks.size(); ++t)
    if (scheduler.pending(static_cast<int>(t)) > 0) return true;
  return false;
}

/// Jobs that are not over for want of energy.
void Simulator::State::drop_what_is_left() noexcept {
  for (std::size_t t = 0; t < tasks.size(); ++t) {
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

/// Without what its neighbours and its core do to it.
template <SimulatorLoop as>
void Simulator::State::begin(const Decision& d, std::size_t slot, std::int64_t now) noexcept {
  TaskRun& t = tasks[d.task];
  const StageRun& stage = t.modes[d.mode][d.stage];
  if (as != SimulatorLoop::plain && t.exits) {
    t.ran = d.stage == 0 ? 0 : t.ran + 1;
    t.mode = d.mode, t.stage = d.stage, t.running = d.job;
  }
  const std::uint64_t u = stage.draw.quantile(seed, d.job, d.release.time_since_epoch());
  std::int64_t time = interpolated(stage.sorted, stage.last, u) + dispatch[d.processor];
  double slower = 1;
  if (as != SimulatorLoop::plain && !slowdowns.empty()) {
    slower = slowdown_at(slowdowns, Duration(now));
    time = slowed(time, slower);
  }
  finish[slot] = now + time;
  take_slots(d, slot, now);
  if constexpr (as == SimulatorLoop::paced) {
    t.work = static_cast<double>(time);
    t.gain = 0;
    if (stage.alone == nullptr) return;
    const std::int64_t alone = slowed(interpolated(stage.alone, stage.last_alone, u) + dispatch[d.processor], slower);
    if (alone > 0 && alone < time) t.gain = t.work / static_cast<double>(alone) - 1;
  }
}

template <SimulatorLoop as>
void Simulator::State::end_job(const Decision& d, std::int64_t now) {
  const TaskRun& t = tasks[d.task];
  TaskOutcome& o = outcome.tasks[d.task];
  const Duration response = Duration(now) - d.release.time_since_epoch();
  ++o.completed;
  o.missed += d.late;
  ++o.completed_in[d.mode];
  o.in_time_in[d.mode] += !d.late;
  if constexpr (as != SimulatorLoop::plain) {
    if (!d.late && !followers[d.task].empty()) follow(d);
    if (t.exits) count_change(t, d);
  }
  o.worst_response = std::max(o.worst_response, response);
  if (collect) o.responses_ms.push_back(static_cast<float>(to_ms(response)));
  outcome.given_up |= o.missed > t.most_misses;
}

template <SimulatorLoop as, bool observed>
void Simulator::State::loop(const std::function<void(const SimulatedEvent&)>& observer) {
  constexpr bool full = as != SimulatorLoop::plain, paced_ = as == SimulatorLoop::paced;
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
    bool looked = false;  // at what is stored, or was drawn
    if constexpr (paced_) {
      if (machine) {
        const std::int64_t event = due.empty() ? std::min({end, releases.next(), releases.next_deadline()}) : now;
        bool waiting = event != kNever;  // for something, if only for a slot that stands still
        for (std::size_t s = 0; s < slot_count; ++s) waiting |= finish[s] == kNever && slots[s].task >= 0;
        if (energy.counts()) {
          if (now > energy.last_end()) break;
          waiting = waiting || any_pending();
        }
        if (waiting) {
          const std::int64_t change = next_change();
          count_budgets(std::min(change, event));
          if (change < event) {
            now = change;
            looked = change == energy.next_look();
            change_machine(now, in_use);
            repace(now, in_use);
            paced_for = in_use;
            if (energy.counts()) count_draw(now);
            if (!looked) continue;
          }
        }
      }
    }
    if (looked) {
      scheduler.set_energy(energy.joules(), Time(Duration(now)), decisions);
    } else if (full && !due.empty()) {
      const Due first = due.back();
      if (--due.back().jobs == 0) due.pop_back();
      ++outcome.tasks[index(first.task)].released;
      scheduler.release(first.task, Time(Duration(first.nominal)), Time(Duration(now)), decisions, first.jobs - 1);
    } else if (end <= releases.next() && (!full || end <= releases.next_deadline())) {
      if (end == kNever) break;
      now = end;
      finish[ending] = kNever;
      if constexpr (paced_) in_use -= slots[ending].width;
      vacate<as>(ending, now);
      const int completed = std::exchange(slots[ending].task, std::int16_t{-1});  // nothing there that could go on
      TaskRun& t = tasks[index(completed)];
      const bool cancelled = full && std::exchange(t.cancelled, false);
      scheduler.complete(completed, Time(Duration(now)), !cancelled, decisions,
                         full && t.exits ? answer_of(t) : Answer{});
    } else if (full && releases.next_deadline() <= releases.next()) {
      now = releases.next_deadline();
      const SimulatedReleases::Expired expired = releases.expire();
      scheduler.expire(expired.task, expired.job, Time(Duration(now)), decisions);
    } else {
      const int task = releases.next_task();
      now = releases.next();
      if (full && task == EventTimes::kOther) {
        transitions.go_on(now, end, decisions);
      } else if (full && task == EventTimes::kLook) {
        looked = true;
        look_at_budget(now);
      } else {
        ++outcome.tasks[index(task)].released;
        scheduler.release(task, Time(releases.release(task)), Time(Duration(now)), decisions);
      }
    }
    events += !looked;
    for (const Decision& d : decisions.items()) {
      const std::size_t slot = static_cast<std::size_t>(first_slot[d.processor] + d.slot());
      TaskRun& t = tasks[d.task];
      TaskOutcome& o = outcome.tasks[d.task];
      switch (d.kind) {
        case Decision::Kind::start:
          begin<as>(d, slot, now);
          if constexpr (paced_) {
            join(slot, in_use);
            paced_for = -1;
          }
          break;
        case Decision::Kind::preempt:
          if constexpr (paced_) {
            settle(slot, now);
            if (finish[slot] != kNever) in_use -= slots[slot].width;
          } else {
            t.remaining = finish[slot] - now;
          }
          finish[slot] = kNever;
          vacate<as>(slot, now);
          slots[slot].task = -1;
          break;
        case Decision::Kind::resume:
          finish[slot] = paced_ ? now : now + t.remaining;  // when paced, repace() says
          take_slots(d, slot, now);
          if constexpr (paced_) {
            join(slot, in_use);
            paced_for = -1;
          }
          break;
        case Decision::Kind::finish: end_job<as>(d, now); break;
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
      if (energy.counts()) count_draw(now);
    }
  }
  outcome.seconds = std::max(outcome.seconds, static_cast<double>(now) * 1e-9);
  energy.report(outcome);
  if (energy.counts() && !outcome.given_up) drop_what_is_left();
  outcome.events = events;
  for (std::size_t p = 0; p < busy.size(); ++p) {
    const double capacity = static_cast<double>(std::max<std::int64_t>(now, 1)) * config.processors[p].slots;
    outcome.busy[p] = static_cast<double>(busy[p]) / capacity;
  }
}

void Simulator::State::play(const std::function<void(const SimulatedEvent&)>& observer) {
  switch (kind) {
    case SimulatorLoop::plain:
      return observer ? loop<SimulatorLoop::plain, true>(observer) : loop<SimulatorLoop::plain, false>(observer);
    case SimulatorLoop::full:
      return observer ? loop<SimulatorLoop::full, true>(observer) : loop<SimulatorLoop::full, false>(observer);
    case SimulatorLoop::paced:
      return observer ? loop<SimulatorLoop::paced, true>(observer) : loop<SimulatorLoop::paced, false>(observer);
  }
}

}  // namespace rtmdl
