#include "training/onnx_export.h"

#include <rtmdl/error.h>

#include <onnx/onnx_pb.h>

#include <initializer_list>

namespace rtmdl::training {
namespace {

constexpr std::int64_t kOpset = 17;
constexpr std::int64_t kIrVersion = 8;

void describe(onnx::ValueInfoProto& value, const std::string& name, std::initializer_list<std::int64_t> rest) {
  value.set_name(name);
  auto& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto_DataType_FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("N");
  for (const std::int64_t extent : rest) type.mutable_shape()->add_dim()->set_dim_value(extent);
}

/// Appends nodes; each returns the name of its output, which is the name of the node.
class GraphWriter {
 public:
  explicit GraphWriter(onnx::GraphProto& graph) : graph_(graph) {}

  onnx::NodeProto& node(const char* op, const std::string& name, std::initializer_list<std::string> inputs) {
    auto& node = *graph_.add_node();
    node.set_op_type(op);
    node.set_name(name);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(name);
    return node;
  }

  std::string relu(const std::string& name, const std::string& x) {
    node("Relu", name, {x});
    return name;
  }

  std::string unit(const ConvUnit& u, const std::string& x) {
    const std::string conv = u.name + ".conv";
    auto& n = node("Conv", conv, {x, u.name + ".weight"});
    const std::int64_t pad = u.kernel / 2;
    integers(n, "dilations", {1, 1});
    integer(n, "group", 1);
    integers(n, "kernel_shape", {u.kernel, u.kernel});
    integers(n, "pads", {pad, pad, pad, pad});
    integers(n, "strides", {u.stride, u.stride});
    const std::string norm = u.name + ".norm";
    auto& bn = node("BatchNormalization", norm,
                    {conv, u.name + ".scale", u.name + ".shift", u.name + ".mean", u.name + ".variance"});
    real(bn, "epsilon", static_cast<float>(kBatchNormEpsilon));
    return norm;
  }

  void integer(onnx::NodeProto& n, const char* name, std::int64_t value) {
    auto& a = attribute(n, name, onnx::AttributeProto_AttributeType_INT);
    a.set_i(value);
  }

 private:
  static onnx::AttributeProto& attribute(onnx::NodeProto& n, const char* name,
                                         onnx::AttributeProto_AttributeType type) {
    auto& a = *n.add_attribute();
    a.set_name(name);
    a.set_type(type);
    return a;
  }
  static void integers(onnx::NodeProto& n, const char* name, std::initializer_list<std::int64_t> values) {
    auto& a = attribute(n, name, onnx::AttributeProto_AttributeType_INTS);
    for (const std::int64_t value : values) a.add_ints(value);
  }
  static void real(onnx::NodeProto& n, const char* name, float value) {
    attribute(n, name, onnx::AttributeProto_AttributeType_FLOAT).set_f(value);
  }

  onnx::GraphProto& graph_;
};

void add_initializers(onnx::GraphProto& graph, const Network& network, std::span<const float> weights) {
  for (const ParameterSpec& spec : parameters(network)) {
    const auto size = static_cast<std::size_t>(spec.size());
    if (weights.size() < size) throw Error(ErrorCode::internal, "fewer weights than the network has parameters");
    auto& tensor = *graph.add_initializer();
    tensor.set_name(spec.name);
    tensor.set_data_type(onnx::TensorProto_DataType_FLOAT);
    for (const std::int64_t extent : spec.shape) tensor.add_dims(extent);
    tensor.set_raw_data(weights.data(), size * sizeof(float));
    weights = weights.subspan(size);
  }
  if (!weights.empty()) throw Error(ErrorCode::internal, "more weights than the network has parameters");
}

}  // namespace

std::string to_onnx(const Network& network, std::span<const float> weights, const ExportOptions& options) {
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("rtmdl");
  model.set_doc_string(options.doc_string);
  auto& opset = *model.add_opset_import();
  opset.set_domain("");
  opset.set_version(kOpset);

  auto& graph = *model.mutable_graph();
  graph.set_name("resnet18");
  describe(*graph.add_input(), "image", {options.channels, options.rows, options.columns});
  describe(*graph.add_output(), "logits", {network.classes});
  add_initializers(graph, network, weights);

  GraphWriter writer(graph);
  std::string x = writer.relu("stem.relu", writer.unit(network.stem, "image"));
  for (const ResidualBlock& block : network.blocks) {
    const std::string name = block.first.name.substr(0, block.first.name.rfind('.'));
    const std::string inner =
        writer.unit(block.second, writer.relu(block.first.name + ".relu", writer.unit(block.first, x)));
    const std::string skip = block.shortcut ? writer.unit(*block.shortcut, x) : x;
    writer.node("Add", name + ".add", {inner, skip});
    x = writer.relu(name + ".relu", name + ".add");
  }
  writer.node("GlobalAveragePool", "pool", {x});
  writer.integer(writer.node("Flatten", "features", {"pool"}), "axis", 1);
  auto& classifier = writer.node("Gemm", "logits", {"features", "classifier.weight", "classifier.bias"});
  writer.integer(classifier, "transB", 1);
  return model.SerializeAsString();
}

}  // namespace rtmdl::training
