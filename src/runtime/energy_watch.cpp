#include "runtime/energy_watch.h"

#include "base/thread_placement.h"
#include "base/timespec.h"
#include "base/units.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr Duration kMeterLook = std::chrono::milliseconds(50);

/// Jobs of some task may be given lighter variants.
bool adapts(const RunConfig& config) {
  return std::any_of(config.tasks.begin(), config.tasks.end(), [](const RunTask& task) {
    return std::any_of(task.fallbacks.begin(), task.fallbacks.end(),
                       [](const RunMode& mode) { return mode.loss.has_value(); });
  });
}

/// What stages draw was metered, or is known from their processors' power.
bool knows_stages(const RunConfig& config) {
  return std::any_of(config.tasks.begin(), config.tasks.end(), [](const RunTask& task) {
    return std::any_of(task.stage_watts.begin(), task.stage_watts.end(), [](double watts) { return watts > 0; });
  });
}

}  // namespace

EnergyWatch::EnergyWatch(const RunConfig& config, Dispatcher& dispatcher)
    : config_(config),
      dispatcher_(dispatcher),
      knows_power_(std::all_of(config.processors.begin(), config.processors.end(),
                               [](const ProcessorSpec& p) { return p.power.has_value(); })),
      knows_stages_(knows_power_ || knows_stages(config)),
      keeps_budget_(config.energy.limit && adapts(config)) {
  for (const ProcessorSpec& p : config.processors) idle_watts_ += p.power ? p.power->idle : 0;
  if (config.energy.meter != MeterKind::constant) meter_ = open_meter(config.energy.meter, MonotonicClock::now());
  if (config.energy.supply) store_.emplace(*config.energy.supply, config.energy.rule.mandatory_joules);
}

void EnergyWatch::begin(Time start, const ThreadPlacement& placement) {
  start_ = start;
  if (meter_ || keeps_budget_) draw_thread_ = std::thread([this, placement] { watch_draw(placement); });
  if (!store_) return;
  dispatcher_.set_energy(store_->joules());
  store_thread_ = std::thread([this, placement] { watch_store(placement); });
}

void EnergyWatch::stop() noexcept {
  stopping_ = true;
  if (draw_thread_.joinable()) draw_thread_.join();
  if (!store_thread_.joinable()) return;
  store_thread_.join();
  dispatcher_.set_energy(std::numeric_limits<double>::max());
}

void EnergyWatch::watch_draw(const ThreadPlacement& placement) {
  if (!meter_) place_current_thread(placement);
  sleep_until(start_);
  if (meter_) meter_began_ = joules_of(*meter_, MonotonicClock::now());
  while (true) {
    const Time now = MonotonicClock::now();
    if (meter_) metered_ = joules_of(*meter_, now) - meter_began_;
    if (keeps_budget_)
      dispatcher_.set_drawn(meter_ ? metered_.load() : idle_watts_ * to_seconds(now - start_) + stage_joules());
    if (stopping_.load(std::memory_order_relaxed)) return;
    sleep_until(now + (meter_ ? kMeterLook : kEnergyLook));
  }
}

/// What was drawn is taken out look by look; a box that is off draws nothing while it is idle.
void EnergyWatch::watch_store(const ThreadPlacement& placement) {
  place_current_thread(placement);
  double taken = 0;
  for (Time next = start_ + kStoreLook; !stopping_.load(std::memory_order_relaxed); next += kStoreLook) {
    sleep_until(next);
    const double used = stage_joules();
    store_->advance(MonotonicClock::now() - start_, store_->off() ? 0 : idle_watts_);
    store_->take(used - taken);
    taken = used;
    store_->look();
    dispatcher_.set_energy(store_->joules());
  }
}

/// Beyond idle.
double EnergyWatch::stage_joules() noexcept {
  double joules = 0;
  for (std::size_t t = 0; t < config_.tasks.size(); ++t) joules += dispatcher_.joules(static_cast<int>(t));
  return joules;
}

/// Likewise with the system's defaults, where the kernel alone knows what runs where.
double EnergyWatch::busy_joules(const RunReport& report, double seconds) noexcept {
  double joules = 0;
  for (std::size_t p = 0; p < config_.processors.size() && p < report.processors.size(); ++p)
    if (const auto& power = config_.processors[p].power)
      joules += report.processors[p].busy * seconds * power->of_slot(1);
  return joules;
}

std::optional<double> EnergyWatch::joules(int task) noexcept {
  return knows_stages_ ? std::optional(dispatcher_.joules(task)) : std::nullopt;
}

std::optional<EnergyReport> EnergyWatch::so_far() {
  if (!knows_power_ && !meter_) return {};
  const double seconds = std::max(to_seconds(MonotonicClock::now() - start_), 1e-9);
  const double by_model = idle_watts_ * seconds + stage_joules();
  EnergyReport energy{.meter = std::string(meter_name(config_.energy.meter)), .limit = config_.energy.limit};
  energy.joules = meter_ ? metered_.load() : by_model;
  energy.watts = energy.joules / seconds;
  if (meter_ && knows_power_) energy.by_model = by_model / seconds;
  return energy;
}

void EnergyWatch::report(RunReport& report) {
  const Time now = MonotonicClock::now();
  if (meter_) metered_ = joules_of(*meter_, now) - meter_began_;
  std::optional<EnergyReport> energy = so_far();
  if (!energy) return;
  const double seconds = std::max(to_seconds(now - start_), 1e-9);
  if (config_.system_defaults && knows_power_) {
    const double by_model = idle_watts_ * seconds + busy_joules(report, seconds);
    if (meter_) energy->by_model = by_model / seconds;
    else energy->joules = by_model, energy->watts = by_model / seconds;
  }
  if (store_)
    energy->harvest = {config_.energy.rule.eta, store_->harvested(), store_->joules(), to_seconds(store_->waited())};
  if (!config_.system_defaults)
    for (std::size_t t = 0; t < report.tasks.size(); ++t) report.tasks[t].joules = joules(static_cast<int>(t));
  if (over_budget(*energy) > kSameBudget)
    report.notes.push_back(
        fmt::format("the box drew {} on average, {} beyond its budget: what the plan counts with did "
                    "not hold (stage times against the profile's are above){}",
                    format_watts(energy->watts), format_percent(over_budget(*energy)),
                    keeps_budget_ ? "" : "; with `adapt: true` lighter variants would have kept it"));
  report.energy = std::move(energy);
}

}  // namespace rtmdl
