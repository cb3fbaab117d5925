#include "runtime/deadline_timer.h"

#include "base/timespec.h"

#include <algorithm>
#include <mutex>

#include <time.h>

namespace rtmdl {

DeadlineTimer::DeadlineTimer(Dispatcher& dispatcher, std::size_t capacity, const ThreadPlacement& placement)
    : dispatcher_(dispatcher), capacity_(capacity) {
  heap_.reserve(capacity);
  pthread_condattr_t condition;
  pthread_condattr_init(&condition);
  pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
  pthread_cond_init(&changed_, &condition);
  pthread_condattr_destroy(&condition);
  thread_ = std::thread([this, placement] { run(placement); });
}

DeadlineTimer::~DeadlineTimer() {
  {
    const std::lock_guard<PriorityMutex> guard(lock_);
    stopping_ = true;
    pthread_cond_signal(&changed_);
  }
  thread_.join();
  pthread_cond_destroy(&changed_);
}

void DeadlineTimer::watch(int task, std::uint64_t job, Time deadline) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  if (heap_.size() == capacity_) return;
  heap_.push_back({deadline, job, task});
  std::push_heap(heap_.begin(), heap_.end());
  if (heap_.front().job == job && heap_.front().task == task) pthread_cond_signal(&changed_);
}

void DeadlineTimer::forget(int task, std::uint64_t job) noexcept {
  const std::lock_guard<PriorityMutex> guard(lock_);
  const auto found =
      std::find_if(heap_.begin(), heap_.end(), [&](const Watched& w) { return w.task == task && w.job == job; });
  if (found == heap_.end()) return;
  *found = heap_.back();
  heap_.pop_back();
  std::make_heap(heap_.begin(), heap_.end());
}

void DeadlineTimer::run(const ThreadPlacement& placement) noexcept {
  place_current_thread(placement);
  std::unique_lock<PriorityMutex> guard(lock_);
  while (!stopping_) {
    if (heap_.empty()) {
      pthread_cond_wait(&changed_, lock_.native_handle());
      continue;
    }
    const Watched first = heap_.front();
    if (first.deadline > MonotonicClock::now()) {
      const timespec until = to_timespec(first.deadline);
      pthread_cond_timedwait(&changed_, lock_.native_handle(), &until);
      continue;
    }
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    guard.unlock();
    dispatcher_.expire(first.task, first.job);
    guard.lock();
  }
}

}  // namespace rtmdl
