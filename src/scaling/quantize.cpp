#include "scaling/quantize.h"

#include "model/edit.h"
#include "model/scale_shift.h"
#include "scaling/source_indices.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace rtmdl {
namespace {

class Quantizer {
 public:
  Quantizer(const Model& model, const std::vector<Unit>& units, const std::vector<bool>& integer, const Params& params,
            const TensorSpecs& specs, const WeightForm& weights, int weight_limit)
      : from_(model),
        links_(model),
        units_(units),
        integer_(integer),
        params_(params),
        specs_(specs),
        weights_(weights),
        limit_(weight_limit),
        origins_(read_indices(model)) {
    for (std::size_t u = 0; u < units.size(); ++u) {
      for (const auto& output : units[u].outputs) producer_[output] = static_cast<int>(u);
      if (!integer[u]) {
        for (const int n : nodes_of(units[u])) {
          for (auto& name : reads(model.graph().node(n))) read_as_float_.insert(std::move(name));
        }
      }
    }
    for (const auto& output : model.graph().output()) read_as_float_.insert(output.name());
  }

  Model run() {
    made_ = from_;
    made_.graph().clear_node();
    for (std::size_t u = 0; u < units_.size(); ++u) {
      unit_ = static_cast<int>(u);
      if (integer_[u]) emit_integer(units_[u]);
      else emit_float(units_[u]);
    }
    drop_dead_nodes(made_);
    note_origins();
    check_model(made_);
    return std::move(made_);
  }

 private:
  /// Of what is left.
  void note_origins() {
    SourceIndices left;
    for (const auto& initializer : made_.graph().initializer())
      if (const auto at = origins_.find(initializer.name()); at != origins_.end()) left.insert(*at);
    if (!origins_.empty()) write_indices(made_, left);
  }

  static std::vector<int> nodes_of(const Unit& unit) {
    std::vector<int> nodes{unit.node};
    nodes.insert(nodes.end(), unit.absorbed.begin(), unit.absorbed.end());
    return nodes;
  }

  onnx::NodeProto& add(const char* op, const std::string& name, std::initializer_list<std::string> inputs,
                       const std::string& output) {
    auto& node = *made_.graph().add_node();
    node.set_op_type(op);
    node.set_name(unit_mark(unit_) + name);
    for (const auto& input : inputs) node.add_input(input);
    node.add_output(output);
    return node;
  }

  std::string tensor(onnx::TensorProto proto) {
    *made_.graph().add_initializer() = std::move(proto);
    return made_.graph().initializer().rbegin()->name();
  }

  void emit_float(const Unit& unit) {
    for (const int n : nodes_of(unit)) {
      onnx::NodeProto node = from_.graph().node(n);
      node.set_name(unit_mark(unit_) + node.name());
      if (is_op(node, "Conv") || is_op(node, "ConvTranspose") || is_op(node, "Gemm"))
        node.set_input(0, shielded(node.input(0)));
      *made_.graph().add_node() = std::move(node);
    }
  }

  /// Names of scale and zero point as weights; one pair per tensor and role.
  std::pair<std::string, std::string> grid(const std::string& stem, QuantParams p) {
    const std::string s = stem + "/scale";
    const std::string z = stem + "/zero";
    if (grids_.insert(stem).second) {
      tensor(make_scalar(s, p.scale));
      tensor(make_tensor(z, {}, std::span<const std::uint8_t>(&p.zero, 1)));
    }
    return {s, z};
  }

  TensorParams params(const std::string& name) const {
    const auto it = params_.find(name);
    if (it == params_.end()) throw Error(ErrorCode::internal, "no range for tensor " + name);
    return it->second;
  }

  /// Name of the tensor's 8-bit form. Made here if its producer is float; constants are stored in 8 bits.
  std::string bytes(const std::string& name) {
    const std::string q = name + "/q";
    const auto it = producer_.find(name);
    if (it != producer_.end() && integer_[static_cast<std::size_t>(it->second)]) return q;
    if (!quantized_.insert(name).second) return q;
    const QuantParams p = params(name).read;
    if (const auto* constant = links_.constant(name)) {
      const auto values = floats(*constant).value_or(std::vector<float>());
      std::vector<std::uint8_t> out;
      for (const float v : values) {
        out.push_back(static_cast<std::uint8_t>(std::clamp(std::nearbyint(v / p.scale) + p.zero, 0.0F, 255.0F)));
      }
      tensor(make_tensor(q, dims(*constant), std::span<const std::uint8_t>(out)));
      return q;
    }
    const auto [s, z] = grid(name + "/read", p);
    add("QuantizeLinear", kConversionMark + name, {name, s, z}, q);
    return q;
  }

  /// A DequantizeLinear of its own for every reader, as the fusions of ONNX Runtime want it.
  std::string dequantized(const std::string& name, QuantParams p, const std::string& role) {
    const std::string q = bytes(name);
    const std::string out = fmt::format("{}/dq/{}{}", name, unit_, role);
    const auto [s, z] = grid(name + "/" + role, p);
    add("DequantizeLinear", out, {q, s, z}, out);
    return out;
  }
  std::string read(const std::string& name) { return dequantized(name, params(name).read, "read"); }

  /// Channels of zeros to add to the input of a first convolution, so that ORT's kernels, which take four at a time,
  /// need no im2col (measured: the 3x3 convolution of one channel into 32 gets 3x faster). 0 where the input is in 8
  /// bits already or has enough.
  std::int64_t thin_input(const Unit& unit, const onnx::NodeProto& node, const onnx::TensorProto& w) const {
    constexpr std::int64_t kTogether = 4;
    const auto producer = producer_.find(unit.inputs[0]);
    const bool in_bytes = producer != producer_.end() && integer_[static_cast<std::size_t>(producer->second)];
    if (!is_op(node, "Conv") || in_bytes || attribute_or(node, "group", std::int64_t{1}) != 1 || w.dims(1) >= kTogether)
      return 0;
    return kTogether - w.dims(1);
  }

  /// Quantised first: bytes are quicker to copy.
  std::string read_padded(const std::string& name, int rank, std::int64_t extra) {
    const std::string stem = fmt::format("{}/padded/{}", name, unit_);
    std::vector<std::int64_t> pads(2 * static_cast<std::size_t>(rank), 0);
    pads[static_cast<std::size_t>(rank) + 1] = extra;
    const auto count = static_cast<std::int64_t>(pads.size());
    tensor(make_tensor(stem + "/pads", Dims(&count, 1), std::span<const std::int64_t>(pads)));
    const auto [s, z] = grid(name + "/read", params(name).read);
    add("Pad", stem, {bytes(name), stem + "/pads", z}, stem + "/q");
    add("DequantizeLinear", stem + "/dq", {stem + "/q", s, z}, stem + "/dq");
    return stem + "/dq";
  }

  void write(const std::string& computed, const std::string& name) {
    const TensorParams p = params(name);
    const auto [s, z] = grid(name + "/written", p.written);
    add("QuantizeLinear", name + "/quantize", {computed, s, z}, name + "/q");
    give_float(name);
  }

  /// Where a float unit or the caller reads it.
  void give_float(const std::string& name) {
    if (!read_as_float_.contains(name)) return;
    const auto [s, z] = grid(name + "/read", params(name).read);
    add("DequantizeLinear", kConversionMark + name, {name + "/q", s, z}, name);
  }

  /// What a float Conv, ConvTranspose or Gemm reads instead of an integer unit's output: the same, dequantised per
  /// channel.
  std::string shielded(const std::string& name) {
    const auto producer = producer_.find(name);
    const auto spec = specs_.find(name);
    if (producer == producer_.end() || !integer_[static_cast<std::size_t>(producer->second)]) return name;
    const std::int64_t channels = spec == specs_.end() || spec->second.shape.size() < 2 ? 1 : spec->second.shape[1];
    if (channels == 1) return name;
    const std::string out = name + "/per_channel";
    if (!grids_.insert(out).second) return out;
    const QuantParams p = params(name).read;
    const std::vector<float> scales(static_cast<std::size_t>(channels), p.scale);
    const std::vector<std::uint8_t> zeros(scales.size(), p.zero);
    tensor(make_tensor(out + "/scale", Dims(&channels, 1), std::span<const float>(scales)));
    tensor(make_tensor(out + "/zero", Dims(&channels, 1), std::span<const std::uint8_t>(zeros)));
    set_attribute(add("DequantizeLinear", kConversionMark + name, {name + "/q", out + "/scale", out + "/zero"}, out),
                  "axis", std::int64_t{1});
    return out;
  }

  void emit_integer(const Unit& unit) {
    const auto& node = from_.graph().node(unit.node);
    if (unit.kind == UnitKind::linear) return emit_linear(unit);
    if (unit.kind == UnitKind::hard_sigmoid) return emit_hard_sigmoid(unit);
    if (is_op(node, "Pad")) return emit_pad(unit);
    if ((is_op(node, "DepthToSpace") || is_op(node, "SpaceToDepth")) && emit_blocks(unit)) return;
    onnx::NodeProto made = node;
    if (is_op(node, "Relu") || is_op(node, "Clip")) become_leaky(made);
    std::vector<std::string> inputs;
    for (const auto& name : unit.inputs) inputs.push_back(read(name));
    for (std::size_t i = 0; i < inputs.size(); ++i) made.set_input(static_cast<int>(i), inputs[i]);
    made.set_name(unit_mark(unit_) + node.name());
    std::vector<std::string> outputs;
    for (auto& output : *made.mutable_output()) {
      if (output.empty()) continue;
      outputs.push_back(&output == &made.output(0) ? unit.outputs.front() : output);
      output = outputs.back() + "/f";
    }
    *made_.graph().add_node() = std::move(made);
    for (const auto& output : outputs) write(output + "/f", output);
  }

  /// Relu and Clip have no integer kernels, LeakyRelu has; upper limits are those of the output's range, too.
  void become_leaky(onnx::NodeProto& node) const {
    const bool below = is_op(node, "Clip") && (node.input_size() < 2 || node.input(1).empty() ||
                                               scalar_constant(links_, node.input(1)).value_or(0) < 0);
    node.set_op_type("LeakyRelu");
    while (node.input_size() > 1) node.mutable_input()->RemoveLast();
    set_attribute(node, "alpha", below ? 1.0F : 0.0F);
  }

  /// Moves bytes as they are: ONNX Runtime knows no QDQ form of it.
  void emit_pad(const Unit& unit) {
    const auto& y = unit.outputs.front();
    onnx::NodeProto made = from_.graph().node(unit.node);
    made.set_name(unit_mark(unit_) + made.name());
    made.set_input(0, bytes(unit.inputs[0]));
    while (made.input_size() < 3) made.add_input();
    made.set_input(2, grid(unit.inputs[0] + "/read", params(unit.inputs[0]).read).second);
    made.set_output(0, y + "/q");
    *made_.graph().add_node() = std::move(made);
    give_float(y);
  }

  /// DepthToSpace and SpaceToDepth have no 8-bit kernels: as Reshape, Transpose, Reshape. False where the shape is not
  /// known.
  bool emit_blocks(const Unit& unit) {
    const auto& node = from_.graph().node(unit.node);
    const std::string& y = unit.outputs.front();
    const bool to_space = is_op(node, "DepthToSpace");
    const auto spec = specs_.find(to_space ? unit.inputs[0] : y);  // the deep one
    const std::int64_t b = attribute_or(node, "blocksize", std::int64_t{0});
    if (spec == specs_.end() || spec->second.shape.size() != 4 || b < 1) return false;
    const auto& deep = spec->second.shape;
    const std::int64_t depth = deep[1] / (b * b);
    const bool crd = to_space && attribute_or(node, "mode", "DCR") == "CRD";
    using Shape = std::vector<std::int64_t>;
    const Shape split = !to_space ? Shape{deep[0], depth, deep[2], b, deep[3], b}
                        : crd     ? Shape{deep[0], depth, b, b, deep[2], deep[3]}
                                  : Shape{deep[0], b, b, depth, deep[2], deep[3]};
    const Shape order = !to_space ? Shape{0, 3, 5, 1, 2, 4} : crd ? Shape{0, 1, 4, 2, 5, 3} : Shape{0, 3, 4, 1, 5, 2};
    const Shape whole = to_space ? Shape{deep[0], depth, deep[2] * b, deep[3] * b} : deep;
    move(bytes(unit.inputs[0]), node.name(), y, split, order, whole);
    return true;
  }

  /// y's bytes from others: Reshape, Transpose, Reshape.
  void move(const std::string& from, const std::string& name, const std::string& y,
            const std::vector<std::int64_t>& split, const std::vector<std::int64_t>& order,
            const std::vector<std::int64_t>& whole) {
    const auto shape = [&](const std::string& stem, const std::vector<std::int64_t>& values) {
      const auto n = static_cast<std::int64_t>(values.size());
      return tensor(make_tensor(stem, Dims(&n, 1), std::span<const std::int64_t>(values)));
    };
    add("Reshape", name + "/split", {from, shape(y + "/split/shape", split)}, y + "/split");
    set_attribute(add("Transpose", name + "/moved", {y + "/split"}, y + "/moved"), "perm",
                  std::span<const std::int64_t>(order));
    add("Reshape", name + "/whole", {y + "/moved", shape(y + "/whole/shape", whole)}, y + "/q");
    give_float(y);
  }

  /// clip(alpha · x + beta, 0, 1): x read alpha times as large, and an addition that saturates.
  void emit_hard_sigmoid(const Unit& unit) {
    const auto& node = from_.graph().node(unit.node);
    const std::string& y = unit.outputs.front();
    QuantParams p = params(unit.inputs[0]).read;
    p.scale = representable_scale(static_cast<double>(p.scale) * attribute_or(node, "alpha", 0.2F));
    const std::string x = dequantized(unit.inputs[0], p, "slope" + std::to_string(unit_));
    const float beta = attribute_or(node, "beta", 0.5F);
    const std::uint8_t one = beta >= 0 ? 255 : 0;
    const QuantParams pb{representable_scale(std::fabs(beta) / 255), static_cast<std::uint8_t>(255 - one)};
    tensor(make_tensor(y + "/beta", {}, std::span<const std::uint8_t>(&one, 1)));
    const auto [s, z] = grid(y + "/beta/grid", pb);
    add("DequantizeLinear", y + "/beta/dq", {y + "/beta", s, z}, y + "/beta/dq");
    add("Add", node.name(), {x, y + "/beta/dq"}, y + "/f");
    write(y + "/f", y);
  }

  std::vector<float> scales_of(const LinearWeights& w, double input_scale) const {
    const auto it = weights_.scales.find(w.name);
    if (it == weights_.scales.end()) return covering_scales(w, input_scale, limit_);
    if (it->second.size() != w.channels) {
      throw Error(ErrorCode::internal, fmt::format("{} scales for weights '{}' of {} output channels",
                                                   it->second.size(), w.name, w.channels));
    }
    std::vector<float> scales = it->second;
    for (std::size_t c = 0; c < scales.size(); ++c)
      scales[c] = std::max(scales[c], representable_scale(least_scale(w, c, input_scale)));
    return scales;
  }

  void emit_linear(const Unit& unit) {
    const auto& node = from_.graph().node(unit.node);
    const std::string& y = unit.outputs.front();
    const auto weights = linear_weights(node, links_);
    if (!weights) throw Error(ErrorCode::internal, "weights of " + describe(node) + " are no f32 constant");
    const LinearWeights& w = *weights;
    const std::int64_t extra = thin_input(unit, node, *links_.constant(node.input(1)));
    const std::string x =
        extra > 0 ? read_padded(unit.inputs[0], static_cast<int>(w.shape.size()), extra) : read(unit.inputs[0]);
    const double sx = params(unit.inputs[0]).read.scale;
    const std::vector<float> scales = scales_of(w, sx);
    std::vector<std::int8_t> q = round_weights(w, scales, limit_);
    const std::vector<float> b = corrected_bias(unit, w);
    const auto n = static_cast<std::int64_t>(w.channels);
    const std::vector<std::int8_t> zeros(w.channels, 0);
    const std::string stem = y + "/weights";
    std::vector<std::int64_t> shape = w.shape;
    if (const auto origin = origins_.find(w.name); origin != origins_.end() && shape == dims(*links_.constant(w.name)))
      origins_[stem] = origin->second;
    if (extra > 0) {
      const std::size_t row = q.size() / w.channels;
      const std::size_t filter = row + static_cast<std::size_t>(extra) * (row / static_cast<std::size_t>(shape[1]));
      std::vector<std::int8_t> padded(w.channels * filter, 0);
      for (std::size_t c = 0; c < w.channels; ++c) {
        std::copy_n(q.begin() + static_cast<std::ptrdiff_t>(c * row), row,
                    padded.begin() + static_cast<std::ptrdiff_t>(c * filter));
      }
      q = std::move(padded);
      shape[1] += extra;
    }
    tensor(make_tensor(stem, shape, std::span<const std::int8_t>(q)));
    tensor(make_tensor(stem + "/scale", Dims(&n, 1), std::span<const float>(scales)));
    tensor(make_tensor(stem + "/zero", Dims(&n, 1), std::span<const std::int8_t>(zeros)));
    set_attribute(add("DequantizeLinear", stem + "/dq", {stem, stem + "/scale", stem + "/zero"}, stem + "/dq"), "axis",
                  std::int64_t{w.columns ? 1 : 0});
    onnx::NodeProto made = is_op(node, "BatchNormalization") || is_op(node, "ConvTranspose") ? pixel_conv(w) : node;
    made.set_name(unit_mark(unit_) + node.name());
    made.set_input(0, x);
    made.set_input(1, stem + "/dq");
    if (!b.empty()) {
      while (made.input_size() < 3) made.add_input();
      made.set_input(2, quantized_bias(y, b, scales, sx));
    }
    made.set_output(0, y + "/f");
    *made_.graph().add_node() = std::move(made);
    if (is_op(node, "ConvTranspose")) write_spread(unit, node);
    else write(y + "/f", y);
  }

  static onnx::NodeProto pixel_conv(const LinearWeights& w) {
    onnx::NodeProto conv;
    conv.set_op_type("Conv");
    conv.add_input();
    conv.add_input();
    conv.add_output();
    set_attribute(conv, "kernel_shape", std::vector<std::int64_t>{1, 1});
    set_attribute(conv, "group", static_cast<std::int64_t>(w.group));
    return conv;
  }

  /// Channels (output, row, column) become pixels, in bytes.
  void write_spread(const Unit& unit, const onnx::NodeProto& node) {
    const std::string& y = unit.outputs.front();
    const auto [s, z] = grid(y + "/written", params(y).written);
    add("QuantizeLinear", y + "/quantize", {y + "/f", s, z}, y + "/deep");
    const auto& x = specs_.at(unit.inputs[0]).shape;
    const auto& w = *links_.constant(node.input(1));
    move(y + "/deep", node.name(), y, {x[0], w.dims(1), w.dims(2), w.dims(3), x[2], x[3]}, {0, 1, 4, 2, 5, 3},
         {x[0], w.dims(1), x[2] * w.dims(2), x[3] * w.dims(3)});
  }

  std::vector<float> corrected_bias(const Unit& unit, const LinearWeights& w) const {
    std::vector<float> bias = w.bias;
    const auto shift = weights_.shifts.find(unit.outputs.front());
    if (shift == weights_.shifts.end() || shift->second.size() != w.channels) return bias;
    bias.resize(w.channels, 0);
    for (std::size_t c = 0; c < w.channels; ++c) bias[c] = static_cast<float>(bias[c] - shift->second[c]);
    return bias;
  }

  std::string quantized_bias(const std::string& y, const std::vector<float>& b, const std::vector<float>& scales,
                             double sx) {
    const auto n = static_cast<std::int64_t>(b.size());
    std::vector<std::int32_t> q(b.size());
    std::vector<float> steps(b.size());
    for (std::size_t c = 0; c < b.size(); ++c) {
      const double step = sx * scales[c];
      steps[c] = static_cast<float>(step);
      q[c] = static_cast<std::int32_t>(std::clamp(std::nearbyint(b[c] / step), -2e9, 2e9));
    }
    const std::vector<std::int32_t> zeros(b.size(), 0);
    const std::string stem = y + "/bias";
    tensor(make_tensor(stem, Dims(&n, 1), std::span<const std::int32_t>(q)));
    tensor(make_tensor(stem + "/scale", Dims(&n, 1), std::span<const float>(steps)));
    tensor(make_tensor(stem + "/zero", Dims(&n, 1), std::span<const std::int32_t>(zeros)));
    set_attribute(add("DequantizeLinear", stem + "/dq", {stem, stem + "/scale", stem + "/zero"}, stem + "/dq"), "axis",
                  std::int64_t{0});
    return stem + "/dq";
  }

  const Model& from_;
  Links links_;
  const std::vector<Unit>& units_;
  const std::vector<bool>& integer_;
  const Params& params_;
  const TensorSpecs& specs_;
  const WeightForm& weights_;
  int limit_;
  int unit_ = 0;
  Model made_;
  SourceIndices origins_;  ///< of weights, in floats or in integers
  std::unordered_map<std::string, int> producer_;
  std::unordered_set<std::string> read_as_float_, quantized_, grids_;
};

}  // namespace

std::string unit_mark(int unit) { return fmt::format("~{}~", unit); }

Model quantize(const Model& model, const std::vector<Unit>& units, const std::vector<bool>& integer,
               const Params& params, const TensorSpecs& specs, const WeightForm& weights, int weight_limit) {
  return Quantizer(model, units, integer, params, specs, weights, weight_limit).run();
}

WeightScales weight_scales(const Model& model, const std::vector<Unit>& units, const std::vector<bool>& which,
                           const Params& params, bool clipped, int weight_limit) {
  const Links links(model);
  WeightScales scales;
  for (std::size_t u = 0; u < units.size(); ++u) {
    if (!which[u] || units[u].kind != UnitKind::linear) continue;
    const auto w = linear_weights(model.graph().node(units[u].node), links);
    const auto input = params.find(units[u].inputs[0]);
    if (!w || input == params.end()) continue;
    const double step = input->second.read.scale;
    auto own = clipped ? clipping_scales(*w, step, weight_limit) : covering_scales(*w, step, weight_limit);
    const auto [it, fresh] = scales.try_emplace(w->name, own);
    for (std::size_t c = 0; !fresh && c < own.size(); ++c) it->second[c] = std::max(it->second[c], own[c]);
  }
  return scales;
}

}  // namespace rtmdl
