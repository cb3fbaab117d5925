#pragma once
/// What a model on an accelerator needs beside its session.

#include "base/priority_mutex.h"
#include "engine/engine.h"
#include "engine/onnxruntime/cuda_stream.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace rtmdl {

struct Accelerator {
  /// Held while a model is loaded, runs or is let go; nullptr: nothing to hold.
  ///
  /// ONNX Runtime has one WebGPU context (device, queue, commands, buffers) per process, which all sessions of all
  /// environments share and which nothing guards: two runs at once, a run beside a load and two loads at once end in a
  /// segmentation fault (1.30, tried on Mesa's software driver). One after the other from several threads is safe.
  PriorityMutex* turn = nullptr;
  /// What the session's provider option `user_compute_stream` points to; it outlives the session.
  std::optional<CudaStream> stream;
};

/// Of `place.device`; a CUDA device gets a stream of `place.urgency`, unless the options name one or `defaults` leaves
/// everything as it is. Throws Error(missing_device).
[[nodiscard]] Accelerator accelerator_for(const ModelPlace& place, bool defaults = false);

/// The turn of those that have one (there is no more than one in a process); nullptr: none.
[[nodiscard]] PriorityMutex* turn_of(const std::vector<Accelerator>& accelerators) noexcept;

/// A model with its accelerator, or a segmented one with one for each segment. Each call that reaches a device that has
/// turns waits for those of others; segments are calls of their own, so that a more urgent model gets in between.
/// cancel() and rearm() never wait, and a wait ends when it is cancelled. Where a thread is stuck in the device, models
/// are not let go.
class AcceleratedExecutable final : public Executable {
 public:
  AcceleratedExecutable(std::vector<Accelerator> accelerators, std::unique_ptr<Executable> model)
      : accelerators_(std::move(accelerators)), model_(std::move(model)) {}
  ~AcceleratedExecutable() override;
  AcceleratedExecutable(const AcceleratedExecutable&) = delete;
  AcceleratedExecutable& operator=(const AcceleratedExecutable&) = delete;

  std::span<const TensorSpec> inputs() const noexcept override { return model_->inputs(); }
  std::span<const TensorSpec> outputs() const noexcept override { return model_->outputs(); }
  TensorView input(std::size_t i) noexcept override { return model_->input(i); }
  TensorView output(std::size_t i) noexcept override { return model_->output(i); }
  int segments() const noexcept override { return model_->segments(); }
  bool run() noexcept override;
  bool run_segment(int k) noexcept override;
  void cancel() noexcept override {
    cancelled_ = true;
    model_->cancel();
  }
  void rearm() noexcept override {
    cancelled_ = false;
    model_->rearm();
  }
  void reset_state() noexcept override { model_->reset_state(); }
  const char* last_error() const noexcept override { return model_->last_error(); }
  std::filesystem::path finish_profile() override;

 private:
  std::vector<Accelerator> accelerators_;  ///< one for all segments, or one for each
  std::unique_ptr<Executable> model_;
  std::atomic<bool> cancelled_{false};
};

/// A lock on it, or of nothing.
[[nodiscard]] inline std::unique_lock<PriorityMutex> take_turn(PriorityMutex* turn) {
  return turn ? std::unique_lock(*turn) : std::unique_lock<PriorityMutex>();
}

}  // namespace rtmdl
