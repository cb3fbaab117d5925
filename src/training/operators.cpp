#include "training/operators.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl::training {

const at::Tensor& Call::operand(std::size_t i) const {
  if (!has(i)) bad_input(fmt::format("operand {} is missing", i));
  return in[i];
}

bool Call::written_in(const std::vector<std::int64_t>& shape) const {
  if (recorded) *recorded = shape;
  return relaxed() && std::equal(shape.begin(), shape.end(), target.begin(), target.end());
}

std::optional<std::vector<std::int64_t>> Call::integers(std::size_t i, std::string_view name) const {
  if (has(i)) return to_integers(in[i]);
  if (attribute(node, name)) return integers_attribute(node, name);
  return std::nullopt;
}

const OperatorTable& operators() {
  static const OperatorTable table = [] {
    OperatorTable t;
    add_elementwise_operators(t);
    add_shape_operators(t);
    add_index_operators(t);
    add_image_operators(t);
    add_resize_operators(t);
    add_product_operators(t);
    add_recurrent_operators(t);
    return t;
  }();
  return table;
}

std::vector<std::int64_t> to_integers(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().to(at::kCPU, at::kLong).contiguous();
  const auto* data = plain.data_ptr<std::int64_t>();
  return {data, data + plain.numel()};
}

at::Tensor from_integers(std::span<const std::int64_t> values) {
  at::Tensor t = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), t.data_ptr<std::int64_t>());
  return t;
}

std::int64_t wrap_axis(std::int64_t axis, std::int64_t rank) {
  if (axis < -rank || axis >= std::max<std::int64_t>(rank, 1))
    bad_input(fmt::format("axis {} of a tensor of rank {}", axis, rank));
  return axis < 0 ? axis + rank : axis;
}

at::ScalarType torch_type(int onnx_type) {
  switch (onnx_type) {
    case onnx::TensorProto::FLOAT:
    case onnx::TensorProto::FLOAT16:
    case onnx::TensorProto::BFLOAT16: return at::kFloat;
    case onnx::TensorProto::DOUBLE: return at::kDouble;
    case onnx::TensorProto::INT64:
    case onnx::TensorProto::UINT32:
    case onnx::TensorProto::UINT64: return at::kLong;
    case onnx::TensorProto::INT32:
    case onnx::TensorProto::UINT16: return at::kInt;
    case onnx::TensorProto::INT16: return at::kShort;
    case onnx::TensorProto::INT8: return at::kChar;
    case onnx::TensorProto::UINT8: return at::kByte;
    case onnx::TensorProto::BOOL: return at::kBool;
    default: bad_input(fmt::format("element type {} has no counterpart in training", onnx_type));
  }
}

namespace {

bool is_one_of(const std::string& text, std::initializer_list<std::string_view> accepted) {
  for (const std::string_view a : accepted) {
    if (text == a) return true;
  }
  return false;
}

bool all_ones(const std::vector<std::int64_t>& values) {
  for (const std::int64_t v : values) {
    if (v != 1) return false;
  }
  return true;
}

bool given(const onnx::NodeProto& node, int input) { return node.input_size() > input && !node.input(input).empty(); }
bool asked(const onnx::NodeProto& node, int output) {
  return node.output_size() > output && !node.output(output).empty();
}

std::string unknown_in_recurrent(const onnx::NodeProto& node) {
  if (given(node, 4)) return "sequence lengths";
  if (given(node, 7)) return "peepholes";
  if (attribute(node, "clip")) return "clip";
  if (attribute_or(node, "input_forget", std::int64_t{0}) != 0) return "input_forget";
  const onnx::AttributeProto* activations = attribute(node, "activations");
  if (!activations) return {};
  const std::vector<std::string> names(activations->strings().begin(), activations->strings().end());
  const std::vector<std::string> gates = node.op_type() == "LSTM" ? std::vector<std::string>{"Sigmoid", "Tanh", "Tanh"}
                                         : node.op_type() == "GRU"
                                             ? std::vector<std::string>{"Sigmoid", "Tanh"}
                                             : std::vector<std::string>{names.empty() ? "Tanh" : names[0]};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != gates[i % gates.size()]) return fmt::format("activation '{}'", names[i]);
  }
  if (node.op_type() == "RNN" && !is_one_of(gates[0], {"Tanh", "Relu"}))
    return fmt::format("activation '{}'", gates[0]);
  return {};
}

std::string unknown_in_resize(const onnx::NodeProto& node) {
  if (attribute_or(node, "antialias", std::int64_t{0}) != 0) return "antialias";
  if (attribute_or(node, "exclude_outside", std::int64_t{0}) != 0) return "exclude_outside";
  const std::string policy = attribute_or(node, "keep_aspect_ratio_policy", "stretch");
  if (policy != "stretch") return fmt::format("keep_aspect_ratio_policy '{}'", policy);
  const std::string place = attribute_or(node, "coordinate_transformation_mode", "half_pixel");
  if (!is_one_of(place, {"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric"}))
    return fmt::format("coordinate_transformation_mode '{}'", place);
  const std::string mode = attribute_or(node, "mode", "nearest");
  if (!is_one_of(mode, {"nearest", "linear", "cubic"})) return fmt::format("mode '{}'", mode);
  return {};
}

}  // namespace

std::string unknown_feature(const onnx::NodeProto& node) {
  const std::string& op = node.op_type();
  if (op == "LSTM" || op == "GRU" || op == "RNN") return unknown_in_recurrent(node);
  if (op == "Resize" || op == "Upsample") return unknown_in_resize(node);
  if (op == "MaxPool" && asked(node, 1)) return "indices as an output";
  if (op == "AveragePool" && !all_ones(integers_attribute(node, "dilations"))) return "dilations";
  if (op == "BatchNormalization" && attribute_or(node, "spatial", std::int64_t{1}) == 0) return "spatial = 0";
  if (op == "BatchNormalization" && asked(node, 1)) return "statistics as outputs";
  if (op == "Dropout" && asked(node, 1)) return "its mask as an output";
  if (op == "Gelu" && !is_one_of(attribute_or(node, "approximate", "none"), {"none", "tanh"})) return "approximation";
  if (op == "Pad" && !is_one_of(attribute_or(node, "mode", "constant"), {"constant", "reflect", "edge", "wrap"}))
    return "mode";
  if (op == "Constant" && !attribute(node, "value") && !attribute(node, "value_float") &&
      !attribute(node, "value_floats") && !attribute(node, "value_int") && !attribute(node, "value_ints"))
    return "a value that is no dense tensor of numbers";
  if ((op == "ScatterND" || op == "ScatterElements") && attribute_or(node, "reduction", "none") != "none")
    return "reduction";
  return {};
}

}  // namespace rtmdl::training
