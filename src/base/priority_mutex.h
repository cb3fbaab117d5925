#pragma once
/// A mutex that lends its holder the priority of whoever waits for it.

#include <rtmdl/time.h>

#include <pthread.h>
#include <time.h>

namespace rtmdl {

/// For std::lock_guard and std::unique_lock. Not recursive.
class PriorityMutex {
 public:
  PriorityMutex() noexcept {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&mutex_, &attributes);
    pthread_mutexattr_destroy(&attributes);
  }
  ~PriorityMutex() { pthread_mutex_destroy(&mutex_); }
  PriorityMutex(const PriorityMutex&) = delete;
  PriorityMutex& operator=(const PriorityMutex&) = delete;
  void lock() noexcept { pthread_mutex_lock(&mutex_); }
  [[nodiscard]] bool try_lock_for(Duration patience) noexcept {
    timespec until{};
    clock_gettime(CLOCK_REALTIME, &until);  // what a mutex with priority inheritance takes on every kernel
    const auto ns = until.tv_nsec + patience.count();
    until.tv_sec += static_cast<time_t>(ns / 1'000'000'000);
    until.tv_nsec = static_cast<long>(ns % 1'000'000'000);
    return pthread_mutex_timedlock(&mutex_, &until) == 0;
  }
  void unlock() noexcept { pthread_mutex_unlock(&mutex_); }
  [[nodiscard]] pthread_mutex_t* native_handle() noexcept { return &mutex_; }

 private:
  pthread_mutex_t mutex_{};
};

}  // namespace rtmdl
