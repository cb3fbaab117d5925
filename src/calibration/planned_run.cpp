#include "calibration/planned_run.h"

#include "base/units.h"
#include "data/pipeline.h"
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

bool is_accelerator(const TaskFile& file, const TaskOption& option) {
  return file.processors[static_cast<std::size_t>(file.processor_index(option.processor))].device != "cpu";
}

Duration mean_time(const TaskOption& option) {
  Duration sum{};
  for (const StageOption& stage : option.stages) sum += stage.times.mean();
  return sum;
}

/// Of the options that are another variant on the same processor, or the same on another, the fastest; null: none.
const TaskOption* fastest_other(const PlanTask& task, const TaskOption& planned, bool other_processor) {
  const TaskOption* best = nullptr;
  for (const TaskOption& option : task.options) {
    const bool same_variant = option.variant == planned.variant, same_processor = option.processor == planned.processor;
    if (same_variant != other_processor || same_processor == other_processor) continue;
    if (!best || mean_time(option) < mean_time(*best)) best = &option;
  }
  return best;
}

/// Where an accelerator may be lost, the same elsewhere comes first; else another, lighter model.
const TaskOption* fallback_of(const TaskFile& file, const PlanTask& task, const TaskOption& planned, FallbackTo to) {
  const bool processor_first = to == FallbackTo::processor || (to == FallbackTo::any && is_accelerator(file, planned));
  const TaskOption* found = fastest_other(task, planned, processor_first);
  return found || to != FallbackTo::any ? found : fastest_other(task, planned, !processor_first);
}

void set_mode(RunMode& mode, const TaskFile& file, std::size_t t, const TaskOption& option, const PlanProblem& problem,
              const TaskVariants& variants) {
  const Variant& variant = find_variant(variants, option.variant);
  mode.variant = variant.id;
  mode.request = load_request(file.tasks[t], variant.path, variant.shapes);
  mode.request.cuts = option.cuts;
  mode.processor = file.processor_index(option.processor);
  mode.threads = option.threads;
  mode.slots = slots_of(option);
  for (const StageOption& stage : option.stages) {
    const Duration dispatch = dispatch_cost(problem, stage.processor);
    mode.stage_times.push_back(expected_time(stage, dispatch));
    mode.stage_bounds.push_back(longest_time(stage, dispatch));
    if (file.tasks[t].watchdog > 0)
      mode.stage_limits.push_back(std::max(
          kShortestLimit, from_seconds(file.tasks[t].watchdog * to_seconds(stage.times.quantile(0.99) + dispatch))));
  }
}

/// What a task falls back to, as far as the bound on memory allows.
void add_fallback(RunConfig& config, RunTask& task, const TaskFile& file, const PlanProblem& problem, std::size_t t,
                  const TaskOption& planned, const TaskVariants& variants, std::int64_t& memory) {
  const FallbackSpec& spec = file.tasks[t].fallback;
  if (spec.after == 0 || config.system_defaults) return;
  const TaskOption* option = fallback_of(file, problem.tasks[t], planned, spec.to);
  if (!option) return;
  if (problem.memory && memory + option->memory > *problem.memory) {
    config.notes.push_back(fmt::format(
        "{} has nothing to fall back to: {} would take {} beyond the {} of `memory`", task.spec->name, option->variant,
        format_bytes(memory + option->memory - *problem.memory), format_bytes(*problem.memory)));
    return;
  }
  memory += option->memory;
  set_mode(task.fallbacks.emplace_back(), file, t, *option, problem, variants);
  task.failures_to_fall_back = spec.after;
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
  const auto chosen = [&](std::size_t t) -> const TaskOption& {
    return problem.tasks[t].options[static_cast<std::size_t>(choices[t].option)];
  };
  std::int64_t memory = 0;
  for (std::size_t t = 0; t < file.tasks.size(); ++t) memory += chosen(t).memory;
  for (std::size_t t = 0; t < file.tasks.size(); ++t) {
    RunTask task;
    set_mode(task, file, t, chosen(t), problem, variants[t]);
    task.spec = &file.tasks[t];
    task.priority = choices[t].priority;
    task.utilisation = utilisation(problem.tasks[t], chosen(t));
    add_fallback(config, task, file, problem, t, chosen(t), variants[t], memory);
    config.tasks.push_back(std::move(task));
  }
  return config;
}

}  // namespace rtmdl
