#pragma once
/// Where a thread runs and how the kernel treats it.

#include <pthread.h>
#include <vector>

namespace rtmdl {

struct ThreadPlacement {
  std::vector<int> cores;  ///< empty: any
  int fifo_priority = 0;   ///< 1..99: SCHED_FIFO; 0: SCHED_OTHER; -1: SCHED_IDLE (work that must disturb nobody)
};

/// Places the calling thread: cores first (so they hold even if the policy is refused), then the policy.
/// False with errno set if the kernel refuses either.
bool place_current_thread(const ThreadPlacement& placement) noexcept;

/// Lets a thread run on these cores only. 0, or the kernel's error.
int bind_thread(pthread_t thread, const std::vector<int>& cores) noexcept;

/// Whether this process may use SCHED_FIFO at all; asks the kernel with a short-lived thread.
[[nodiscard]] bool realtime_permitted() noexcept;

/// What the kernel gives to real-time threads of every core, as a share of each second (sched_rt_runtime_us); 1: all,
/// or not known.
[[nodiscard]] double realtime_share();

/// Cores that this process may run on, ascending.
[[nodiscard]] std::vector<int> available_cores();

}  // namespace rtmdl
