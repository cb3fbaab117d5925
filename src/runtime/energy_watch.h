#pragma once
/// The energy of a run: what its meter says, what constant power gives, and what is stored of what the box lives on.

#include "energy/energy_meter.h"
#include "runtime/dispatcher.h"
#include "runtime/run_config.h"
#include "scheduling/run_report.h"

#include <atomic>
#include <memory>
#include <thread>

namespace rtmdl {

class EnergyWatch {
 public:
  /// Opens the meter: throws Error(missing_device). Keeps references.
  EnergyWatch(const RunConfig& config, Dispatcher& dispatcher);
  ~EnergyWatch() { stop(); }
  EnergyWatch(const EnergyWatch&) = delete;
  EnergyWatch& operator=(const EnergyWatch&) = delete;

  /// When the clock starts. `placement`: of the thread that tells the core what is stored, every kStoreLook; what
  /// stages have taken is computed from constant power, whatever the meter.
  void begin(Time start, const ThreadPlacement& placement);
  /// From now on stages begin whatever is stored, so that jobs in progress end.
  void stop() noexcept;
  /// Into the report, whose processors are known, of all until now.
  void report(RunReport& report);

  static constexpr Duration kStoreLook = std::chrono::milliseconds(10);

 private:
  void meter_all();
  void store_all(const ThreadPlacement& placement);
  [[nodiscard]] double task_joules(int task) noexcept;
  [[nodiscard]] double stage_joules() noexcept;
  [[nodiscard]] double by_constant_power(const RunReport& report, double seconds) noexcept;

  const RunConfig& config_;
  Dispatcher& dispatcher_;
  bool knows_power_;
  double idle_watts_ = 0;
  std::unique_ptr<EnergyMeter> meter_;  ///< null: constant power
  std::optional<EnergyStore> store_;
  double metered_ = 0;  ///< joules that the meter had counted when the clock started
  Time start_{};
  std::atomic<bool> stopping_{false};
  std::thread meter_thread_, store_thread_;
};

}  // namespace rtmdl
