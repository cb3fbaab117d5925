#pragma once
/// A strategy as it stands on the box: every pipeline loaded and warmed up, memory locked, threads that wait for work.

#include "base/context.h"
#include "base/exclusive_cores.h"
#include "base/semaphore.h"
#include "engine/engine.h"
#include "runtime/dispatcher.h"
#include "runtime/frame_feed.h"
#include "runtime/pipeline_body.h"
#include "runtime/played_load.h"
#include "runtime/run_config.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Results of a task that may wait, at least.
inline constexpr std::size_t kLeastResults = 32;

/// Locks memory for its life, pages as they are touched.
class MemoryLock {
 public:
  explicit MemoryLock(bool wanted) noexcept;
  ~MemoryLock();
  MemoryLock(const MemoryLock&) = delete;
  MemoryLock& operator=(const MemoryLock&) = delete;
  [[nodiscard]] bool held() const noexcept { return held_; }

 private:
  bool held_;
};

/// Keeps the calling thread, and those that it starts, off cores for its life.
class KeepOff {
 public:
  explicit KeepOff(const std::vector<int>& cores);
  ~KeepOff();
  KeepOff(const KeepOff&) = delete;
  KeepOff& operator=(const KeepOff&) = delete;
  [[nodiscard]] const std::vector<int>& others() const noexcept { return others_; }

 private:
  std::vector<int> before_, others_;
};

class Deployment {
 public:
  using OpenFeed = std::function<std::unique_ptr<FrameFeed>(std::size_t task)>;

  /// `engine`, `config` and `published` (DispatcherConfig) outlive it. Tasks without `present` are not loaded yet.
  /// Reports progress. Throws Error (models, data, devices).
  Deployment(Engine& engine, const RunConfig& config, const OpenFeed& open_feed, const Context& context,
             Semaphore* published = nullptr);
  ~Deployment();
  Deployment(const Deployment&) = delete;
  Deployment& operator=(const Deployment&) = delete;

  /// Loads and warms up a task that is not loaded, while others run. Throws Error.
  void load(std::size_t task);
  /// Ends its jobs (Dispatcher::detach) and gives back its threads and memory, while others run.
  void unload(std::size_t task, Duration patience);
  [[nodiscard]] bool loaded(std::size_t task) const noexcept { return bodies_[task].front() != nullptr; }
  /// Why the last stage that a loaded task ran in that mode failed.
  [[nodiscard]] const char* last_error(std::size_t task, std::size_t mode) const noexcept {
    return bodies_[task][mode]->last_error();
  }

  [[nodiscard]] Dispatcher& dispatcher() noexcept { return *dispatcher_; }
  [[nodiscard]] FrameFeed& feed(std::size_t task) noexcept { return *feeds_[task]; }
  [[nodiscard]] const SchedulerConfig& scheduler() const noexcept { return dispatching_.scheduler; }
  /// As in job records. With system defaults: a processor for each task, named like it.
  [[nodiscard]] const std::vector<std::string>& processor_names() const noexcept { return processor_names_; }
  /// SCHED_FIFO was asked for and is permitted.
  [[nodiscard]] bool realtime() const noexcept { return realtime_; }
  /// "kernel", "cooperative" or "none" (RunReport::preemption).
  [[nodiscard]] std::string preemption() const;
  /// The workers of a processor have reservations (SCHED_DEADLINE): what else runs there waits for them.
  [[nodiscard]] bool reserved(std::size_t processor) const noexcept { return reserved_[processor]; }
  /// What the kernel orders its threads by (ProcessorReport::kernel).
  [[nodiscard]] std::string kernel(std::size_t processor) const;
  /// Of the thread that releases jobs: on the core of the first stages waking them is a switch and not an interrupt to
  /// another core.
  [[nodiscard]] ThreadPlacement releaser() const;
  /// RunConfig::slowdowns count from then.
  void begin(Time start) noexcept { load_.begin(start); }
  /// What its user should know, said already: missing privileges, the kernel's throttling.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  using Bodies = std::vector<std::unique_ptr<PipelineBody>>;  ///< by mode

  [[nodiscard]] Bodies open(std::size_t task);
  void say(const Context& context, std::string note);
  void take_cores(const Context& context);
  void reserve(const Context& context);
  void prepare_results(std::size_t task);
  void forget(const std::vector<JobBody*>& stuck) noexcept;

  Engine& engine_;
  const RunConfig& config_;
  bool realtime_;
  std::vector<std::string> notes_;
  DispatcherConfig dispatching_;
  PlayedLoad load_;
  std::vector<std::string> processor_names_;
  std::vector<std::unique_ptr<FrameFeed>> feeds_;
  std::vector<Bodies> bodies_;
  std::vector<bool> prepared_;        ///< of each task: places for its results have their memory
  std::vector<std::size_t> haunted_;  ///< tasks whose feeds a stuck thread may still read
  std::unique_ptr<MemoryLock> memory_;
  std::vector<std::size_t> by_deadline_;  ///< processors to be reserved
  std::vector<bool> reserved_;            ///< of each processor
  std::optional<ExclusiveCores> exclusive_;
  std::optional<KeepOff> off_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

/// Waits until no job is pending; after `patience` those that wait are dropped and those in progress cancelled. Returns
/// whether that was necessary.
bool finish_jobs(Dispatcher& dispatcher, Duration patience);

}  // namespace rtmdl
