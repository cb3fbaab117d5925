#pragma once
/// Tells the dispatcher when deadlines come, of jobs that are released at any time.

#include "base/priority_mutex.h"
#include "base/thread_placement.h"
#include "runtime/dispatcher.h"

#include <cstdint>
#include <thread>
#include <vector>

#include <pthread.h>

namespace rtmdl {

/// A thread of its own. Calls Dispatcher::expire() for what is watched.
class DeadlineTimer {
 public:
  /// At most `capacity` deadlines at a time; more are forgotten.
  DeadlineTimer(Dispatcher& dispatcher, std::size_t capacity, const ThreadPlacement& placement);
  ~DeadlineTimer();
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  /// From any thread. No allocation.
  void watch(int task, std::uint64_t job, Time deadline) noexcept;
  /// The job is over. Nothing if its deadline came.
  void forget(int task, std::uint64_t job) noexcept;

 private:
  struct Watched {
    Time deadline{};
    std::uint64_t job = 0;
    int task = 0;
    /// For a heap with the earliest in front.
    friend bool operator<(const Watched& a, const Watched& b) noexcept { return a.deadline > b.deadline; }
  };
  void run(const ThreadPlacement& placement) noexcept;

  Dispatcher& dispatcher_;
  const std::size_t capacity_;
  std::vector<Watched> heap_;
  bool stopping_ = false;
  PriorityMutex lock_;
  pthread_cond_t changed_{};
  std::thread thread_;
};

}  // namespace rtmdl
