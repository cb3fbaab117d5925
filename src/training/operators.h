#pragma once
/// The operators that GraphModule knows: ONNX semantics over torch functions, one file per group.

#include "training/graph_module.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rtmdl::training {

/// One node in one pass.
struct Call {
  const onnx::NodeProto& node;
  std::int64_t opset;
  std::span<const at::Tensor> in;  ///< undefined: left out
  std::span<at::Tensor> out;       ///< to be filled, as many as the node names
  const Pass& pass;
  std::int64_t model_batch = 0;            ///< batch size that constants of the graph were made for; 0: as they are
  std::int64_t batch = 0;                  ///< batch size of this pass
  std::span<const std::int64_t> in_shape;  ///< of in[0] at `model_batch`; empty: not known
  std::span<const std::int64_t> target;    ///< what written_in() was asked for then
  std::vector<std::int64_t>* recorded = nullptr;  ///< set while that is being found out
  bool frozen = false;                            ///< a normalisation that keeps its statistics

  [[nodiscard]] bool has(std::size_t i) const { return i < in.size() && in[i].defined(); }
  [[nodiscard]] bool wants(std::size_t i) const { return i < out.size() && !node.output(static_cast<int>(i)).empty(); }
  [[nodiscard]] bool relaxed() const { return model_batch > 0 && batch != model_batch; }
  /// Whether this shape, which the graph asks for, is made for its own batch size although the pass has another.
  [[nodiscard]] bool written_in(const std::vector<std::int64_t>& shape) const;
  [[nodiscard]] const at::Tensor& operand(std::size_t i) const;  ///< throws Error(bad_input) if it was left out
  /// Integers from input `i`, or from the attribute of older operator sets; nothing if neither is there.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> integers(std::size_t i, std::string_view attribute) const;
};

using Operator = void (*)(Call&);
using OperatorTable = std::unordered_map<std::string_view, Operator>;

void add_elementwise_operators(OperatorTable& table);
void add_shape_operators(OperatorTable& table);
void add_index_operators(OperatorTable& table);
void add_image_operators(OperatorTable& table);
void add_resize_operators(OperatorTable& table);
void add_product_operators(OperatorTable& table);
void add_recurrent_operators(OperatorTable& table);

/// All of them.
[[nodiscard]] const OperatorTable& operators();
/// What about this node is not known although its operator is: "peepholes". Empty: all is.
[[nodiscard]] std::string unknown_feature(const onnx::NodeProto& node);

/// An operand of rank 0 or 1 as integers.
[[nodiscard]] std::vector<std::int64_t> to_integers(const at::Tensor& tensor);
[[nodiscard]] at::Tensor from_integers(std::span<const std::int64_t> values);
/// Negative axes count from the end.
[[nodiscard]] std::int64_t wrap_axis(std::int64_t axis, std::int64_t rank);
[[nodiscard]] at::ScalarType torch_type(int onnx_type);

}  // namespace rtmdl::training
