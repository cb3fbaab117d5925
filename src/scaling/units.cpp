#include "scaling/units.h"

#include "model/scale_shift.h"
#include "model/tensor_data.h"
#include "scaling/quant_weights.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace rtmdl {
namespace {

class UnitFinder {
 public:
  explicit UnitFinder(const Model& model) : model_(model), links_(model) {
    taken_.assign(static_cast<std::size_t>(model.graph().node_size()), 0);
  }

  std::vector<Unit> run() {
    std::vector<Unit> units;
    for (int i = 0; i < model_.graph().node_size(); ++i) {
      if (taken_[static_cast<std::size_t>(i)] == 0) units.push_back(begin_at(i));
    }
    return units;
  }

 private:
  const onnx::NodeProto& node(int i) const { return model_.graph().node(i); }

  Unit begin_at(int i) {
    taken_[static_cast<std::size_t>(i)] = 1;
    Unit unit;
    unit.node = i;
    unit.kind = kind(node(i));
    for (const auto& output : node(i).output()) {
      if (!output.empty()) unit.outputs.push_back(output);
    }
    if (!unit.can_be_integer()) return unit;
    unit.inputs.push_back(node(i).input(0));
    if (unit.kind == UnitKind::binary) unit.inputs.push_back(node(i).input(1));
    if (unit.kind == UnitKind::concat) unit.inputs.assign(node(i).input().begin(), node(i).input().end());
    if (unit.kind == UnitKind::linear || unit.kind == UnitKind::binary) absorb_activation(unit);
    unit.computed = unit.outputs.front();
    if (unit.kind != UnitKind::same && unit.kind != UnitKind::concat) absorb_scale_shift(unit);
    return unit;
  }

  int only_reader(const std::string& tensor) const {
    if (!links_.private_to_one(tensor)) return -1;
    const int reader = links_.consumers(tensor).front();
    return taken_[static_cast<std::size_t>(reader)] == 0 ? reader : -1;
  }

  void take(Unit& unit, int i) {
    taken_[static_cast<std::size_t>(i)] = 1;
    unit.absorbed.push_back(i);
    unit.outputs.front() = node(i).output(0);
  }

  /// Relu, and Clip around zero: the limits of the output's range clip as well.
  void absorb_activation(Unit& unit) {
    const int i = only_reader(unit.outputs.front());
    if (i < 0 || node(i).output_size() != 1 || node(i).input(0) != unit.outputs.front()) return;
    if (is_op(node(i), "Relu") || (is_op(node(i), "Clip") && clips_around_zero(node(i)))) take(unit, i);
  }

  bool clips_around_zero(const onnx::NodeProto& n) const {
    const auto limit = [&](int k) -> std::optional<double> {
      if (n.input_size() <= k || n.input(k).empty()) return 0;
      return scalar_constant(links_, n.input(k));
    };
    const auto low = limit(1);
    const auto high = limit(2);
    return low && high && *low <= 0 && *high >= 0;
  }

  /// As in attention. At the end of a classifier there is nothing to gain, and the integer kernel is no good for few
  /// classes (measured: all of the output error of a classifier of two).
  bool between_products(const onnx::NodeProto& n) const {
    const auto& readers = links_.consumers(n.output(0));
    return !links_.is_output(n.output(0)) && !readers.empty() &&
           std::all_of(readers.begin(), readers.end(), [&](int r) { return is_op(node(r), "MatMul"); });
  }

  /// Or with what is there already.
  bool pads_with_zeros(const onnx::NodeProto& n) const {
    if (attribute_or(n, "mode", "constant") != "constant") return true;
    if (n.input_size() < 3 || n.input(2).empty()) return true;
    const auto value = scalar_constant(links_, n.input(2));
    return value && *value == 0;
  }

  /// Where saturation does the clipping, zero must stay where it is: no shift then.
  void absorb_scale_shift(Unit& unit) {
    const bool clips = unit.kind == UnitKind::hard_sigmoid || !unit.absorbed.empty();
    while (true) {
      const std::string x = unit.outputs.front();
      const int i = only_reader(x);
      const auto s = i >= 0 ? scalar_scale_shift(node(i), links_, x) : std::nullopt;
      if (!s || !(s->scale[0] > 0)) return;
      const double scale = unit.scale * s->scale[0];
      const double shift = unit.shift * s->scale[0] + s->shift[0];
      if (!std::isfinite(scale) || !std::isfinite(shift) || (clips && shift != 0)) return;
      unit.scale = scale;
      unit.shift = shift;
      take(unit, i);
    }
  }

  bool constant(const std::string& name) const { return links_.constant(name) != nullptr; }

  bool f32_constant(const std::string& name, int rank_at_least) const {
    const auto* t = links_.constant(name);
    return t != nullptr && t->data_type() == onnx::TensorProto_DataType_FLOAT && t->dims_size() >= rank_at_least &&
           !floats(*t).value_or(std::vector<float>()).empty();
  }

  UnitKind kind(const onnx::NodeProto& n) const {
    static const std::set<std::string> kSame{"MaxPool",   "Reshape", "Flatten", "Transpose",    "Squeeze",
                                             "Unsqueeze", "Slice",   "Split",   "DepthToSpace", "SpaceToDepth",
                                             "Resize",    "Gather",  "Expand",  "Tile",         "Pad"};
    static const std::set<std::string> kOwn{"GlobalAveragePool", "AveragePool", "Sigmoid", "LeakyRelu", "Softmax"};
    if ((!n.domain().empty() && n.domain() != "ai.onnx") || n.input_size() < 1 || n.output_size() < 1 ||
        n.input(0).empty() || n.output(0).empty() || has_subgraph(n)) {
      return UnitKind::fixed;
    }
    const std::string& op = n.op_type();
    if (op == "Concat") return is_float_data(n) ? UnitKind::concat : UnitKind::fixed;
    if (op == "MatMul" && n.input_size() == 2 && !constant(n.input(0)) && !constant(n.input(1)))
      return UnitKind::binary;
    if (op == "Conv" || op == "Gemm" || op == "MatMul" || op == "BatchNormalization" || op == "ConvTranspose")
      return linear(n) ? UnitKind::linear : UnitKind::fixed;
    if (op == "Add" || op == "Mul") return binary(n) ? UnitKind::binary : UnitKind::fixed;
    if (constant(n.input(0))) return UnitKind::fixed;
    if (op == "HardSigmoid") return attribute_or(n, "alpha", 0.2F) > 0 ? UnitKind::hard_sigmoid : UnitKind::fixed;
    if (op == "Softmax" && !between_products(n)) return UnitKind::fixed;
    if (kOwn.contains(op) || op == "Relu" || (op == "Clip" && clips_around_zero(n))) return UnitKind::own;
    if (op == "Pad" && !pads_with_zeros(n)) return UnitKind::fixed;
    if (!kSame.contains(op)) return UnitKind::fixed;
    if (op == "MaxPool" && n.output_size() > 1) return UnitKind::fixed;
    if (op == "Resize") {
      const auto mode = attribute_or(n, "mode", "nearest");
      return mode == "nearest" || mode == "linear" ? UnitKind::same : UnitKind::fixed;
    }
    return is_float_data(n) ? UnitKind::same : UnitKind::fixed;
  }

  bool linear(const onnx::NodeProto& n) const {
    if (is_op(n, "BatchNormalization") || is_op(n, "ConvTranspose"))
      return n.output_size() == 1 && !constant(n.input(0)) && linear_weights(n, links_);
    if (n.input_size() < 2 || constant(n.input(0)) || n.output_size() != 1) return false;
    const bool bias = n.input_size() > 2 && !n.input(2).empty();
    if (bias && !f32_constant(n.input(2), 1)) return false;
    if (is_op(n, "Conv")) return f32_constant(n.input(1), 3);
    const auto* w = links_.constant(n.input(1));
    if (!f32_constant(n.input(1), 2) || w->dims_size() != 2) return false;
    if (is_op(n, "MatMul")) return true;
    const auto outputs = w->dims(attribute_or(n, "transB", std::int64_t{0}) != 0 ? 0 : 1);
    const auto* b = bias ? links_.constant(n.input(2)) : nullptr;
    return attribute_or(n, "alpha", 1.0F) == 1 && attribute_or(n, "beta", 1.0F) == 1 &&
           attribute_or(n, "transA", std::int64_t{0}) == 0 &&
           (b == nullptr || (b->dims_size() == 1 && b->dims(0) == outputs));
  }

  /// Of two tensors, or of a tensor and a constant with more than one element (those with one are scale and shift).
  bool binary(const onnx::NodeProto& n) const {
    if (n.input_size() != 2 || (constant(n.input(0)) && constant(n.input(1)))) return false;
    for (const auto& input : n.input()) {
      if (constant(input) && !f32_constant(input, 0)) return false;
    }
    return is_float_data(n);
  }

  /// Follows data-moving nodes upwards: shape arithmetic (int64) must stay as it is.
  bool is_float_data(const onnx::NodeProto& n) const {
    static const std::set<std::string> kInteger{"Shape",  "Size",  "NonZero", "ArgMax", "ArgMin", "Cast",
                                                "Equal",  "Less",  "Greater", "Not",    "Range",  "ConstantOfShape",
                                                "CumSum", "Gather"};
    std::set<std::string> seen;
    std::vector<std::string> queue(n.input().begin(), is_op(n, "Concat") || is_op(n, "Add") || is_op(n, "Mul")
                                                          ? n.input().end()
                                                          : n.input().begin() + 1);
    while (!queue.empty()) {
      const std::string name = std::move(queue.back());
      queue.pop_back();
      if (!seen.insert(name).second) continue;
      if (const auto* t = links_.constant(name)) {
        if (t->data_type() != onnx::TensorProto_DataType_FLOAT) return false;
        continue;
      }
      const int p = links_.producer(name);
      if (p < 0) {
        for (const auto& input : model_.graph().input()) {
          if (input.name() == name && input.type().tensor_type().elem_type() != onnx::TensorProto_DataType_FLOAT)
            return false;
        }
        continue;
      }
      if (kInteger.contains(node(p).op_type())) return false;
      const auto& op = node(p).op_type();
      if (op == "Add" || op == "Mul" || op == "Sub" || op == "Div" || op == "Concat") {
        queue.insert(queue.end(), node(p).input().begin(), node(p).input().end());
      } else if (op == "Slice" || op == "Squeeze" || op == "Unsqueeze" || op == "Reshape" || op == "Transpose" ||
                 op == "Split") {
        queue.push_back(node(p).input(0));
      }
    }
    return true;
  }

  const Model& model_;
  Links links_;
  std::vector<char> taken_;
};

}  // namespace

std::vector<Unit> find_units(const Model& model) { return UnitFinder(model).run(); }

}  // namespace rtmdl
