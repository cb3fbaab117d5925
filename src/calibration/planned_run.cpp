#include "calibration/planned_run.h"

#include "base/units.h"
#include "data/pipeline.h"
#include "model/exits.h"
#include "planning/energy.h"
#include "planning/fallback.h"
#include "planning/lighter.h"
#include "planning/response_time.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// Of what a stage may run: the kernel's throttling alone stops real-time threads for 50 ms.
constexpr Duration kShortestLimit = std::chrono::milliseconds(100);

const Variant& find_variant(const TaskVariants& task, const std::string& id) {
  const auto found =
      std::find_if(task.variants.begin(), task.variants.end(), [&](const Variant& v) { return v.id == id; });
  if (found == task.variants.end())
    bad_input(fmt::format(
        "task '{}' has no variant '{}' in the workspace: run `rtmdl scale`, `rtmdl profile` and `rtmdl plan` again",
        task.task, id));
  return *found;
}

/// In the task file, of a stage's processor.
int processor_of(const TaskFile& file, const PlanProblem& problem, const StageOption& stage) {
  return file.processor_index(problem.processors[static_cast<std::size_t>(stage.processor)].name);
}

/// Of each segment; of one that all run on, once.
std::vector<RunPlace> run_places(const TaskFile& file, const PlanProblem& problem, const TaskOption& option) {
  std::vector<RunPlace> places;
  for (std::size_t s = 1; s + 1 < option.stages.size(); ++s) {
    const int p = processor_of(file, problem, option.stages[s]);
    const int threads = threads_on(file.processors[static_cast<std::size_t>(p)], option.threads);
    places.push_back({p, threads, option.stages[s].slots});
  }
  if (!is_split(option)) places.resize(1);
  return places;
}

/// `by_load`: jobs may be made to leave at exits.
void set_mode(RunMode& mode, const TaskFile& file, std::size_t t, const TaskOption& option, const PlanProblem& problem,
              const TaskVariants& variants, bool by_load) {
  const Variant& variant = find_variant(variants, option.variant);
  mode.variant = variant.id;
  mode.profiled_accuracy = option.accuracy;
  mode.request = load_request(file.tasks[t], variant.path, variant.shapes);
  mode.request.cuts = option.cuts;
  if (option.optional_from > 0) mode.request.exits = read_exits(load_model(variant.path));
  take_exits(problem.tasks[t], option, by_load, mode);
  mode.places = run_places(file, problem, option);
  mode.joules = option.joules;
  for (const StageOption& stage : option.stages) {
    const Duration dispatch = dispatch_cost(problem, stage.processor);
    mode.stage_times.push_back(expected_time(stage, dispatch));
    mode.stage_loads.push_back(expected_load(stage, dispatch));
    mode.stage_watts.push_back(stage_watts(problem, stage));
    mode.stage_bounds.push_back(longest_time(stage, dispatch));
    if (file.tasks[t].watchdog > 0)
      mode.stage_limits.push_back(std::max(
          kShortestLimit, from_seconds(file.tasks[t].watchdog * to_seconds(stage.times.quantile(0.99) + dispatch))));
  }
}

/// Of the chosen options, on one way to run a task.
void set_pressures(RunMode& mode, const PlanProblem& problem, const TaskOption& slowed, const Choices& choices) {
  if (slowed.kind < 0) return;
  for (std::size_t t = 0; t < choices.size(); ++t)
    mode.pressures.push_back(pressure(problem, slowed, problem.tasks[t].options[index(choices[t].option)]).value_or(1));
}

/// What a task falls back to, as far as the bound on memory allows; where that is one of the lighter variants, these
/// one after the other.
void add_fallback(RunConfig& config, RunTask& task, const TaskFile& file, const PlanProblem& problem, std::size_t t,
                  const Choices& choices, const TaskVariants& variants, const std::vector<int>& lighter, bool by_load,
                  std::int64_t& memory) {
  const int after = file.tasks[t].fallback.after;
  if (after == 0 || config.system_defaults) return;
  const TaskOption* option = fallback_of(problem, choices, t);
  if (!option) return;
  const auto is_loaded = [&](int o) { return &problem.tasks[t].options[index(o)] == option; };
  if (std::any_of(lighter.begin(), lighter.end(), is_loaded)) {
    task.failures_to_fall_back = after;
    return;
  }
  if (problem.memory && memory + option->memory > *problem.memory) {
    config.notes.push_back(fmt::format(
        "{} has nothing to fall back to: {} would take {} beyond the {} of `memory`", task.spec->name, option->variant,
        format_bytes(memory + option->memory - *problem.memory), format_bytes(*problem.memory)));
    return;
  }
  memory += option->memory;
  set_mode(task.fallbacks.emplace_back(), file, t, *option, problem, variants, by_load);
  set_pressures(task.fallbacks.back(), problem, *option, choices);
  task.failures_to_fall_back = after;
}

}  // namespace

RunConfig make_run_config(const TaskFile& file, const PolicyInfo& policy, const PlanProblem& problem,
                          const Choices& choices, const std::vector<TaskVariants>& variants) {
  RunConfig config;
  config.name = policy.name;
  config.policy = policy.order;
  config.system_defaults = policy.system_defaults;
  config.processors = file.processors;
  config.host_processor = file.host_processor();
  config.energy.meter = file.energy.meter;
  config.energy.limit = file.energy.watts;
  if (problem.supply && !policy.system_defaults) {
    config.energy.supply = problem.supply;
    config.energy.rule = energy_rule(problem, choices);
  }
  const auto chosen = [&](std::size_t t) -> const TaskOption& {
    return problem.tasks[t].options[static_cast<std::size_t>(choices[t].option)];
  };
  std::vector<std::vector<int>> lighter(file.tasks.size());
  if (policy.adapts) lighter = lighter_options(problem, choices);
  std::int64_t memory = 0;
  for (std::size_t t = 0; t < file.tasks.size(); ++t) {
    memory += chosen(t).memory;
    for (const int o : lighter[t]) memory += problem.tasks[t].options[index(o)].memory;
  }
  for (std::size_t t = 0; t < file.tasks.size(); ++t) {
    RunTask task;
    set_mode(task, file, t, chosen(t), problem, variants[t], policy.adapts);
    set_pressures(task, problem, chosen(t), choices);
    task.spec = &file.tasks[t];
    task.source_accuracy = source_accuracy(chosen(t));
    task.priority = choices[t].priority;
    task.interval = mean_interval(problem.tasks[t]);
    task.utilisation = utilisation(problem.tasks[t], chosen(t));
    add_fallback(config, task, file, problem, t, choices, variants[t], lighter[t], policy.adapts, memory);
    for (const int o : lighter[t]) {
      const TaskOption& option = problem.tasks[t].options[index(o)];
      set_mode(task.fallbacks.emplace_back(), file, t, option, problem, variants[t], policy.adapts);
      set_pressures(task.fallbacks.back(), problem, option, choices);
      task.fallbacks.back().loss = weighted_loss(problem.tasks[t], option, chosen(t));
    }
    config.tasks.push_back(std::move(task));
  }
  return config;
}

std::vector<std::vector<int>> lighter_modes(const RunConfig& config) {
  std::vector<std::vector<int>> modes;
  for (const RunTask& task : config.tasks) {
    std::vector<int>& of_task = modes.emplace_back();
    for (std::size_t m = 0; m < task.fallbacks.size(); ++m)
      if (task.fallbacks[m].loss) of_task.push_back(static_cast<int>(m) + 1);
  }
  return modes;
}

bool order_is_fixed(const RunConfig& config) {
  const auto has_threads = [](const RunMode& mode) {
    return std::any_of(mode.places.begin(), mode.places.end(), [](const RunPlace& p) { return p.threads > 1; });
  };
  const auto on_device = [&](const RunTask& task) {
    return std::any_of(task.places.begin(), task.places.end(), [&](const RunPlace& p) {
      return config.processors[static_cast<std::size_t>(p.processor)].device.find(':') != std::string::npos;
    });
  };
  return std::count_if(config.tasks.begin(), config.tasks.end(), on_device) > 1 ||
         std::any_of(config.tasks.begin(), config.tasks.end(), [&](const RunTask& task) {
           return has_threads(task) || std::any_of(task.fallbacks.begin(), task.fallbacks.end(), has_threads);
         });
}

}  // namespace rtmdl
