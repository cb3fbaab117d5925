#pragma once
/// Corrections of the planning model in the profile store. Keys are hashes over all that a correction depends on: the
/// model and its data, the machine, the engine's version, the layout of the processors.

#include "base/context.h"
#include "planning/model_correction.h"
#include "profiling/profiler.h"
#include "profiling/store.h"

#include "task/task_file.h"

#include <string>
#include <vector>

namespace rtmdl {

/// The box that was calibrated.
struct CalibratedBox {
  std::string machine, engine;
};

/// What is known of this file's options and processors. An entry that makes no sense is left out with one warning.
[[nodiscard]] ModelCorrection load_correction(Store& store, const CalibratedBox& box, const TaskFile& file,
                                              const std::vector<TaskProfile>& profile, const Context& context);

/// Replaces what the store knows of the options and processors in `correction`, all or nothing.
void save_correction(Store& store, const CalibratedBox& box, const TaskFile& file,
                     const std::vector<TaskProfile>& profile, const ModelCorrection& correction);

}  // namespace rtmdl
