#pragma once
/// One variant of one task, ready to run: pre-processing → inference → post-processing, one call a stage. The profiler
/// and the runtime use the same.

#include "data/postprocess.h"
#include "data/preprocess.h"
#include "engine/engine.h"

#include "task/task_file.h"

#include <memory>
#include <vector>

namespace rtmdl {

/// For messages: "'x' f32 [1, 3, 32, 32]", and "a picture of 640 x 480 pixels" or "a tensor f32 [1, 512]".
[[nodiscard]] std::string described(std::span<const TensorSpec> tensors);
[[nodiscard]] std::string described(const Frame& frame);

/// How to load a variant of `task`: its shapes, state and constants filled in from the task file. `shapes` (of a
/// resolution variant) win over the task's.
[[nodiscard]] LoadRequest load_request(const TaskSpec& task, const std::filesystem::path& model,
                                       const std::map<std::string, std::vector<std::int64_t>>& shapes = {});

/// Stages throw only what custom steps throw, and do not allocate after the first job (result vectors keep their
/// capacity). One job at a time; stages may run on different threads, one after the other.
class Pipeline {
 public:
  /// Throws Error: the model does not load, pre/post do not fit it.
  Pipeline(Engine& engine, const TaskSpec& task, const LoadRequest& request);

  bool pre(const Frame& frame);  ///< also resets a stateful model where the frame restarts a sequence
  bool infer();
  /// Pieces that infer() has, and one of them: all in order are an infer().
  [[nodiscard]] int segments() const noexcept { return executable_->segments(); }
  bool infer(int segment);
  /// Early exits of the request's: exit k is after segment k.
  [[nodiscard]] int exits() const noexcept { return static_cast<int>(exits_.size()); }
  /// After that segment: how sure the answer is that the job has so far, and whether it may leave with that.
  [[nodiscard]] double confidence(int exit) noexcept;
  [[nodiscard]] bool is_sure(int exit, double confidence) const noexcept;
  bool post(Result& result);
  /// Of a job that has left there: with the exit's answer in place of the model's own.
  bool post_at(int exit, Result& result);
  void prepare(Result& result) const { post_->prepare(result); }

  /// All three, for set-up code. Throws Error(bad_input) naming the stage that failed.
  void run(const Frame& frame, Result& result);
  /// After pre() failed: throws Error(bad_input) that says what does not fit what.
  [[noreturn]] void fail_at_pre(const Frame& frame) const;
  /// After post() failed: whether an output holds NaN.
  [[nodiscard]] bool gave_nan() const noexcept;

  /// As Postprocess::classes().
  [[nodiscard]] int classes() const noexcept { return post_->classes(); }
  [[nodiscard]] Executable& executable() noexcept { return *executable_; }
  /// Copies of what the caller-filled inputs hold now: a calibration sample.
  [[nodiscard]] std::vector<Tensor> inputs() const;

 private:
  ConfigNode where_;             ///< the task, for errors
  std::filesystem::path model_;  ///< likewise
  bool crops_ = false;           // to a rectangle that the task file gives
  std::unique_ptr<Executable> executable_;
  std::unique_ptr<Preprocess> pre_;
  std::unique_ptr<Postprocess> post_;
  struct Exit {
    ExitRule rule;
    std::size_t output = 0;
  };
  bool post_outputs(Result& result);

  std::vector<Exit> exits_;
  std::vector<TensorView> outputs_;
  Geometry geometry_;
};

}  // namespace rtmdl
