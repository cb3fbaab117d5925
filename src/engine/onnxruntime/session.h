#pragma once
/// A loaded ONNX Runtime session with inputs and outputs bound to memory of our own.
///
/// Values are given to each run (OrtApi::Run) and not through an IoBinding: that one copies what is in host memory to
/// an accelerator when it is bound, not when it runs, so that an input bound once would keep its first contents for
/// good.

#include "engine/engine.h"

#include <onnxruntime_cxx_api.h>

#include <atomic>
#include <map>
#include <memory>
#include <new>
#include <set>
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

/// Values of others, by the name of the input that reads them.
using BoundTensors = std::map<std::string, const Ort::Value*>;

/// Outputs of a part, by name, that later parts read: they never move.
struct CrossingOutputs {
  std::set<std::string> names;
  std::set<std::string> shown;  ///< of those, what the caller reads too, in host memory
};

class OnnxRuntimeSession final : public Executable {
 public:
  /// Throws Ort::Exception or Error.
  OnnxRuntimeSession(const Ort::Env& env, const LoadRequest& request);
  /// A part of a model, from memory. Inputs that `bound` names read what it gives, which outlives the session; they are
  /// not among inputs(). `request` is the whole model's: what it says of inputs that the part does not have is ignored,
  /// and so is its state. What crosses and is not shown stays in the device's memory where the provider has an
  /// allocator for it; output() gives no bytes of that.
  OnnxRuntimeSession(const Ort::Env& env, const LoadRequest& request, const std::string& part,
                     const BoundTensors& bound, const CrossingOutputs& crossing);

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
  /// What a later part binds; good for the session's life (of outputs: if they are not dynamic()).
  [[nodiscard]] const Ort::Value& input_value(std::size_t i) const noexcept {
    return inputs_[caller_indices_[i]].value;
  }
  [[nodiscard]] const Ort::Value& output_value(std::size_t i) const noexcept { return outputs_[i].value; }
  /// Whether something of what crosses is in the device's memory.
  [[nodiscard]] bool uses_device_memory() const noexcept { return device_memory_ != nullptr; }
  /// Whether outputs may move and change their shape with every run.
  [[nodiscard]] bool dynamic() const noexcept { return dynamic_outputs_; }

 private:
  struct Binding {
    TensorSpec spec;
    AlignedBytes memory;
    Ort::Value value{nullptr};
    bool crosses = false;
  };
  struct Feedback {
    std::size_t output, input;
  };

  void configure(const LoadRequest& request);
  void require_known_inputs(const LoadRequest& request) const;
  void bind_inputs(const LoadRequest& request, const BoundTensors& bound);
  void learn_outputs(const std::string& device, const CrossingOutputs& crossing);
  void bind_output(Binding& out, OrtAllocator* device_memory);
  void link_state(const LoadRequest& request);
  OrtStatus* call() noexcept;
  bool run_bound() noexcept;
  bool run_free() noexcept;
  bool turn_dynamic() noexcept;
  void free_outputs() noexcept;
  void adopt_outputs();
  bool feed_back() noexcept;

  ThreadPlacement pool_;
  Ort::SessionOptions options_;
  Ort::Session session_{nullptr};
  Ort::RunOptions run_options_;
  Ort::Allocator device_memory_{nullptr};
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::vector<Binding> inputs_;
  std::vector<Binding> outputs_;
  std::vector<const char*> input_names_, output_names_;  ///< as OrtApi::Run takes them, and their values
  std::vector<const OrtValue*> input_values_;
  std::vector<OrtValue*> output_values_;
  std::vector<std::size_t> caller_indices_;  ///< of inputs() in inputs_
  std::vector<TensorSpec> caller_inputs_, output_specs_;
  std::vector<Feedback> feedback_;
  std::atomic<bool> cancelled_{false};
  bool dynamic_outputs_ = false;         ///< shapes depend on the data: ONNX Runtime allocates them at each run
  std::vector<Ort::Value> free_values_;  ///< those
  std::string last_error_;
};

}  // namespace rtmdl
