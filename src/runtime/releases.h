#pragma once
/// The release thread: every task's releases at moments that are known beforehand, in time, whatever the jobs do.

#include "base/context.h"
#include "base/thread_placement.h"
#include "runtime/dispatcher.h"
#include "runtime/transition_gate.h"
#include "task/arrival_spec.h"

#include <optional>
#include <vector>

namespace rtmdl {

struct ReleaseSpec {
  Duration period{}, offset{}, jitter{};
  std::optional<Duration> abort_at{};  ///< after the nominal release: the job's deadline, where it is then given up
  ArrivalSpec arrivals{};
  bool follows = false;  ///< another task's jobs release it: not played
};

/// `placement` is of the release thread: on the core of the first stages, waking them is a switch and not an interrupt
/// to another core. Plays releases from `start` for `duration` (absent: until Context::stopping()), on a thread of its
/// own that preempts all work; returns how long it played. Blocks. Job k of task i is released at start + the k-th of
/// Arrivals(…, seed, i) + release_jitter(seed, i, k), until a transition that comes through `gate` changes what is
/// released: then it goes on as in the simulator.
Duration play_releases(Dispatcher& dispatcher, const std::vector<ReleaseSpec>& tasks, Time start,
                       std::optional<Duration> duration, std::uint64_t seed, const ThreadPlacement& placement,
                       const Context& context, TransitionGate* gate = nullptr);

}  // namespace rtmdl
