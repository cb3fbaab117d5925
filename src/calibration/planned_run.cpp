#include "calibration/planned_run.h"

#include "data/pipeline.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {
namespace {

const Variant& find_variant(const TaskVariants& task, const std::string& id) {
  const auto found =
      std::find_if(task.variants.begin(), task.variants.end(), [&](const Variant& v) { return v.id == id; });
  if (found == task.variants.end())
    bad_input(fmt::format(
        "task '{}' has no variant '{}' in the workspace: run `rtmdl scale`, `rtmdl profile` and `rtmdl plan` again",
        task.task, id));
  return *found;
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
  for (std::size_t t = 0; t < file.tasks.size(); ++t) {
    const TaskOption& option = problem.tasks[t].options[static_cast<std::size_t>(choices[t].option)];
    const Variant& variant = find_variant(variants[t], option.variant);
    RunTask task;
    task.spec = &file.tasks[t];
    task.variant = variant.id;
    task.request = load_request(file.tasks[t], variant.path, variant.shapes);
    task.priority = choices[t].priority;
    task.utilisation = utilisation(problem.tasks[t], option);
    task.processor = file.processor_index(option.processor);
    task.threads = option.threads;
    task.request.cuts = option.cuts;
    task.slots = slots_of(option);
    for (const StageOption& stage : option.stages)
      task.stage_times.push_back(expected_time(stage, dispatch_cost(problem, stage.processor)));
    config.tasks.push_back(std::move(task));
  }
  return config;
}

}  // namespace rtmdl
