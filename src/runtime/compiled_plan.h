#pragma once
/// A plan with all that is needed to run it, and nothing that is needed to make it: which file each task loads, where,
/// with how many threads, how urgent. A program that only runs opens this (compiled.json in the workspace) and the task
/// file; no profile, no database, no search.

#include "runtime/run_config.h"

#include "task/task_file.h"

#include <filesystem>
#include <memory>

namespace rtmdl {

inline constexpr const char* kCompiledPlanFile = "compiled.json";  ///< in the workspace

/// `config` points into `file`.
struct CompiledPlan {
  std::unique_ptr<TaskFile> file;  ///< with the times that were planned for (plan --load stretches them)
  RunConfig config;
};

/// Writes `config` (of `file`) to `path`, atomically; nothing if the same is there already. Model files in the
/// workspace are named relative to `path`, so that the folder can be copied to another box. Throws Error(bad_input).
void save_compiled_plan(const std::filesystem::path& path, const TaskFile& file, const RunConfig& config);

/// `tasks`: the task file, whatever folder the plan is in now. Throws Error(bad_input): no plan, not a plan, a plan of
/// another version of the task file, model files that are not there or are others.
[[nodiscard]] CompiledPlan load_compiled_plan(const std::filesystem::path& path, const std::filesystem::path& tasks);

}  // namespace rtmdl
