#include "runtime/pipeline_body.h"

#include <rtmdl/error.h>

#include <set>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {
constexpr int kWarmUps = 3;
}  // namespace

PipelineBody::PipelineBody(Engine& engine, const TaskSpec& task, const LoadRequest& request, FrameFeed& feed,
                           const PlayedLoad* load)
    : pipeline_(engine, task, request), feed_(feed), load_(load), frame_(&feed.samples().front()) {
  pipeline_.prepare(result_);
  on_cpu_.assign(static_cast<std::size_t>(stages()), request.device == "cpu");
  on_cpu_.front() = on_cpu_.back() = true;
  for (std::size_t k = 0; k < request.places.size(); ++k) on_cpu_[k + 1] = request.places[k].device == "cpu";
}

std::int64_t PipelineBody::begin(std::uint64_t job) noexcept {
  job_ = job;
  frame_ = feed_.take(job);
  return frame_ ? frame_->index : -1;
}

void PipelineBody::cancel(std::uint64_t job) noexcept {
  cancelled_ = job;
  pipeline_.executable().cancel();
}

bool PipelineBody::stage(int index) {
  if (!load_) return work(index);
  return load_->stretch(on_cpu_[static_cast<std::size_t>(index)], [&] { return work(index); });
}

bool PipelineBody::work(int index) {
  pipeline_.executable().rearm();  // before the look: what is asked for after it stops the run
  if (index == 0) {
    const bool done = prepare_input();
    feed_.give_back(job_);
    return done;
  }
  failed_ = "it was cancelled";
  if (cancelled_ == job_) return false;
  const bool infers = index + 1 < stages();
  failed_ = infers ? "inference failed" : "post-processing refused the outputs (NaN, or a step of your own)";
  if (infers) return infer(index - 1);
  return exit_ < 0 ? pipeline_.post(result_) : pipeline_.post_at(exit_, result_);
}

bool PipelineBody::infer(int segment) {
  if (!pipeline_.infer(segment)) return false;
  exit_ = segment < pipeline_.exits() ? segment : -1;
  if (exit_ < 0) return true;
  const double confidence = pipeline_.confidence(exit_);
  answer_ = {pipeline_.is_sure(exit_, confidence), confidence};
  failed_ = "an exit's answer holds NaN";
  return confidence >= 0;
}

bool PipelineBody::prepare_input() noexcept {
  failed_ = "it was cancelled";
  if (cancelled_ == job_) return false;
  failed_ = "pre-processing failed";
  return frame_ && pipeline_.pre(*frame_);
}

const char* PipelineBody::last_error() const noexcept { return failed_; }

void PipelineBody::warm_up(int index) {
  std::set<std::pair<int, int>> sizes;  // each needs its own tables: none may be made while jobs run
  for (const Frame& frame : feed_.samples())
    if (index == 0 && sizes.emplace(frame.image.cols, frame.image.rows).second && !pipeline_.pre(frame))
      pipeline_.fail_at_pre(frame);
  frame_ = &feed_.samples().front();
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
