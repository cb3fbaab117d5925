#include "networks/graph_writer.h"

#include "data/random.h"

#include <cmath>
#include <numbers>
#include <string_view>
#include <utility>

namespace rtmdl::networks {
namespace {

constexpr std::int64_t kOpset = 17;
constexpr std::int64_t kIrVersion = 8;
constexpr float kEpsilon = 1e-5F;
constexpr float kLeak = 0.1F;

/// FNV-1a: a tensor's name as the number of its random stream.
std::uint64_t stream(std::string_view name) {
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

void describe(onnx::ValueInfoProto& value, const std::string& name, std::initializer_list<std::int64_t> rest) {
  value.set_name(name);
  auto& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto_DataType_FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("N");
  for (const std::int64_t extent : rest) type.mutable_shape()->add_dim()->set_dim_value(extent);
}

void set_integers(onnx::NodeProto& node, const std::string& name, std::initializer_list<std::int64_t> values) {
  set_attribute(node, name, std::span<const std::int64_t>(values.begin(), values.size()));
}

std::size_t product(std::initializer_list<std::int64_t> shape) {
  return element_count(std::span<const std::int64_t>(shape.begin(), shape.size()));
}

}  // namespace

GraphWriter::GraphWriter(const std::string& network, std::uint64_t seed) : seed_(seed) {
  model_.name = network;
  model_.proto.set_ir_version(kIrVersion);
  model_.proto.set_producer_name("rtmdl");
  auto& opset = *model_.proto.add_opset_import();
  opset.set_domain("");
  opset.set_version(kOpset);
  model_.graph().set_name(network);
}

Map GraphWriter::image(int channels, int rows, int columns) {
  describe(*model_.graph().add_input(), "image", {channels, rows, columns});
  return {"image", channels, rows, columns};
}

Map GraphWriter::sequence(int steps, int features) {
  describe(*model_.graph().add_input(), "sequence", {steps, features});
  return {"sequence", 1, steps, features};
}

onnx::NodeProto& GraphWriter::node(const char* op, const std::string& name, std::initializer_list<std::string> inputs) {
  auto& node = *model_.graph().add_node();
  node.set_op_type(op);
  node.set_name(name);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(name);
  return node;
}

std::string GraphWriter::constant(const std::string& name, Dims shape, std::span<const float> values) {
  *model_.graph().add_initializer() = make_tensor(name, shape, values);
  return name;
}

std::string GraphWriter::constant(const std::string& name, std::initializer_list<std::int64_t> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  *model_.graph().add_initializer() =
      make_tensor(name, Dims(&n, 1), std::span<const std::int64_t>(values.begin(), values.size()));
  return name;
}

std::string GraphWriter::weights(const std::string& name, std::initializer_list<std::int64_t> shape, double deviation) {
  Random random(seed_, stream(name), 0);
  std::vector<float> values(product(shape));
  for (std::size_t i = 0; i < values.size(); i += 2) {  // Box and Muller 1958: normal numbers come in pairs
    const double radius = deviation * std::sqrt(-2 * std::log(1 - random.unit()));
    const double angle = 2 * std::numbers::pi * random.unit();
    values[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < values.size()) values[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
  return constant(name, Dims(shape.begin(), shape.size()), values);
}

std::string GraphWriter::uniform(const std::string& name, std::initializer_list<std::int64_t> shape, double most) {
  Random random(seed_, stream(name), 0);
  std::vector<float> values(product(shape));
  for (float& v : values) v = static_cast<float>(random.between(-most, most));
  return constant(name, Dims(shape.begin(), shape.size()), values);
}

std::string GraphWriter::filled(const std::string& name, int size, float value) {
  const std::int64_t n = size;
  return constant(name, Dims(&n, 1), std::vector<float>(static_cast<std::size_t>(size), value));
}

Map GraphWriter::convolve(const std::string& name, const Map& x, const ConvSpec& spec, bool bias) {
  const int groups = spec.out == 0 ? x.channels : 1;
  const int out = spec.out == 0 ? x.channels : spec.out;
  const int padding = spec.padding < 0 ? spec.kernel / 2 : spec.padding;
  const int area = spec.kernel * spec.kernel;
  // Before a batch normalisation the scale does not matter forwards, so the fan of the backward pass counts.
  const int fan = area * (bias ? x.channels : out) / groups;
  const std::string stem = name.ends_with(".conv") ? name.substr(0, name.size() - 5) : name;
  const std::string w = weights(stem + ".weight", {out, x.channels / groups, spec.kernel, spec.kernel},
                                std::sqrt(2.0 / static_cast<double>(fan)));
  auto& n = node("Conv", name, {x.name, w});
  if (bias) n.add_input(filled(stem + ".bias", out, 0));
  set_integers(n, "dilations", {1, 1});
  set_attribute(n, "group", std::int64_t{groups});
  set_integers(n, "kernel_shape", {spec.kernel, spec.kernel});
  set_integers(n, "pads", {padding, padding, padding, padding});
  set_integers(n, "strides", {spec.stride, spec.stride});
  const auto size = [&](int extent) { return (extent + 2 * padding - spec.kernel) / spec.stride + 1; };
  return {name, out, size(x.rows), size(x.columns)};
}

std::string GraphWriter::normalise(const std::string& name, const std::string& x, int channels) {
  const std::string scale = filled(name + ".scale", channels, 1);
  const std::string shift = filled(name + ".shift", channels, 0);
  const std::string mean = filled(name + ".mean", channels, 0);
  const std::string variance = filled(name + ".variance", channels, 1);
  set_attribute(node("BatchNormalization", name + ".norm", {x, scale, shift, mean, variance}), "epsilon", kEpsilon);
  return name + ".norm";
}

Map GraphWriter::conv(const std::string& name, const Map& x, const ConvSpec& spec) {
  return convolve(name, x, spec, true);
}

Map GraphWriter::unit(const std::string& name, const Map& x, const ConvSpec& spec, Activation activation) {
  Map y = convolve(name + ".conv", x, spec, false);
  y.name = normalise(name, y.name, y.channels);
  return activate(name + ".relu", y, activation);
}

Map GraphWriter::activate(const std::string& name, const Map& x, Activation activation) {
  Map y = x;
  if (activation == Activation::none) return y;
  y.name = name;
  if (activation == Activation::relu) {
    node("Relu", name, {x.name});
  } else if (activation == Activation::leaky_relu) {
    set_attribute(node("LeakyRelu", name, {x.name}), "alpha", kLeak);
  } else {
    const float zero = 0;
    const float six = 6;
    if (!std::exchange(has_clips_, true)) {
      constant("relu6.least", {}, {&zero, 1});
      constant("relu6.most", {}, {&six, 1});
    }
    node("Clip", name, {x.name, "relu6.least", "relu6.most"});
  }
  return y;
}

Map GraphWriter::max_pool(const std::string& name, const Map& x, const PoolSpec& spec) {
  auto& n = node("MaxPool", name, {x.name});
  const int before = spec.padding;
  const int after_rows = spec.same ? spec.rows - 1 : spec.padding;
  const int after_columns = spec.same ? spec.columns - 1 : spec.padding;
  set_integers(n, "kernel_shape", {spec.rows, spec.columns});
  set_integers(n, "pads", {before, before, after_rows, after_columns});
  set_integers(n, "strides", {spec.row_stride, spec.column_stride});
  return {name, x.channels, (x.rows + before + after_rows - spec.rows) / spec.row_stride + 1,
          (x.columns + before + after_columns - spec.columns) / spec.column_stride + 1};
}

Map GraphWriter::global_average(const std::string& name, const Map& x) {
  node("GlobalAveragePool", name, {x.name});
  return {name, x.channels, 1, 1};
}

Map GraphWriter::flatten(const std::string& name, const Map& x) {
  set_attribute(node("Flatten", name, {x.name}), "axis", std::int64_t{1});
  return {name, x.features(), 0, 0};
}

Map GraphWriter::dropout(const std::string& name, const Map& x, float ratio) {
  const std::string share = constant(name + ".ratio", {}, {&ratio, 1});
  node("Dropout", name, {x.name, share});
  Map y = x;
  y.name = name;
  return y;
}

Map GraphWriter::dense(const std::string& name, const Map& x, int out, double gain) {
  const std::string stem = name == "logits" ? "classifier" : name;
  const std::string w = weights(stem + ".weight", {out, x.channels}, std::sqrt(gain / x.channels));
  const std::string b = filled(stem + ".bias", out, 0);
  set_attribute(node("Gemm", name, {x.name, w, b}), "transB", std::int64_t{1});
  return {name, out, 0, 0};
}

Map GraphWriter::add(const std::string& name, const Map& a, const Map& b) {
  node("Add", name, {a.name, b.name});
  Map y = a;
  y.name = name;
  return y;
}

Map GraphWriter::lstm(const std::string& name, const Map& x, int hidden, int layers) {
  // The normalisation wants [N, features, steps], the layers [steps, N, features].
  set_integers(node("Transpose", name + ".features", {x.name}), "perm", {0, 2, 1});
  const std::string norm = normalise(name, name + ".features", x.columns);
  std::string sequence = name + ".steps";
  set_integers(node("Transpose", sequence, {norm}), "perm", {2, 0, 1});
  int features = x.columns;
  const std::int64_t h = hidden;
  const double most = 1 / std::sqrt(static_cast<double>(hidden));
  for (int l = 1; l <= layers; ++l) {
    const std::string layer = name + std::to_string(l);
    const std::string w = uniform(layer + ".weight", {1, 4 * h, features}, most);
    const std::string r = uniform(layer + ".recurrence", {1, 4 * h, h}, most);
    std::vector<float> bias(static_cast<std::size_t>(8 * h), 0.0F);  // gates in the order input, output, forget, cell
    for (std::int64_t i = 2 * h; i < 3 * h; ++i) bias[static_cast<std::size_t>(i)] = 1;
    const std::int64_t bias_shape[] = {1, 8 * h};
    const std::string b = constant(layer + ".bias", bias_shape, bias);
    auto& n = node("LSTM", layer, {sequence, w, r, b});
    n.add_output(layer + ".last");
    set_attribute(n, "hidden_size", h);
    if (l == layers) {
      const std::string axis = constant(layer + ".state.axis", {0});
      node("Squeeze", layer + ".state", {layer + ".last", axis});
      sequence = layer + ".state";
    } else {
      const std::string axis = constant(layer + ".sequence.axis", {1});
      node("Squeeze", layer + ".sequence", {layer, axis});
      sequence = layer + ".sequence";
    }
    features = hidden;
  }
  return {sequence, hidden, 0, 0};
}

void GraphWriter::output(const std::string& name, std::initializer_list<std::int64_t> rest) {
  describe(*model_.graph().add_output(), name, rest);
}

Model GraphWriter::finish() {
  check_model(model_);
  return std::exchange(model_, {});
}

}  // namespace rtmdl::networks
