#include "runtime/runtime.h"

#include "base/units.h"
#include "runtime/collector.h"
#include "runtime/deployment.h"
#include "runtime/energy_watch.h"
#include "runtime/follower_feed.h"
#include "runtime/live_progress.h"
#include "runtime/packing.h"
#include "runtime/releases.h"

#include "base/thread_placement.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr Duration kLead = std::chrono::milliseconds(50);  ///< from the last warm-up to the first release
constexpr Duration kGrace = std::chrono::seconds(10);  ///< for jobs in progress at the end, before they are cancelled

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

/// `before`: of the tasks before it.
std::unique_ptr<FrameFeed> feed_of(const TaskSpec& task, const std::vector<const FrameFeed*>& before,
                                   std::uint64_t seed) {
  const auto source = open_source(task.data, seed);
  if (task.after.task < 0) return std::make_unique<StreamFeed>(task.data, *source, kStreamFrames);
  return std::make_unique<FollowerFeed>(source->read(Split::stream, 0),
                                        before[static_cast<std::size_t>(task.after.task)]->samples());
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

void say(RunReport& report, const Context& context, const std::string& note) {
  report.notes.push_back(note);
  context.warn(note);
}

/// Of the variants that its jobs ran, and of the source model, as far as they are known.
std::optional<std::pair<double, double>> known_accuracy(const RunTask& task,
                                                        const std::vector<std::int64_t>& completed) {
  double accuracy = 0, jobs = 0;
  const auto add = [&](const RunMode& mode, std::int64_t count) {
    accuracy += mode.profiled_accuracy * static_cast<double>(count);
    jobs += static_cast<double>(count);
  };
  add(task, completed[0]);
  for (std::size_t m = 1; m < completed.size(); ++m) add(task.fallbacks[m - 1], completed[m]);
  if (task.source_accuracy <= 0) return {};
  return std::pair(jobs > 0 ? accuracy / jobs : task.profiled_accuracy, task.source_accuracy);
}

/// Empty where all ran the same.
std::vector<VariantShare> shares_of(const std::vector<std::string>& names, const std::vector<std::int64_t>& completed) {
  std::vector<VariantShare> shares;
  for (std::size_t m = 0; m < completed.size(); ++m) {
    if (completed[m] == 0) continue;
    const auto same = std::find_if(shares.begin(), shares.end(), [&](const auto& s) { return s.variant == names[m]; });
    if (same != shares.end()) same->completed += completed[m];  // elsewhere
    else shares.push_back({names[m], completed[m]});
  }
  return shares.size() > 1 ? shares : std::vector<VariantShare>{};
}

void report_tasks(RunOutcome& outcome, const RunConfig& config, Dispatcher& dispatcher) {
  std::vector<std::vector<float>> responses(config.tasks.size());
  std::vector<std::vector<std::int64_t>> completed_in;  // each mode
  for (const RunTask& task : config.tasks) completed_in.emplace_back(task.fallbacks.size() + 1);
  for (const JobRecord& r : outcome.records) {
    if (r.fate != JobFate::completed) continue;
    responses[r.task].push_back(static_cast<float>(to_ms(r.finish - r.release)));
    ++completed_in[r.task][r.mode];
  }
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
    t.switches = c.switches;
    t.throttled = c.throttled;
    t.missed = c.late + c.dropped + c.failed;
    t.response = response_times(responses[i]);
    t.variants = shares_of(outcome.variant_names[i], completed_in[i]);
    if (const auto scored = task.accuracy ? std::optional(task.accuracy()) : known_accuracy(task, completed_in[i])) {
      const auto [accuracy, source] = *scored;
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

/// "resnet, cpu": what the mode is of.
std::string mode_name(const RunConfig& config, const RunTask& task, int mode) {
  const RunMode& m = mode == 0 ? task : task.fallbacks[static_cast<std::size_t>(mode) - 1];
  return fmt::format("{} on {}", m.variant, place_name(config.processors, m));
}

std::string change_note(const ModeChange& c, const RunConfig& config, const Deployment& box, Time start) {
  const RunTask& task = config.tasks[c.task];
  std::string why;
  switch (c.cause) {
    case ModeChange::Cause::failures:
      why = fmt::format("{} jobs failed in a row, the last, job {}, because {}", task.failures_to_fall_back, c.job,
                        box.last_error(c.task, c.from));
      break;
    case ModeChange::Cause::stuck: why = fmt::format("stage {} of job {} did not come back", c.stage, c.job); break;
    case ModeChange::Cause::returned: why = "the thread that was stuck in it came back"; break;
    case ModeChange::Cause::asked: why = "it was asked to"; break;
    case ModeChange::Cause::load: why = "of load"; break;
  }
  return fmt::format("{} went over from {} to {} after {}: {}", task.spec->name, mode_name(config, task, c.from),
                     mode_name(config, task, c.to), format_duration(std::max(c.when - start, Duration{})), why);
}

void note_faults(RunOutcome& outcome, const RunConfig& config, Deployment& box, const Context& context) {
  for (const ModeChange& c : box.dispatcher().mode_changes())
    say(outcome.report, context, change_note(c, config, box, outcome.start));
  for (std::size_t t = 0; t < config.tasks.size(); ++t) {
    const JobCounts c = box.dispatcher().counts(static_cast<int>(t));
    if (c.overran > 0)
      say(outcome.report, context,
          fmt::format("{}: {} stages ran beyond the watchdog's limit and were cancelled, {} of them did not come back",
                      config.tasks[t].spec->name, c.overran, c.stuck));
    if (c.throttled > 0)
      say(outcome.report, context,
          fmt::format("{} used its reservation up {} times and was held back: its jobs took longer than their profile",
                      config.tasks[t].spec->name, c.throttled));
  }
}

/// RunConfig::supervise on a thread of its own.
class Supervisor {
 public:
  Supervisor(const RunConfig& config, Dispatcher& dispatcher) {
    if (!config.supervise) return;
    thread_ = std::thread([&] {
      place_current_thread({{}, -1});
      try {
        notes_ = config.supervise(dispatcher, stopping_);
      } catch (const std::exception& e) {
        notes_ = {fmt::format("the supervision of the run ended: {}", e.what())};
      }
    });
  }
  ~Supervisor() { static_cast<void>(stop()); }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  [[nodiscard]] std::vector<std::string> stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return std::move(notes_);
  }

 private:
  std::atomic<bool> stopping_{false};
  std::vector<std::string> notes_;
  std::thread thread_;
};

}  // namespace

RunOutcome run(Engine& engine, const RunConfig& config, std::uint64_t seed, const Context& context) {
  RunOutcome outcome;
  RunReport& report = outcome.report;
  report.policy = config.name;
  std::vector<const FrameFeed*> feeds;
  Deployment box(
      engine, config,
      [&](std::size_t i) {
        std::unique_ptr<FrameFeed> feed = feed_of(*config.tasks[i].spec, feeds, seed);
        feeds.push_back(feed.get());
        return feed;
      },
      context);
  report.preemption = box.preemption();
  for (const std::string& note : config.notes) say(report, context, note);
  report.notes.insert(report.notes.end(), box.notes().begin(), box.notes().end());
  Dispatcher& dispatcher = box.dispatcher();
  EnergyWatch energy(config, dispatcher);
  std::vector<ReleaseSpec> releases;
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const TaskSpec& task = *config.tasks[i].spec;
    releases.push_back({task.period, task.offset, task.jitter, {}, task.arrivals, task.after.task >= 0});
    if (box.scheduler().tasks[i].late == Late::abort) releases.back().abort_at = task.deadline;
  }

  std::vector<int> cores;  // that the probe can see: reservations come before it
  for (std::size_t p = 0; p < config.processors.size(); ++p)
    if (!box.reserved(p))
      cores.insert(cores.end(), config.processors[p].cores.begin(), config.processors[p].cores.end());
  outcome.start = MonotonicClock::now() + kLead;
  box.begin(outcome.start);
  if (config.gate) config.gate->set_start(outcome.start);
  energy.begin(outcome.start, box.releaser());
  outcome.processor_names = box.processor_names();

  CollectorConfig collecting;
  LiveStatistics own(config.live ? 0 : config.tasks.size());
  const LiveStatistics& live = *(collecting.statistics = config.live ? config.live : &own);
  std::vector<LiveTask> live_tasks;
  for (const RunTask& task : config.tasks) {
    live_tasks.push_back({task.spec->name, task.spec->miss_rate});
    collecting.task_names.push_back(task.spec->name);
    outcome.variant_names.push_back({task.variant});
    for (const RunMode& mode : task.fallbacks) outcome.variant_names.back().push_back(mode.variant);
    collecting.deadlines.push_back(task.spec->deadline);
  }
  collecting.processor_names = outcome.processor_names;
  collecting.variant_names = outcome.variant_names;
  collecting.start = outcome.start;
  collecting.csv = config.csv;
  collecting.score = [&](const JobRecord& record, const Result& result) {
    if (config.tasks[record.task].score) config.tasks[record.task].score(record.frame, result);
  };
  Collector collector(dispatcher, std::move(collecting));
  StallProbe probe(cores, box.realtime());
  Supervisor supervisor(config, dispatcher);
  const CoreTicks before = CoreTicks::read();
  const Duration played = play_releases(dispatcher, releases, outcome.start, config.duration, seed, box.releaser(),
                                        with_live_text(context, live, std::move(live_tasks)), config.gate);
  for (const std::string& note : supervisor.stop()) say(report, context, note);
  energy.stop();
  if (finish_jobs(dispatcher, kGrace))
    say(report, context, "jobs were still in progress 10 s after the end: cancelled");
  const CoreTicks after = CoreTicks::read();
  outcome.stalls = probe.stop();
  std::erase_if(outcome.stalls, [&](const Stall& s) { return s.end < outcome.start; });
  collector.finish();

  outcome.records = std::move(collector.records());
  outcome.events = dispatcher.events();
  outcome.scheduler = box.scheduler();
  report.seconds = to_seconds(played);
  for (std::size_t i = 0; i < config.processors.size(); ++i) {
    const ProcessorSpec& p = config.processors[i];
    ProcessorReport out{p.name};
    if (p.device == "cpu") out.kernel = box.kernel(i);
    if (p.device == "cpu") {
      out.busy = CoreTicks::busy_share(before, after, p.cores);
    } else {
      Duration used{};
      for (const JobRecord& r : outcome.records)
        for (int s = 0; s < r.stages; ++s) {
          const auto& stage = r.stage[static_cast<std::size_t>(s)];
          if (outcome.processor_names[stage.processor] == p.name) used += (stage.end - stage.start) * stage.width();
        }
      out.busy = report.seconds > 0 ? to_seconds(used) / (report.seconds * p.slots) : 0;
    }
    if (p.slots > 1 && !config.system_defaults)
      if (const Packing packing = packing_of(outcome.records, static_cast<int>(i)); packing.at_once > 0) {
        out.at_once = packing.at_once;
        out.gain = packing.gain;
      }
    if (!config.system_defaults)
      if (const double slowdown = dispatcher.mean_slowdown(static_cast<int>(i)); slowdown > 0) out.slowdown = slowdown;
    report.processors.push_back(std::move(out));
  }
  report_tasks(outcome, config, dispatcher);
  energy.report(report);
  note_faults(outcome, config, box, context);
  mark_stalled(outcome, config.tasks);
  report.trace = {collector.collected(), static_cast<std::int64_t>(dispatcher.lost_records()),
                  to_ms(collector.worked())};
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
