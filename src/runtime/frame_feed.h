#pragma once
/// Where the jobs of a task get their inputs from.

#include "data/frame.h"
#include "data/source.h"

#include <rtmdl/result.h>
#include "task/config_node.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rtmdl {

class FrameFeed {
 public:
  virtual ~FrameFeed() = default;
  /// Of a job that begins; stays as it is until it is given back. Null: the job is over already, and its frame gone.
  /// No allocation, no I/O.
  [[nodiscard]] virtual const Frame* take(std::uint64_t job) noexcept = 0;
  virtual void give_back(std::uint64_t /*job*/) noexcept {}
  /// A job is about to be released that works on this frame, or on that part of it. False: there is nothing to work on.
  /// Of tasks that run after others, as job_over() is. Neither allocates.
  [[nodiscard]] virtual bool hand_over(std::uint64_t /*job*/, const Frame& /*frame*/, const Box* /*part*/) noexcept {
    return true;
  }
  virtual void job_over(std::uint64_t /*job*/) noexcept {}
  /// To warm up with: one of each size that will come, if that is known. Not empty.
  [[nodiscard]] virtual std::span<const Frame> samples() const noexcept = 0;
};

/// Frames of a stream that are held in memory and played in a loop.
inline constexpr std::size_t kStreamFrames = 512;

/// A source's stream, decoded up front (at most `frame_limit` frames, 256 MB), played in a loop.
class StreamFeed final : public FrameFeed {
 public:
  /// `where` is the task's `data`, for the error of a source without frames. Throws Error.
  StreamFeed(const ConfigNode& where, Source& source, std::size_t frame_limit);

  const Frame* take(std::uint64_t job) noexcept override { return &frames_[job % frames_.size()]; }
  std::span<const Frame> samples() const noexcept override { return frames_; }

 private:
  std::vector<Frame> frames_;
};

}  // namespace rtmdl
