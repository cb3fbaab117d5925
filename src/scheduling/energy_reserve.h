#pragma once
/// How much energy there is to spend and how fast it gets less: what a budget has left, or what is stored.

#include <rtmdl/time.h>

#include <algorithm>
#include <optional>

namespace rtmdl {

/// What the box may draw on average. What it leaves it may draw later, as far as `burst` holds that.
struct EnergyBudget {
  double watts = 0;  ///< 0: there is none
  double burst = 0;  ///< joules
};
/// A burst is what two seconds of the budget hold; half of it is there at the start.
[[nodiscard]] constexpr EnergyBudget budget_of(double watts) { return {watts, 2 * watts}; }

/// A reserve is looked at no more often than that.
inline constexpr Duration kEnergyLook = std::chrono::milliseconds(100);

class EnergyReserve {
 public:
  /// `size`: joules, when it is full; 0: there is none. `empty`: of what see() is told, where it is empty; absent: it
  /// is half full at the first look.
  void reset(double size, std::optional<double> empty = {}) noexcept {
    *this = {};
    size_ = size;
    empty_ = empty;
  }
  /// Joules that have come until now less those that have gone, counted from anywhere. Whether anything is known by
  /// now that was not before.
  bool see(double joules, Time now) noexcept {
    if (size_ <= 0 || (seen_ && now - *seen_ < kEnergyLook)) return false;
    const bool first = !seen_;
    if (!first) {
      const double seconds = to_seconds(now - *seen_);
      drain_ += seconds / (seconds + kSmoothing) * ((joules_ - joules) / seconds - drain_);
    }
    seen_ = now;
    joules_ = joules;
    empty_ = std::max(empty_.value_or(joules - size_ / 2), joules - size_);  // what it cannot hold is lost
    return !first;
  }
  [[nodiscard]] bool is_there() const noexcept { return size_ > 0; }
  /// Of what it holds, 0 to 1; less than 0: too much was drawn.
  [[nodiscard]] double level() const noexcept { return empty_ ? (joules_ - *empty_) / size_ : 0.5; }
  /// Watts to be saved, so that it gets full again in a while. None until it is low, nor while it fills up fast enough.
  [[nodiscard]] double shortage() const noexcept {
    const double refill = size_ / kRefill;
    return level() < kLow && drain_ > -refill / 2 ? drain_ + refill : 0;
  }
  [[nodiscard]] bool is_high() const noexcept { return level() > kHigh; }
  /// Watts that could be drawn besides, for ever; less than 0: it gets less.
  [[nodiscard]] double spare() const noexcept { return -drain_; }
  /// So much more will be drawn from now on.
  void expect(double watts) noexcept { drain_ += watts; }

 private:
  static constexpr double kLow = 0.25, kHigh = 0.75;
  static constexpr double kSmoothing = 1, kRefill = 40;  ///< seconds
  double size_ = 0, joules_ = 0;
  double drain_ = 0;  ///< watts, smoothed
  std::optional<double> empty_;
  std::optional<Time> seen_;
};

}  // namespace rtmdl
