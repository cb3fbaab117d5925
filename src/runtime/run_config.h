#pragma once
/// What is to be run: a policy, processors, and for each task the variant, priority and processor that were chosen.

#include "energy/energy_store.h"
#include "engine/engine.h"
#include "runtime/live_statistics.h"

#include <rtmdl/result.h>
#include "scheduling/scheduler.h"
#include "task/slowdown.h"
#include "task/task_file.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rtmdl {

class Dispatcher;
class TransitionGate;

/// Where an infer stage runs, or a segment of it.
struct RunPlace {
  int processor = 0;
  int threads = 1;
  int slots = 1;  ///< that it takes
  bool operator==(const RunPlace&) const = default;
};

/// A way to run a task: a variant on a processor, or split over several.
struct RunMode {
  std::string variant;
  LoadRequest request;                       ///< what to load; where is filled in by Deployment
  std::vector<RunPlace> places{RunPlace{}};  ///< of all segments, or one for each
  std::vector<StageTime> stage_times;        ///< for packing (SchedulerTask); may be empty
  std::vector<Duration> stage_limits;        ///< for the watchdog (SchedulerMode); may be empty
  std::vector<StageLoad> stage_loads;        ///< for adaptation (SchedulerMode); may be empty
  std::vector<double> stage_watts;           ///< that each draws beyond idle while it runs; may be empty
  double joules = 0;                         ///< of a job beyond idle, on average (SchedulerMode)
  std::optional<double> loss;                ///< likewise, of other modes than the first
  double profiled_accuracy = 0;              ///< for tasks that are not scored
  std::vector<double> pressures;             ///< of each task of the run, for packing (SchedulerMode); may be empty
  int optional_from = 0;                     ///< SchedulerMode, so the next two
  std::vector<double> reaches;
  std::vector<double> leave_losses;
  std::vector<Duration> stage_bounds;  ///< for reservations, as proofs take them; empty: there are none to be
};

[[nodiscard]] inline const RunPlace& place_of(const RunMode& mode, std::size_t segment) {
  return mode.places.size() == 1 ? mode.places.front() : mode.places[segment];
}
/// The name of its processor, or place_name() of those that its segments have.
[[nodiscard]] std::string place_name(const std::vector<ProcessorSpec>& processors, const RunMode& mode);

/// One task of a run, with the mode that it begins in.
struct RunTask : RunMode {
  const TaskSpec* spec = nullptr;
  int priority = 0;                ///< 1 the most urgent
  Duration interval{};             ///< between releases, on average; zero: as `spec` alone says
  double utilisation = 0;          ///< for utilisation-monotonic orders
  std::vector<RunMode> fallbacks;  ///< loaded too
  int failures_to_fall_back = 0;   ///< failed jobs in a row; 0: never
  bool present = true;             ///< false: it joins later (Deployment::load)
  /// Scores results on a frame of the stream: filled for metrics. May be empty. Called from one thread.
  std::function<void(std::int64_t frame, const Result& result)> score;
  double source_accuracy = 0;  ///< likewise; 0: not known
  /// Accuracy of what was scored, and of the source model on the same frames. May be empty.
  std::function<std::pair<double, double>()> accuracy;
};

/// What is known of the box's energy.
struct RunEnergy {
  MeterKind meter = MeterKind::constant;
  std::optional<double> limit;         ///< watts, on average; kept by choosing modes, where some have a `loss`
  std::optional<EnergySupply> supply;  ///< what the box lives on; then the power of every processor is known
  EnergyRule rule;                     ///< of the supply
};

struct RunConfig {
  std::string name;  ///< of the policy, as reported
  Policy policy = Policy::fixed_priority;
  JobOrder order;                ///< of Policy::custom
  bool system_defaults = false;  ///< what people do today: a session per task with the library's defaults, a thread per
                                 ///< task, no priorities
  bool realtime = true;          ///< SCHED_FIFO, if permitted
  RunEnergy energy;
  std::vector<ProcessorSpec> processors;
  int host_processor = 0;  ///< of pre and post
  std::vector<RunTask> tasks;
  std::optional<Duration> duration;  ///< absent: until Context::stop
  std::filesystem::path csv;         ///< job records; empty: none
  bool log_events = false;
  std::vector<Slowdown> slowdowns;  ///< loads that are played besides
  /// Called once, on a thread of the least urgency, when the clock starts; returns soon after `stopping`. Notes that it
  /// returns go into the report. Empty: nobody looks.
  std::function<std::vector<std::string>(Dispatcher& dispatcher, const std::atomic<bool>& stopping)> supervise;
  TransitionGate* gate = nullptr;  ///< for changes of what runs, which `supervise` asks for; null: there are none
  LiveStatistics* live = nullptr;  ///< to be looked at while it runs, one of `tasks.size()` tasks; null: nobody does
  std::vector<std::string> notes;  ///< that the report begins with
};

}  // namespace rtmdl
