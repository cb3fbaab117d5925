// Which stages a job leaves out (early exits), and when energy lets stages begin.
#include "scheduling/scheduler.h"

#include <bit>

namespace rtmdl {

/// Of a task with optional stages: after the one that has ended, which is on no slot any more.
std::uint8_t Scheduler::next_stage(int task, Answer answer, Time now, Decisions& out) noexcept {
  TaskState& t = tasks_[static_cast<std::size_t>(task)];
  const auto next = static_cast<std::uint8_t>(t.stage + 1), last = static_cast<std::uint8_t>(t.stages - 1);
  if (next < t.optional_from || next == last) return next;
  t.sure = t.sure || answer.sure;
  t.utility = static_cast<float>(answer.utility);
  t.stage = next;
  t.state = State::ready;
  if (policy_ == Policy::zygarde) return leaves_now(t, now) ? last : next;
  if (t.sure) return last;
  if (!adaptation_.active()) return next;
  return (adapt(-1, {}, now, out) >> task & 1) != 0 ? last : next;
}

/// Under Policy::zygarde: an optional stage waits, and there is no energy for it, or it could make the job late.
bool Scheduler::leaves_now(const TaskState& t, Time now) const noexcept {
  const bool optional = t.state == State::ready && t.begun && t.sure && t.stage + 1 < t.stages;
  if (!optional || t.stage < t.optional_from) return false;
  if (!may_add_) return true;
  const auto task = static_cast<std::size_t>(&t - tasks_.data());
  const std::vector<StageTime>& times = modes_[task].all[t.mode].rest;
  if (times.empty()) return now >= t.current.due;
  const Duration stage = times[t.stage].alone - times[t.stage + 1U].alone, post = times[t.stages - 1U].alone;
  return now + longest_[t.processors[t.stage]] + stage + post > t.current.due;
}

/// Sends jobs to their last stage. Returns a bit for each processor where something has changed.
std::uint32_t Scheduler::leave_in_time(Time now) noexcept {
  std::uint32_t changed = 0;
  for (TaskState& t : tasks_) {
    if (!leaves_now(t, now)) continue;
    processors_[t.processor].ready &= ~(std::uint64_t{1} << t.bit);
    changed |= 1U << t.processor;
    t.stage = static_cast<std::uint8_t>(t.stages - 1);
    enqueue(static_cast<int>(&t - tasks_.data()));
    changed |= 1U << t.processor;
  }
  return changed;
}

/// EnergyRule's order, the smallest first, in nanoseconds: what all have in common left out, times 1/α.
std::int64_t Scheduler::energy_key(const TaskState& t, const Job& job) const noexcept {
  const bool adds = t.begun && t.sure && t.stage + 1 < t.stages;
  const double utility = t.begun && t.stage + 1 < t.stages ? static_cast<double>(t.utility) : 0;
  const double later = energy_.beta * utility - (adds ? 0 : 1);
  return job.due.time_since_epoch().count() + static_cast<std::int64_t>(horizon_ * later);
}

void Scheduler::set_energy(double joules, Time now, Decisions& out) noexcept {
  may_begin_ = joules >= energy_.mandatory_joules;
  may_add_ = energy_.eta * joules >= energy_.optional_joules;
  if (adaptation_.set_stored(joules, now)) spend_energy(now, out);
  std::uint32_t changed = policy_ == Policy::zygarde ? leave_in_time(now) : 0U;
  if (may_begin_) changed = (1U << processors_.size()) - 1;
  dispatch_all(changed, now, out);
}

void Scheduler::set_drawn(double joules, Time now, Decisions& out) noexcept {
  if (adaptation_.set_drawn(joules, now)) spend_energy(now, out);
}

}  // namespace rtmdl
