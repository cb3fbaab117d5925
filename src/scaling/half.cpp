#include "scaling/half.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <unordered_set>

namespace rtmdl {
namespace {

constexpr float kSafe = kHalfMax / 2;
constexpr std::int64_t kMixedNormalisation = 15;  ///< operator set since which statistics may be f32 where data are f16

/// Where the time goes, and where f16 units are.
bool leads(const onnx::NodeProto& node) {
  static const std::set<std::string> kOps{"Conv", "ConvTranspose", "Gemm", "MatMul"};
  return kOps.contains(node.op_type());
}

/// As good in f16, but not worth a Cast.
bool follows(const onnx::NodeProto& node) {
  static const std::set<std::string> kOps{
      "Relu",        "LeakyRelu",     "PRelu",        "Clip",        "Sigmoid",
      "HardSigmoid", "HardSwish",     "Tanh",         "Elu",         "Add",
      "Sub",         "Mul",           "Neg",          "Abs",         "MaxPool",
      "Concat",      "AveragePool",   "Split",        "Slice",       "GlobalAveragePool",
      "Reshape",     "GlobalMaxPool", "Flatten",      "Transpose",   "Squeeze",
      "Unsqueeze",   "Pad",           "Gather",       "Expand",      "Tile",
      "Resize",      "Identity",      "DepthToSpace", "SpaceToDepth"};
  return kOps.contains(node.op_type());
}

class Halver {
 public:
  Halver(const Model& model, const TensorSpecs& specs, const std::unordered_map<std::string, float>& peaks)
      : from_(model), links_(model), specs_(specs), peaks_(peaks) {}

  HalfModel run() {
    for (int i = 0; i < from_.graph().node_size(); ++i) choose(i);
    made_.model = from_;
    made_.model.graph().clear_node();
    for (int i = 0; i < from_.graph().node_size(); ++i) emit(i);
    for (const auto& output : from_.graph().output()) need_float(output.name());
    drop_dead_nodes(made_.model);
    check_model(made_.model);
    return std::move(made_);
  }

 private:
  const onnx::NodeProto& node(int i) const { return from_.graph().node(i); }

  bool is_f32(const std::string& tensor) const {
    if (const auto* c = links_.constant(tensor)) return c->data_type() == onnx::TensorProto_DataType_FLOAT;
    if (const auto it = specs_.find(tensor); it != specs_.end()) return it->second.type == ElementType::f32;
    return std::any_of(from_.graph().input().begin(), from_.graph().input().end(), [&](const auto& input) {
      return input.name() == tensor && input.type().tensor_type().elem_type() == onnx::TensorProto_DataType_FLOAT;
    });
  }

  /// Inputs that take the type of the data; Resize's scales and the statistics of a normalisation are f32 always.
  std::vector<int> data_inputs(const onnx::NodeProto& n) const {
    std::vector<int> places;
    const bool first_only = is_op(n, "Resize") || is_op(n, "BatchNormalization");
    for (int k = 0; k < (first_only ? 1 : n.input_size()); ++k) {
      if (!n.input(k).empty() && is_f32(n.input(k))) places.push_back(k);
    }
    return places;
  }

  void choose(int i) {
    const auto& n = node(i);
    if ((!n.domain().empty() && n.domain() != "ai.onnx") || has_subgraph(n)) return;
    const std::vector<int> places = data_inputs(n);
    const auto in_half = [&](int k) { return half_.contains(n.input(k)); };
    const bool may_follow = follows(n) || (is_op(n, "BatchNormalization") && from_.opset() >= kMixedNormalisation);
    if (places.empty() || (!leads(n) && !(may_follow && std::any_of(places.begin(), places.end(), in_half)))) return;
    for (const int k : places) {
      if (!fits(n, n.input(k))) return;
    }
    for (const auto& output : n.output()) {
      if (!output.empty() && (!is_f32(output) || !fits(n, output))) return;
    }
    chosen_.insert(i);
    ++made_.half;
    half_.insert(n.output().begin(), n.output().end());
  }

  bool fits(const onnx::NodeProto& n, const std::string& tensor) {
    if (const auto* c = links_.constant(tensor)) {
      float most = 0;
      for (const float v : floats(*c).value_or(std::vector<float>()))
        most = std::isnan(v) ? v : std::max(most, std::fabs(v));
      if (most <= kHalfMax) return true;
      made_.kept.push_back(
          fmt::format("{}: weights '{}' reach {:g}, f16 ends at {:g}", describe(n), tensor, most, kHalfMax));
      return false;
    }
    const auto it = peaks_.find(tensor);
    if (it != peaks_.end() && it->second <= kSafe) return true;
    made_.kept.push_back(it == peaks_.end() ? fmt::format("{}: tensor '{}' was not observed", describe(n), tensor)
                                            : fmt::format("{}: values reach {:g}", describe(n), it->second));
    return false;
  }

  static std::string half_name(const std::string& tensor) { return tensor + "~f16"; }

  void cast(const std::string& from, const std::string& to, int type) {
    auto& made = *made_.model.graph().add_node();
    made.set_op_type("Cast");
    made.set_name(to + "~cast");
    made.add_input(from);
    made.add_output(to);
    set_attribute(made, "to", std::int64_t{type});
    ++made_.casts;
  }

  void need_float(const std::string& tensor) {
    if (half_.contains(tensor) && as_float_.insert(tensor).second)
      cast(half_name(tensor), tensor, onnx::TensorProto_DataType_FLOAT);
  }

  std::string need_half(const std::string& tensor) {
    const std::string name = half_name(tensor);
    if (half_.contains(tensor) || !as_half_.insert(tensor).second) return name;
    if (const auto* c = links_.constant(tensor)) store(name, *c);
    else cast(tensor, name, onnx::TensorProto_DataType_FLOAT16);
    return name;
  }

  void store(const std::string& name, const onnx::TensorProto& wide) {
    const auto values = floats(wide).value_or(std::vector<float>());
    std::string raw(values.size() * sizeof(std::uint16_t), '\0');
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t bits = to_half_bits(values[i]);
      raw[2 * i] = static_cast<char>(bits & 0xFF);
      raw[2 * i + 1] = static_cast<char>(bits >> 8);
    }
    auto& tensor = *made_.model.graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto_DataType_FLOAT16);
    for (const std::int64_t d : wide.dims()) tensor.add_dims(d);
    tensor.set_raw_data(std::move(raw));
  }

  void emit(int i) {
    onnx::NodeProto made = node(i);
    if (!chosen_.contains(i)) {
      for (const auto& name : reads(made)) need_float(name);
    } else {
      for (const int k : data_inputs(node(i))) made.set_input(k, need_half(node(i).input(k)));
      for (auto& output : *made.mutable_output()) {
        if (!output.empty()) output = half_name(output);
      }
    }
    *made_.model.graph().add_node() = std::move(made);
  }

  const Model& from_;
  Links links_;
  const TensorSpecs& specs_;
  const std::unordered_map<std::string, float>& peaks_;
  std::unordered_set<int> chosen_;
  std::unordered_set<std::string> half_;                ///< tensors whose producer computes in f16
  std::unordered_set<std::string> as_float_, as_half_;  ///< tensors that are there in the other type, too
  HalfModel made_;
};

}  // namespace

std::uint16_t to_half_bits(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return sign | 0x7E00U;   // not a number
  if (magnitude >= 0x477FF000U) return sign | 0x7C00U;  // from 65520 on the nearest is infinity
  if (magnitude < 0x38800000U) {                        // below 2^-14: multiples of 2^-24
    const float steps = std::bit_cast<float>(magnitude) * 0x1p24F;
    return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(std::nearbyint(steps)));
  }
  const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded >> 13) - (112U << 10)));
}

HalfModel to_half(const Model& model, const TensorSpecs& specs, const std::unordered_map<std::string, float>& peaks) {
  return Halver(model, specs, peaks).run();
}

HalfModel to_half(Engine& engine, const Model& model, const LoadRequest& at, const std::vector<InputSet>& sets,
                  const std::filesystem::path& folder, const Context& context) {
  std::set<std::string> tensors;
  for (const auto& input : model_inputs(model)) tensors.insert(input.name);
  for (const auto& node : model.graph().node()) {
    for (const auto& output : node.output()) {
      if (!output.empty()) tensors.insert(output);
    }
  }
  const Observed observed = observe(engine, model, at, {tensors.begin(), tensors.end()}, sets, folder, context);
  std::unordered_map<std::string, float> peaks;
  for (const auto& [name, histogram] : observed.histograms) {
    const Range range = histogram.range(Calibration::min_max);
    peaks[name] = histogram.usable() ? std::max(-range.low, range.high) : std::numeric_limits<float>::infinity();
  }
  return to_half(model, observed.specs, peaks);
}

}  // namespace rtmdl
