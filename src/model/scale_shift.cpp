#include "model/scale_shift.h"

#include "model/tensor_data.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

using Values = std::vector<double>;

std::optional<Values> finite(const std::vector<float>& values) {
  if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) return std::nullopt;
  return Values(values.begin(), values.end());
}

std::optional<Values> f32(const onnx::TensorProto* tensor) {
  if (tensor == nullptr || tensor->data_type() != onnx::TensorProto_DataType_FLOAT) return std::nullopt;
  const auto values = floats(*tensor);
  return values && !values->empty() ? finite(*values) : std::nullopt;
}

/// A constant that broadcasts along channels only: one element or one per channel, in the channel's place.
std::optional<Values> per_channel(const onnx::TensorProto* tensor, std::size_t rank, std::size_t channels) {
  auto values = f32(tensor);
  const auto shape = values ? dims(*tensor) : std::vector<std::int64_t>();
  if (!values || shape.size() > rank) return std::nullopt;
  if (values->size() == 1) return values;
  if (values->size() != channels) return std::nullopt;
  const std::size_t channel = rank - 2;  // from the right, for rank > 2; the last for a matrix
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t from_right = shape.size() - 1 - i;
    const bool here = from_right == (rank > 2 ? channel : 0);
    if (shape[i] != (here ? static_cast<std::int64_t>(channels) : 1)) return std::nullopt;
  }
  return values;
}

std::optional<ScaleShift> from_constant(const onnx::NodeProto& node, bool constant_first, const Values& c) {
  ScaleShift s;
  const auto mapped = [&c](auto f) {
    Values out;
    for (const double v : c) out.push_back(f(v));
    return out;
  };
  if (is_op(node, "Mul")) s.scale = c;
  else if (is_op(node, "Add")) s.shift = c;
  else if (is_op(node, "Sub") && constant_first) s.scale = {-1}, s.shift = c;
  else if (is_op(node, "Sub")) s.shift = mapped([](double v) { return -v; });
  else if (is_op(node, "Div") && !constant_first) {
    if (std::any_of(c.begin(), c.end(), [](double v) { return v == 0; })) return std::nullopt;
    s.scale = mapped([](double v) { return 1 / v; });
  } else return std::nullopt;
  return s;
}

template <typename Read>
std::optional<ScaleShift> arithmetic(const onnx::NodeProto& node, const std::string& x, Read&& read) {
  if (node.input_size() != 2 || node.output_size() != 1) return std::nullopt;
  const bool constant_first = node.input(1) == x;
  if (node.input(constant_first ? 1 : 0) != x || node.input(0) == node.input(1)) return std::nullopt;
  const std::optional<Values> c = read(node.input(constant_first ? 0 : 1));
  return c ? from_constant(node, constant_first, *c) : std::nullopt;
}

std::optional<ScaleShift> batch_norm(const onnx::NodeProto& node, const Links& links, std::size_t channels) {
  if (node.input_size() != 5 || node.output_size() != 1) return std::nullopt;
  if (attribute_or(node, "training_mode", std::int64_t{0}) != 0) return std::nullopt;
  std::vector<Values> p;
  for (int i = 1; i < 5; ++i) {
    auto values = f32(links.constant(node.input(i)));
    if (!values || values->size() != channels) return std::nullopt;
    p.push_back(std::move(*values));
  }
  const double epsilon = attribute_or(node, "epsilon", 1e-5F);
  ScaleShift s{Values(channels), Values(channels)};
  for (std::size_t c = 0; c < channels; ++c) {
    const double deviation = std::sqrt(p[3][c] + epsilon);
    if (!(deviation > 0)) return std::nullopt;
    s.scale[c] = p[0][c] / deviation;
    s.shift[c] = p[1][c] - p[2][c] * s.scale[c];
  }
  return s;
}

}  // namespace

std::optional<ScaleShift> scale_shift(const onnx::NodeProto& node, const Links& links, const std::string& x,
                                      std::size_t rank, std::size_t channels) {
  if (rank < 2) return std::nullopt;
  if (is_op(node, "BatchNormalization") && node.input_size() > 0 && node.input(0) == x) {
    return batch_norm(node, links, channels);
  }
  return arithmetic(node, x,
                    [&](const std::string& name) { return per_channel(links.constant(name), rank, channels); });
}

std::optional<ScaleShift> scalar_scale_shift(const onnx::NodeProto& node, const Links& links, const std::string& x) {
  return arithmetic(node, x, [&](const std::string& name) -> std::optional<Values> {
    const auto* tensor = links.constant(name);
    auto values = f32(tensor);
    return values && values->size() == 1 && tensor->dims_size() <= 1 ? values : std::nullopt;
  });
}

std::optional<double> scalar_constant(const Links& links, const std::string& name) {
  const auto values = f32(links.constant(name));
  if (!values || values->size() != 1) return std::nullopt;
  return values->front();
}

}  // namespace rtmdl
