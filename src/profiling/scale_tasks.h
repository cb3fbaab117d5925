#pragma once
/// `rtmdl scale`: the variants of every task, made or found in the workspace, within the storage bound.

#include "base/context.h"
#include "engine/engine.h"
#include "scaling/fine_tuner.h"
#include "scaling/scale.h"
#include "task/workspace.h"

#include "task/task_file.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rtmdl {

struct ScaleTasksOptions {
  Duration budget{};       ///< for all tasks together; zero: none. Tasks begun after it get no new levels
  std::uint64_t seed = 1;  ///< of the data's splits and crops
  /// Also makes narrower and shallower forms, which takes minutes each. False: those that are in the workspace are
  /// used, no others are made.
  bool slim = false;
  FineTuner* tuner = nullptr;  ///< for them; null: they are cut and reconstructed only
  std::string no_tuner;        ///< why it is null, for people
  /// Makes one model's levels; empty: scale(). Tests put their own.
  std::function<ScaleOutcome(Engine&, const ScaleRequest&, const Context&)> scale;
};

struct TaskVariants {
  std::string task;
  std::vector<Variant>
      variants;  ///< "source" first unless the storage bound dropped it; never empty unless the work was stopped
  std::vector<std::string> refused;  ///< levels that are none, one line each
  std::vector<std::string> dropped;  ///< by the storage bound, one line each
  bool reused = false;               ///< found in the store: nothing was made
  bool finished = true;              ///< false: stopped, or the budget was spent; the next start goes on
};

/// One per task, in the task file's order. Reuses what the store holds; files are content-addressed and results are
/// stored task by task, so that a killed call is continued by the next. Throws Error: bad_input (model, data, a source
/// below accuracy.min), infeasible (the storage bound is below the least possible). When the context is stopped,
/// returns what is complete.
[[nodiscard]] std::vector<TaskVariants> scale_tasks(Engine& engine, const TaskFile& file, const Workspace& workspace,
                                                    const ScaleTasksOptions& options, const Context& context);

/// Bytes of the distinct files of all variants: what the storage bound limits.
[[nodiscard]] std::int64_t stored_bytes(const std::vector<TaskVariants>& tasks);

}  // namespace rtmdl
