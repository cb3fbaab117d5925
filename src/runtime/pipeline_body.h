#pragma once
/// A job's stages as the real pipeline runs them: pre, infer, post over frames held in memory.

#include "data/pipeline.h"
#include "data/source.h"
#include "runtime/job_body.h"

#include <vector>

namespace rtmdl {

class PipelineBody final : public JobBody {
 public:
  /// Decodes the stream's frames up front (bounded by `frame_limit`), so that playing allocates nothing. Throws Error.
  PipelineBody(Engine& engine, const TaskSpec& task, const LoadRequest& request, Source& source,
               std::size_t frame_limit);

  int stages() const noexcept override { return 3; }
  std::int64_t begin(std::uint64_t job) noexcept override;
  bool stage(int index) noexcept override;
  Result* result() noexcept override { return &result_; }
  void cancel() noexcept override { pipeline_.executable().cancel(); }
  void warm_up(int stage) override;
  void prepare(Result& result) const { pipeline_.prepare(result); }

 private:
  Pipeline pipeline_;
  std::vector<Frame> frames_;
  const Frame* frame_ = nullptr;
  Result result_;
};

}  // namespace rtmdl
