#include "scaling/widen.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace rtmdl {
namespace {

constexpr int kHalf = onnx::TensorProto_DataType_FLOAT16;
constexpr int kFloat = onnx::TensorProto_DataType_FLOAT;

int widen_tensor(onnx::TensorProto& tensor) {
  if (tensor.data_type() != kHalf) return 0;
  const auto values = floats(tensor);
  if (!values) return 0;
  tensor = make_tensor(tensor.name(), dims(tensor), std::span<const float>(*values));
  return 1;
}

void retype(google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values) {
  for (auto& value : values) {
    if (!value.has_type() || !value.type().has_tensor_type()) continue;
    auto& type = *value.mutable_type()->mutable_tensor_type();
    if (type.elem_type() == kHalf) type.set_elem_type(kFloat);
  }
}

int widen_nodes(onnx::GraphProto& graph) {
  int changed = 0;
  for (auto& tensor : *graph.mutable_initializer()) changed += widen_tensor(tensor);
  for (auto& node : *graph.mutable_node()) {
    for (auto& a : *node.mutable_attribute()) {
      const bool type = a.name() == "to" || a.name() == "dtype" || a.name() == "output_dtype";
      if (type && a.i() == kHalf) a.set_i(kFloat);
      if (a.has_t()) {
        const std::string name = a.t().name();
        changed += widen_tensor(*a.mutable_t());
        if (name.empty()) a.mutable_t()->clear_name();
      }
      if (a.has_g()) {
        retype(*a.mutable_g()->mutable_input());
        changed += widen_nodes(*a.mutable_g());
      }
    }
  }
  graph.clear_value_info();
  retype(*graph.mutable_output());
  return changed;
}

void add_cast(Model& model, const std::string& from, const std::string& to, int type, bool in_front) {
  onnx::NodeProto cast;
  cast.set_op_type("Cast");
  cast.set_name(to + ".cast");
  cast.add_input(from);
  cast.add_output(to);
  set_attribute(cast, "to", std::int64_t{type});
  *model.graph().add_node() = std::move(cast);
  if (!in_front) return;
  for (int i = model.graph().node_size() - 1; i > 0; --i) model.graph().mutable_node()->SwapElements(i, i - 1);
}

/// Casts of what is 32-bit anyway.
void drop_idle_casts(Model& model) {
  std::set<std::string> wide;  // written by what can only give f32 from f32
  const Links links(model);
  std::vector<int> idle;
  for (const auto& input : model.graph().input()) {
    if (input.type().tensor_type().elem_type() == kFloat) wide.insert(input.name());
  }
  static const std::set<std::string> kFloatOnly{"Conv",
                                                "ConvTranspose",
                                                "Gemm",
                                                "BatchNormalization",
                                                "LayerNormalization",
                                                "Relu",
                                                "Sigmoid",
                                                "Softmax",
                                                "Tanh",
                                                "LeakyRelu",
                                                "PRelu",
                                                "GlobalAveragePool",
                                                "Erf",
                                                "HardSigmoid",
                                                "Exp",
                                                "Sqrt",
                                                "AveragePool",
                                                "HardSwish",
                                                "InstanceNormalization"};
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    const bool to_float = is_op(node, "Cast") && attribute_or(node, "to", std::int64_t{0}) == kFloat;
    if (to_float && wide.contains(node.input(0)) && !links.is_output(node.output(0))) idle.push_back(i);
    if (to_float || kFloatOnly.contains(node.op_type())) wide.insert(node.output(0));
  }
  for (const int i : idle) {
    const onnx::NodeProto node = model.graph().node(i);
    redirect(model, node.output(0), node.input(0));
  }
  remove_nodes(model, idle);
}

}  // namespace

int widen_halves(Model& model) {
  const auto is_half = [](const onnx::ValueInfoProto& value) {
    return value.type().tensor_type().elem_type() == kHalf;
  };
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  for (const auto& input : model.graph().input()) {
    if (is_half(input)) inputs.push_back(input.name());
  }
  for (const auto& output : model.graph().output()) {
    if (is_half(output)) outputs.push_back(output.name());
  }
  const int changed = widen_nodes(model.graph());
  if (changed + static_cast<int>(inputs.size() + outputs.size()) == 0) return 0;
  for (const auto& name : outputs) {
    const std::string wide = unused_name(model, name + ".f32");
    for (auto& node : *model.graph().mutable_node()) {
      std::replace(node.mutable_output()->begin(), node.mutable_output()->end(), name, wide);
    }
    redirect(model, name, wide);
    add_cast(model, wide, name, kHalf, false);
    for (auto& output : *model.graph().mutable_output()) {
      if (output.name() == name) output.mutable_type()->mutable_tensor_type()->set_elem_type(kHalf);
    }
  }
  for (const auto& name : inputs) {
    const std::string wide = unused_name(model, name + ".f32");
    redirect(model, name, wide);
    add_cast(model, name, wide, kFloat, true);
  }
  drop_idle_casts(model);
  return changed;
}

}  // namespace rtmdl
