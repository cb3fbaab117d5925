#pragma once
/// The interpreter beside ONNX Runtime.

#include "scaling/run_model.h"
#include "training/graph_module.h"

#include <stdexcept>
#include <vector>

namespace rtmdl::test {

inline at::Tensor to_torch(const Tensor& t) {
  switch (t.type) {
    case ElementType::f32: return at::from_blob(const_cast<std::byte*>(t.bytes.data()), t.shape, at::kFloat).clone();
    case ElementType::i64: return at::from_blob(const_cast<std::byte*>(t.bytes.data()), t.shape, at::kLong).clone();
    case ElementType::i32: return at::from_blob(const_cast<std::byte*>(t.bytes.data()), t.shape, at::kInt).clone();
    default: throw std::runtime_error("an element type that no test feeds");
  }
}

inline std::vector<std::vector<float>> to_floats(const std::vector<at::Tensor>& tensors) {
  std::vector<std::vector<float>> all;
  for (const at::Tensor& t : tensors) {
    const at::Tensor plain = t.detach().to(at::kFloat).contiguous();
    all.emplace_back(plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
  }
  return all;
}

inline training::NamedInputs named(const Executable& executable, const InputSet& set) {
  training::NamedInputs inputs;
  for (std::size_t i = 0; i < set.size(); ++i) inputs[executable.inputs()[i].name] = to_torch(set[i]);
  return inputs;
}

/// Between the interpreter and ONNX Runtime, on one random input.
inline double apart(const Model& model, const LoadRequest& request, float low, float high) {
  const auto executable = engine().load(request);
  const InputSet set = random_inputs(*executable, 3, low, high);
  training::GraphModule module(model);
  const at::NoGradGuard no_grad;
  return difference(outputs(request, set), to_floats(module.forward(named(*executable, set), false)));
}

}  // namespace rtmdl::test
