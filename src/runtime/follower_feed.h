#pragma once
/// Inputs of a task that runs after another one: that one's frames, or what it found on them.

#include "base/priority_mutex.h"
#include "runtime/frame_feed.h"

#include "scheduling/scheduler.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace rtmdl {

/// Looks into the frames that it is handed, which must stay. Thread-safe.
class FollowerFeed final : public FrameFeed {
 public:
  /// `own`: a frame of the task's own data; `before`: frames as the other task gets them. All are warmed up with, so
  /// that no part of a frame is larger than what was seen.
  FollowerFeed(Frame own, std::span<const Frame> before);

  /// A part is cut at the frame's borders; an empty one is nothing to work on.
  [[nodiscard]] bool hand_over(std::uint64_t job, const Frame& frame, const Box* part) noexcept override;
  void job_over(std::uint64_t job) noexcept override;
  [[nodiscard]] const Frame* take(std::uint64_t job) noexcept override;
  void give_back(std::uint64_t job) noexcept override;
  [[nodiscard]] std::span<const Frame> samples() const noexcept override { return samples_; }

 private:
  struct Place {
    std::uint64_t job = 0;
    int holders = 0;  ///< the job until it is over, and whoever reads the frame; 0: the place is free
    Frame frame;
  };
  [[nodiscard]] Place* find(std::uint64_t job) noexcept;
  void leave(std::uint64_t job) noexcept;

  std::vector<Frame> samples_;
  PriorityMutex lock_;
  /// Jobs that wait, those that come at once, the one in progress, and those whose threads are stuck.
  std::array<Place, 2 * kMaxQueue + 1 + kMaxModes> places_;
};

}  // namespace rtmdl
