#pragma once
/// A folder with a task file, a real model and a compiled plan, as `rtmdl plan` would leave it.

#include "base/thread_placement.h"
#include "data/pipeline.h"
#include "profiling/task_folder.h"
#include "runtime/compiled_plan.h"

#include <fmt/format.h>

#include <filesystem>
#include <string>

namespace rtmdl {

struct PlannedFolder : TaskFolder {
  /// Classifies pictures of 28 x 28 in about a millisecond. `more`: keys of the task file, of every task.
  explicit PlannedFolder(int tasks = 1, const std::string& more = "") {
    const std::string model = std::string(RTMDL_SOURCE_DIR) + "/examples/edge-box/models/fashion_resnet18.onnx";
    std::string text = fmt::format("processors: {{cpu: {{cores: [{}]}}}}\ntasks:\n", available_cores().front());
    for (int t = 0; t < tasks; ++t)
      text += fmt::format(
          "  - {{name: t{}, model: {}, shapes: {{image: [1, 1, 28, 28]}}, data: {{source: synthetic, shape: [1, 1, 28, "
          "28]}}, post: {{kind: classes, k: 1}}, period: 20 ms{}}}\n",
          t, model, more);
    write("tasks.yaml", text);
    plan();
  }

  /// With `fall_back_after`, to the same model called "other".
  void plan(int fall_back_after = 0) const {
    const TaskFile file = TaskFile::load(tasks());
    RunConfig config;
    config.processors = file.processors;
    for (std::size_t t = 0; t < file.tasks.size(); ++t) {
      RunTask task;
      task.spec = &file.tasks[t];
      task.variant = "source";
      task.request = load_request(file.tasks[t], file.tasks[t].model);
      task.priority = static_cast<int>(t) + 1;
      if (const auto& power = file.processors.front().power) {
        task.stage_watts.assign(3, power->of_slot(1));
        task.joules = 0.001 * power->of_slot(1);
      }
      if (fall_back_after > 0) {
        task.failures_to_fall_back = fall_back_after;
        task.fallbacks.push_back(task);
        task.fallbacks[0].variant = "other";
      }
      config.tasks.push_back(std::move(task));
    }
    save_compiled_plan(compiled(), file, config);
  }

  [[nodiscard]] std::filesystem::path tasks() const { return path() / "tasks.yaml"; }
  [[nodiscard]] std::filesystem::path compiled() const { return path() / "tasks.workspace" / kCompiledPlanFile; }
};

}  // namespace rtmdl
