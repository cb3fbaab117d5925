#include "model/opset.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

namespace rtmdl {
namespace {

/// Operators whose meaning and form at opset 13 are those of every version from 7 on (types apart).
const std::set<std::string>& unchanged() {
  static const std::set<std::string> kOps{"Abs",
                                          "Acos",
                                          "Acosh",
                                          "Add",
                                          "And",
                                          "ArgMax",
                                          "ArgMin",
                                          "Asin",
                                          "Asinh",
                                          "Atan",
                                          "Atanh",
                                          "AveragePool",
                                          "BitShift",
                                          "Cast",
                                          "Ceil",
                                          "Compress",
                                          "Concat",
                                          "ConcatFromSequence",
                                          "Constant",
                                          "ConstantOfShape",
                                          "Conv",
                                          "ConvInteger",
                                          "ConvTranspose",
                                          "Cos",
                                          "Cosh",
                                          "CumSum",
                                          "DepthToSpace",
                                          "DequantizeLinear",
                                          "Det",
                                          "Div",
                                          "Einsum",
                                          "Elu",
                                          "Equal",
                                          "Erf",
                                          "Exp",
                                          "Expand",
                                          "EyeLike",
                                          "Flatten",
                                          "Floor",
                                          "GRU",
                                          "Gather",
                                          "GatherElements",
                                          "GatherND",
                                          "Gemm",
                                          "GlobalAveragePool",
                                          "GlobalLpPool",
                                          "GlobalMaxPool",
                                          "Greater",
                                          "GreaterOrEqual",
                                          "HardSigmoid",
                                          "Identity",
                                          "InstanceNormalization",
                                          "IsInf",
                                          "IsNaN",
                                          "LRN",
                                          "LSTM",
                                          "LeakyRelu",
                                          "Less",
                                          "LessOrEqual",
                                          "Log",
                                          "LpNormalization",
                                          "LpPool",
                                          "MatMul",
                                          "MatMulInteger",
                                          "Max",
                                          "MaxPool",
                                          "MaxRoiPool",
                                          "MaxUnpool",
                                          "Mean",
                                          "MeanVarianceNormalization",
                                          "Min",
                                          "Mod",
                                          "Mul",
                                          "Neg",
                                          "NonMaxSuppression",
                                          "NonZero",
                                          "Not",
                                          "OneHot",
                                          "Or",
                                          "PRelu",
                                          "Pow",
                                          "QLinearConv",
                                          "QLinearMatMul",
                                          "QuantizeLinear",
                                          "RNN",
                                          "RandomNormal",
                                          "RandomNormalLike",
                                          "RandomUniform",
                                          "RandomUniformLike",
                                          "Range",
                                          "Reciprocal",
                                          "ReduceL1",
                                          "ReduceL2",
                                          "ReduceLogSum",
                                          "ReduceLogSumExp",
                                          "ReduceMax",
                                          "ReduceMean",
                                          "ReduceMin",
                                          "ReduceProd",
                                          "ReduceSumSquare",
                                          "Relu",
                                          "Reshape",
                                          "ReverseSequence",
                                          "RoiAlign",
                                          "Round",
                                          "ScatterElements",
                                          "ScatterND",
                                          "Selu",
                                          "Shape",
                                          "Shrink",
                                          "Sigmoid",
                                          "Sign",
                                          "Sin",
                                          "Sinh",
                                          "Size",
                                          "Softplus",
                                          "Softsign",
                                          "SpaceToDepth",
                                          "Sqrt",
                                          "Sub",
                                          "Sum",
                                          "Tan",
                                          "Tanh",
                                          "ThresholdedRelu",
                                          "Tile",
                                          "Transpose",
                                          "Where",
                                          "Xor"};
  return kOps;
}

using Problem = std::optional<std::string>;

class Upgrade {
 public:
  explicit Upgrade(Model& model) : model_(model), links_(model), from_(model.opset()) {
    for (const auto& value : model.graph().value_info()) note_rank(value);
    for (const auto& value : model.graph().input()) note_rank(value);
    for (const auto& value : model.graph().output()) note_rank(value);
  }

  Problem run() {
    google::protobuf::RepeatedPtrField<onnx::NodeProto> old;
    old.Swap(model_.graph().mutable_node());
    for (auto& node : old) {
      if (!node.domain().empty() && node.domain() != "ai.onnx") {
        *model_.graph().add_node() = std::move(node);
        continue;
      }
      if (has_subgraph(node)) return fmt::format("operator '{}' has a subgraph", node.op_type());
      if (auto problem = convert(node)) return fmt::format("{}: {}", describe(node), *problem);
    }
    for (auto& import : *model_.proto.mutable_opset_import()) {
      if (import.domain().empty() || import.domain() == "ai.onnx") import.set_version(kWorkingOpset);
    }
    model_.proto.set_ir_version(std::max<std::int64_t>(model_.proto.ir_version(), 7));
    return std::nullopt;
  }

 private:
  void note_rank(const onnx::ValueInfoProto& value) {
    if (value.type().tensor_type().has_shape()) rank_[value.name()] = value.type().tensor_type().shape().dim_size();
  }

  /// Appends the node's modern form.
  Problem convert(onnx::NodeProto& node) {
    const std::string& op = node.op_type();
    Problem problem;
    if (op == "Clip") problem = clip(node);
    else if (op == "Pad") problem = pad(node);
    else if (op == "Slice") problem = slice(node);
    else if (op == "Squeeze" || op == "Unsqueeze" || op == "ReduceSum") problem = attribute_to_input(node, "axes");
    else if (op == "Split") problem = attribute_to_input(node, "split");
    else if (op == "Upsample") problem = upsample(node);
    else if (op == "Resize") problem = resize(node);
    else if (op == "Softmax" || op == "LogSoftmax" || op == "Hardmax") return softmax(node);
    else if (op == "BatchNormalization") problem = batch_normalization(node);
    else if (op == "Dropout") problem = dropout(node);
    else if (op == "TopK") problem = top_k(node);
    else if (op == "Scatter") node.set_op_type("ScatterElements");
    else if (!unchanged().contains(op)) {
      return fmt::format("operator '{}' is not known to mean the same at opset {} and {}", op, from_, kWorkingOpset);
    }
    if (!problem) *model_.graph().add_node() = std::move(node);
    return problem;
  }

  std::string constant(const onnx::NodeProto& node, const char* what, std::span<const std::int64_t> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return add_constant(model_, make_tensor(node.output(0) + "." + what, Dims(&n, 1), values));
  }

  static void input(onnx::NodeProto& node, int at, const std::string& name) {
    while (node.input_size() <= at) node.add_input();
    node.set_input(at, name);
  }

  Problem attribute_to_input(onnx::NodeProto& node, const char* name) {
    if (attribute(node, name) == nullptr) return std::nullopt;
    if (node.input_size() != 1 || node.output_size() < 1) return "damaged";
    const auto values = integers_attribute(node, name);
    remove_attribute(node, name);
    input(node, 1, constant(node, name, values));
    return std::nullopt;
  }

  Problem clip(onnx::NodeProto& node) {
    if (from_ >= 11) return std::nullopt;
    if (node.input_size() != 1 || node.output_size() != 1) return "damaged";
    const float low = attribute_or(node, "min", std::numeric_limits<float>::lowest());
    const float high = attribute_or(node, "max", std::numeric_limits<float>::max());
    input(node, 1, add_constant(model_, make_scalar(node.output(0) + ".min", low)));
    input(node, 2, add_constant(model_, make_scalar(node.output(0) + ".max", high)));
    remove_attribute(node, "min");
    remove_attribute(node, "max");
    return std::nullopt;
  }

  Problem pad(onnx::NodeProto& node) {
    if (from_ >= 11) return std::nullopt;
    if (node.input_size() != 1 || node.output_size() != 1) return "damaged";
    input(node, 1, constant(node, "pads", integers_attribute(node, "pads")));
    input(node, 2, add_constant(model_, make_scalar(node.output(0) + ".value", attribute_or(node, "value", 0.0F))));
    remove_attribute(node, "pads");
    remove_attribute(node, "value");
    return std::nullopt;
  }

  Problem slice(onnx::NodeProto& node) {
    if (from_ >= 10) return std::nullopt;
    if (node.input_size() != 1 || node.output_size() != 1) return "damaged";
    const auto starts = integers_attribute(node, "starts");
    const auto ends = integers_attribute(node, "ends");
    auto axes = integers_attribute(node, "axes");
    if (axes.empty()) {
      for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
    }
    if (starts.size() != ends.size() || starts.size() != axes.size()) return "starts, ends and axes differ in length";
    input(node, 1, constant(node, "starts", starts));
    input(node, 2, constant(node, "ends", ends));
    input(node, 3, constant(node, "axes", axes));
    for (const char* name : {"starts", "ends", "axes"}) remove_attribute(node, name);
    return std::nullopt;
  }

  Problem upsample(onnx::NodeProto& node) {
    if (node.input_size() < 1 || node.output_size() != 1) return "damaged";
    if (from_ < 9) {
      const auto* scales = attribute(node, "scales");
      if (scales == nullptr || node.input_size() != 1) return "no scales";
      const std::int64_t n = scales->floats_size();
      const std::span<const float> values(scales->floats().data(), static_cast<std::size_t>(n));
      const std::string name = add_constant(model_, make_tensor(node.output(0) + ".scales", Dims(&n, 1), values));
      remove_attribute(node, "scales");
      input(node, 1, name);
    }
    return scales_only_resize(node, "floor");
  }

  Problem resize(onnx::NodeProto& node) {
    if (from_ >= 11) {
      if (attribute_or(node, "coordinate_transformation_mode", "") == "tf_half_pixel_for_nn") {
        return "coordinate_transformation_mode tf_half_pixel_for_nn went away";
      }
      return std::nullopt;
    }
    const auto* scales = node.input_size() > 1 ? links_.constant(node.input(1)) : nullptr;
    const auto values = scales != nullptr ? floats(*scales) : std::nullopt;
    if (!values) return "scales are not constant";
    const bool up = std::all_of(values->begin(), values->end(), [](float s) { return s >= 1; });
    const bool down = std::all_of(values->begin(), values->end(), [](float s) { return s <= 1; });
    if (!up && !down && attribute_or(node, "mode", "nearest") == "nearest") return "scales both up and down";
    return scales_only_resize(node, up ? "floor" : "ceil");
  }

  static Problem scales_only_resize(onnx::NodeProto& node, const char* nearest_mode) {
    if (node.input_size() != 2) return "damaged";
    const std::string mode = attribute_or(node, "mode", "nearest");
    if (mode != "nearest" && mode != "linear" && mode != "bilinear") return fmt::format("mode '{}'", mode);
    const std::string scales = node.input(1);
    node.set_op_type("Resize");
    node.set_input(1, "");
    node.add_input(scales);
    set_attribute(node, "mode", mode == "nearest" ? "nearest" : "linear");
    set_attribute(node, "coordinate_transformation_mode", "asymmetric");
    if (mode == "nearest") set_attribute(node, "nearest_mode", nearest_mode);
    return std::nullopt;
  }

  /// Until 12: the input is seen as a matrix, dimensions from `axis` on being its columns.
  Problem softmax(onnx::NodeProto& node) {
    if (node.input_size() != 1 || node.output_size() != 1) return "damaged";
    const std::int64_t axis = attribute_or(node, "axis", std::int64_t{1});
    const auto rank = rank_.contains(node.input(0))    ? rank_[node.input(0)]
                      : rank_.contains(node.output(0)) ? rank_[node.output(0)]
                                                       : -1;
    set_attribute(node, "axis", std::int64_t{-1});
    auto& graph = model_.graph();
    if (axis == -1 || (rank > 0 && axis == rank - 1)) {
      *graph.add_node() = std::move(node);
      return std::nullopt;
    }
    const std::string x = node.input(0);
    const std::string y = node.output(0);
    const auto add = [&](const char* op, std::initializer_list<std::string> inputs, const std::string& output) {
      auto& made = *graph.add_node();
      made.set_op_type(op);
      made.set_name(output + "." + op);
      for (const auto& name : inputs) made.add_input(name);
      made.add_output(output);
      return &made;
    };
    add("Shape", {x}, y + ".shape");
    set_attribute(*add("Flatten", {x}, y + ".matrix"), "axis", axis);
    node.set_input(0, y + ".matrix");
    node.set_output(0, y + ".rows");
    *graph.add_node() = std::move(node);
    add("Reshape", {y + ".rows", y + ".shape"}, y);
    return std::nullopt;
  }

  Problem batch_normalization(onnx::NodeProto& node) {
    if (attribute_or(node, "spatial", std::int64_t{1}) != 1) return "normalises every pixel apart (spatial=0)";
    remove_attribute(node, "spatial");
    if (const int more = first_used_output_after_0(node); more > 0) return "has training outputs";
    while (node.output_size() > 1) node.mutable_output()->RemoveLast();
    return std::nullopt;
  }

  Problem dropout(onnx::NodeProto& node) {
    if (from_ >= 12) return std::nullopt;
    if (first_used_output_after_0(node) > 0) return "its mask is used";
    while (node.output_size() > 1) node.mutable_output()->RemoveLast();
    node.set_op_type("Identity");
    node.clear_attribute();
    return std::nullopt;
  }

  Problem top_k(onnx::NodeProto& node) {
    if (from_ >= 10) return std::nullopt;
    if (node.input_size() != 1 || node.output_size() < 1) return "damaged";
    const std::int64_t k = attribute_or(node, "k", std::int64_t{0});
    remove_attribute(node, "k");
    input(node, 1, constant(node, "k", std::span(&k, 1)));
    return std::nullopt;
  }

  [[nodiscard]] int first_used_output_after_0(const onnx::NodeProto& node) const {
    for (int i = 1; i < node.output_size(); ++i) {
      const std::string& name = node.output(i);
      if (!name.empty() && (links_.is_output(name) || !links_.consumers(name).empty())) return i;
    }
    return 0;
  }

  Model& model_;
  Links links_;
  std::int64_t from_;
  std::map<std::string, int> rank_;
};

}  // namespace

std::optional<std::string> upgrade_opset(Model& model) {
  if (model.opset() >= kWorkingOpset) return std::nullopt;
  if (model.opset() < 7) return fmt::format("opset {} is older than 7", model.opset());
  Model copy = model;
  if (auto problem = Upgrade(copy).run()) return problem;
  check_model(copy);
  model = std::move(copy);
  return std::nullopt;
}

}  // namespace rtmdl
