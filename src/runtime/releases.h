#pragma once
/// The release thread: every task's releases on an absolute grid, in time, whatever the jobs do.

#include "base/context.h"
#include "base/thread_placement.h"
#include "runtime/dispatcher.h"

#include <optional>
#include <vector>

namespace rtmdl {

struct ReleaseSpec {
  Duration period{}, offset{}, jitter{};
  std::optional<Duration> abort_at{};  ///< after the nominal release: the job's deadline, where it is then given up
};

/// `placement` is of the release thread: on the core of the first stages, waking them is a switch and not an interrupt
/// to another core. Plays releases from `start` for `duration` (absent: until Context::stopping()), on a thread of its
/// own that preempts all work; returns how long it played. Blocks. Job k of task i is released at start + offset +
/// k·period + release_jitter(seed, i, k).
Duration play_releases(Dispatcher& dispatcher, const std::vector<ReleaseSpec>& tasks, Time start,
                       std::optional<Duration> duration, std::uint64_t seed, const ThreadPlacement& placement,
                       const Context& context);

}  // namespace rtmdl
