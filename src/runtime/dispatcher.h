#pragma once
/// Drives the scheduler core with the real clock: one worker thread per task, mode and processor, woken by the core's
/// decisions.
///
/// A watchdog thread looks at stages that have limits. One that is given up keeps its thread: it loses its real-time
/// priority, what it still gives is ignored, and when it returns its mode may be used again.
///
/// On a preemptive processor a worker runs under SCHED_FIFO and the kernel carries out what the core decides: a started
/// job of higher priority displaces the one below it. Fixed priorities are given to the threads once; under EDF and
/// FIFO a thread's priority follows its preemption level when it is started. Without the privilege all processors are
/// non-preemptive (cooperative at stage boundaries). A job that completes in time releases those of the tasks after its
/// own in the same moment, after the decisions of its end. Where a processor has a core for each slot a worker runs on
/// the cores of the slots that its stage takes: left to itself the kernel may wake it on a core whose real-time threads
/// are throttled, while another is free.
///
/// Under EDF a processor's workers may have reservations instead (reserve()): then the kernel orders them, by the same
/// absolute deadlines as the core, because a worker is told what is left of its job's deadline whenever it is started.

#include "base/priority_mutex.h"
#include "base/reservation.h"
#include "base/semaphore.h"
#include "base/thread_placement.h"
#include "runtime/job_body.h"
#include "runtime/job_record.h"
#include "runtime/ring.h"

#include "scheduling/scheduler.h"
#include "task/arrival_spec.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace rtmdl {

inline constexpr int kFifoBase = 10;     ///< SCHED_FIFO priority of the least urgent worker
inline constexpr int kFifoRelease = 90;  ///< of the release thread
inline constexpr int kFifoWatchdog = 91;
inline constexpr int kFifoProbe = 98;  ///< of the stall probes

struct DispatcherProcessor {
  std::vector<int> cores;  ///< where its workers run; empty: anywhere
};

/// An event as the core saw it: enough to replay the run.
struct SchedulerEvent {
  enum class Kind : std::uint8_t {
    release,
    complete,
    failed,
    expire,
    overrun,
    restore,
    set_mode,
    propose,
    adopt,
    set_energy,
    set_drawn
  };
  Kind kind = Kind::release;
  std::uint8_t task = 0;
  std::uint8_t mode = 0;     ///< of restore, set_mode
  Time release{}, now{};     ///< release: of the job that was released, whose stage ended
  std::uint64_t job = 0;     ///< whose deadline came
  Answer answer{};           ///< of complete
  Terms terms{};             ///< of propose
  bool between_jobs = true;  ///< of adopt
  double joules = 0;         ///< of set_energy, set_drawn
  std::uint8_t coming = 0;   ///< of release
};
/// Sends an event to a core again.
void replay(const SchedulerEvent& event, Scheduler& scheduler, Decisions& out) noexcept;

/// A task went over to another mode.
struct ModeChange {
  enum class Cause : std::uint8_t {
    failures,  ///< jobs failed in a row
    stuck,     ///< a stage was given up
    returned,  ///< a stuck thread did, and no other mode was left
    asked,     ///< set_mode()
    load       ///< so that jobs are in time; not listed
  };
  Time when{};
  Cause cause = Cause::failures;
  std::uint8_t task = 0, from = 0, to = 0;
  std::uint8_t stage = 0;  ///< the last one of the job before it
  std::uint64_t job = 0;   ///< that was in progress last
};

struct DispatcherConfig {
  SchedulerConfig scheduler;
  std::vector<DispatcherProcessor> processors;  ///< as in `scheduler`
  bool realtime = false;                        ///< SCHED_FIFO
  std::size_t record_capacity = 8192;           ///< finished jobs that may wait for the collector
  std::vector<std::size_t> result_capacity;  ///< results of each task that may wait for the collector; empty: 16 each
  std::size_t event_capacity = 0;            ///< events logged for replay; logging stops when full
  std::vector<AfterSpec> after;              ///< of each task; empty: all are released from outside
  Semaphore* published = nullptr;            ///< posted for every record, if the collector waits for them
  /// What stages take at most, [task][mode][stage]: for reserve(), where there is to be one.
  std::vector<std::vector<std::vector<Duration>>> stage_bounds;
  /// What each draws beyond idle while it runs, in watts, likewise; empty: nothing.
  std::vector<std::vector<std::vector<double>>> stage_watts;
  std::vector<Duration> least_intervals;  ///< between releases of each task, likewise; empty: their periods
  std::vector<int> watchdog_cores;        ///< empty: any
};

/// What came of Dispatcher::reserve().
struct Reserving {
  int error = 0;     ///< what the kernel said to the first that it refused (base/reservation.h); 0: all are made
  double cores = 0;  ///< that were asked for, all together
};

/// released = completed + dropped + failed, once nothing is pending.
struct JobCounts {
  std::int64_t released = 0, completed = 0, late = 0, dropped = 0, failed = 0;
  std::int64_t abandoned = 0;  ///< of the dropped: in progress at their deadline
  std::int64_t overran = 0;    ///< stages that ran for their limit; their jobs failed, unless the last stage was done
  std::int64_t stuck = 0;      ///< of them: given up
  std::int64_t switches = 0;   ///< changes of mode
  std::int64_t throttled = 0;  ///< times that a job used its worker's reservation up
};

inline constexpr Duration kStuckPatience = std::chrono::seconds(2);
inline constexpr std::size_t kMostChanges = 64;

class Dispatcher {
 public:
  /// `bodies`: of each task in turn, one for each of its modes, null for a task that is not there yet; they outlive the
  /// dispatcher. Throws Error as Scheduler's constructor does, and whatever a body's warm-up throws.
  Dispatcher(const DispatcherConfig& config, const std::vector<JobBody*>& bodies);
  ~Dispatcher();  ///< as stop()
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  /// The bodies of a task that has none, one for each of its modes: starts its threads, which warm them up. Others run
  /// on. Throws what that throws.
  void attach(int task, const std::vector<JobBody*>& bodies);
  /// Ends the threads of a task and forgets its body: what waits is dropped, the job in progress is waited for, and
  /// asked to give up after `patience`. Others run on. No release() of the task from now on. Returns as stop() does.
  std::vector<JobBody*> detach(int task, Duration patience);

  /// Before the first release, under Policy::edf: the workers of a realtime processor run under SCHED_DEADLINE from now
  /// on, each with what its stages may take in a period reserved. All of them, or none: then all stay under SCHED_FIFO.
  /// `join` makes the processor's cores a worker's own (ExclusiveCores), false with errno set. A mode that a task goes
  /// over to later takes the reservation over if the kernel admits its own; else it runs under SCHED_FIFO.
  Reserving reserve(int processor, const std::function<bool(pid_t)>& join);

  /// From the release thread. No allocation; takes the core's lock for the length of one event.
  void release(int task, Time release) noexcept;
  /// From the release thread: the deadline of a job has come (Scheduler::expire).
  void expire(int task, std::uint64_t job) noexcept;

  /// The task's next job begins in that mode (Scheduler::set_mode). From any thread.
  void set_mode(int task, int mode) noexcept;
  /// Goes over to another strategy, of each task, if that can be (Scheduler::adopt). Threads of the back-end keep the
  /// priority that they were made with. From any thread.
  bool adopt(std::span<const Terms> terms, bool between_jobs = true) noexcept;
  /// What holds for a task (Scheduler::terms).
  [[nodiscard]] Terms terms(int task) noexcept;
  /// So much is stored now (Scheduler::set_energy). From any thread.
  void set_energy(double joules) noexcept;
  /// So much was drawn (Scheduler::set_drawn). From any thread.
  void set_drawn(double joules) noexcept;
  /// By how much stages take longer than expected there as of late (Scheduler::slowdown).
  [[nodiscard]] double slowdown(int processor) noexcept;
  /// Ends all threads; nothing may be released any more. Blocks until stages in progress have ended, but for those that
  /// were given up no longer than kStuckPatience: bodies that a thread is still in then are returned, and must never be
  /// destroyed.
  std::vector<JobBody*> stop();

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
  /// By how much stages have taken longer than expected there, over all that ended (Scheduler::mean_slowdown).
  [[nodiscard]] double mean_slowdown(int processor) noexcept;
  /// Processor time that workers of a processor have used so far.
  [[nodiscard]] Duration worked(int processor) noexcept;
  /// That stages of a task have drawn beyond idle until now, by DispatcherConfig::stage_watts.
  [[nodiscard]] double joules(int task) noexcept;
  [[nodiscard]] const std::vector<SchedulerEvent>& events() const noexcept { return events_; }  ///< after the run
  /// After the run; the first kMostChanges of them.
  [[nodiscard]] const std::vector<ModeChange>& mode_changes() const noexcept { return changes_; }

 private:
  struct Worker;

  void start_workers(std::size_t task);
  std::vector<JobBody*> end_workers(std::size_t task);
  void work(Worker& worker, JobBody& body);
  void watch();
  template <typename Event>
  void take(const Event& event) noexcept;
  /// Carries out decisions, under the lock; workers to wake are left in wake_.
  void apply(const Decisions& decisions, Time now) noexcept;
  void carry_out(const Decisions& decisions, Time now) noexcept;
  void follow(const Decision& finished) noexcept;
  void over(const Decision& decision, Time now) noexcept;
  void give_up(const Decision& decision, Time now) noexcept;
  void come_back(Worker& worker, Time now) noexcept;
  void restore(int task, int mode, Time now) noexcept;
  void log(const SchedulerEvent& event) noexcept;
  /// After unlocking: who is woken may be more urgent than whoever held the lock.
  void tell_collector(bool published) noexcept {
    if (published && config_.published) config_.published->post();
  }
  void set_level(Worker& worker, int level) noexcept;
  [[nodiscard]] Duration bound_of(const Worker& worker) const;
  int make_reserved(Worker& worker, const Reservation& reservation) noexcept;
  void set_due(Worker& worker, Time due, Time now) noexcept;
  void give_back(Worker& worker) noexcept;
  void charge(Worker& worker) noexcept;
  void set_slots(Worker& worker, std::uint16_t slots) noexcept;
  void begin_drawing(const Decision& begins, Time now) noexcept;
  void end_drawing(std::size_t task, Time now) noexcept;

  DispatcherConfig config_;
  std::vector<std::vector<JobBody*>> bodies_;  ///< [task][mode]
  Scheduler scheduler_;
  PriorityMutex lock_;
  Decisions decisions_;
  std::vector<JobRecord> current_;  ///< per task: the job in progress, or the last one
  std::vector<JobCounts> counts_;   ///< per task
  std::vector<int> modes_;          ///< per task
  /// What the stage in progress of a task draws; nothing: none is, or it stands still.
  struct Draw {
    Time since{};
    double watts = 0, joules = 0;  ///< joules: until then
  };
  std::vector<Draw> draws_;                                   ///< per task
  std::vector<std::vector<std::vector<Worker*>>> worker_of_;  ///< [task][mode][processor]
  std::vector<std::unique_ptr<Worker>> workers_;
  struct Due {
    int task = 0;
    std::uint64_t job = 0;
    Time release{};
    std::uint8_t coming = 0;  ///< of the same task
  };
  std::vector<std::vector<int>> followers_;  ///< of each task: those that run after it
  std::vector<Due> due_;                     ///< scratch, under the lock: jobs that the event in hand releases
  std::vector<bool> reserved_;               ///< processors whose workers have reservations; under the lock
  std::vector<Worker*> wake_;                ///< scratch, under the lock; copied out before unlocking
  bool published_ = false;                   ///< likewise: a record waits for the collector to be told
  Ring<JobRecord> records_;
  std::vector<std::unique_ptr<Ring<Result>>> results_;
  std::vector<SchedulerEvent> events_;
  std::vector<ModeChange> changes_;
  ModeChange::Cause cause_ = ModeChange::Cause::failures;  ///< of the event that is carried out
  Duration watch_period_{};                                ///< zero: no stage has a limit
  std::thread watchdog_;
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace rtmdl
