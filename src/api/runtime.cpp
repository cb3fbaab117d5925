#include <rtmdl/runtime.h>

#include "api/submitted_feed.h"
#include "base/priority_mutex.h"
#include "base/semaphore.h"
#include "base/thread_placement.h"
#include "base/timespec.h"
#include "base/units.h"
#include "data/frame_input.h"
#include "data/source.h"
#include "runtime/compiled_plan.h"
#include "runtime/deadline_timer.h"
#include "runtime/deployment.h"
#include "runtime/energy_watch.h"
#include "runtime/live_statistics.h"
#include "scheduling/arrivals.h"
#include "task/workspace.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <pthread.h>

namespace rtmdl {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);  ///< for jobs in progress, before they are cancelled
constexpr Duration kHeadStart = std::chrono::milliseconds(10);
constexpr int kFifoResults = kFifoRelease - 1;  ///< above all tasks
constexpr std::uint64_t kSamples = 1;           ///< seed of the frame to warm up with
constexpr std::uint64_t kArrivalSeed = 1;

/// A task's own data as inputs, played in a loop.
class OwnData {
 public:
  explicit OwnData(const TaskSpec& task)
      : source_(open_source(task.data, kSamples)), feed_(task.data, *source_, kStreamFrames) {}

  [[nodiscard]] Input next() noexcept { return input_of(*feed_.take(job_++)); }

 private:
  std::unique_ptr<Source> source_;
  StreamFeed feed_;
  std::uint64_t job_ = 0;
};

JobEnd end_of(JobFate fate) noexcept {
  switch (fate) {
    case JobFate::completed: return JobEnd::completed;
    case JobFate::failed: return JobEnd::failed;
    case JobFate::dropped: break;
  }
  return JobEnd::dropped;
}

}  // namespace

static_assert(Runtime::kMaxPending <= kLeastResults, "every job that is pending has a place for its result");

struct Runtime::Impl {
  struct Task {
    PriorityMutex lock;      // of what submit() needs
    std::uint64_t next = 0;  // job
    bool open = false;       // takes inputs
    bool aborts = false;
    SubmittedFeed* feed = nullptr;
    std::atomic<std::int64_t> refused{0};
    std::thread source;
    std::atomic<Duration> period{};         // that it is released in; of periodic tasks
    std::atomic<bool> source_ends{false};   // is to end
    std::atomic<bool> source_ended{false};  // did so by itself
  };

  Impl(const std::filesystem::path& path, const RuntimeOptions& given)
      : options(given), opened(MonotonicClock::now()), engine(make_onnxruntime_engine()) {
    const std::filesystem::path folder =
        options.workspace.empty() ? Workspace::default_folder(path) : options.workspace;
    plan = load_compiled_plan(folder / kCompiledPlanFile, path);
    for (const RunTask& task : plan.config.tasks)
      if (task.spec->after.task >= 0)
        bad_input(fmt::format("task '{}' runs after another one: only `rtmdl run` plays such tasks", task.spec->name));
    plan.config.realtime = options.realtime;
    if (options.order) {
      plan.config.policy = Policy::custom;
      plan.config.order = {&Impl::key_of, this};
    }
    for (const std::string& name : options.without) plan.config.tasks[index_of(name)].present = false;
    Context context;
    context.log = [this](LogLevel level, const std::string& text) {
      if (level == LogLevel::warning) say(text);
    };
    for (const std::string& note : plan.config.notes) say(note);
    tasks = std::vector<Task>(plan.config.tasks.size());
    live = std::make_unique<LiveStatistics>(tasks.size());
    box = std::make_unique<Deployment>(
        *engine, plan.config, [this](std::size_t i) { return open_feed(i); }, context, &published);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      tasks[i].open = plan.config.tasks[i].present;
      tasks[i].period = plan.config.tasks[i].spec->period;
      tasks[i].aborts = box->scheduler().tasks[i].late == Late::abort;
    }
    const bool aborts = std::any_of(tasks.begin(), tasks.end(), [](const Task& t) { return t.aborts; });
    if (aborts)
      deadlines = std::make_unique<DeadlineTimer>(box->dispatcher(), tasks.size() * kMaxPending, box->releaser());
    energy = std::make_unique<EnergyWatch>(plan.config, box->dispatcher());
    ready = MonotonicClock::now();
    energy->begin(ready, box->releaser());
    delivery = std::thread([this] { deliver_all(); });
  }

  ~Impl() { stop(); }

  static std::int64_t key_of(void* context, int task, Time release, Time deadline) noexcept {
    const auto& self = *static_cast<const Impl*>(context);
    return self.options.order({task, release, deadline, self.spec_of(task).period});
  }

  std::unique_ptr<FrameFeed> open_feed(std::size_t i) {
    const TaskSpec& spec = *plan.config.tasks[i].spec;
    std::vector<Frame> samples;
    samples.push_back(open_source(spec.data, kSamples)->read(Split::stream, 0));
    auto feed = std::make_unique<SubmittedFeed>(std::move(samples));
    tasks[i].feed = feed.get();
    return feed;
  }

  void say(const std::string& text) noexcept {
    try {
      if (options.on_message) options.on_message(text);
      else std::fprintf(stderr, "rtmdl: %s\n", text.c_str());
    } catch (...) {  // it was said as well as can be
    }
  }

  [[nodiscard]] std::size_t index_of(std::string_view name) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < plan.config.tasks.size(); ++i) {
      names.push_back(plan.config.tasks[i].spec->name);
      if (names.back() == name) return i;
    }
    bad_input(fmt::format("there is no task '{}': there are {}", name, fmt::join(names, ", ")));
  }

  [[nodiscard]] std::size_t checked(int task) const {
    if (task < 0 || static_cast<std::size_t>(task) >= tasks.size())
      bad_input(fmt::format("there is no task {}: there are {}", task, tasks.size()));
    return static_cast<std::size_t>(task);
  }

  Submitted submit(int index, const Input& input, std::promise<JobOutput>* answer, Time stamp) noexcept {
    if (index < 0 || static_cast<std::size_t>(index) >= tasks.size()) return Submitted::unknown_task;
    Task& task = tasks[static_cast<std::size_t>(index)];
    if (!SubmittedFeed::usable(input)) return Submitted::unusable;
    const std::lock_guard<PriorityMutex> guard(task.lock);
    if (!task.open) return Submitted::stopped;
    if (!task.feed->put(task.next, input, answer)) {
      task.refused.fetch_add(1, std::memory_order_relaxed);
      return Submitted::busy;
    }
    // A deadline that comes before the release is seen by the core when the job would begin.
    if (task.aborts) deadlines->watch(index, task.next, stamp + spec_of(index).deadline);
    ++task.next;
    box->dispatcher().release(index, stamp);
    return Submitted::accepted;
  }

  void deliver_all() noexcept {
    if (options.urgent_results && box->realtime()) place_current_thread({{}, kFifoResults});
    while (true) {
      published.wait();
      while (JobRecord* record = box->dispatcher().records().front()) {
        deliver(*record);
        box->dispatcher().records().pop();
      }
      if (stopping.load(std::memory_order_acquire)) return;
    }
  }

  void deliver(const JobRecord& record) noexcept {
    live->add(record);
    const RunTask& planned = plan.config.tasks[record.task];
    SubmittedFeed& feed = *tasks[record.task].feed;
    Ring<Result>& results = box->dispatcher().results(record.task);
    JobResult job;
    job.task = record.task;
    job.job = record.job;
    job.tag = feed.tag(record.job);
    job.end = end_of(record.fate);
    job.late = record.late;
    job.variant = record.mode == 0 ? planned.variant : planned.fallbacks[record.mode - 1u].variant;
    job.release = record.release;
    job.finish = record.finish;
    job.result = record.has_result ? results.front() : nullptr;
    try {
      if (options.on_result) options.on_result(job);
    } catch (...) {
      thrown.fetch_add(1, std::memory_order_relaxed);
    }
    try {
      if (const auto answer = feed.take_answer(record.job))
        answer->set_value({job.job, std::string(job.variant), job.end, job.late, job.release, job.finish,
                           job.result ? *job.result : Result{}});
    } catch (...) {  // out of memory: its future breaks
      thrown.fetch_add(1, std::memory_order_relaxed);
    }
    if (record.has_result) results.pop();
    if (tasks[record.task].aborts) deadlines->forget(record.task, record.job);
    feed.release(record.job);
  }

  void attach(int index, std::function<bool(Input&)> next) {
    Task& task = tasks[checked(index)];
    const std::lock_guard<std::mutex> guard(control);
    if (stopping) bad_input("the runtime was stopped");
    if (task.source.joinable() && !task.source_ended)
      bad_input(fmt::format("task '{}' has a source", spec_of(index).name));
    end_source(task);
    task.source_ends = task.source_ended = false;
    task.source = std::thread([this, index, &task, next = std::move(next)] {
      play(index, task, next);
      task.source_ended = true;
    });
  }

  /// Gets each input at normal priority, ahead of its release, and waits for that at the release thread's.
  void play(int index, Task& task, const std::function<bool(Input&)>& next) noexcept {
    const TaskSpec& spec = spec_of(index);
    const auto urgent = [&](bool on) {
      sched_param param{};
      param.sched_priority = on ? kFifoRelease : 0;
      if (box->realtime()) pthread_setschedparam(pthread_self(), on ? SCHED_FIFO : SCHED_OTHER, &param);
    };
    const Time start = MonotonicClock::now() + kHeadStart;
    Duration period = task.period;
    Arrivals arrivals(spec.arrivals, period, {}, kArrivalSeed, index);
    while (!task.source_ends) {
      if (const Duration asked = task.period; asked != period) {
        arrivals = Arrivals(spec.arrivals, asked, arrivals.next() - period + asked, kArrivalSeed, index);
        period = asked;
      }
      Input input;
      try {
        if (!next(input)) return;
      } catch (const std::exception& e) {
        return say(fmt::format("the source of task '{}' ended: {}", spec.name, e.what()));
      } catch (...) {
        return say(fmt::format("the source of task '{}' ended by an exception", spec.name));
      }
      // A source that is behind has missed its turns until the last one: the releases stay where they are.
      const Duration played = MonotonicClock::now() - start;
      Duration due = arrivals.next();
      for (arrivals.advance(); arrivals.next() < played; arrivals.advance()) due = arrivals.next();
      const Time release = start + due;
      urgent(true);
      while (!task.source_ends && MonotonicClock::now() < release)
        sleep_until(std::min(release, MonotonicClock::now() + Duration(std::chrono::milliseconds(100))));
      if (!task.source_ends) submit(index, input, nullptr, release);
      urgent(false);
    }
  }

  void end_source(Task& task) noexcept {
    task.source_ends = true;
    if (task.source.joinable()) task.source.join();
  }

  /// From now on the core counts on what `edit` makes of the task's terms. The order stays, so it is done at once.
  template <typename Edit>
  void expect(std::size_t task, const Edit& edit) {
    std::vector<Terms> terms;
    for (std::size_t i = 0; i < tasks.size(); ++i) terms.push_back(box->dispatcher().terms(static_cast<int>(i)));
    edit(terms[task]);
    box->dispatcher().adopt(terms, false);
  }

  void close(Task& task) noexcept {
    const std::lock_guard<PriorityMutex> guard(task.lock);
    task.open = false;
  }

  void stop() noexcept {
    const std::lock_guard<std::mutex> guard(control);
    if (!delivery.joinable()) return;
    for (Task& task : tasks) end_source(task);
    for (Task& task : tasks) close(task);
    box->dispatcher().drop_waiting();
    energy->stop();
    finish_jobs(box->dispatcher(), kPatience);
    stopping.store(true, std::memory_order_release);
    published.post();
    delivery.join();
    deadlines.reset();
  }

  [[nodiscard]] const TaskSpec& spec_of(int task) const {
    return *plan.config.tasks[static_cast<std::size_t>(task)].spec;
  }

  RuntimeOptions options;
  Time opened, ready{};
  std::unique_ptr<Engine> engine;
  CompiledPlan plan;
  Semaphore published;
  std::vector<Task> tasks;
  std::unique_ptr<LiveStatistics> live;
  std::unique_ptr<Deployment> box;
  std::unique_ptr<EnergyWatch> energy;
  std::unique_ptr<DeadlineTimer> deadlines;
  std::thread delivery;
  std::atomic<bool> stopping{false};
  std::atomic<std::int64_t> thrown{0};
  std::mutex control;  // of what adds, removes and ends
};

Runtime::Runtime(const std::filesystem::path& tasks, const RuntimeOptions& options)
    : impl_(std::make_unique<Impl>(tasks, options)) {}
Runtime::~Runtime() = default;
Runtime::Runtime(Runtime&&) noexcept = default;
Runtime& Runtime::operator=(Runtime&&) noexcept = default;

int Runtime::tasks() const noexcept { return static_cast<int>(impl_->tasks.size()); }

RunningTask Runtime::task(int index) const {
  const RunTask& t = impl_->plan.config.tasks[impl_->checked(index)];
  return {t.spec->name,     t.variant, place_name(impl_->plan.config.processors, t), t.priority, t.spec->period,
          t.spec->deadline, t.joules};
}

int Runtime::find(std::string_view name) const { return static_cast<int>(impl_->index_of(name)); }

Submitted Runtime::submit(int task, const Input& input, Time stamp) noexcept {
  return impl_->submit(task, input, nullptr, stamp);
}

std::future<JobOutput> Runtime::request(int task, const Input& input, Time stamp) {
  auto answer = std::make_unique<std::promise<JobOutput>>();
  std::future<JobOutput> future = answer->get_future();
  const Submitted submitted = impl_->submit(task, input, answer.get(), stamp);
  if (submitted != Submitted::accepted) bad_input(fmt::format("the input was not accepted: {}", reason_of(submitted)));
  static_cast<void>(answer.release());  // the job's place owns it
  return future;
}

void Runtime::attach(int task, std::function<bool(Input&)> next) { impl_->attach(task, std::move(next)); }

void Runtime::attach(int task) {
  const TaskSpec& spec = *impl_->plan.config.tasks[impl_->checked(task)].spec;
  impl_->attach(task, [data = std::make_shared<OwnData>(spec)](Input& input) {
    input = data->next();
    input.owner = data;  // its frames, until the last job is over
    return true;
  });
}

void Runtime::detach(int task) {
  const std::lock_guard<std::mutex> guard(impl_->control);
  impl_->end_source(impl_->tasks[impl_->checked(task)]);
}

void Runtime::remove(int task) {
  const std::size_t t = impl_->checked(task);
  const std::lock_guard<std::mutex> guard(impl_->control);
  if (impl_->stopping || !impl_->box->loaded(t)) return;
  impl_->end_source(impl_->tasks[t]);
  impl_->close(impl_->tasks[t]);
  impl_->box->unload(t, kPatience);
  impl_->expect(t, [](Terms& terms) { terms.present = false; });
}

void Runtime::add(int task) {
  const std::size_t t = impl_->checked(task);
  const std::lock_guard<std::mutex> guard(impl_->control);
  if (impl_->stopping || impl_->box->loaded(t)) return;
  impl_->box->load(t);
  impl_->expect(t, [](Terms& terms) { terms.present = true; });
  const std::lock_guard<PriorityMutex> opening(impl_->tasks[t].lock);
  impl_->tasks[t].open = true;
}

RateAnswer Runtime::request_period(int task, Duration period) {
  const std::size_t t = impl_->checked(task);
  const TaskSpec& spec = impl_->spec_of(task);
  if (spec.arrivals.kind != ArrivalSpec::Kind::periodic) bad_input(fmt::format("task '{}' has no period", spec.name));
  if (period > kLongestPeriod)
    bad_input(fmt::format("a period of {} is out of range: at most {} is accepted", format_duration(period),
                          format_duration(kLongestPeriod)));
  if (period < spec.period)
    return {false, fmt::format("{} was planned for a period of {}: whether {} is possible takes a plan of its own",
                               spec.name, format_duration(spec.period), format_duration(period))};
  const std::lock_guard<std::mutex> guard(impl_->control);
  impl_->tasks[t].period = period;
  impl_->expect(t, [&](Terms& terms) { terms.period = period; });
  return {true, {}};
}

Statistics Runtime::statistics() const {
  Statistics s;
  s.up = MonotonicClock::now() - impl_->opened;
  for (std::size_t i = 0; i < impl_->tasks.size(); ++i) {
    const JobCounts c = impl_->box->dispatcher().counts(static_cast<int>(i));
    const RunTask& task = impl_->plan.config.tasks[i];
    TaskStatistics t;
    t.name = task.spec->name;
    t.variant = task.variant;
    t.released = c.released;
    t.completed = c.completed;
    t.late = c.late;
    t.dropped = c.dropped;
    t.failed = c.failed;
    t.pending = c.released - c.completed - c.dropped - c.failed;
    t.overran = c.overran;
    t.switches = c.switches;
    t.refused = impl_->tasks[i].refused.load(std::memory_order_relaxed);
    const LiveSnapshot live = impl_->live->snapshot(i);
    t.p50 = live.p50;
    t.p99 = live.p99;
    t.max = live.max;
    t.joules = impl_->energy->joules(static_cast<int>(i)).value_or(0);
    t.watts = t.joules / std::max(to_seconds(MonotonicClock::now() - impl_->ready), 1e-9);
    s.tasks.push_back(std::move(t));
  }
  if (const auto drawn = impl_->energy->so_far())
    s.energy = {drawn->meter, drawn->joules, drawn->watts,
                drawn->by_model.value_or(drawn->meter == meter_name(MeterKind::constant) ? drawn->watts : 0),
                drawn->limit.value_or(0)};
  s.thrown = impl_->thrown.load(std::memory_order_relaxed);
  return s;
}

void Runtime::stop() noexcept { impl_->stop(); }

std::string_view reason_of(Submitted submitted) noexcept {
  switch (submitted) {
    case Submitted::accepted: return "accepted";
    case Submitted::busy: return "too many inputs of the task are not over yet";
    case Submitted::stopped: return "the task does not run";
    case Submitted::unusable: return "neither a picture nor a tensor of a size that can be";
    case Submitted::unknown_task: return "there is no such task";
  }
  return "?";
}

}  // namespace rtmdl
