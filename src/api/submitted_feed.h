#pragma once
/// Inputs that a program submits, held where they are until their jobs are over.

#include "runtime/frame_feed.h"

#include <rtmdl/input.h>
#include <rtmdl/runtime.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace rtmdl {

class SubmittedFeed final : public FrameFeed {
 public:
  /// `samples`: to warm up with, not empty.
  explicit SubmittedFeed(std::vector<Frame> samples) : samples_(std::move(samples)) {}

  /// Whether it is a picture or a tensor of a size that can be.
  [[nodiscard]] static bool usable(const Input& input) noexcept;
  /// From one thread at a time. False, and nothing done: kMaxPending jobs from before are not over.
  [[nodiscard]] bool put(std::uint64_t job, const Input& input, std::promise<JobOutput>* answer) noexcept;

  /// From the thread that delivers: what was given with a job that is over, then its place is free.
  [[nodiscard]] std::int64_t tag(std::uint64_t job) const noexcept { return place(job).input.tag; }
  [[nodiscard]] std::unique_ptr<std::promise<JobOutput>> take_answer(std::uint64_t job) noexcept;
  void release(std::uint64_t job) noexcept;

  const Frame& frame(std::uint64_t job) noexcept override { return place(job).frame; }
  std::span<const Frame> samples() const noexcept override { return samples_; }

 private:
  struct Place {
    Frame frame;  ///< looks into `input`
    Input input;
    std::unique_ptr<std::promise<JobOutput>> answer;
    std::atomic<bool> taken{false};
  };
  [[nodiscard]] Place& place(std::uint64_t job) noexcept { return places_[job % Runtime::kMaxPending]; }
  [[nodiscard]] const Place& place(std::uint64_t job) const noexcept { return places_[job % Runtime::kMaxPending]; }

  std::vector<Frame> samples_;
  std::array<Place, Runtime::kMaxPending> places_;
};

}  // namespace rtmdl
