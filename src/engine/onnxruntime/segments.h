#pragma once
/// A model that runs in segments: a session each, bound to one another's memory.

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
  struct Place {
    std::size_t part = 0, output = 0;
  };
  struct Crossing {
    std::size_t output = 0;
    TensorView to;  ///< memory that later parts read: the output's own
  };
  struct Part {
    std::unique_ptr<OnnxRuntimeSession> session;
    std::vector<Crossing> crossing;
  };
  struct Feedback {
    Place from;
    TensorView to;
  };

  void open_parts(const Ort::Env& env, const LoadRequest& request);
  void collect(const LoadRequest& request);
  bool feed_back() noexcept;

  std::vector<Part> parts_;
  BoundTensors tensors_;  ///< by name: the model's inputs and what crosses
  std::vector<std::string> input_names_, output_names_;
  std::vector<TensorSpec> input_specs_, output_specs_;
  std::vector<TensorView> inputs_;
  std::vector<Place> outputs_;
  std::vector<Feedback> feedback_;
  const char* last_error_ = "";
};

}  // namespace rtmdl
