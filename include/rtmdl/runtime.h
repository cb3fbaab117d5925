#pragma once
/// A planned task file, running inside your own program: inputs in, results out, in time.
///
///   rtmdl::RuntimeOptions options;
///   options.on_result = [](const rtmdl::JobResult& job) { ... };
///   rtmdl::Runtime box("tasks.yaml", options);            // after `rtmdl plan tasks.yaml`
///   box.submit(box.find("faces"), rtmdl::Input::picture(pixels, 640, 480));
///
/// Opening loads and warms up every model; from then on nothing is allocated per job. Classes here are handles: what
/// they hold is not part of the ABI.

#include <rtmdl/input.h>
#include <rtmdl/result.h>
#include <rtmdl/time.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

enum class JobEnd : std::uint8_t {
  completed,  ///< has a result; JobResult::late says whether in time
  dropped,    ///< a newer input took its place, or it could not be in time any more (`late: skip | abort`)
  failed,     ///< pre-processing, the model or post-processing refused it, or it was cancelled
};

/// One job that is over. `result` and `variant` are valid during the callback.
struct JobResult {
  int task = 0;
  std::uint64_t job = 0;  ///< counts the task's accepted inputs from 0
  std::int64_t tag = 0;   ///< Input::tag
  JobEnd end = JobEnd::completed;
  bool late = false;  ///< completed after its deadline
  std::string_view variant;
  Time release{};  ///< the input's time stamp: deadlines count from it
  Time finish{};
  const Result* result = nullptr;  ///< null unless completed
};

/// As JobResult, to keep.
struct JobOutput {
  std::uint64_t job = 0;
  std::string variant;
  JobEnd end = JobEnd::completed;
  bool late = false;
  Time release{}, finish{};
  Result result;  ///< empty unless completed
};

enum class Submitted : std::uint8_t {
  accepted,      ///< exactly one result will come
  busy,          ///< Runtime::kMaxPending inputs of the task are not over yet
  stopped,       ///< the runtime was stopped, or the task removed
  unusable,      ///< neither a picture nor a tensor, or of a size that cannot be
  unknown_task,  ///< no such index
};
[[nodiscard]] std::string_view reason_of(Submitted submitted) noexcept;  ///< for people

/// A job that is released, for an order of one's own.
struct JobRelease {
  int task = 0;
  Time release{}, deadline{};
  Duration period{};
};

struct RuntimeOptions {
  std::filesystem::path workspace;  ///< empty: beside the task file, as the command has it
  bool realtime = true;             ///< SCHED_FIFO threads and locked memory, if permitted
  /// Called for every job that is over, one at a time, from a thread of the runtime's that is more urgent than all
  /// tasks: hand over what takes longer than some 100 µs. What it throws is caught, counted and dropped.
  std::function<void(const JobResult&)> on_result;
  bool urgent_results = true;  ///< false: that thread has normal priority and waits while tasks fill all cores
  /// What its user should know: missing privileges, say. Empty: stderr.
  std::function<void(const std::string&)> on_message;
  /// An order of one's own instead of the plan's priorities: of jobs that wait for a processor the one with the
  /// smallest key goes first, and on processors that preempt it interrupts those with larger ones. Asked for each stage
  /// of a job, from real-time threads that hold the scheduler's lock: it must not block, throw or call the runtime.
  std::function<std::int64_t(const JobRelease&)> order;
  std::vector<std::string> without;  ///< tasks that are not there until add()
};

struct RunningTask {
  std::string name, variant;
  std::string processor;          ///< of inference; "cpu+gpu@57" if the model runs on gpu from node 57 on
  int priority = 0;               ///< 1 the most urgent
  Duration period{}, deadline{};  ///< period: the shortest interval between releases
  double joules = 0;              ///< that a job takes beyond what the box draws idle, as planned; 0: not known
};

/// What is said to a request for another rate.
struct RateAnswer {
  bool admitted = false;
  std::string reason;  ///< of a refusal
};

/// Of a task since the runtime was opened. released = completed + dropped + failed + pending.
struct TaskStatistics {
  std::string name, variant;
  std::int64_t released = 0, completed = 0, late = 0, dropped = 0, failed = 0, pending = 0;
  std::int64_t overran = 0;      ///< stages that the watchdog stopped; most of their jobs are among the failed
  std::int64_t switches = 0;     ///< changes of variant: `fallback`, `adapt`
  std::int64_t refused = 0;      ///< inputs that were `busy`: never released
  Duration p50{}, p99{}, max{};  ///< of completed jobs' response times, from time stamp to completion; within 2 %
  /// Drawn by its jobs beyond what the box draws idle, computed from the time that their stages took and the power that
  /// the plan has for them; and on average since all was loaded. 0: power is not known.
  double joules = 0, watts = 0;
  [[nodiscard]] std::int64_t missed() const noexcept { return late + dropped + failed; }
};

/// What the box has drawn since all was loaded.
struct EnergyStatistics {
  /// What says so: "rapl", "hwmon" (`energy.meter`), "constant": computed from the processors' `power`. Empty: neither
  /// is known, and all else is 0.
  std::string meter;
  double joules = 0, watts = 0;  ///< in all; on average
  double watts_by_model = 0;     ///< as computed; 0: not known
  double limit = 0;              ///< watts (`energy.budget`); 0: there is none
};

struct Statistics {
  Duration up{};
  EnergyStatistics energy;
  std::vector<TaskStatistics> tasks;
  std::int64_t thrown = 0;  ///< exceptions that on_result let out
};

/// All members may be called from any thread, but not from on_result or a source unless they say so.
class Runtime {
 public:
  static constexpr std::uint64_t kMaxPending = 32;

  /// `tasks`: the task file. Runs the plan that `rtmdl plan` left in the workspace. Throws Error: bad_input (no plan, a
  /// plan of another version of the task file, models), missing_device.
  explicit Runtime(const std::filesystem::path& tasks, const RuntimeOptions& options = {});
  ~Runtime();  ///< as stop()
  Runtime(Runtime&&) noexcept;
  Runtime& operator=(Runtime&&) noexcept;

  [[nodiscard]] int tasks() const noexcept;
  [[nodiscard]] RunningTask task(int index) const;  ///< throws Error(bad_input) if there is none
  /// Index of a task. Throws Error(bad_input) that lists the names.
  [[nodiscard]] int find(std::string_view name) const;

  /// Releases a job at once; its deadline counts from `stamp`, when the input came to be. Does not allocate or block
  /// but for another submit() of the same task. A thread that submits should be real-time (SCHED_FIFO) where tasks fill
  /// the cores: else it may not get to wake what it has released. May be called from on_result and sources. Tasks may
  /// be submitted at any time; the plan's promises hold as long as a task's inputs come as the task file says.
  Submitted submit(int task, const Input& input, Time stamp = MonotonicClock::now()) noexcept;
  /// The same with an answer to wait for (which allocates). An input that is not accepted throws Error(bad_input).
  [[nodiscard]] std::future<JobOutput> request(int task, const Input& input, Time stamp = MonotonicClock::now());

  /// Releases the task in its period, or as its `arrivals` are, from now on: a thread calls `next` ahead of each
  /// release; false ends it. What the input points to has to stay until its job is over (Input::owner). Throws
  /// Error(bad_input) if a source is attached.
  void attach(int task, std::function<bool(Input&)> next);
  /// With the task file's own `data`, in a loop.
  void attach(int task);
  void detach(int task);  ///< waits for the source's thread; nothing if there is none

  /// Ends the task: its source, what waits, the job in progress; gives back its threads and its model's memory. Others
  /// run on. Nothing if it is not there.
  void remove(int task);
  /// Loads it again, as planned. Others run on meanwhile. Throws as opening does; nothing if it is there.
  void add(int task);

  /// Asks for another period of a task, while all run on. Admitted, from the next release on, if it is no shorter than
  /// the one that was planned for: what runs less often than planned needs no new plan, and may go back to it.
  /// A shorter one is refused: whether that fits is for the planner to say. Attached sources follow. Throws
  /// Error(bad_input): no such task, one without a period, a period beyond an hour.
  RateAnswer request_period(int task, Duration period);

  /// Without stopping anything. May be called from on_result.
  [[nodiscard]] Statistics statistics() const;

  /// Ends sources, drops what waits, finishes what is in progress, delivers every result. Later submissions are
  /// refused.
  void stop() noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rtmdl
