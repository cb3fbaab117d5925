#pragma once
/// Bounded single-producer, single-consumer queue. Wait-free, no allocation after construction.

#include <atomic>
#include <cstddef>
#include <vector>

namespace rtmdl {

template <typename T>
class Ring {
 public:
  explicit Ring(std::size_t capacity) : items_(capacity) {}

  /// Producer: false (and nothing done) when full.
  bool push(const T& item) noexcept {
    T* place = claim();
    if (!place) return false;
    *place = item;
    publish();
    return true;
  }
  /// Producer: the place of the next item, to be filled where it is; null when full.
  T* claim() noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == items_.size()) return nullptr;
    return &items_[tail % items_.size()];
  }
  void publish() noexcept { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  /// Consumer: the oldest item, or null; it stays until pop().
  T* front() noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return nullptr;
    return &items_[head % items_.size()];
  }
  void pop() noexcept { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  /// Before it is shared: every place, to reserve memory in.
  std::vector<T>& places() noexcept { return items_; }

 private:
  std::vector<T> items_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
};

}  // namespace rtmdl
