#include "runtime/pipeline_body.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {
constexpr int kWarmUps = 3;
constexpr std::size_t kMostFrameBytes = 256u << 20;  // 512 frames of 4K would need 12 GB, locked in memory
}  // namespace

PipelineBody::PipelineBody(Engine& engine, const TaskSpec& task, const LoadRequest& request, Source& source,
                           std::size_t frame_limit)
    : pipeline_(engine, task, request) {
  const std::size_t count = std::min(source.size(Split::stream), frame_limit);
  if (count == 0) task.data.fail("the source has no frames to play");
  frames_.reserve(count);
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < count && bytes < kMostFrameBytes; ++i) {
    frames_.push_back(source.read(Split::stream, i));
    bytes += frames_.back().image.total() * frames_.back().image.elemSize() + frames_.back().tensor.bytes.size();
  }
  frame_ = &frames_.front();
  pipeline_.prepare(result_);
}

std::int64_t PipelineBody::begin(std::uint64_t job) noexcept {
  job_ = job;
  frame_ = &frames_[job % frames_.size()];
  return frame_->index;
}

void PipelineBody::cancel(std::uint64_t job) noexcept {
  cancelled_ = job;
  pipeline_.executable().cancel();
}

bool PipelineBody::stage(int index) noexcept {
  pipeline_.executable().rearm();  // before the look: what is asked for after it stops the run
  if (cancelled_ == job_) return false;
  if (index == 0) return pipeline_.pre(*frame_);
  return index + 1 < stages() ? pipeline_.infer(index - 1) : pipeline_.post(result_);
}

void PipelineBody::warm_up(int index) {
  std::set<std::pair<int, int>> sizes;  // each needs its own tables: none may be made while jobs run
  for (const Frame& frame : frames_)
    if (index == 0 && sizes.emplace(frame.image.cols, frame.image.rows).second && !pipeline_.pre(frame))
      pipeline_.fail_at_pre(frame);
  frame_ = &frames_.front();
  // Stages build on each other: those before it run once, so that it has something to work on.
  for (int s = 0; s <= index; ++s) {
    for (int i = 0; i < (s == index ? kWarmUps : 1); ++i) {
      if (stage(s)) continue;
      if (s == 0) pipeline_.fail_at_pre(*frame_);
      bad_input(fmt::format("{} failed while warming up: {}", s + 1 < stages() ? "inference" : "post-processing",
                            pipeline_.executable().last_error()));
    }
  }
  pipeline_.executable().reset_state();
}

}  // namespace rtmdl
