#pragma once
/// A loaded ONNX Runtime session with inputs and outputs bound to memory of our own.

#include "engine/engine.h"

#include <onnxruntime_cxx_api.h>

#include <atomic>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace rtmdl {

/// Bytes aligned for any kernel (64).
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t size = 0)
      : size_(size), data_(size ? static_cast<std::byte*>(::operator new (size, std::align_val_t{64})) : nullptr) {
    for (std::size_t i = 0; i < size; ++i) data_.get()[i] = std::byte{0};
  }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept { ::operator delete (p, std::align_val_t{64}); }
  };
  std::size_t size_ = 0;
  std::unique_ptr<std::byte, Free> data_;
};

/// Memory of others, by the name of the input that reads it.
using BoundTensors = std::map<std::string, TensorView>;

class OnnxRuntimeSession final : public Executable {
 public:
  /// Throws Ort::Exception or Error.
  OnnxRuntimeSession(const Ort::Env& env, const LoadRequest& request);
  /// A part of a model, from memory. Inputs that `bound` names read what it gives, which outlives the session; they are
  /// not among inputs(). `request` is the whole model's: what it says of inputs that the part does not have is ignored,
  /// and so is its state.
  OnnxRuntimeSession(const Ort::Env& env, const LoadRequest& request, const std::string& part,
                     const BoundTensors& bound);

  std::span<const TensorSpec> inputs() const noexcept override { return caller_inputs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return output_specs_; }
  TensorView input(std::size_t i) noexcept override;
  TensorView output(std::size_t i) noexcept override;
  bool run() noexcept override;
  void cancel() noexcept override;
  void rearm() noexcept override;
  void reset_state() noexcept override;
  const char* last_error() const noexcept override { return last_error_.c_str(); }
  std::filesystem::path finish_profile() override;
  /// Whether outputs may move and change their shape with every run.
  [[nodiscard]] bool dynamic() const noexcept { return dynamic_outputs_; }

 private:
  struct Binding {
    TensorSpec spec;
    AlignedBytes memory;
    Ort::Value value{nullptr};
  };
  struct Feedback {
    std::size_t output, input;
  };

  void configure(const LoadRequest& request);
  void require_known_inputs(const LoadRequest& request) const;
  void bind_inputs(const LoadRequest& request, const BoundTensors& bound);
  void learn_outputs();
  void link_state(const LoadRequest& request);
  bool run_bound() noexcept;
  bool run_free() noexcept;
  bool turn_dynamic() noexcept;
  void free_outputs();
  bool feed_back() noexcept;
  void adopt_dynamic_outputs();

  ThreadPlacement pool_;
  Ort::SessionOptions options_;
  Ort::Session session_{nullptr};
  Ort::RunOptions run_options_;
  Ort::IoBinding binding_{nullptr};
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::vector<Binding> inputs_;
  std::vector<Binding> outputs_;
  std::vector<std::size_t> caller_indices_;  ///< of inputs() in inputs_
  std::vector<TensorSpec> caller_inputs_, output_specs_;
  std::vector<Feedback> feedback_;
  std::atomic<bool> cancelled_{false};
  bool dynamic_outputs_ = false;  ///< shapes depend on the data: ONNX Runtime allocates them at each run
  std::vector<Ort::Value> dynamic_values_;
  std::string last_error_;
};

}  // namespace rtmdl
