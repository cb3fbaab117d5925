#include "model/tensor_data.h"
#include "scaling/prune.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

/// Initializers that a constant input goes back to, through nodes that only move elements.
void weights_behind(const Links& links, const Model& model, const std::string& name, std::set<std::string>& found) {
  if (links.constant(name) != nullptr) {
    found.insert(name);
  } else if (const int p = links.producer(name); p >= 0) {
    for (const auto& input : model.graph().node(p).input()) {
      if (!input.empty()) weights_behind(links, model, input, found);
    }
  }
}

/// Inputs of a maker that hold the weights by which channels are judged.
std::vector<int> judged_inputs(const onnx::NodeProto& node, const Links& links) {
  if (is_op(node, "LSTM") || is_op(node, "GRU") || is_op(node, "RNN")) return {1, 2};
  if (is_op(node, "Gather")) return {0};
  if (is_op(node, "Einsum")) {
    std::vector<int> all(static_cast<std::size_t>(node.input_size()));
    std::iota(all.begin(), all.end(), 0);
    std::erase_if(all, [&](int i) { return links.constant(node.input(i)) == nullptr; });
    return all;
  }
  const bool left = (is_op(node, "Gemm") || is_op(node, "MatMul")) && links.constant(node.input(1)) == nullptr &&
                    links.constant(node.input(0)) != nullptr;
  return {left ? 0 : 1};
}

/// A weight matrix with strides, to sum squares over slices of it.
struct Matrix {
  std::vector<std::int64_t> shape;
  std::vector<float> values;

  /// By index of the axis: sum over the others.
  [[nodiscard]] std::vector<double> squares(std::size_t axis) const {
    std::vector<double> sums(static_cast<std::size_t>(shape[axis]), 0);
    std::size_t inner = 1;
    for (std::size_t k = axis + 1; k < shape.size(); ++k) inner *= static_cast<std::size_t>(shape[k]);
    for (std::size_t i = 0; i < values.size(); ++i) {
      sums[i / inner % sums.size()] += static_cast<double>(values[i]) * values[i];
    }
    return sums;
  }
};

class Judge {
 public:
  explicit Judge(const Model& model) : model_(model), links_(model) {
    for (int n = 0; n < model.graph().node_size(); ++n) nodes_[model.graph().node(n).name()] = n;
  }

  std::vector<double> importance(const ChannelGroup& group, Importance kind) {
    std::vector<double> total(group.channels.size(), 0);
    bool judged = false;
    for (const auto& maker : group.makers) {
      const auto it = nodes_.find(maker);
      if (it == nodes_.end()) continue;
      const auto& node = model_.graph().node(it->second);
      auto of_maker = squares(group, weights_of(node));
      if (of_maker.empty()) continue;
      judged = true;
      if (kind == Importance::bn_scale) {
        const auto scales = squares(group, norm_scale(node));
        for (std::size_t c = 0; c < scales.size(); ++c) of_maker[c] *= scales[c] / mean_count(group);
      }
      for (std::size_t c = 0; c < total.size(); ++c) total[c] += of_maker[c];
    }
    if (!judged) {  // weights that the graph computes: everything that belongs to the channel
      std::set<std::string> all;
      for (const auto& slice : group.channels.front().weights) all.insert(slice.tensor);
      const auto of_all = squares(group, all, false);
      if (!of_all.empty()) total = of_all;
    }
    for (double& t : total) t = std::sqrt(t);
    return total;
  }

 private:
  std::set<std::string> weights_of(const onnx::NodeProto& node) {
    std::set<std::string> names;
    for (const int i : judged_inputs(node, links_)) {
      if (i < node.input_size()) weights_behind(links_, model_, node.input(i), names);
    }
    return names;
  }

  /// Scale of the batch normalisation that alone reads what the node makes.
  std::set<std::string> norm_scale(const onnx::NodeProto& node) {
    for (const int reader : links_.consumers(node.output(0))) {
      const auto& next = model_.graph().node(reader);
      if (is_op(next, "BatchNormalization") && next.input(0) == node.output(0)) return {next.input(1)};
    }
    return {};
  }

  /// A channel of several positions has several scales.
  static double mean_count(const ChannelGroup& group) { return group.multiple; }

  /// Sums of squares by channel over the slices in these tensors. A makers' weights are judged along the axes that make
  /// the channel (a matrix that both makes and reads a group, as between two residual sums, has slices of two kinds).
  std::vector<double> squares(const ChannelGroup& group, const std::set<std::string>& tensors,
                              bool makers_axis = true) {
    std::vector<double> sums;
    std::map<std::pair<std::string, int>, std::vector<double>> by_axis;
    for (std::size_t c = 0; c < group.channels.size(); ++c) {
      for (const auto& slice : group.channels[c].weights) {
        if (!tensors.contains(slice.tensor) || (makers_axis && !makes_along(slice))) continue;
        auto& squares = by_axis[{slice.tensor, slice.axis}];
        if (squares.empty()) {
          const Matrix* matrix = values(slice.tensor);
          if (matrix == nullptr) continue;
          squares = matrix->squares(static_cast<std::size_t>(slice.axis));
        }
        sums.resize(group.channels.size(), 0);
        for (const std::int64_t i : slice.indices) sums[c] += squares[static_cast<std::size_t>(i)];
      }
    }
    return sums;
  }

  /// The axis is one of outputs, where the tensor is read directly by an operator whose layout we know.
  bool makes_along(const ChannelSlice& slice) {
    for (const int reader : links_.consumers(slice.tensor)) {
      const auto& node = model_.graph().node(reader);
      const int input =
          static_cast<int>(std::find(node.input().begin(), node.input().end(), slice.tensor) - node.input().begin());
      if (is_op(node, "Conv")) return slice.axis == 0;
      if (is_op(node, "ConvTranspose")) {
        return slice.axis == (attribute_or(node, "group", std::int64_t{1}) > 1 && dim(slice.tensor, 1) == 1 ? 0 : 1);
      }
      const bool gemm = is_op(node, "Gemm");
      if (gemm || is_op(node, "MatMul")) {
        const bool swapped = gemm && attribute_or(node, input == 0 ? "transA" : "transB", std::int64_t{0}) != 0;
        const int rank = links_.constant(slice.tensor)->dims_size();
        return slice.axis == ((input == 1) != swapped ? rank - 1 : rank - 2);
      }
      if (is_op(node, "LSTM") || is_op(node, "GRU") || is_op(node, "RNN")) return slice.axis == 1;
    }
    return true;
  }

  std::int64_t dim(const std::string& tensor, int axis) const {
    const auto* t = links_.constant(tensor);
    return t != nullptr && axis < t->dims_size() ? t->dims(axis) : 0;
  }

  const Matrix* values(const std::string& tensor) {
    const auto [it, fresh] = matrices_.try_emplace(tensor);
    if (fresh) {
      const auto* proto = links_.constant(tensor);
      if (const auto all = proto == nullptr ? std::nullopt : floats(*proto)) it->second = {dims(*proto), *all};
    }
    return it->second.values.empty() ? nullptr : &it->second;
  }

  const Model& model_;
  const Links links_;
  std::map<std::string, int> nodes_;
  std::map<std::string, Matrix> matrices_;
};

}  // namespace

bool has_batch_normalisation(const Model& model) {
  const auto& nodes = model.graph().node();
  return std::any_of(nodes.begin(), nodes.end(), [](const auto& n) { return is_op(n, "BatchNormalization"); });
}

std::vector<std::vector<double>> importance(const Model& model, const ChannelGroups& groups, Importance kind) {
  Judge judge(model);
  std::vector<std::vector<double>> all;
  for (const auto& group : groups.groups) all.push_back(judge.importance(group, kind));
  return all;
}

}  // namespace rtmdl
