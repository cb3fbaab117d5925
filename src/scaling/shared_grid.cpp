#include "scaling/shared_grid.h"

#include "model/tensor_data.h"
#include "scaling/quant_params.h"
#include "scaling/source_indices.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace rtmdl {
namespace {

/// Weights whose elements lie in the layer as they do in the file.
std::optional<LinearWeights> plain_weights(const onnx::NodeProto& node, const Links& links) {
  const bool plain = is_op(node, "Conv") || is_op(node, "Gemm") || is_op(node, "MatMul");
  return plain ? linear_weights(node, links) : std::nullopt;
}

/// f(node, its weights) for all layers whose weights are on the grid.
template <typename F>
void for_each_layer(const Model& model, const WeightScales& grid, F f) {
  const Links links(model);
  for (const auto& node : model.graph().node())
    if (node.input_size() > 1 && grid.contains(node.input(1)))
      if (const auto w = plain_weights(node, links)) f(node, *w);
}

/// `before` times the factor that each channel's largest weight shows; a channel of zeros has none.
std::vector<float> times_factors(const std::vector<float>& before, const LinearWeights& of, const LinearWeights& now) {
  std::vector<std::size_t> largest(of.channels, of.values.size());
  for (std::size_t i = 0; i < of.values.size(); ++i) {
    std::size_t& at = largest[of.output_of(i)];
    if (at == of.values.size() || std::fabs(of.values[i]) > std::fabs(of.values[at])) at = i;
  }
  std::vector<float> scales = before;
  for (std::size_t c = 0; c < scales.size(); ++c) {
    const double from = of.values[largest[c]], to = now.values[largest[c]];
    if (from != 0 && to != 0) scales[c] = representable_scale(scales[c] * std::fabs(to / from));
  }
  return scales;
}

}  // namespace

WeightScales covering_grid(const Model& widest, const std::set<std::string>& names) {
  constexpr double kNoInput = 1;  // what a layer reads bounds the steps of its bias only
  const Links links(widest);
  WeightScales grid;
  for (const auto& node : widest.graph().node()) {
    if (node.input_size() < 2 || !names.contains(node.input(1))) continue;
    auto w = plain_weights(node, links);
    if (!w) continue;
    w->bias.clear();
    grid[w->name] = covering_scales(*w, kNoInput, exact_weight_limit());
  }
  return grid;
}

WeightScales grid_within(const WeightScales& grid, const SourceIndices& positions, const Model& narrow) {
  WeightScales sliced;
  for_each_layer(narrow, grid, [&](const onnx::NodeProto&, const LinearWeights& w) {
    const std::vector<float>& whole = grid.at(w.name);
    const auto at = positions.find(w.name);
    const std::size_t axis = w.columns ? 1 : 0;
    std::vector<float> scales;
    if (at == positions.end() || axis >= at->second.size() || at->second[axis].empty()) scales = whole;
    else
      for (const std::int64_t i : at->second[axis]) scales.push_back(whole.at(static_cast<std::size_t>(i)));
    if (scales.size() == w.channels) sliced[w.name] = std::move(scales);
  });
  return sliced;
}

void round_to_grid(Model& model, const WeightScales& grid) {
  std::map<std::string, onnx::TensorProto> rounded;
  for_each_layer(model, grid, [&](const onnx::NodeProto&, const LinearWeights& w) {
    const std::vector<float>& scales = grid.at(w.name);
    const std::vector<std::int8_t> q = round_weights(w, scales, exact_weight_limit());
    std::vector<float> values(q.size());
    for (std::size_t i = 0; i < q.size(); ++i) values[i] = static_cast<float>(q[i]) * scales[w.output_of(i)];
    rounded[w.name] = make_tensor(w.name, w.shape, std::span<const float>(values));
  });
  for (auto& tensor : *model.graph().mutable_initializer())
    if (const auto at = rounded.find(tensor.name()); at != rounded.end()) tensor = at->second;
}

WeightScales follow_folding(const Model& model, const WeightScales& grid, Model& folded) {
  WeightScales found;
  SourceIndices indices = read_indices(folded);
  const Links links(folded);
  std::map<std::string, const onnx::NodeProto*> nodes;
  for (const auto& node : folded.graph().node()) nodes.emplace(node.name(), &node);
  for_each_layer(model, grid, [&](const onnx::NodeProto& node, const LinearWeights& w) {
    const auto same = nodes.find(node.name());
    if (same == nodes.end() || same->second->op_type() != node.op_type()) return;
    const auto now = plain_weights(*same->second, links);
    if (!now || now->shape != w.shape || now->columns != w.columns) return;
    found[now->name] = times_factors(grid.at(w.name), w, *now);
    if (const auto origin = indices.find(w.name); origin != indices.end()) indices[now->name] = origin->second;
  });
  write_indices(folded, indices);
  return found;
}

}  // namespace rtmdl
