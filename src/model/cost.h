#pragma once
/// What a node must do, from the shapes that a run gave: multiply-accumulates and bytes moved.

#include "model/model.h"

#include <rtmdl/tensor.h>

#include <cstdint>
#include <string>
#include <unordered_map>

namespace rtmdl {

/// Type and shape of every tensor, as one run had them.
using TensorSpecs = std::unordered_map<std::string, TensorSpec>;

struct NodeCost {
  std::int64_t macs = 0;   ///< Conv, ConvTranspose, Gemm, MatMul, Einsum, LSTM, GRU, RNN; 0 for the others
  std::int64_t bytes = 0;  ///< inputs, weights and outputs, each once
};

/// Tensors that `specs` does not know count as nothing.
[[nodiscard]] NodeCost node_cost(const onnx::NodeProto& node, const Links& links, const TensorSpecs& specs);
/// Sum over the graph.
[[nodiscard]] NodeCost model_cost(const Model& model, const TensorSpecs& specs);

}  // namespace rtmdl
