#pragma once
/// What cannot work is refused before any work that takes minutes.

#include "engine/engine.h"

#include "task/task_file.h"

#include <cstdint>

namespace rtmdl {

/// Opens the data of every task, loads its models, puts one frame through each, and looks for every accelerator. Throws
/// Error: bad_input with the place in the task file, or missing_device.
void check_tasks(Engine& engine, const TaskFile& file, std::uint64_t seed);

}  // namespace rtmdl
