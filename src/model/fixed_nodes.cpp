#include "model/fixed_nodes.h"

#include "model/edit.h"

#include <algorithm>
#include <set>
#include <string>
#include <unordered_set>

namespace rtmdl {
namespace {

/// Not those whose branches draw, either.
bool deterministic(const onnx::NodeProto& node) {
  if (node.op_type().starts_with("Random") || node.op_type() == "Multinomial" || node.op_type() == "Bernoulli" ||
      !(node.domain().empty() || node.domain() == "ai.onnx"))
    return false;
  const auto of_graph = [](const onnx::GraphProto& graph) {
    return std::all_of(graph.node().begin(), graph.node().end(), deterministic);
  };
  return std::all_of(node.attribute().begin(), node.attribute().end(), [&](const onnx::AttributeProto& a) {
    return (!a.has_g() || of_graph(a.g())) && std::all_of(a.graphs().begin(), a.graphs().end(), of_graph);
  });
}

bool shape_from_values(const onnx::NodeProto& node, const std::unordered_set<std::string>& live) {
  static const std::set<std::string> kAlways{"NonZero", "NonMaxSuppression", "Unique", "Compress", "StringSplit"};
  static const std::set<std::string> kByParameter{"Reshape",
                                                  "Expand",
                                                  "Slice",
                                                  "Tile",
                                                  "Resize",
                                                  "Upsample",
                                                  "Pad",
                                                  "TopK",
                                                  "OneHot",
                                                  "Split",
                                                  "Squeeze",
                                                  "Unsqueeze",
                                                  "Range",
                                                  "ConstantOfShape",
                                                  "CenterCropPad",
                                                  "MaxUnpool",
                                                  "Col2Im",
                                                  "AffineGrid",
                                                  "DFT",
                                                  "STFT",
                                                  "HannWindow",
                                                  "HammingWindow",
                                                  "BlackmanWindow",
                                                  "MelWeightMatrix",
                                                  "SplitToSequence",
                                                  "ReduceSum",
                                                  "ReduceMean",
                                                  "ReduceMax",
                                                  "ReduceMin",
                                                  "ReduceProd",
                                                  "ReduceL1",
                                                  "ReduceL2",
                                                  "ReduceLogSum",
                                                  "ReduceLogSumExp",
                                                  "ReduceSumSquare"};
  if (kAlways.contains(node.op_type()) || has_subgraph(node)) return true;
  if (!node.domain().empty() && node.domain() != "ai.onnx") return true;
  if (!kByParameter.contains(node.op_type())) return false;
  const int first = node.op_type() == "Range" || node.op_type() == "ConstantOfShape" ||
                            node.op_type() == "AffineGrid" || node.op_type().ends_with("Window") ||
                            node.op_type() == "MelWeightMatrix"
                        ? 0
                        : 1;
  for (int k = first; k < node.input_size(); ++k) {
    if (live.contains(node.input(k))) return true;
  }
  return false;
}

}  // namespace

FixedNodes fixed_nodes(const Model& model) {
  const Links links(model);
  FixedNodes result;
  auto& [fixed, free_shape] = result;
  fixed.resize(static_cast<std::size_t>(model.graph().node_size()));
  std::unordered_set<std::string> live;
  for (const auto& input : model.graph().input()) {
    if (links.constant(input.name()) == nullptr) live.insert(input.name());
  }
  const std::vector<int> constant = constant_nodes(model);
  const std::set<int> from_weights(constant.begin(), constant.end());
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    const auto inputs = reads(node);
    const auto is_live = [&](const std::string& name) { return live.contains(name); };
    const auto is_free = [&shapes = free_shape](const std::string& name) { return shapes.contains(name); };
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
  return result;
}

}  // namespace rtmdl
