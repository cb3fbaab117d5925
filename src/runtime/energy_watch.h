#pragma once
/// The energy of a run: what its meter says, what constant power gives, and what is stored of what the box lives on.
/// The scheduler core is told what it needs of that.

#include "energy/energy_meter.h"
#include "runtime/dispatcher.h"
#include "runtime/run_config.h"
#include "scheduling/run_report.h"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

namespace rtmdl {

class EnergyWatch {
 public:
  /// Opens the meter: throws Error(missing_device). Keeps references.
  EnergyWatch(const RunConfig& config, Dispatcher& dispatcher);
  ~EnergyWatch() { stop(); }
  EnergyWatch(const EnergyWatch&) = delete;
  EnergyWatch& operator=(const EnergyWatch&) = delete;

  /// When the clock starts. `placement`: of the thread that tells the core what is stored, every kStoreLook (what
  /// stages have taken is computed from constant power, whatever the meter), and of the one that tells it what was
  /// drawn, where there is a budget to be kept; a meter, whose files take their time, is read from a thread of normal
  /// priority.
  void begin(Time start, const ThreadPlacement& placement);
  /// From now on stages begin whatever is stored, so that jobs in progress end.
  void stop() noexcept;
  /// Since the clock started, as of the last look; absent: neither power nor a meter is there. From any thread.
  [[nodiscard]] std::optional<EnergyReport> so_far();
  /// That jobs of a task took beyond idle, likewise; absent: neither power nor what stages draw
  /// is known.
  [[nodiscard]] std::optional<double> joules(int task) noexcept;
  /// Into the report, whose processors are known, of all until now.
  void report(RunReport& report);

  static constexpr Duration kStoreLook = std::chrono::milliseconds(10);

 private:
  void watch_draw(const ThreadPlacement& placement);
  void watch_store(const ThreadPlacement& placement);
  [[nodiscard]] double stage_joules() noexcept;
  [[nodiscard]] double busy_joules(const RunReport& report, double seconds) noexcept;

  const RunConfig& config_;
  Dispatcher& dispatcher_;
  bool knows_power_;   ///< of every processor
  bool knows_stages_;  ///< what they draw beyond idle: from that, or metered
  bool keeps_budget_;  ///< the core is to keep to it
  double idle_watts_ = 0;
  std::unique_ptr<EnergyMeter> meter_;  ///< null: constant power
  std::optional<EnergyStore> store_;
  double meter_began_ = 0;          ///< joules that the meter had counted when the clock started
  std::atomic<double> metered_{0};  ///< since then
  Time start_{};
  std::atomic<bool> stopping_{false};
  std::thread draw_thread_, store_thread_;
};

}  // namespace rtmdl
