#pragma once
/// A model that runs in segments: a session each, bound to one another's values. What crosses a cut stays in the
/// accelerator's memory, if its provider has an allocator for that; outputs of the whole model are in the host's. So is
/// what crosses between segments with places of their own: one session leaves it there when it ends, the next one
/// fetches it from there when it begins.

#include "engine/onnxruntime/session.h"

#include <atomic>
#include <memory>
#include <vector>

namespace rtmdl {

class SegmentedSession final : public Executable {
 public:
  /// Cuts the model where `request.cuts` says. Throws Ort::Exception or Error: the places do not fit the model, or the
  /// shape of what crosses a cut depends on the data.
  SegmentedSession(const Ort::Env& env, const LoadRequest& request);

  std::span<const TensorSpec> inputs() const noexcept override { return input_specs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return output_specs_; }
  TensorView input(std::size_t i) noexcept override { return inputs_[i]; }
  TensorView output(std::size_t i) noexcept override;
  int segments() const noexcept override { return static_cast<int>(parts_.size()); }
  bool run_segment(int k) noexcept override;
  bool run() noexcept override;
  void cancel() noexcept override;
  void rearm() noexcept override;
  void reset_state() noexcept override;
  const char* last_error() const noexcept override { return last_error_; }

 private:
  struct OutputOf {
    std::size_t part = 0, output = 0;
  };
  struct Feedback {
    OutputOf from;
    TensorView to;
  };

  void open_parts(const Ort::Env& env, const LoadRequest& request);
  void collect(const LoadRequest& request);
  bool feed_back() noexcept;

  std::vector<std::unique_ptr<OnnxRuntimeSession>> parts_;
  /// A model of one addition. Its result comes to the host when all that was submitted before is done: a segment has to
  /// end when the device is free, or others would wait behind it unseen. Nullptr where runs wait by themselves.
  std::unique_ptr<OnnxRuntimeSession> fence_;
  BoundTensors tensors_;                      ///< by name: the model's inputs and what crosses
  std::map<std::string, TensorView> filled_;  ///< by name: the model's inputs, constants left out
  std::vector<std::string> input_names_, output_names_;
  std::vector<TensorSpec> input_specs_, output_specs_;
  std::vector<TensorView> inputs_;
  std::vector<OutputOf> outputs_;
  std::vector<Feedback> feedback_;
  const char* last_error_ = "";
};

}  // namespace rtmdl
