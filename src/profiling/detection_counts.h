#pragma once
/// How much a detector gives to the tasks that run on what it finds.

#include "base/context.h"
#include "engine/engine.h"
#include "profiling/content_key.h"
#include "profiling/store.h"

#include "task/task_file.h"

#include <cstdint>
#include <vector>

namespace rtmdl {

/// Of so many frames of the stream.
inline constexpr std::size_t kCountedFrames = 128;

/// Boxes (up to 255) that the task's source model finds on each of the first frames of its stream, in the order in
/// which a run plays them. From the store, or counted and stored. Empty if the context is stopped. Throws Error.
[[nodiscard]] std::vector<std::uint8_t> detection_counts(Engine& engine, const TaskSpec& task, Store& store,
                                                         ContentHashes& hashes, std::uint64_t seed,
                                                         const Context& context);

}  // namespace rtmdl
