#pragma once
/// Between who decides on transitions, on a thread of the least urgency, and the release thread, which carries them
/// out: no lock, one of each.

#include "scheduling/transition.h"

#include <rtmdl/time.h>

#include <atomic>
#include <optional>
#include <utility>

namespace rtmdl {

class TransitionGate {
 public:
  /// Before the run: what it begins with.
  void begin_with(Transition first) { first_ = std::move(first); }
  [[nodiscard]] const std::optional<Transition>& first() const noexcept { return first_; }
  /// When the clock starts; before either thread looks.
  void set_start(Time start) noexcept { start_ = start; }
  [[nodiscard]] Time start() const noexcept { return start_; }

  /// Waits until it was carried out or has ended otherwise; nothing: `stopping`.
  [[nodiscard]] std::optional<TransitionEnd> pass(Transition transition, const std::atomic<bool>& stopping);

  // --- of the release thread ---
  /// What is to be carried out; null: nothing.
  [[nodiscard]] const Transition* waiting() const noexcept {
    return asked_.load(std::memory_order_acquire) ? &transition_ : nullptr;
  }
  void ended(const TransitionEnd& end) noexcept {
    end_ = end;
    asked_.store(false, std::memory_order_release);
  }

 private:
  std::optional<Transition> first_;
  Time start_{};
  Transition transition_;  ///< the release thread's while `asked_`
  TransitionEnd end_;
  std::atomic<bool> asked_{false};
};

}  // namespace rtmdl
