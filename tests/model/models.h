#pragma once
/// Small models made in memory, for tests.

#include "model/model.h"
#include "model/tensor_data.h"

#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace rtmdl::test {

/// Appends nodes and seeded random weights to a graph; every method gives the name of the tensor that it made.
class ModelMaker {
 public:
  explicit ModelMaker(std::int64_t opset = 17, std::uint32_t seed = 1) : random_(seed) {
    model_.name = "made.onnx";
    model_.proto.set_ir_version(8);
    model_.proto.add_opset_import()->set_version(opset);
    model_.graph().set_name("made");
  }

  std::string input(const std::string& name, const std::vector<std::int64_t>& shape) {
    return declare(*model_.graph().add_input(), name, shape);
  }
  void output(const std::string& name) { declare(*model_.graph().add_output(), name, {}); }

  std::string weights(const std::vector<std::int64_t>& shape, float low = -0.5F, float high = 0.5F) {
    std::uniform_real_distribution<float> values(low, high);
    std::vector<float> data(element_count(shape));
    for (float& v : data) v = values(random_);
    return constant(shape, data);
  }
  std::string constant(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
    const std::string name = "w" + std::to_string(count_++);
    *model_.graph().add_initializer() = make_tensor(name, shape, std::span<const float>(values));
    return name;
  }
  std::string integers(const std::vector<std::int64_t>& values) {
    const std::string name = "i" + std::to_string(count_++);
    const auto n = static_cast<std::int64_t>(values.size());
    *model_.graph().add_initializer() = make_tensor(name, Dims(&n, 1), std::span<const std::int64_t>(values));
    return name;
  }

  /// The last node, to set attributes.
  onnx::NodeProto& last() { return *model_.graph().mutable_node(model_.graph().node_size() - 1); }
  std::string node(const char* op, std::initializer_list<std::string> inputs) {
    auto& n = *model_.graph().add_node();
    n.set_op_type(op);
    for (const auto& i : inputs) n.add_input(i);
    n.add_output("t" + std::to_string(count_++));
    return n.output(0);
  }

  std::string conv(const std::string& x, std::int64_t in, std::int64_t out, std::int64_t kernel,
                   std::int64_t stride = 1, std::int64_t group = 1, bool bias = true) {
    const float spread = 1.7F / std::sqrt(static_cast<float>(in / group * kernel * kernel));
    const std::string w = weights({out, in / group, kernel, kernel}, -spread, spread);
    const std::string y = bias ? node("Conv", {x, w, weights({out}, -0.2F, 0.2F)}) : node("Conv", {x, w});
    set_attribute(last(), "kernel_shape", std::vector<std::int64_t>{kernel, kernel});
    set_attribute(last(), "strides", std::vector<std::int64_t>{stride, stride});
    set_attribute(last(), "pads", std::vector<std::int64_t>(4, kernel / 2));
    set_attribute(last(), "group", group);
    return y;
  }
  std::string batch_norm(const std::string& x, std::int64_t channels) {
    const std::string scale = weights({channels}, 0.5F, 1.5F);
    const std::string shift = weights({channels}, -0.3F, 0.3F);
    const std::string mean = weights({channels}, -0.3F, 0.3F);
    const std::string variance = weights({channels}, 0.5F, 1.5F);
    return node("BatchNormalization", {x, scale, shift, mean, variance});
  }

  Model& model() { return model_; }
  std::uint32_t draw(std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
  }

 private:
  static std::string declare(onnx::ValueInfoProto& value, const std::string& name,
                             const std::vector<std::int64_t>& shape) {
    value.set_name(name);
    auto& type = *value.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto_DataType_FLOAT);
    for (const std::int64_t d : shape) {
      if (d > 0) type.mutable_shape()->add_dim()->set_dim_value(d);
      else type.mutable_shape()->add_dim()->set_dim_param("free" + std::to_string(type.shape().dim_size()));
    }
    return name;
  }

  Model model_;
  std::mt19937 random_;
  int count_ = 0;
};

/// If: Relu or Neg of a tensor that both branches take from the graph around them.
inline std::string relu_or_neg(ModelMaker& m, const std::string& condition, const std::string& captured) {
  const std::string y = m.node("If", {condition});
  for (const auto& [branch, op] : {std::pair{"then_branch", "Relu"}, std::pair{"else_branch", "Neg"}}) {
    auto& attribute = *m.last().add_attribute();
    attribute.set_name(branch);
    attribute.set_type(onnx::AttributeProto_AttributeType_GRAPH);
    auto& graph = *attribute.mutable_g();
    graph.set_name(branch);
    auto& node = *graph.add_node();
    node.set_op_type(op);
    node.add_input(captured);
    node.add_output(std::string(branch) + "_y");
    auto& output = *graph.add_output();
    output.set_name(node.output(0));
    output.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto_DataType_FLOAT);
  }
  return y;
}

/// The shape of the demo's classifier: ResNet-18 with widths 32, 48, 64, 80 on 28×28, BatchNormalization not folded.
inline Model resnet18(std::int64_t batch) {
  ModelMaker m;
  std::string x =
      m.node("Relu", {m.batch_norm(m.conv(m.input("image", {batch, 1, 28, 28}), 1, 32, 3, 1, 1, false), 32)});
  std::int64_t in = 32;
  for (const std::int64_t width : {32, 48, 64, 80}) {
    for (int block = 0; block < 2; ++block) {
      const std::int64_t stride = block == 0 && width != 32 ? 2 : 1;
      std::string y = m.node("Relu", {m.batch_norm(m.conv(x, in, width, 3, stride, 1, false), width)});
      y = m.batch_norm(m.conv(y, width, width, 3, 1, 1, false), width);
      if (stride != 1 || in != width) x = m.batch_norm(m.conv(x, in, width, 1, stride, 1, false), width);
      x = m.node("Relu", {m.node("Add", {y, x})});
      in = width;
    }
  }
  const std::string features = m.node("Flatten", {m.node("GlobalAveragePool", {x})});
  m.node("Gemm", {features, m.weights({10, in}), m.weights({10})});
  set_attribute(m.last(), "transB", std::int64_t{1});
  m.last().set_output(0, "logits");
  m.output("logits");
  return m.model();
}

}  // namespace rtmdl::test
