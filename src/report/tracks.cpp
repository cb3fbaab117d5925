#include "report/tracks.h"

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {

ProcessorTracks::ProcessorTracks(const RunOutcome& outcome) {
  std::vector<std::size_t> slots;
  for (const SchedulerProcessor& p : outcome.scheduler.processors)
    slots.push_back(static_cast<std::size_t>(std::max(1, p.slots)));
  slots.resize(std::max(slots.size(), outcome.processor_names.size()), 1);
  for (const JobRecord& r : outcome.records)
    for (int s = 0; s < recorded_stages(r); ++s) {
      const JobRecord::Stage& stage = r.stage[static_cast<std::size_t>(s)];
      if (!stage.ran()) continue;
      if (stage.processor >= slots.size()) slots.resize(stage.processor + std::size_t{1}, 1);
      slots[stage.processor] = std::max(slots[stage.processor], static_cast<std::size_t>(stage.slot()) + 1);
    }
  for (std::size_t p = 0; p < slots.size(); ++p) {
    first_.push_back(names_.size());
    std::string name = p < outcome.processor_names.size() ? outcome.processor_names[p] : fmt::format("processor {}", p);
    if (outcome.report.preemption == "none") name += ", any core";
    for (std::size_t slot = 0; slot < slots[p]; ++slot)
      names_.push_back(slots[p] > 1 ? fmt::format("{} slot {}", name, slot) : name);
  }
}

std::string stage_name(const RunOutcome& outcome, const JobRecord& record, int stage) {
  std::size_t stages = 3;
  if (record.task < outcome.scheduler.tasks.size()) {
    const SchedulerTask& task = outcome.scheduler.tasks[record.task];
    const bool fell_back = record.mode > 0 && record.mode <= task.fallbacks.size();
    const auto& on = fell_back ? task.fallbacks[record.mode - 1u].stage_processors : task.stage_processors;
    stages = std::max<std::size_t>(1, on.size());
  }
  const auto s = static_cast<std::size_t>(stage);
  if (stages == 1) return "infer";
  if (s == 0) return "pre";
  if (stages > 2 && s + 1 == stages) return "post";
  return stages > 3 ? fmt::format("infer {}", s) : "infer";
}

std::string task_name(const std::vector<TaskInfo>& tasks, std::size_t task) {
  return task < tasks.size() ? tasks[task].name : fmt::format("task {}", task);
}

std::vector<std::string> variant_names(const RunOutcome& outcome, std::size_t task) {
  if (task < outcome.variant_names.size()) return outcome.variant_names[task];
  return {task < outcome.report.tasks.size() ? outcome.report.tasks[task].variant : ""};
}

int recorded_stages(const JobRecord& record) { return std::min<int>(record.stages, kRecordedStages); }

}  // namespace rtmdl
