#pragma once
/// Drives the scheduler core with the real clock: one worker thread per task and processor, woken by the core's
/// decisions.
///
/// On a preemptive processor a worker runs under SCHED_FIFO and the kernel carries out what the core decides: a started
/// job of higher priority displaces the one below it. Fixed priorities are given to the threads once; under EDF and
/// FIFO a thread's priority follows its preemption level when it is started. Without the privilege all processors are
/// non-preemptive (cooperative at stage boundaries). Where a processor has a core for each slot a worker runs on the
/// cores of the slots that its stage takes: left to itself the kernel may wake it on a core whose real-time threads are
/// throttled, while another is free.

#include "base/semaphore.h"
#include "base/thread_placement.h"
#include "runtime/job_body.h"
#include "runtime/job_record.h"
#include "runtime/ring.h"

#include <rtmdl/scheduler.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>

namespace rtmdl {

inline constexpr int kFifoBase = 10;     ///< SCHED_FIFO priority of the least urgent worker
inline constexpr int kFifoRelease = 90;  ///< of the release thread
inline constexpr int kFifoProbe = 98;    ///< of the stall probes

struct DispatcherProcessor {
  std::vector<int> cores;  ///< where its workers run; empty: anywhere
};

/// An event as the core saw it: enough to replay the run.
struct SchedulerEvent {
  enum class Kind : std::uint8_t { release, complete, failed, expire };
  Kind kind = Kind::release;
  std::uint8_t task = 0;
  Time release{}, now{};  ///< release: of the job that was released, whose stage ended
  std::uint64_t job = 0;  ///< whose deadline came
};

struct DispatcherConfig {
  SchedulerConfig scheduler;
  std::vector<DispatcherProcessor> processors;  ///< as in `scheduler`
  bool realtime = false;                        ///< SCHED_FIFO
  std::size_t record_capacity = 8192;           ///< finished jobs that may wait for the collector
  std::vector<std::size_t> result_capacity;  ///< results of each task that may wait for the collector; empty: 16 each
  std::size_t event_capacity = 0;            ///< events logged for replay; logging stops when full
  Semaphore* published = nullptr;            ///< posted for every record, if the collector waits for them
};

/// released = completed + dropped + failed, once nothing is pending.
struct JobCounts {
  std::int64_t released = 0, completed = 0, late = 0, dropped = 0, failed = 0;
  std::int64_t abandoned = 0;  ///< of the dropped: in progress at their deadline
};

class Dispatcher {
 public:
  /// `bodies[i]` for task i, null for one that is not there yet; they outlive the dispatcher. Throws Error as
  /// Scheduler's constructor does, and whatever a body's warm-up throws.
  Dispatcher(const DispatcherConfig& config, std::vector<JobBody*> bodies);
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  /// The body of a task that has none: starts its threads, which warm it up. Others run on. Throws what that throws.
  void attach(int task, JobBody& body);
  /// Ends the threads of a task and forgets its body: what waits is dropped, the job in progress is waited for, and
  /// asked to give up after `patience`. Others run on. No release() of the task from now on.
  void detach(int task, Duration patience);

  /// From the release thread. No allocation; takes the core's lock for the length of one event.
  void release(int task, Time release) noexcept;
  /// From the release thread: the deadline of a job has come (Scheduler::expire).
  void expire(int task, std::uint64_t job) noexcept;

  /// Jobs not over yet, of all tasks, or of one.
  [[nodiscard]] int pending() noexcept;
  [[nodiscard]] int pending(int task) noexcept;
  /// At the end of a run: frames that still wait are dropped.
  void drop_waiting() noexcept;
  void drop_waiting(int task) noexcept;
  /// Asks the jobs in progress to give up soon; they fail.
  void cancel() noexcept;
  /// Exact, whatever the collector got to see.
  [[nodiscard]] JobCounts counts(int task) noexcept;

  // --- for the collector, one thread ---
  [[nodiscard]] Ring<JobRecord>& records() noexcept { return records_; }
  [[nodiscard]] Ring<Result>& results(int task) noexcept { return *results_[static_cast<std::size_t>(task)]; }
  [[nodiscard]] std::uint64_t lost_records() const noexcept { return lost_.load(std::memory_order_relaxed); }
  /// Processor time that workers of a processor have used so far.
  [[nodiscard]] Duration worked(int processor) noexcept;
  [[nodiscard]] const std::vector<SchedulerEvent>& events() const noexcept { return events_; }  ///< after the run

 private:
  struct Worker;

  void start_workers(std::size_t task);
  void end_workers(std::size_t task) noexcept;
  void work(Worker& worker, JobBody& body);
  template <typename Event>
  void take(const Event& event) noexcept;
  /// Carries out decisions, under the lock; workers to wake are left in wake_.
  void apply(const Decisions& decisions, Time now) noexcept;
  void over(const Decision& decision, Time now) noexcept;
  void log(const SchedulerEvent& event) noexcept;
  void set_level(Worker& worker, int level) noexcept;
  void set_slots(Worker& worker, std::uint16_t slots) noexcept;

  DispatcherConfig config_;
  std::vector<JobBody*> bodies_;
  Scheduler scheduler_;
  pthread_mutex_t lock_{};
  Decisions decisions_;
  std::vector<JobRecord> current_;               ///< per task: the job in progress, or the last one
  std::vector<JobCounts> counts_;                ///< per task
  std::vector<std::vector<Worker*>> worker_of_;  ///< [task][processor]
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> wake_;  ///< scratch, under the lock; copied out before unlocking
  Ring<JobRecord> records_;
  std::vector<std::unique_ptr<Ring<Result>>> results_;
  std::vector<SchedulerEvent> events_;
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace rtmdl
