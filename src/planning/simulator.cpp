#include "planning/simulator.h"

#include "scheduling/arrivals.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

namespace rtmdl {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kFirstStageStream = 1 << 16;  ///< the streams below are the releases'

/// Names the random numbers of a task's stage.
constexpr std::uint64_t stream_of(int task, int stage) noexcept {
  return kFirstStageStream + static_cast<std::uint64_t>(task) * 256 + static_cast<std::uint64_t>(stage);
}
/// Uniform in [0, 2^32).
constexpr std::uint64_t draw(std::uint64_t seed, std::uint64_t stream, std::uint64_t job) noexcept {
  return mix(seed, stream, job) >> 32;
}
/// x · u / 2^32 without overflow for x below 2^47 ns (39 hours).
constexpr std::int64_t scaled(std::int64_t x, std::uint64_t u) noexcept {
  return (x * static_cast<std::int64_t>(u >> 16)) >> 16;
}
inline std::int64_t interpolated(const Duration* sorted, std::uint64_t last, std::uint64_t u) noexcept {
  const std::uint64_t position = u * last;
  const std::uint64_t below = position >> 32;
  const std::int64_t a = sorted[below].count();
  const std::int64_t b = sorted[below + (below < last)].count();
  return a + scaled(b - a, position & 0xffffffffULL);
}

/// When each task releases next. Minima of blocks of eight, so that an update and a look cost about 8 + n/8
/// comparisons: faster than a heap for the at most 64 tasks there can be.
class ReleaseTimes {
 public:
  void reset() noexcept {
    times_.fill(kNever);
    blocks_.fill(kNever);
    used_ = 0;
  }
  void set(int task, std::int64_t time) noexcept {
    const std::size_t i = static_cast<std::size_t>(task);
    times_[i] = time;
    const std::size_t block = i / 8;
    std::int64_t least = kNever;
    for (std::size_t k = block * 8; k < block * 8 + 8; ++k) least = std::min(least, times_[k]);
    blocks_[block] = least;
    used_ = std::max(used_, block + 1);
    next_ = kNever;
    for (std::size_t b = 0; b < used_; ++b) next_ = std::min(next_, blocks_[b]);
  }
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }
  [[nodiscard]] int next_task() const noexcept {
    std::size_t b = 0;
    while (blocks_[b] != next_) ++b;
    std::size_t i = b * 8;
    while (times_[i] != next_) ++i;
    return static_cast<int>(i);
  }

 private:
  std::array<std::int64_t, kMaxTasks> times_{};
  std::array<std::int64_t, kMaxTasks / 8> blocks_{};
  std::size_t used_ = 0;
  std::int64_t next_ = kNever;
};

struct StageRun {
  const Duration* sorted = nullptr;
  std::uint64_t last = 0;  ///< index of the largest sample
  std::uint64_t stream = 0;
};

struct TaskRun {
  Duration jitter{};
  std::int64_t period = 0, nominal = 0, actual = 0;
  std::int64_t left = 0;       ///< releases to come
  std::int64_t remaining = 0;  ///< of a preempted stage
  std::int64_t most_misses = kNever;
  std::uint64_t job = 0;
  std::array<StageRun, kMaxStages> stages{};
};

struct SlotRun {
  std::int64_t since = 0;
  int task = -1;
};

}  // namespace

std::int64_t releases_within(const PlanTask& task, Duration length) {
  return task.offset >= length ? 0 : (length - task.offset - Duration(1)) / task.period + 1;
}

Duration stage_time(std::uint64_t seed, int task, std::uint64_t job, int stage,
                    const TimeDistribution& times) noexcept {
  if (times.sorted.empty()) return Duration{};
  return Duration(interpolated(times.sorted.data(), times.sorted.size() - 1, draw(seed, stream_of(task, stage), job)));
}

double SimulationOutcome::miss_rate() const {
  std::int64_t released = 0, missed = 0;
  for (const TaskOutcome& task : tasks) {
    released += task.released;
    missed += task.missed;
  }
  return released ? static_cast<double>(missed) / static_cast<double>(released) : 0;
}

struct Simulator::State {
  SchedulerConfig config;
  Scheduler scheduler;
  Decisions decisions;
  ReleaseTimes releases;
  std::vector<TaskRun> tasks;
  std::vector<int> first_slot;       ///< per processor
  std::vector<std::int64_t> finish;  ///< per slot, kNever when nothing runs on it
  std::vector<SlotRun> slots;
  std::vector<int> slot_processor;
  std::vector<std::int64_t> busy;  ///< per processor
  SimulationOutcome outcome;

  explicit State(SchedulerConfig c) : config(std::move(c)), scheduler(config) {}
  void prepare(const PlanProblem& problem, const Choices& choices, const SimulationOptions& options);
  template <bool observed>
  void loop(std::int64_t dispatch, std::uint64_t seed, bool collect,
            const std::function<void(const SimulatedEvent&)>& observer);
};

Simulator::Simulator(const PlanProblem& problem) : problem_(problem) {
  SchedulerConfig config;
  for (const PlanProcessor& p : problem.processors) config.processors.push_back({p.preemptive, p.slots});
  for (const PlanTask& task : problem.tasks) {
    const auto name = [&] { return "task " + task.name; };
    if (task.period <= Duration{}) bad_input(name() + ": the period must be positive");
    if (task.options.empty()) bad_input(name() + " has no option to choose from");
    for (const TaskOption& option : task.options) {
      if (option.stages.empty()) bad_input(fmt::format("{}: option {} has no stage", name(), option.variant));
    }
    config.tasks.push_back({.period = task.period,
                            .deadline = task.deadline,
                            .priority = static_cast<int>(config.tasks.size()) + 1,
                            .queue = task.queue,
                            .stage_processors = {task.options.front().stages.front().processor}});
  }
  state_ = std::make_unique<State>(std::move(config));
  State& s = *state_;
  s.tasks.resize(problem.tasks.size());
  s.outcome.tasks.resize(problem.tasks.size());
  for (std::size_t p = 0; p < problem.processors.size(); ++p) {
    s.first_slot.push_back(static_cast<int>(s.slots.size()));
    s.slots.resize(s.slots.size() + static_cast<std::size_t>(problem.processors[p].slots));
    s.slot_processor.resize(s.slots.size(), static_cast<int>(p));
  }
  s.finish.resize(s.slots.size());
  s.busy.resize(problem.processors.size());
  s.outcome.busy.resize(problem.processors.size());
}

Simulator::~Simulator() = default;

void Simulator::State::prepare(const PlanProblem& problem, const Choices& choices, const SimulationOptions& options) {
  if (choices.size() != problem.tasks.size()) {
    bad_input(fmt::format("{} choices for {} tasks", choices.size(), problem.tasks.size()));
  }
  config.policy = options.policy;
  releases.reset();
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    const TaskOption& option = task.options.at(static_cast<std::size_t>(choices[i].option));
    SchedulerTask& scheduled = config.tasks[i];
    scheduled.priority = choices[i].priority;
    scheduled.stage_processors.clear();
    TaskRun& t = tasks[i];
    const int index = static_cast<int>(i);
    double mean = 0;
    for (std::size_t k = 0; k < option.stages.size(); ++k) {
      const auto& sorted = option.stages[k].times.sorted;
      scheduled.stage_processors.push_back(option.stages[k].processor);
      if (k >= t.stages.size()) continue;  // the scheduler refuses it below
      static const Duration kNone{};
      t.stages[k] = sorted.empty() ? StageRun{&kNone, 0, 0}
                                   : StageRun{sorted.data(), sorted.size() - 1, stream_of(index, static_cast<int>(k))};
      if (options.policy == Policy::utilisation_monotonic) mean += to_ms(option.stages[k].times.mean());
    }
    scheduled.utilisation = mean / to_ms(task.period);
    t.period = task.period.count();
    t.jitter = task.jitter;
    t.nominal = task.offset.count();
    t.job = 0;
    t.left = (options.active >> i & 1) ? releases_within(task, options.length) : 0;
    t.most_misses = options.most_misses.empty() ? kNever : options.most_misses[i];
    t.actual = t.nominal + release_jitter(options.seed, index, 0, task.jitter).count();
    if (t.left > 0) releases.set(index, t.actual);
    TaskOutcome& o = outcome.tasks[i];
    o.released = o.completed = o.missed = o.dropped = o.failed = 0;
    o.worst_response = {};
    o.responses_ms.clear();
    if (options.collect_responses) o.responses_ms.reserve(static_cast<std::size_t>(t.left));
  }
  scheduler.reset(config);
  std::fill(finish.begin(), finish.end(), kNever);
  std::fill(slots.begin(), slots.end(), SlotRun{});
  std::fill(busy.begin(), busy.end(), 0);
  outcome.events = 0;
  outcome.given_up = false;
}

template <bool observed>
void Simulator::State::loop(std::int64_t dispatch, std::uint64_t seed, bool collect,
                            const std::function<void(const SimulatedEvent&)>& observer) {
  const std::size_t slot_count = slots.size();
  std::int64_t now = 0;
  std::int64_t events = 0;
  while (!outcome.given_up) {
    std::size_t ending = 0;
    std::int64_t end = finish[0];
    for (std::size_t s = 1; s < slot_count; ++s) {
      if (finish[s] < end) end = finish[s], ending = s;
    }
    decisions.clear();
    if (end <= releases.next()) {
      if (end == kNever) break;
      now = end;
      finish[ending] = kNever;
      busy[static_cast<std::size_t>(slot_processor[ending])] += now - slots[ending].since;
      scheduler.complete(slots[ending].task, Time(Duration(now)), true, decisions);
    } else {
      const int task = releases.next_task();
      TaskRun& t = tasks[static_cast<std::size_t>(task)];
      now = t.actual;
      const std::int64_t nominal = t.nominal;
      ++outcome.tasks[static_cast<std::size_t>(task)].released;
      t.nominal += t.period;
      ++t.job;
      t.actual = std::max(now, t.nominal + release_jitter(seed, task, t.job, t.jitter).count());
      releases.set(task, --t.left > 0 ? t.actual : kNever);
      scheduler.release(task, Time(Duration(nominal)), Time(Duration(now)), decisions);
    }
    ++events;
    for (const Decision& d : decisions.items()) {
      const std::size_t slot = static_cast<std::size_t>(first_slot[d.processor] + d.slot);
      TaskRun& t = tasks[d.task];
      TaskOutcome& o = outcome.tasks[d.task];
      switch (d.kind) {
        case Decision::Kind::start: {
          const StageRun& stage = t.stages[d.stage];
          const std::int64_t time = interpolated(stage.sorted, stage.last, draw(seed, stage.stream, d.job));
          finish[slot] = now + time + dispatch;
          slots[slot] = {now, d.task};
          break;
        }
        case Decision::Kind::preempt:
          t.remaining = finish[slot] - now;
          finish[slot] = kNever;
          busy[d.processor] += now - slots[slot].since;
          break;
        case Decision::Kind::resume:
          finish[slot] = now + t.remaining;
          slots[slot] = {now, d.task};
          break;
        case Decision::Kind::finish: {
          const Duration response = Duration(now) - d.release.time_since_epoch();
          ++o.completed;
          o.missed += d.late;
          o.worst_response = std::max(o.worst_response, response);
          if (collect) o.responses_ms.push_back(static_cast<float>(to_ms(response)));
          outcome.given_up |= o.missed > t.most_misses;
          break;
        }
        case Decision::Kind::fail: break;  // nothing fails here
        case Decision::Kind::drop:
          ++o.dropped;
          ++o.missed;
          outcome.given_up |= o.missed > t.most_misses;
          break;
      }
      if constexpr (observed) observer({Time(Duration(now)), d});
    }
  }
  outcome.events = events;
  for (std::size_t p = 0; p < busy.size(); ++p) {
    const double capacity = static_cast<double>(std::max<std::int64_t>(now, 1)) * config.processors[p].slots;
    outcome.busy[p] = static_cast<double>(busy[p]) / capacity;
  }
}

const SimulationOutcome& Simulator::run(const Choices& choices, const SimulationOptions& options,
                                        const std::function<void(const SimulatedEvent&)>& observer) {
  State& s = *state_;
  s.prepare(problem_, choices, options);
  if (observer) {
    s.loop<true>(problem_.dispatch.count(), options.seed, options.collect_responses, observer);
  } else {
    s.loop<false>(problem_.dispatch.count(), options.seed, options.collect_responses, observer);
  }
  return s.outcome;
}

}  // namespace rtmdl
