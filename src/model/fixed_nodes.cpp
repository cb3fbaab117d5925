#include "model/fixed_nodes.h"

#include "model/edit.h"

#include <algorithm>
#include <set>
#include <string>
#include <unordered_set>

namespace rtmdl {
namespace {

bool deterministic(const onnx::NodeProto& node) {
  return !node.op_type().starts_with("Random") && node.op_type() != "Multinomial" && node.op_type() != "Bernoulli" &&
         (node.domain().empty() || node.domain() == "ai.onnx");
}

bool shape_from_values(const onnx::NodeProto& node, const std::unordered_set<std::string>& live) {
  static const std::set<std::string> kAlways{"NonZero", "NonMaxSuppression", "Unique", "Compress", "StringSplit"};
  static const std::set<std::string> kByParameter{
      "Reshape", "Expand", "Slice",   "Tile",      "Resize", "Upsample",        "Pad",          "TopK",
      "OneHot",  "Split",  "Squeeze", "Unsqueeze", "Range",  "ConstantOfShape", "CenterCropPad"};
  if (kAlways.contains(node.op_type()) || has_subgraph(node)) return true;
  if (!node.domain().empty() && node.domain() != "ai.onnx") return true;
  if (!kByParameter.contains(node.op_type())) return false;
  const int first = node.op_type() == "Range" || node.op_type() == "ConstantOfShape" ? 0 : 1;
  for (int k = first; k < node.input_size(); ++k) {
    if (live.contains(node.input(k))) return true;
  }
  return false;
}

}  // namespace

std::vector<bool> fixed_nodes(const Model& model) {
  const Links links(model);
  std::vector<bool> fixed(static_cast<std::size_t>(model.graph().node_size()));
  std::unordered_set<std::string> live;
  for (const auto& input : model.graph().input()) {
    if (links.constant(input.name()) == nullptr) live.insert(input.name());
  }
  const std::vector<int> constant = constant_nodes(model);
  const std::set<int> from_weights(constant.begin(), constant.end());
  std::unordered_set<std::string> free_shape;  // of live tensors: decided by values
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    const auto inputs = reads(node);
    const auto is_live = [&](const std::string& name) { return live.contains(name); };
    const auto is_free = [&](const std::string& name) { return free_shape.contains(name); };
    const bool any_live = std::any_of(inputs.begin(), inputs.end(), is_live);
    const bool any_free = std::any_of(inputs.begin(), inputs.end(), is_free);
    const bool shape_only = (is_op(node, "Shape") || is_op(node, "Size")) && !any_free;
    const bool made = !from_weights.contains(i) && (any_live || !deterministic(node)) && !shape_only;
    if (!made) {
      fixed[static_cast<std::size_t>(i)] = true;
      continue;
    }
    const bool frees = any_free || shape_from_values(node, live);
    for (const auto& output : node.output()) {
      if (output.empty()) continue;
      live.insert(output);
      if (frees) free_shape.insert(output);
    }
  }
  return fixed;
}

}  // namespace rtmdl
