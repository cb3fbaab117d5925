#include "scaling/shape_values.h"

#include "model/tensor_data.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace rtmdl {
namespace {

constexpr std::size_t kMostValues = 256;  ///< larger constants are no shapes

std::int64_t whole(const ShapeValue& v) { return static_cast<std::int64_t>(std::llround(v.value)); }

/// Clamped as Slice does for a positive step.
std::int64_t clamped(std::int64_t i, std::int64_t n) { return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n); }

std::optional<double> unary(const std::string& op, double x) {
  if (op == "Floor") return std::floor(x);
  if (op == "Ceil") return std::ceil(x);
  if (op == "Round") return std::nearbyint(x);
  if (op == "Neg") return -x;
  if (op == "Abs") return std::fabs(x);
  if (op == "Sqrt") return std::sqrt(x);
  if (op == "Not") return x == 0 ? 1 : 0;
  return std::nullopt;
}

std::optional<double> binary(const std::string& op, double a, double b, bool integer) {
  if (op == "Add") return a + b;
  if (op == "Sub") return a - b;
  if (op == "Mul") return a * b;
  if (op == "Max") return std::max(a, b);
  if (op == "Min") return std::min(a, b);
  if (op == "Equal") return a == b ? 1 : 0;
  if (op == "Less") return a < b ? 1 : 0;
  if (op == "Greater") return a > b ? 1 : 0;
  if (b == 0) return std::nullopt;
  if (op == "Div") return integer ? std::trunc(a / b) : a / b;
  if (op == "Mod" && integer) return a - b * std::floor(a / b);
  return std::nullopt;
}

bool integer_type(int type) { return type == onnx::TensorProto::INT64 || type == onnx::TensorProto::INT32; }

ShapeTensor scalar(double value) { return {{}, {{value, std::nullopt}}, true}; }

ShapeTensor vector_of(std::vector<ShapeValue> values, bool integer = true) {
  const auto n = static_cast<std::int64_t>(values.size());
  return {{n}, std::move(values), integer};
}

/// Shape and Size.
ShapeTensor shape_of(const onnx::NodeProto& node, const std::vector<std::int64_t>& of) {
  if (is_op(node, "Size")) return scalar(static_cast<double>(element_count(of)));
  const auto rank = static_cast<std::int64_t>(of.size());
  const std::int64_t begin = clamped(attribute_or(node, "start", std::int64_t{0}), rank);
  const std::int64_t end = clamped(attribute_or(node, "end", rank), rank);
  std::vector<ShapeValue> values;
  for (std::int64_t i = begin; i < end; ++i) {
    values.push_back({static_cast<double>(of[static_cast<std::size_t>(i)]), std::nullopt});
  }
  return vector_of(std::move(values));
}

ShapeTensor concatenated(int node, const std::vector<ShapeTensor>& in) {
  std::vector<ShapeValue> values;
  bool integer = true;
  for (std::size_t i = 0; i < in.size(); ++i) {
    values.insert(values.end(), in[i].values.begin(), in[i].values.end());
    integer = integer && in[i].integer;
    if (in[i].values.size() == 1 && in[i].integer && !values.back().place)
      values.back().place = ConstantPlace{node, static_cast<int>(i), 0};
  }
  return vector_of(std::move(values), integer);
}

std::optional<ShapeTensor> gathered(const ShapeTensor& x, const ShapeTensor& indices) {
  const auto n = static_cast<std::int64_t>(x.values.size());
  ShapeTensor result{indices.shape, {}, x.integer};
  for (const auto& which : indices.values) {
    const std::int64_t i = whole(which) < 0 ? whole(which) + n : whole(which);
    if (i < 0 || i >= n) return std::nullopt;
    result.values.push_back(x.values[static_cast<std::size_t>(i)]);
  }
  return result;
}

/// Of a vector, with a positive step.
std::optional<ShapeTensor> slice_of(const onnx::NodeProto& node, const std::vector<ShapeTensor>& in) {
  const auto bound = [&](std::size_t input, std::string_view name) -> std::optional<std::int64_t> {
    if (in.size() > input)
      return in[input].values.size() == 1 ? std::optional(whole(in[input].values[0])) : std::nullopt;
    const auto values = integers_attribute(node, name);
    return values.size() == 1 ? std::optional(values[0]) : std::nullopt;
  };
  const auto begin = bound(1, "starts");
  const auto end = bound(2, "ends");
  const std::int64_t step = in.size() > 4 ? bound(4, "").value_or(0) : 1;
  if (!begin || !end || step < 1 || in[0].shape.size() != 1) return std::nullopt;
  const auto n = static_cast<std::int64_t>(in[0].values.size());
  std::vector<ShapeValue> values;
  for (std::int64_t i = clamped(*begin, n); i < clamped(*end, n); i += step) {
    values.push_back(in[0].values[static_cast<std::size_t>(i)]);
  }
  return vector_of(std::move(values), in[0].integer);
}

ShapeTensor reduced(const onnx::NodeProto& node, const ShapeTensor& x) {
  const bool product = is_op(node, "ReduceProd");
  double total = product ? 1 : 0;
  for (const auto& v : x.values) total = product ? total * v.value : total + v.value;
  ShapeTensor result = scalar(total);
  if (attribute_or(node, "keepdims", std::int64_t{1}) != 0 && !x.shape.empty()) result.shape = {1};
  result.integer = x.integer;
  return result;
}

/// ConstantOfShape, of integers.
std::optional<ShapeTensor> filled(const onnx::NodeProto& node, const ShapeTensor& shape) {
  const auto* value = attribute(node, "value");
  const auto fill = value == nullptr ? std::nullopt : integers(value->t());
  const std::int64_t count = shape.values.empty() ? 1 : whole(shape.values[0]);
  if (!fill || fill->size() != 1 || shape.values.size() > 1) return std::nullopt;
  if (count < 0 || count > static_cast<std::int64_t>(kMostValues)) return std::nullopt;
  ShapeTensor result = vector_of(
      std::vector<ShapeValue>(static_cast<std::size_t>(count), {static_cast<double>((*fill)[0]), std::nullopt}));
  if (shape.values.empty()) result.shape.clear();
  return result;
}

/// With the broadcasting that shapes need: one against many.
std::optional<ShapeTensor> element_by_element(const std::string& op, const std::vector<ShapeTensor>& in) {
  ShapeTensor result;
  std::size_t count = 1;
  bool vector = false;
  for (const auto& operand : in) {
    count = std::max(count, operand.values.size());
    vector = vector || !operand.shape.empty();
    result.integer = result.integer && operand.integer;
  }
  for (const auto& operand : in) {
    if (operand.values.size() != count && operand.values.size() != 1) return std::nullopt;
  }
  if (vector) result.shape = {static_cast<std::int64_t>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    const auto element = [&](std::size_t k) { return in[k].values[in[k].values.size() == 1 ? 0 : i]; };
    if (op == "Where" && in.size() == 3) {
      result.values.push_back(element(0).value != 0 ? element(1) : element(2));
      continue;
    }
    if (op == "Mul" && in.size() == 2 && result.integer && (element(0).value == 1 || element(1).value == 1)) {
      result.values.push_back(element(element(0).value == 1 ? 1 : 0));
      continue;
    }
    std::optional<double> y;
    if (in.size() == 1) y = unary(op, element(0).value);
    if (in.size() == 2) y = binary(op, element(0).value, element(1).value, result.integer);
    if (!y) return std::nullopt;
    result.values.push_back({*y, std::nullopt});
  }
  return result;
}

}  // namespace

ShapeValues::ShapeValues(const Model& model, const Links& links, const ShapeLookup& shape, ShapeEdits edits)
    : model_(model), links_(links), edits_(std::move(edits)) {
  for (int n = 0; n < model.graph().node_size(); ++n) {
    const auto& node = model.graph().node(n);
    if (node.output_size() != 1 || has_subgraph(node) || !(node.domain().empty() || node.domain() == "ai.onnx"))
      continue;
    if (auto value = evaluate(n, shape)) known_[node.output(0)] = std::move(*value);
  }
}

std::optional<ShapeTensor> ShapeValues::at(int node, int input) const {
  const auto& n = model_.graph().node(node);
  if (input >= n.input_size() || n.input(input).empty()) return std::nullopt;
  const auto it = known_.find(n.input(input));
  if (it == known_.end()) return constant(node, input);
  const ConstantPlace place{node, input, 0};
  if (const auto edit = edits_.find(place); edit != edits_.end())
    return vector_of({{static_cast<double>(edit->second), place}});
  return it->second;
}

std::optional<ShapeTensor> ShapeValues::constant(int node, int input) const {
  const auto* tensor = links_.constant(model_.graph().node(node).input(input));
  if (tensor == nullptr || tensor->dims_size() > 1 || !wrong_size(*tensor).empty()) return std::nullopt;
  ShapeTensor result;
  result.shape = dims(*tensor);
  if (element_count(result.shape) > kMostValues) return std::nullopt;
  if (const auto whole_numbers = integers(*tensor)) {
    for (const std::int64_t v : *whole_numbers) {
      const ConstantPlace place{node, input, static_cast<std::int64_t>(result.values.size())};
      const auto edit = edits_.find(place);
      result.values.push_back({static_cast<double>(edit == edits_.end() ? v : edit->second), place});
    }
  } else if (const auto fractions = floats(*tensor)) {
    result.integer = false;
    for (const float v : *fractions) result.values.push_back({v, std::nullopt});
  } else {
    return std::nullopt;
  }
  return result;
}

std::optional<ShapeTensor> ShapeValues::evaluate(int index, const ShapeLookup& shape) const {
  const auto& node = model_.graph().node(index);
  const std::string& op = node.op_type();
  if (op == "Shape" || op == "Size") {
    if (const auto* of = shape(node.input(0))) return shape_of(node, *of);
    const auto* tensor = links_.constant(node.input(0));
    return tensor == nullptr ? std::nullopt : std::optional(shape_of(node, dims(*tensor)));
  }
  std::vector<ShapeTensor> in;
  for (int i = 0; i < node.input_size(); ++i) {
    if (node.input(i).empty()) return std::nullopt;
    auto value = at(index, i);
    if (!value) return std::nullopt;
    in.push_back(std::move(*value));
  }
  if (in.empty()) return std::nullopt;
  ShapeTensor& x = in[0];
  if (op == "Identity") return x;
  if (op == "Cast") {
    x.integer = integer_type(static_cast<int>(attribute_or(node, "to", std::int64_t{0})));
    if (x.integer) {
      for (auto& v : x.values) v.value = std::trunc(v.value);
    }
    return x;
  }
  if (op == "Unsqueeze" || op == "Squeeze" || op == "Reshape" || op == "Flatten") {
    const auto* out = shape(node.output(0));
    if (out == nullptr || out->size() > 1) return std::nullopt;
    x.shape = out->empty() ? std::vector<std::int64_t>() : std::vector{static_cast<std::int64_t>(x.values.size())};
    return x;
  }
  if (op == "Concat") return concatenated(index, in);
  if (op == "Gather" && in.size() == 2) return gathered(x, in[1]);
  if (op == "Slice") return slice_of(node, in);
  if (op == "ReduceProd" || op == "ReduceSum") return reduced(node, x);
  if (op == "ConstantOfShape") return filled(node, x);
  return element_by_element(op, in);
}

}  // namespace rtmdl
