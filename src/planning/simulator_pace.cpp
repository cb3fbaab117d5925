// Stages that advance at a speed that changes: with what runs beside them, and with cores that stand still.
#include "planning/simulator_state.h"

#include <algorithm>

namespace rtmdl {

/// Counts what the stage on a slot has done since it was last looked at.
void Simulator::State::settle(std::size_t slot, std::int64_t now) noexcept {
  SlotRun& s = slots[slot];
  TaskRun& t = tasks[static_cast<std::size_t>(s.task)];
  t.work -= static_cast<double>(now - s.settled) * s.speed;
  s.settled = now;
}

/// Whether the machine has stopped a core that the stage there needs.
bool Simulator::State::stands_still(std::size_t slot) noexcept {
  bool still = energy.off();
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
  std::int64_t first = std::min({window_end, stalls.next(), energy.next_look()});
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
  if (now == energy.next_look()) energy.look();
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

/// From now on, by the stages that advance.
void Simulator::State::count_draw(std::int64_t now) noexcept {
  double watts = energy.base_watts();
  for (std::size_t s = 0; s < slots.size(); ++s)
    if (finish[s] != kNever) watts += slots[s].width * slots[s].watts;
  energy.draw(now, watts);
}

}  // namespace rtmdl
