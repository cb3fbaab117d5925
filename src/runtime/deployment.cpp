#include "runtime/deployment.h"

#include "base/thread_placement.h"
#include "base/units.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include <opencv2/core/utility.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sys/mman.h>

namespace rtmdl {
namespace {

constexpr std::size_t kResultBytes = 32'000'000;  ///< of results of one task that wait to be scored
constexpr std::size_t kMostResults = 2048;

static_assert(kRecordedStages >= kMaxSegments + 2, "a record has room for pre, every segment and post");

/// `Stages`: a SchedulerTask or a SchedulerMode.
template <typename Stages>
void set_stages(const RunMode& mode, int host, Stages& to) {
  const std::size_t segments = mode.request.cuts.size() + 1;
  to.stage_processors.assign(segments + 2, host);
  to.stage_slots.assign(segments + 2, 1);
  for (std::size_t k = 0; k < segments; ++k) {
    to.stage_processors[k + 1] = place_of(mode, k).processor;
    to.stage_slots[k + 1] = place_of(mode, k).slots;
  }
  to.stage_times = mode.stage_times;
  to.stage_limits = mode.stage_limits;
  to.stage_loads = mode.stage_loads;
  to.joules = mode.joules;
  to.pressures = mode.pressures;
  to.optional_from = mode.optional_from;
  to.reaches = mode.reaches;
  to.leave_losses = mode.leave_losses;
}

/// The scheduler's view of a run. With system_defaults each task has a processor of its own, so that the core decides
/// nothing: the operating system does.
DispatcherConfig dispatcher_config(const RunConfig& config, bool realtime) {
  DispatcherConfig d;
  d.realtime = realtime && !config.system_defaults;
  d.scheduler.policy = config.system_defaults ? Policy::fifo : config.policy;
  d.scheduler.order = config.order;
  d.scheduler.energy = config.energy.rule;
  d.scheduler.budget = budget_of(config.energy.limit.value_or(0));
  d.event_capacity = config.log_events ? 4'000'000 : 0;
  if (!config.system_defaults)
    for (const ProcessorSpec& p : config.processors) {
      d.scheduler.processors.push_back({p.preemptive && d.realtime, p.slots});
      d.processors.push_back({p.cores});
    }
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    const RunTask& task = config.tasks[i];
    SchedulerTask t;
    // Jobs that come at once have one reservation together.
    const int at_once = task.spec->after.most;
    const auto of_all = [&](std::vector<Duration> bounds) {
      for (Duration& bound : bounds) bound *= at_once;
      return bounds;
    };
    d.stage_bounds.push_back({of_all(task.stage_bounds)});
    d.stage_watts.push_back({task.stage_watts});
    for (const RunMode& mode : task.fallbacks) {
      d.stage_bounds.back().push_back(of_all(mode.stage_bounds));
      d.stage_watts.back().push_back(mode.stage_watts);
    }
    d.least_intervals.push_back(task.spec->period * at_once);
    t.period = task.interval > Duration{} ? task.interval : mean_interval(task.spec->arrivals, task.spec->period);
    t.deadline = task.spec->deadline;
    t.priority = task.priority;
    t.present = task.present;
    t.utilisation = task.utilisation;
    t.queue = task.spec->queue;
    if (config.system_defaults) {
      d.scheduler.processors.push_back({false, 1});
      d.processors.push_back({});
      t.stage_processors.assign(task.request.cuts.size() + 3, static_cast<int>(i));
    } else {
      t.late = task.spec->late;
      set_stages(task, config.host_processor, t);
      for (const RunMode& mode : task.fallbacks) {
        set_stages(mode, config.host_processor, t.fallbacks.emplace_back());
        t.fallbacks.back().loss = mode.loss;
      }
      t.failures_to_fall_back = task.failures_to_fall_back;
    }
    d.scheduler.tasks.push_back(t);
    d.after.push_back(task.spec->after);
  }
  return d;
}

bool uses_device(const RunConfig& config, const RunMode& mode, const std::string& device) {
  return std::any_of(mode.places.begin(), mode.places.end(), [&](const RunPlace& place) {
    return config.processors[static_cast<std::size_t>(place.processor)].device == device;
  });
}

/// Of those that share the device, the share that is less urgent.
double urgency_of(const RunConfig& config, const std::vector<int>& priorities, std::size_t index,
                  const std::string& device) {
  int others = 0, less_urgent = 0;
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    if (i == index || !uses_device(config, config.tasks[i], device)) continue;
    ++others;
    if (priorities[i] > priorities[index]) ++less_urgent;
  }
  return others > 0 ? static_cast<double>(less_urgent) / others : 1;
}

ModelPlace model_place(const RunConfig& config, const DispatcherConfig& d, const RunPlace& place, std::size_t index) {
  const ProcessorSpec& p = config.processors[static_cast<std::size_t>(place.processor)];
  const std::vector<int> priorities = assign_priorities(d.scheduler.policy, d.scheduler.tasks);
  ModelPlace there;
  there.device = p.device;
  there.provider_options = p.options;
  there.threads = place.threads;
  there.pool.cores = p.cores;
  if (d.realtime) there.pool.fifo_priority = kFifoBase + static_cast<int>(config.tasks.size()) - priorities[index];
  if (is_fixed_priority(d.scheduler.policy)) there.urgency = urgency_of(config, priorities, index, p.device);
  return there;
}

LoadRequest placed_request(const RunConfig& config, const DispatcherConfig& d, const RunMode& mode, std::size_t index) {
  LoadRequest request = mode.request;
  if (config.system_defaults) {
    request.defaults = true;
    return request;
  }
  if (mode.places.size() == 1) {
    static_cast<ModelPlace&>(request) = model_place(config, d, mode.places.front(), index);
    return request;
  }
  for (const RunPlace& place : mode.places) request.places.push_back(model_place(config, d, place, index));
  return request;
}

std::string throttling_note() {
  const double share = realtime_share();
  if (share >= 1) return {};
  return fmt::format(
      "the kernel stops real-time threads after {} ms of every second (sched_rt_runtime_us): at saturation this shows "
      "as machine stalls",
      std::llround(1000 * share));
}

std::string refusal(const ProcessorSpec& p, const Reserving& refused) {
  const std::string cores = fmt::format("{}", fmt::join(p.cores, ", "));
  if (refused.error == EPERM)
    return fmt::format(
        "{} runs under SCHED_FIFO: SCHED_DEADLINE is not permitted on core {}. It takes CAP_SYS_NICE and a cpuset of "
        "its own that no other overlaps",
        p.name, cores);
  return fmt::format(
      "{} runs under SCHED_FIFO: the kernel does not reserve {} of core {} ({}). Longer periods, fewer tasks or "
      "lighter variants would fit",
      p.name, format_percent(refused.cores), cores, std::strerror(refused.error));
}

}  // namespace

KeepOff::KeepOff(const std::vector<int>& cores) : before_(available_cores()), others_(before_) {
  std::erase_if(others_, [&](int core) { return std::find(cores.begin(), cores.end(), core) != cores.end(); });
  bind_thread(pthread_self(), others_);
}

KeepOff::~KeepOff() { bind_thread(pthread_self(), before_); }

MemoryLock::MemoryLock(bool wanted) noexcept : held_(wanted && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) {}

MemoryLock::~MemoryLock() {
  if (held_) munlockall();
}

Deployment::Deployment(Engine& engine, const RunConfig& config, const OpenFeed& open_feed, const Context& context,
                       Semaphore* published)
    : engine_(engine),
      config_(config),
      realtime_(config.realtime && realtime_permitted()),
      dispatching_(dispatcher_config(config, realtime_)),
      load_(config.slowdowns) {
  if (config.realtime && !realtime_)
    say(context,
        "SCHED_FIFO is not permitted: running cooperatively, preempting only between stages. Run as root, or give the "
        "binary CAP_SYS_NICE (setcap cap_sys_nice,cap_ipc_lock+ep)");
  if (realtime_)
    if (std::string note = throttling_note(); !note.empty()) {
      context.debug(note);
      notes_.push_back(std::move(note));
    }

  cv::setNumThreads(config.system_defaults ? -1 : 1);
  std::vector<JobBody*> bodies;
  for (std::size_t i = 0; i < config.tasks.size(); ++i) {
    feeds_.push_back(open_feed(i));
    bodies_.emplace_back();
    if (config.tasks[i].present) bodies_.back() = open(i);
    else bodies_.back().resize(dispatching_.scheduler.tasks[i].fallbacks.size() + 1);
    for (const auto& body : bodies_.back()) bodies.push_back(body.get());
    dispatching_.result_capacity.push_back(kLeastResults);
    if (loaded(i)) {
      Result sample;
      bodies_.back().front()->prepare(sample);
      dispatching_.result_capacity.back() = std::clamp(kResultBytes / bytes_of(sample), kLeastResults, kMostResults);
    }
    context.report(fmt::format("loading {}", config.tasks[i].spec->name),
                   static_cast<double>(i + 1) / static_cast<double>(config.tasks.size()));
  }
  for (std::size_t p = 0; p < dispatching_.processors.size(); ++p)
    processor_names_.push_back(config.system_defaults ? config.tasks[p].spec->name : config.processors[p].name);

  memory_ = std::make_unique<MemoryLock>(realtime_);
  if (realtime_ && !memory_->held())
    say(context,
        "memory could not be locked (mlockall): page faults may cost time. Raise RLIMIT_MEMLOCK or give CAP_IPC_LOCK");
  dispatching_.published = published;
  take_cores(context);
  dispatcher_ = std::make_unique<Dispatcher>(dispatching_, bodies);
  reserve(context);
  prepared_.assign(bodies_.size(), false);
  for (std::size_t i = 0; i < bodies_.size(); ++i)
    if (loaded(i)) prepare_results(i);
}

void Deployment::say(const Context& context, std::string note) {
  context.warn(note);
  notes_.push_back(std::move(note));
}

/// Where the kernel is to order by deadlines: cores that are nobody else's.
void Deployment::take_cores(const Context& context) {
  reserved_.resize(config_.processors.size());
  if (!dispatching_.realtime) return;
  ExclusiveCores::clean_up();
  std::vector<std::vector<int>> sets;
  std::vector<int> taken;
  std::string names;
  for (std::size_t p = 0; p < config_.processors.size(); ++p) {
    const ProcessorSpec& spec = config_.processors[p];
    if (spec.kernel != KernelOrder::deadline) continue;
    by_deadline_.push_back(p);
    sets.push_back(spec.cores);
    taken.insert(taken.end(), spec.cores.begin(), spec.cores.end());
    names += (names.empty() ? "" : ", ") + spec.name;
  }
  if (sets.empty()) return;
  if (config_.policy != Policy::edf) {
    by_deadline_.clear();
    return say(context, fmt::format("{}: SCHED_FIFO, since {} does not order by deadlines; policy edf does", names,
                                    config_.name));
  }
  try {
    exclusive_.emplace(sets);
    off_.emplace(taken);
    dispatching_.watchdog_cores = off_->others();
  } catch (const Error& e) {
    by_deadline_.clear();
    say(context, fmt::format("{}: SCHED_FIFO, since cores of its own, which SCHED_DEADLINE takes, are not to be had: "
                             "{}. Run as root, with the cpuset controller writable",
                             names, e.what()));
  }
}

void Deployment::reserve(const Context& context) {
  for (std::size_t k = 0; k < by_deadline_.size(); ++k) {
    const std::size_t p = by_deadline_[k];
    const Reserving done =
        dispatcher_->reserve(static_cast<int>(p), [&](pid_t thread) { return exclusive_->join(k, thread); });
    reserved_[p] = done.error == 0;
    if (!reserved_[p]) say(context, refusal(config_.processors[p], done));
  }
}

/// Before the first job of the task: later its places are in use.
void Deployment::prepare_results(std::size_t task) {
  if (prepared_[task]) return;
  prepared_[task] = true;
  for (const auto& body : bodies_[task])
    for (Result& place : dispatcher_->results(static_cast<int>(task)).places()) body->prepare(place);
}

Deployment::Bodies Deployment::open(std::size_t task) {
  const RunTask& t = config_.tasks[task];
  Bodies bodies;
  const auto add = [&](const RunMode& mode) {
    bodies.push_back(std::make_unique<PipelineBody>(engine_, *t.spec, placed_request(config_, dispatching_, mode, task),
                                                    *feeds_[task], config_.slowdowns.empty() ? nullptr : &load_));
  };
  add(t);
  for (std::size_t m = 0; m < dispatching_.scheduler.tasks[task].fallbacks.size(); ++m) add(t.fallbacks[m]);
  return bodies;
}

void Deployment::load(std::size_t task) {
  Bodies bodies = open(task);
  std::vector<JobBody*> modes;
  for (const auto& body : bodies) modes.push_back(body.get());
  bodies_[task] = std::move(bodies);
  try {
    prepare_results(task);
    dispatcher_->attach(static_cast<int>(task), modes);
  } catch (...) {
    for (auto& body : bodies_[task]) body.reset();
    throw;
  }
}

void Deployment::unload(std::size_t task, Duration patience) {
  forget(dispatcher_->detach(static_cast<int>(task), patience));
  for (auto& body : bodies_[task]) body.reset();
}

/// A thread is in them, and in what they read: they are left to it.
void Deployment::forget(const std::vector<JobBody*>& stuck) noexcept {
  for (JobBody* const lost : stuck)
    for (Bodies& bodies : bodies_)
      for (auto& body : bodies)
        if (body.get() == lost) {
          static_cast<void>(body.release());
          haunted_.push_back(static_cast<std::size_t>(&bodies - bodies_.data()));
        }
}

Deployment::~Deployment() {
  forget(dispatcher_->stop());
  for (const std::size_t task : haunted_) static_cast<void>(feeds_[task].release());
}

std::string Deployment::preemption() const {
  return config_.system_defaults ? "none" : realtime_ ? "kernel" : "cooperative";
}

std::string Deployment::kernel(std::size_t processor) const {
  return reserved(processor) ? "deadline" : dispatching_.realtime ? "fifo" : "other";
}

ThreadPlacement Deployment::releaser() const {
  const auto host = static_cast<std::size_t>(config_.host_processor);
  return {config_.system_defaults ? std::vector<int>{}
          : reserved(host)        ? off_->others()
                                  : config_.processors[host].cores,
          realtime_ ? kFifoRelease : 0};
}

bool finish_jobs(Dispatcher& dispatcher, Duration patience) {
  constexpr auto kLook = std::chrono::milliseconds(2);
  const Time end = MonotonicClock::now() + patience;
  while (dispatcher.pending() > 0 && MonotonicClock::now() < end) std::this_thread::sleep_for(kLook);
  if (dispatcher.pending() == 0) return false;
  dispatcher.drop_waiting();
  dispatcher.cancel();
  while (dispatcher.pending() > 0) std::this_thread::sleep_for(kLook);
  return true;
}

}  // namespace rtmdl
