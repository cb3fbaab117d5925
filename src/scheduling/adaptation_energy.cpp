// Variants that energy leaves: lighter ones while a budget is nearly used up or little is stored.
#include "scheduling/adaptation.h"
#include "scheduling/scheduler.h"

#include <algorithm>
#include <limits>

namespace rtmdl {
namespace {

constexpr int kMostSteps = 8;                  ///< of one look
constexpr double kAnyLoss = 1e-9;              ///< of variants that lose nothing
constexpr std::int64_t kSteady = 500'000'000;  ///< after a change, until what it did can be seen

}  // namespace

void Adaptation::reset_energy(const SchedulerConfig& config) noexcept {
  const bool adapts = std::any_of(tasks_.begin(), tasks_.end(), [](const Task& t) { return t.adapts; });
  const EnergyRule& rule = config.energy;
  budget_watts_ = config.budget.watts;
  budget_.reset(adapts && budget_watts_ > 0 ? config.budget.burst : 0);
  stored_.reset(adapts ? std::max(rule.capacity_joules - rule.mandatory_joules, 0.0) : 0, rule.mandatory_joules);
  steady_until_ = kNone;
}

bool Adaptation::set_drawn(double joules, Time now) noexcept {
  return budget_.see(budget_watts_ * to_seconds(now.time_since_epoch()) - joules, now);
}

/// That the task's jobs draw in that mode, as stages take today.
double Adaptation::watts(std::size_t task, std::size_t mode) const noexcept {
  const Mode& m = tasks_[task].modes[mode];
  double load = 0, slowed = 0;
  for (std::size_t p = 0; p < processors_; ++p) {
    load += m.load[p];
    slowed += m.load[p] * factors_[p];
  }
  return load > 0 ? 1e9 * m.joules * tasks_[task].rate * slowed / load : 0;
}

/// A mode of those between the strategy's and the lightest.
bool Adaptation::may_rest(std::size_t task, std::size_t mode) const noexcept {
  const Task& t = tasks_[task];
  return t.adapts && may_take(task, mode) && t.modes[mode].loss >= t.modes[t.home].loss;
}

void Adaptation::go_back_to(std::size_t task, std::size_t mode, double more) noexcept {
  tasks_[task].rest = mode;
  budget_.expect(more);
  stored_.expect(more);
}

void Adaptation::spend(Time now, std::span<std::uint8_t> modes, std::span<const std::uint16_t> blocked) noexcept {
  const std::int64_t clock = now.time_since_epoch().count();
  if (clock < steady_until_) return;
  modes_ = modes;
  blocked_ = blocked;
  const double shortage = std::max(budget_.shortage(), stored_.shortage());
  const auto has_plenty = [](const EnergyReserve& r) { return !r.is_there() || r.is_high(); };
  const auto spare = [](const EnergyReserve& r) {
    return r.is_there() ? r.spare() : std::numeric_limits<double>::infinity();
  };
  bool changed = false;
  if (shortage > 0) changed = save(shortage);
  else if (has_plenty(budget_) && has_plenty(stored_)) changed = use(std::min(spare(budget_), spare(stored_)));
  if (!changed) return;
  steady_until_ = clock + kSteady;
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    const Task& task = tasks_[t];
    if (task.modes[modes_[t]].allowed && task.modes[task.rest].joules < task.modes[modes_[t]].joules)
      modes_[t] = static_cast<std::uint8_t>(task.rest);
  }
}

/// Until so many watts are saved: each time the change that loses least for what it saves of what is still missing.
/// Whether any are.
bool Adaptation::save(double shortage) noexcept {
  bool any = false;
  for (int step = 0; step < kMostSteps && shortage > 0; ++step) {
    std::size_t task = tasks_.size(), mode = 0;
    double most_worth = 0, saved = 0;
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      const Task& of = tasks_[t];
      const double now = of.adapts ? watts(t, of.rest) : 0;
      for (std::size_t m = 0; now > 0 && m < of.modes.size(); ++m) {
        const double less = now - watts(t, m), loss = of.modes[m].loss - of.modes[of.rest].loss;
        if (less <= 0 || loss < 0 || !may_rest(t, m)) continue;
        const double worth = std::min(less, shortage) / (loss + kAnyLoss);
        if (worth <= most_worth) continue;
        task = t, mode = m, most_worth = worth, saved = less;
      }
    }
    if (task == tasks_.size()) break;
    go_back_to(task, mode, -saved);
    shortage -= saved;
    any = true;
  }
  return any;
}

/// Back to heavier modes: what loses least, of those that can be kept up. If none can, a step that takes little more is
/// taken all the same: for a while there is enough for it. Whether any was.
bool Adaptation::use(double spare) noexcept {
  bool any = false;
  for (int step = 0; step < kMostSteps; ++step) {
    std::size_t task = tasks_.size(), mode = 0;
    double regained = 0, more = 0;
    bool fits = false;
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      const Task& of = tasks_[t];
      if (of.rest == of.home) continue;
      const double now = watts(t, of.rest);
      for (std::size_t m = 0; m < of.modes.size(); ++m) {
        const double gain = of.modes[of.rest].loss - of.modes[m].loss, takes = watts(t, m) - now;
        if (gain <= 0 || !may_rest(t, m)) continue;
        const bool can_be = takes <= spare;
        const bool better = can_be != fits ? can_be : can_be ? gain > regained : task == tasks_.size() || takes < more;
        if (!better) continue;
        task = t, mode = m, regained = gain, more = takes, fits = can_be;
      }
    }
    if (task == tasks_.size() || (any && !fits)) break;
    go_back_to(task, mode, more);
    spare -= more;
    any = true;
  }
  return any;
}

}  // namespace rtmdl
