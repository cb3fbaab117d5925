#pragma once
/// A job's stages as the real pipeline runs them: pre, infer (each segment of it), post.

#include "data/pipeline.h"
#include "runtime/frame_feed.h"
#include "runtime/job_body.h"
#include "runtime/played_load.h"

#include <atomic>
#include <cstdint>
#include <vector>

namespace rtmdl {

class PipelineBody final : public JobBody {
 public:
  /// `feed` and `load`, if there is one, outlive it. Throws Error.
  PipelineBody(Engine& engine, const TaskSpec& task, const LoadRequest& request, FrameFeed& feed,
               const PlayedLoad* load = nullptr);

  int stages() const noexcept override { return 2 + pipeline_.segments(); }
  std::int64_t begin(std::uint64_t job) noexcept override;
  bool stage(int index) override;
  Answer answer() const noexcept override { return answer_; }
  Result* result() noexcept override { return &result_; }
  const Frame* frame() const noexcept override { return frame_; }
  bool hand_over(std::uint64_t job, const Frame& frame, const Box* part) noexcept override {
    return feed_.hand_over(job, frame, part);
  }
  void job_over(std::uint64_t job) noexcept override { feed_.job_over(job); }
  void cancel(std::uint64_t job) noexcept override;
  const char* last_error() const noexcept override;
  void warm_up(int stage) override;
  void prepare(Result& result) const { pipeline_.prepare(result); }

 private:
  [[nodiscard]] bool work(int index);
  [[nodiscard]] bool prepare_input() noexcept;
  [[nodiscard]] bool infer(int segment);

  static constexpr std::uint64_t kNoJob = ~std::uint64_t{0};

  Pipeline pipeline_;
  FrameFeed& feed_;
  const PlayedLoad* load_;
  std::vector<bool> on_cpu_;  ///< each stage
  std::uint64_t job_ = kNoJob - 1;
  std::atomic<std::uint64_t> cancelled_{kNoJob};  ///< the job that is to be given up, if it is still in progress
  const char* failed_ = "";                       ///< where the last job failed
  const Frame* frame_ = nullptr;
  Answer answer_;
  int exit_ = -1;  ///< that the job has passed last, if it has not ended without
  Result result_;
};

}  // namespace rtmdl
