#pragma once
/// Inputs that a program submits, held where they are until their jobs are over.

#include "base/priority_mutex.h"
#include "runtime/frame_feed.h"

#include <rtmdl/input.h>
#include <rtmdl/runtime.h>

#include <array>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace rtmdl {

/// Thread-safe. Nothing but the constructor allocates; what an input's owner does when it is let go is its own affair.
class SubmittedFeed final : public FrameFeed {
 public:
  /// `samples`: to warm up with, not empty.
  explicit SubmittedFeed(std::vector<Frame> samples) : samples_(std::move(samples)) {}

  /// Whether it is a picture or a tensor of a size that can be.
  [[nodiscard]] static bool usable(const Input& input) noexcept;
  /// Takes `answer` over. False, and nothing done: kMaxPending inputs are held.
  [[nodiscard]] bool put(std::uint64_t job, const Input& input, std::promise<JobOutput>* answer) noexcept;

  /// What was given with a job whose place was not released.
  [[nodiscard]] std::int64_t tag(std::uint64_t job) noexcept;
  [[nodiscard]] std::unique_ptr<std::promise<JobOutput>> take_answer(std::uint64_t job) noexcept;
  /// The job is over. The input is let go now, or when who took it gives it back.
  void release(std::uint64_t job) noexcept;

  const Frame* take(std::uint64_t job) noexcept override;
  void give_back(std::uint64_t job) noexcept override;
  std::span<const Frame> samples() const noexcept override { return samples_; }

 private:
  struct Place {
    std::uint64_t job = 0;
    int holders = 0;  ///< the job until it is over, and whoever reads the frame; 0: the place is free
    Frame frame;      ///< looks into `input`
    Input input;
    std::unique_ptr<std::promise<JobOutput>> answer;
  };
  [[nodiscard]] Place* find(std::uint64_t job) noexcept;
  void leave(std::uint64_t job) noexcept;

  std::vector<Frame> samples_;
  PriorityMutex lock_;
  std::array<Place, Runtime::kMaxPending> places_;
};

}  // namespace rtmdl
