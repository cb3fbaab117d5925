#include "runtime/runtime.h"

#include "base/units.h"
#include "runtime/collector.h"
#include "runtime/live_score.h"
#include "runtime/pipeline_body.h"
#include "runtime/releases.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include <opencv2/core/utility.hpp>

#include <fmt/format.h>

#include <sys/mman.h>

namespace rtmdl {
namespace {

constexpr std::size_t kResultBytes = 32'000'000;  ///< of results of one task that wait to be scored
constexpr std::size_t kMostResults = 2048;
constexpr Duration kLead = std::chrono::milliseconds(50);  ///< from the last warm-up to the first release
constexpr Duration kGrace = std::chrono::seconds(10);  ///< for jobs in progress at the end, before they are cancelled

/// Locks memory for its life, pages as they are touched.
class MemoryLock {
 public:
  explicit MemoryLock(bool wanted) : held_(wanted && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) {}
  ~MemoryLock() {
    if (held_) munlockall();
  }
  MemoryLock(const MemoryLock&) = delete;
  MemoryLock& operator=(const MemoryLock&) = delete;
  [[nodiscard]] bool held() const { return held_; }

 private:
  bool held_;
};

/// Busy and total ticks of cores, from the kernel's own count.
struct CoreTicks {
  std::vector<double> busy, total;

  static CoreTicks read() {
    CoreTicks ticks;
    std::ifstream stat("/proc/stat");
    for (std::string line; std::getline(stat, line);) {
      if (line.rfind("cpu", 0) != 0 || line.size() < 4 || !std::isdigit(static_cast<unsigned char>(line[3]))) continue;
      std::istringstream fields(line.substr(3));
      std::size_t core = 0;
      fields >> core;
      std::vector<double> v;
      for (double x; fields >> x;) v.push_back(x);
      if (v.size() < 8) continue;
      if (ticks.busy.size() <= core) {
        ticks.busy.resize(core + 1);
        ticks.total.resize(core + 1);
      }
      const double idle = v[3] + v[4];
      for (std::size_t i = 0; i < 8; ++i) ticks.total[core] += v[i];
      ticks.busy[core] = ticks.total[core] - idle - v[7];  // stolen time is not ours
    }
    return ticks;
  }

  static double busy_share(const CoreTicks& from, const CoreTicks& to, const std::vector<int>& cores) {
    double busy = 0, total = 0;
    for (const int core : cores) {
      const auto i = static_cast<std::size_t>(core);
      if (i >= to.busy.size() || i >= from.busy.size()) continue;
      busy += to.busy[i] - from.busy[i];
      total += to.total[i] - from.total[i];
    }
    return total > 0 ? busy / total : 0;
  }
};

static_assert(kRecordedStages >= kMaxSegments + 2, "a record has room for pre, every segment and post");

/// The scheduler's view of a run. With system_defaults each task has a processor of its own, so that the core decides
/// nothing: the operating system does.
DispatcherConfig dispatcher_config(const RunConfig& config, bool realtime) {
  DispatcherConfig d;
  d.realtime = realtime && !config.system_defaults;
  d.scheduler.policy = config.system_defaults ? Policy::fifo : config.policy;
  d.event_capacity = config.log_events ? 4'000'000 : 0;
  if (!config.system_defaults)
    for (const ProcessorSpec& p : config.processors) {
      d.scheduler.processors.push_back({p.preemptive && d.realtime, p.slots});
      d.processors.push_back({p.cores});
    }
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const RunTask& task = config.tasks[i];
    SchedulerTask t;
    t.period = task.spec->period;
    t.deadline = task.spec->deadline;
    t.priority = task.priority;
    t.utilisation = task.utilisation;
    t.queue = task.spec->queue;
    if (!config.system_defaults) t.late = task.spec->late;
    const std::size_t segments = task.request.cuts.size() + 1;
    if (config.system_defaults) {
      d.scheduler.processors.push_back({false, 1});
      d.processors.push_back({});
      t.stage_processors.assign(segments + 2, static_cast<int>(i));
    } else {
      t.stage_processors.assign(segments + 2, task.processor);
      t.stage_processors.front() = t.stage_processors.back() = config.host_processor;
      t.stage_slots.assign(segments + 2, task.slots);
      t.stage_slots.front() = t.stage_slots.back() = 1;
      t.stage_times = task.stage_times;
    }
    d.scheduler.tasks.push_back(t);
  }
  return d;
}

LoadRequest placed_request(const RunConfig& config, const DispatcherConfig& d, const RunTask& task, std::size_t index) {
  LoadRequest request = task.request;
  if (config.system_defaults) {
    request.defaults = true;
    return request;
  }
  const ProcessorSpec& p = config.processors[static_cast<std::size_t>(task.processor)];
  request.device = p.device;
  request.provider_options = p.options;
  request.threads = task.threads;
  request.pool.cores = p.cores;
  if (d.realtime) {
    const std::vector<int> priorities = assign_priorities(d.scheduler.policy, d.scheduler.tasks);
    request.pool.fifo_priority = kFifoBase + static_cast<int>(config.tasks.size()) - priorities[index];
  }
  return request;
}

void mark_stalled(RunOutcome& outcome, const std::vector<RunTask>& tasks) {
  for (const Stall& s : outcome.stalls) {
    ++outcome.report.stalls.count;
    outcome.report.stalls.max_ms = std::max(outcome.report.stalls.max_ms, to_ms(s.end - s.start));
  }
  if (outcome.stalls.empty()) return;
  for (JobRecord& r : outcome.records) {
    // How late a job that failed or was given up would have been, nobody knows.
    if (!r.missed() || r.fate == JobFate::failed || (r.fate == JobFate::dropped && r.stages > 0)) continue;
    const Duration stalled = stalled_within(outcome.stalls, r.release, r.finish);
    const Duration deadline = tasks[r.task].spec->deadline;
    // A late job is explained if it would have been in time without the stall; a dropped one if a stall hit while it
    // waited.
    r.stalled = r.late ? r.finish - (r.release + deadline) <= stalled : stalled > Duration::zero();
    if (!r.stalled) continue;
    ++outcome.report.stalls.missed;
    ++outcome.report.tasks[r.task].stalled;
  }
}

std::string throttling_note() {
  const double share = realtime_share();
  if (share >= 1) return {};
  return fmt::format(
      "the kernel stops real-time threads after {} ms of every second (sched_rt_runtime_us): at saturation this shows "
      "as machine stalls",
      std::llround(1000 * share));
}

void say(RunReport& report, const Context& context, const std::string& note) {
  report.notes.push_back(note);
  context.warn(note);
}

void report_tasks(RunOutcome& outcome, const RunConfig& config, Dispatcher& dispatcher) {
  std::vector<std::vector<float>> responses(config.tasks.size());
  std::vector<std::int64_t> in_time(config.tasks.size());
  for (const JobRecord& r : outcome.records)
    if (r.fate == JobFate::completed) responses[r.task].push_back(static_cast<float>(to_ms(r.finish - r.release)));
  std::vector<double> weights;
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const RunTask& task = config.tasks[i];
    const JobCounts c = dispatcher.counts(static_cast<int>(i));
    TaskReport t;
    t.name = task.spec->name;
    t.variant = task.variant;
    t.priority = task.priority;
    t.released = c.released;
    t.completed = c.completed;
    t.dropped = c.dropped;
    t.abandoned = c.abandoned;
    t.failed = c.failed;
    t.missed = c.late + c.dropped + c.failed;
    t.response = response_times(responses[i]);
    if (task.accuracy) {
      const auto [accuracy, source] = task.accuracy();
      t.accuracy = accuracy;
      t.accuracy_loss = source > 0 ? std::max(0.0, (source - accuracy) / source) : 0;
    }
    t.effective_accuracy =
        t.released ? t.accuracy * static_cast<double>(t.released - t.missed) / static_cast<double>(t.released) : 0;
    outcome.report.tasks.push_back(t);
    weights.push_back(task.spec->accuracy.weight);
  }
  sum_up(outcome.report, weights);
}

}  // namespace

RunOutcome run(Engine& engine, const RunConfig& config, std::uint64_t seed, const Context& context) {
  RunOutcome outcome;
  RunReport& report = outcome.report;
  report.policy = config.name;
  const bool permitted = config.realtime && realtime_permitted();
  if (config.realtime && !permitted)
    say(report, context,
        "SCHED_FIFO is not permitted: running cooperatively, preempting only between stages. Run as root, or give the "
        "binary CAP_SYS_NICE "
        "(setcap cap_sys_nice,cap_ipc_lock+ep)");
  report.preemption = config.system_defaults ? "none" : permitted ? "kernel" : "cooperative";
  if (permitted)
    if (const std::string note = throttling_note(); !note.empty()) {
      report.notes.push_back(note);
      context.debug(note);
    }

  cv::setNumThreads(config.system_defaults ? -1 : 1);
  DispatcherConfig d = dispatcher_config(config, permitted);
  std::vector<std::unique_ptr<PipelineBody>> bodies;
  std::vector<JobBody*> body_pointers;
  std::vector<ReleaseSpec> releases;
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const RunTask& task = config.tasks[i];
    const std::unique_ptr<Source> source = open_source(task.spec->data, seed);
    bodies.push_back(
        std::make_unique<PipelineBody>(engine, *task.spec, placed_request(config, d, task, i), *source, kStreamFrames));
    body_pointers.push_back(bodies.back().get());
    Result sample;
    bodies.back()->prepare(sample);
    d.result_capacity.push_back(std::clamp<std::size_t>(kResultBytes / bytes_of(sample), 16, kMostResults));
    releases.push_back({task.spec->period, task.spec->offset, task.spec->jitter, {}});
    if (d.scheduler.tasks[i].late == Late::abort) releases.back().abort_at = task.spec->deadline;
    context.report(fmt::format("loading {}", task.spec->name),
                   static_cast<double>(i + 1) / static_cast<double>(config.tasks.size()));
    if (context.stopping()) break;
  }

  const MemoryLock memory(permitted);
  if (permitted && !memory.held())
    say(report, context,
        "memory could not be locked (mlockall): page faults may cost time. Raise RLIMIT_MEMLOCK or give CAP_IPC_LOCK");
  Dispatcher dispatcher(d, body_pointers);
  for (std::size_t i = 0; i < bodies.size(); ++i)
    for (Result& place : dispatcher.results(static_cast<int>(i)).places()) bodies[i]->prepare(place);

  std::vector<int> cores;
  for (const ProcessorSpec& p : config.processors) cores.insert(cores.end(), p.cores.begin(), p.cores.end());
  outcome.start = MonotonicClock::now() + kLead;
  for (std::size_t p = 0; p < d.processors.size(); ++p)
    outcome.processor_names.push_back(config.system_defaults ? config.tasks[p].spec->name : config.processors[p].name);

  CollectorConfig collecting;
  for (const RunTask& task : config.tasks) {
    collecting.task_names.push_back(task.spec->name);
    collecting.variant_names.push_back(task.variant);
    collecting.deadlines.push_back(task.spec->deadline);
  }
  collecting.processor_names = outcome.processor_names;
  collecting.start = outcome.start;
  collecting.csv = config.csv;
  collecting.score = [&](const JobRecord& record, const Result& result) {
    if (config.tasks[record.task].score) config.tasks[record.task].score(record.frame, result);
  };
  Collector collector(dispatcher, std::move(collecting));
  StallProbe probe(cores, permitted);
  const ThreadPlacement releaser{config.system_defaults
                                     ? std::vector<int>{}
                                     : config.processors[static_cast<std::size_t>(config.host_processor)].cores,
                                 permitted ? kFifoRelease : 0};
  const CoreTicks before = CoreTicks::read();
  const Duration played = play_releases(dispatcher, releases, outcome.start, config.duration, seed, releaser, context);

  const Time patience = MonotonicClock::now() + kGrace;
  while (dispatcher.pending() > 0 && MonotonicClock::now() < patience)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  if (dispatcher.pending() > 0) {
    say(report, context, "jobs were still in progress 10 s after the end: cancelled");
    dispatcher.drop_waiting();
    dispatcher.cancel();
    while (dispatcher.pending() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const CoreTicks after = CoreTicks::read();
  outcome.stalls = probe.stop();
  std::erase_if(outcome.stalls, [&](const Stall& s) { return s.end < outcome.start; });
  collector.finish();

  outcome.records = std::move(collector.records());
  outcome.events = dispatcher.events();
  outcome.scheduler = d.scheduler;
  report.seconds = to_seconds(played);
  for (const ProcessorSpec& p : config.processors) {
    if (p.device == "cpu") {
      report.processors.push_back({p.name, CoreTicks::busy_share(before, after, p.cores)});
      continue;
    }
    Duration used{};
    for (const JobRecord& r : outcome.records)
      for (int s = 0; s < r.stages; ++s) {
        const auto& stage = r.stage[static_cast<std::size_t>(s)];
        if (outcome.processor_names[stage.processor] == p.name) used += (stage.end - stage.start) * stage.width();
      }
    report.processors.push_back({p.name, report.seconds > 0 ? to_seconds(used) / (report.seconds * p.slots) : 0});
  }
  report_tasks(outcome, config, dispatcher);
  mark_stalled(outcome, config.tasks);
  if (const auto lost = dispatcher.lost_records(); lost > 0)
    say(report, context,
        fmt::format(
            "{} job records were lost: the collector got no processor time; the counters are exact all the same",
            lost));
  if (collector.unscored() > 0)
    report.notes.push_back(fmt::format("{} completed jobs were not scored: the collector got too little processor time",
                                       collector.unscored()));
  return outcome;
}

}  // namespace rtmdl
