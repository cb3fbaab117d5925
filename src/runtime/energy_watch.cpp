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

}  // namespace

EnergyWatch::EnergyWatch(const RunConfig& config, Dispatcher& dispatcher)
    : config_(config),
      dispatcher_(dispatcher),
      knows_power_(std::all_of(config.processors.begin(), config.processors.end(),
                               [](const ProcessorSpec& p) { return p.power.has_value(); })) {
  for (const ProcessorSpec& p : config.processors) idle_watts_ += p.power ? p.power->idle : 0;
  if (config.energy.meter != MeterKind::constant) meter_ = open_meter(config.energy.meter, MonotonicClock::now());
  if (config.energy.supply) store_.emplace(*config.energy.supply, config.energy.rule.mandatory_joules);
}

void EnergyWatch::begin(Time start, const ThreadPlacement& placement) {
  start_ = start;
  if (meter_) meter_thread_ = std::thread([this] { meter_all(); });
  if (!store_) return;
  dispatcher_.set_energy(store_->joules());
  store_thread_ = std::thread([this, placement] { store_all(placement); });
}

void EnergyWatch::stop() noexcept {
  stopping_ = true;
  if (meter_thread_.joinable()) meter_thread_.join();
  if (!store_thread_.joinable()) return;
  store_thread_.join();
  dispatcher_.set_energy(std::numeric_limits<double>::max());
}

void EnergyWatch::meter_all() {
  sleep_until(start_);
  metered_ = joules_of(*meter_, MonotonicClock::now());
  while (!stopping_.load(std::memory_order_relaxed)) {
    sleep_until(MonotonicClock::now() + kMeterLook);
    static_cast<void>(meter_->read(MonotonicClock::now()));
  }
}

/// What was drawn is taken out look by look; a box that is off draws nothing while it is idle.
void EnergyWatch::store_all(const ThreadPlacement& placement) {
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

/// Beyond idle, by constant power.
double EnergyWatch::task_joules(int task) noexcept {
  double joules = 0;
  for (std::size_t p = 0; p < config_.processors.size(); ++p)
    if (const auto& power = config_.processors[p].power)
      joules +=
          to_seconds(dispatcher_.occupied(task, static_cast<int>(p))) * power->of_slot(config_.processors[p].slots);
  return joules;
}

double EnergyWatch::stage_joules() noexcept {
  double joules = 0;
  for (std::size_t t = 0; t < config_.tasks.size(); ++t) joules += task_joules(static_cast<int>(t));
  return joules;
}

/// With the system's defaults the kernel alone knows what runs where.
double EnergyWatch::by_constant_power(const RunReport& report, double seconds) noexcept {
  double joules = idle_watts_ * seconds;
  if (!config_.system_defaults) return joules + stage_joules();
  for (std::size_t p = 0; p < config_.processors.size() && p < report.processors.size(); ++p)
    if (const auto& power = config_.processors[p].power)
      joules += report.processors[p].busy * seconds * power->of_slot(1);
  return joules;
}

void EnergyWatch::report(RunReport& report) {
  const Time now = MonotonicClock::now();
  const double seconds = std::max(to_seconds(now - start_), 1e-9);
  if (!knows_power_ && !meter_) return;
  EnergyReport energy{.meter = std::string(meter_name(config_.energy.meter)), .limit = config_.energy.limit};
  const double by_model = by_constant_power(report, seconds);
  energy.joules = meter_ ? joules_of(*meter_, now) - metered_ : by_model;
  energy.watts = energy.joules / seconds;
  if (meter_ && knows_power_) energy.by_model = by_model / seconds;
  if (store_)
    energy.harvest = {config_.energy.rule.eta, store_->harvested(), store_->joules(), to_seconds(store_->waited())};
  if (knows_power_ && !config_.system_defaults)
    for (std::size_t t = 0; t < report.tasks.size(); ++t) report.tasks[t].joules = task_joules(static_cast<int>(t));
  if (over_budget(energy) > kSameBudget)
    report.notes.push_back(
        fmt::format("the box drew {} on average, {} beyond its budget: what the plan counts with did "
                    "not hold (stage times against the profile's are above)",
                    format_watts(energy.watts), format_percent(over_budget(energy))));
  report.energy = energy;
}

}  // namespace rtmdl
