#pragma once
/// When something of each task of a simulation comes next, in nanoseconds from its start.

#include "task/limits.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace rtmdl {

/// Of each task, and of two other things. Minima of blocks of eight, so that an update and a
/// look cost about 8 + n/8 comparisons: faster than a heap for the at most 64 tasks there can be. The last block is
/// theirs.
class EventTimes {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  static constexpr int kOther = kMaxTasks, kLook = kMaxTasks + 1;

  void reset() noexcept {
    times_.fill(kNever);
    blocks_.fill(kNever);
    used_ = 0;
    next_ = kNever;
  }
  void set(int task, std::int64_t time) noexcept {
    const std::size_t i = static_cast<std::size_t>(task);
    times_[i] = time;
    const std::size_t block = i / 8;
    std::int64_t least = kNever;
    for (std::size_t k = block * 8; k < block * 8 + 8; ++k) least = std::min(least, times_[k]);
    blocks_[block] = least;
    used_ = std::max(used_, block + 1);
    next_ = kNever;
    for (std::size_t b = 0; b < used_; ++b) next_ = std::min(next_, blocks_[b]);
  }
  [[nodiscard]] std::int64_t next() const noexcept { return next_; }
  [[nodiscard]] int next_task() const noexcept {
    std::size_t b = 0;
    while (blocks_[b] != next_) ++b;
    std::size_t i = b * 8;
    while (times_[i] != next_) ++i;
    return static_cast<int>(i);
  }

 private:
  std::array<std::int64_t, kMaxTasks + 8> times_{};
  std::array<std::int64_t, kMaxTasks / 8 + 1> blocks_{};
  std::size_t used_ = 0;
  std::int64_t next_ = kNever;
};

}  // namespace rtmdl
