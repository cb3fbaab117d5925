#include "planning/simulator.h"

#include "planning/energy.h"
#include "planning/lighter.h"
#include "planning/simulator_state.h"
#include "scheduling/arrivals.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rtmdl {

std::vector<Duration> release_times(const PlanProblem& problem, int task, Duration length, std::uint64_t seed) {
  const PlanTask& of = problem.tasks[index(task)];
  std::vector<Duration> times;
  for (Arrivals next(of.arrivals, of.period, of.offset, seed, task); next.next() < length; next.advance())
    times.push_back(next.next());
  return times;
}

std::vector<std::int64_t> most_releases(const PlanProblem& problem, Duration length, std::uint64_t seed) {
  std::vector<std::int64_t> released;
  for (const PlanTask& task : problem.tasks) {
    const int i = static_cast<int>(released.size()), before = task.after.task;
    std::int64_t& jobs = released.emplace_back(0);
    if (before < 0) jobs = static_cast<std::int64_t>(release_times(problem, i, length, seed).size());
    for (std::int64_t k = 0; before >= 0 && k < released[index(before)]; ++k)
      jobs += released_by(problem.tasks[index(before)], static_cast<std::uint64_t>(k), task.after);
  }
  return released;
}

double SimulationOutcome::miss_rate() const {
  std::int64_t released = 0, missed = 0;
  for (const TaskOutcome& task : tasks) {
    released += task.released;
    missed += task.missed;
  }
  return released ? static_cast<double>(missed) / static_cast<double>(released) : 0;
}

Simulator::Simulator(const PlanProblem& problem) {
  SchedulerConfig config;
  for (const PlanProcessor& p : problem.processors) config.processors.push_back({p.preemptive, p.slots});
  for (const PlanTask& task : problem.tasks) {
    const auto name = [&] { return "task " + task.name; };
    if (task.period <= Duration{}) bad_input(name() + ": the period must be positive");
    if (task.options.empty()) bad_input(name() + " has no option to choose from");
    for (const TaskOption& option : task.options) {
      if (option.stages.empty()) bad_input(fmt::format("{}: option {} has no stage", name(), option.variant));
    }
    config.tasks.push_back({.period = mean_interval(task),
                            .deadline = task.deadline,
                            .priority = static_cast<int>(config.tasks.size()) + 1,
                            .queue = task.queue,
                            .stage_processors = {task.options.front().stages.front().processor}});
  }
  state_ = std::make_unique<State>(problem, std::move(config));
  State& s = *state_;
  for (std::size_t i = problem.tasks.size(); i-- > 0;)
    if (const int before = problem.tasks[i].after.task; before >= 0)
      s.followers[index(before)].push_back(static_cast<int>(i));
  for (std::size_t p = 0; p < problem.processors.size(); ++p) {
    s.first_slot.push_back(static_cast<int>(s.slots.size()));
    s.slots.resize(s.slots.size() + static_cast<std::size_t>(problem.processors[p].slots));
    s.packs |= problem.processors[p].slots > 1;
    s.slot_processor.resize(s.slots.size(), static_cast<int>(p));
    s.dispatch.push_back(dispatch_cost(problem, static_cast<int>(p)).count());
    const double share = problem.processors[p].realtime_share;
    State::Core core;
    if (share < 1) core.budget = static_cast<std::int64_t>(share * State::kThrottlePeriod), s.limited = true;
    s.cores.resize(s.slots.size(), core);
  }
  s.finish.resize(s.slots.size());
  s.busy.resize(problem.processors.size());
  s.outcome.busy.resize(problem.processors.size());
}

Simulator::~Simulator() = default;

template <typename Stages>
void Simulator::State::set_mode(std::size_t task, std::size_t mode, const TaskOption& option, bool adapts,
                                Stages& scheduled) {
  scheduled.stage_processors.clear();
  scheduled.stage_slots.clear();
  scheduled.stage_times.clear();
  scheduled.stage_loads.clear();
  scheduled.pressures.clear();
  scheduled.joules = option.joules;
  take_exits(problem.tasks[task], option, adapts, scheduled);
  tasks[task].options[mode] = &option;
  tasks[task].exits |= option.optional_from > 0;
  const bool times_count = packs || option.optional_from > 0;
  for (std::size_t k = 0; k < option.stages.size(); ++k) {
    const StageOption& from = option.stages[k];
    const Duration cost(dispatch[static_cast<std::size_t>(from.processor)]);
    scheduled.stage_processors.push_back(from.processor);
    scheduled.stage_slots.push_back(from.slots);
    if (times_count) scheduled.stage_times.push_back(expected_time(from, cost));
    if (adapts) scheduled.stage_loads.push_back(expected_load(from, cost));
    if (k >= kMaxStages) continue;  // the scheduler refuses it
    static const Duration kNone{};
    StageRun& to = tasks[task].modes[mode][k];
    to = {.sorted = &kNone, .draw = {problem, static_cast<int>(task), option, static_cast<int>(k)}};
    to.slot_watts = stage_watts(problem, from) / from.slots;
    to.can_be_cut = option.stages.size() < 3 || (k > 0 && k + 1 < option.stages.size());
    if (!from.times.sorted.empty()) to.sorted = from.times.sorted.data(), to.last = from.times.sorted.size() - 1;
    if (!from.alone.sorted.empty() && slots.size() > 1) {
      to.alone = from.alone.sorted.data();
      to.last_alone = from.alone.sorted.size() - 1;
      neighbours_count = true;
    }
  }
}

void Simulator::State::prepare(const Choices& choices, const SimulationOptions& options) {
  if (choices.size() != problem.tasks.size()) {
    bad_input(fmt::format("{} choices for {} tasks", choices.size(), problem.tasks.size()));
  }
  seed = options.seed;
  collect = options.collect_responses;
  config.policy = options.policy;
  config.energy = energy.reset(choices, options.length, options.machine);
  const bool keeps_budget = !options.lighter.empty() && energy.drawn();
  config.budget = budget_of(keeps_budget ? problem.power_limit.value_or(0) : 0);
  length = options.length;
  slowdowns = options.slowdowns;
  const bool stalling = options.machine && problem.stalls.per_second > 0 && !problem.stalls.lasting.empty();
  machine = (limited && options.machine) || stalling || energy.counts();
  neighbours_count = false;
  stalls.reset(stalling ? &problem.stalls : nullptr, options.seed);
  window_end = limited && options.machine ? kThrottlePeriod : kNever;
  counted = 0;
  for (Core& core : cores) core.used = 0, core.throttled = false, core.stalled_until = 0;
  releases.reset(options.length, options.seed, options.active);
  for (std::size_t i = 0; i < tasks.size(); ++i) prepare_task(i, choices[i], options);
  pressures.clear();
  if (neighbours_count && problem.slow_downs.kinds() > 0) prepare_pressures(choices, options.lighter);
  kind = loop_for(options);
  scheduler.reset(config);
  decisions.clear();
  if (energy.counts()) scheduler.set_energy(energy.joules(), Time{}, decisions);
  due.clear();
  std::fill(finish.begin(), finish.end(), kNever);
  std::fill(slots.begin(), slots.end(), SlotRun{});
  std::fill(busy.begin(), busy.end(), 0);
  clear_outcome(options);
  if (config.budget.watts > 0) look_at_budget(0);
  transitions.reset(options.transitions, decisions);
}

void Simulator::State::prepare_task(std::size_t i, const Choice& choice, const SimulationOptions& options) {
  const PlanTask& task = problem.tasks[i];
  const TaskOption& option = task.options.at(static_cast<std::size_t>(choice.option));
  const bool adapts = !options.lighter.empty();
  const std::span<const int> lighter = adapts ? std::span<const int>(options.lighter[i]) : std::span<const int>{};
  TaskRun& t = tasks[i];
  t.modes.resize(lighter.size() + 1);
  t.options.resize(lighter.size() + 1);
  t.exits = t.cancelled = false;
  t.most_misses = options.most_misses.empty() ? kNever : options.most_misses[i];
  SchedulerTask& scheduled = config.tasks[i];
  scheduled.priority = choice.priority;
  scheduled.late = task.late;
  scheduled.utilisation = options.policy == Policy::utilisation_monotonic ? utilisation(task, option) : 0;
  set_mode(i, 0, option, adapts, scheduled);
  scheduled.fallbacks.resize(lighter.size());
  for (std::size_t m = 0; m < lighter.size(); ++m) {
    const TaskOption& other = task.options.at(static_cast<std::size_t>(lighter[m]));
    set_mode(i, m + 1, other, true, scheduled.fallbacks[m]);
    scheduled.fallbacks[m].loss = weighted_loss(task, other, option);
  }
}

void Simulator::State::clear_outcome(const SimulationOptions& options) {
  outcome.events = 0;
  outcome.given_up = false;
  outcome.seconds = to_seconds(options.length);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    std::vector<float> responses = std::move(outcome.tasks[i].responses_ms);
    responses.clear();
    if (collect && releases.active(static_cast<int>(i)))
      responses.reserve(static_cast<std::size_t>(options.length / mean_interval(problem.tasks[i]) + 1));
    outcome.tasks[i] = {};
    outcome.tasks[i].responses_ms = std::move(responses);
  }
}

SimulatorLoop Simulator::State::loop_for(const SimulationOptions& options) const {
  if (machine || neighbours_count) return SimulatorLoop::paced;
  const bool any = std::any_of(tasks.begin(), tasks.end(), [](const TaskRun& t) { return t.exits; });
  const bool plain = !any && !energy.drawn() && slowdowns.empty() && options.transitions == nullptr &&
                     std::all_of(problem.tasks.begin(), problem.tasks.end(),
                                 [](const PlanTask& t) { return t.late != Late::abort && t.after.task < 0; });
  return plain ? SimulatorLoop::plain : SimulatorLoop::full;
}

void Simulator::State::prepare_pressures(const Choices& choices, std::span<const std::vector<int>> lighter) {
  const auto option = [&](std::size_t i) -> const TaskOption& {
    return problem.tasks[i].options[index(choices[i].option)];
  };
  for (std::size_t i = 0; i < tasks.size(); ++i)
    for (std::size_t j = 0; j < tasks.size(); ++j) {
      const std::optional<double> known = pressure(problem, option(i), option(j));
      pressures.push_back(known.value_or(-1));
      if (!packs) continue;
      SchedulerTask& scheduled = config.tasks[i];
      scheduled.pressures.push_back(known.value_or(1));
      for (std::size_t m = 0; m < scheduled.fallbacks.size(); ++m) {
        const TaskOption& other = problem.tasks[i].options[index(lighter[i][m])];
        if (other.kind >= 0)
          scheduled.fallbacks[m].pressures.push_back(pressure(problem, other, option(j)).value_or(1));
      }
    }
}

const SimulationOutcome& Simulator::run(const Choices& choices, const SimulationOptions& options,
                                        const std::function<void(const SimulatedEvent&)>& observer) {
  state_->prepare(choices, options);
  state_->play(observer);
  return state_->outcome;
}

}  // namespace rtmdl
