#include "scaling/decompose.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <optional>
#include <set>

namespace rtmdl {
namespace {

/// Dimensions of a tensor, as far as convolutions and inputs around it tell.
std::optional<int> rank_of(const Model& model, const Links& links, const std::string& tensor, int depth = 0) {
  static const std::set<std::string> kKeep{"Relu",
                                           "LeakyRelu",
                                           "Clip",
                                           "Sigmoid",
                                           "HardSigmoid",
                                           "Add",
                                           "Mul",
                                           "Concat",
                                           "MaxPool",
                                           "AveragePool",
                                           "Resize",
                                           "HardSwish",
                                           "PRelu",
                                           "Elu",
                                           "BatchNormalization",
                                           "Tanh",
                                           "InstanceNormalization",
                                           "GlobalAveragePool"};
  for (const auto& input : model.graph().input()) {
    if (input.name() == tensor && input.type().tensor_type().has_shape())
      return input.type().tensor_type().shape().dim_size();
  }
  const int p = links.producer(tensor);
  if (p < 0 || depth > 64) return std::nullopt;
  const auto& node = model.graph().node(p);
  if (is_op(node, "Conv") || is_op(node, "ConvTranspose")) {
    const auto* w = node.input_size() > 1 ? links.constant(node.input(1)) : nullptr;
    return w == nullptr ? std::nullopt : std::optional<int>(w->dims_size());
  }
  if (!kKeep.contains(node.op_type()) || node.input_size() == 0) return std::nullopt;
  const int data = links.constant(node.input(0)) != nullptr && node.input_size() > 1 ? 1 : 0;
  return rank_of(model, links, node.input(data), depth + 1);
}

bool decompose_hard_swish(Model& model, int index) {
  if (!is_op(model.graph().node(index), "HardSwish")) return false;
  const std::string gate = unused_name(model, model.graph().node(index).output(0) + ".gate");
  onnx::NodeProto sigmoid;
  sigmoid.set_op_type("HardSigmoid");
  sigmoid.set_name(gate);
  sigmoid.add_input(model.graph().node(index).input(0));
  sigmoid.add_output(gate);
  set_attribute(sigmoid, "alpha", 1.0F / 6);
  set_attribute(sigmoid, "beta", 0.5F);
  auto& product = *model.graph().mutable_node(index);
  product.set_op_type("Mul");
  product.add_input(gate);
  *model.graph().add_node() = std::move(sigmoid);
  for (int i = model.graph().node_size() - 1; i > index; --i) model.graph().mutable_node()->SwapElements(i, i - 1);
  return true;
}

/// Axes of a reduction: an input since operator set 18, an attribute before.
std::vector<std::int64_t> axes_of(const onnx::NodeProto& node, const Links& links) {
  if (node.input_size() > 1 && !node.input(1).empty()) {
    const auto* axes = links.constant(node.input(1));
    return axes == nullptr ? std::vector<std::int64_t>() : integers(*axes).value_or(std::vector<std::int64_t>());
  }
  return integers_attribute(node, "axes");
}

bool decompose_mean(Model& model, int index) {
  const auto& node = model.graph().node(index);
  if (!is_op(node, "ReduceMean")) return false;
  const Links links(model);
  std::vector<std::int64_t> axes = axes_of(node, links);
  if (axes.size() != 2 || rank_of(model, links, node.input(0)) != 4) return false;
  for (auto& a : axes) a = a < 0 ? a + 4 : a;
  std::sort(axes.begin(), axes.end());
  if (axes != std::vector<std::int64_t>{2, 3}) return false;
  const bool keeps = attribute_or(node, "keepdims", std::int64_t{1}) != 0;
  const std::string pooled = keeps ? node.output(0) : unused_name(model, node.output(0) + ".pooled");
  onnx::NodeProto pool;
  pool.set_op_type("GlobalAveragePool");
  pool.set_name(node.name());
  pool.add_input(node.input(0));
  pool.add_output(pooled);
  onnx::NodeProto flatten;
  if (!keeps) {
    flatten.set_op_type("Flatten");
    flatten.set_name(unused_name(model, node.name() + ".flat"));
    flatten.add_input(pooled);
    flatten.add_output(node.output(0));
  }
  *model.graph().mutable_node(index) = std::move(pool);
  if (keeps) return true;
  *model.graph().add_node() = std::move(flatten);
  for (int i = model.graph().node_size() - 1; i > index + 1; --i) model.graph().mutable_node()->SwapElements(i, i - 1);
  return true;
}

bool decompose_others(Model& model, int index) {
  auto& node = *model.graph().mutable_node(index);
  if (is_op(node, "Sum") && node.input_size() == 2) {
    node.set_op_type("Add");
    return true;
  }
  if (!is_op(node, "PRelu")) return false;
  const Links links(model);
  const auto* tensor = links.constant(node.input(1));
  const auto slopes = tensor == nullptr ? std::nullopt : floats(*tensor);
  if (!slopes || slopes->empty() || tensor->data_type() != onnx::TensorProto_DataType_FLOAT ||
      !std::all_of(slopes->begin(), slopes->end(), [&](float v) { return v == slopes->front(); }))
    return false;
  node.set_op_type("LeakyRelu");
  node.mutable_input()->RemoveLast();
  set_attribute(node, "alpha", slopes->front());
  return true;
}

}  // namespace

int decompose(Model& model) {
  int changed = 0;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    if (!model.graph().node(i).domain().empty() && model.graph().node(i).domain() != "ai.onnx") continue;
    changed += decompose_hard_swish(model, i) || decompose_mean(model, i) || decompose_others(model, i) ? 1 : 0;
  }
  if (changed > 0) drop_dead_nodes(model);
  return changed;
}

}  // namespace rtmdl
