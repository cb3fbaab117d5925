#include "runtime/transition_gate.h"

#include <chrono>
#include <thread>

namespace rtmdl {

std::optional<TransitionEnd> TransitionGate::pass(Transition transition, const std::atomic<bool>& stopping) {
  constexpr auto kLookForEnd = std::chrono::milliseconds(1);
  transition_ = std::move(transition);
  asked_.store(true, std::memory_order_release);
  while (asked_.load(std::memory_order_acquire)) {
    if (stopping.load(std::memory_order_relaxed)) return {};
    std::this_thread::sleep_for(kLookForEnd);
  }
  return end_;
}

}  // namespace rtmdl
