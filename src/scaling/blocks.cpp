#include "scaling/blocks.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

namespace rtmdl {
namespace {

bool carries_weights(const onnx::NodeProto& node, const std::unordered_set<std::string>& constants) {
  static constexpr std::array kOperators{"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Einsum"};
  if (std::none_of(kOperators.begin(), kOperators.end(), [&](const char* op) { return is_op(node, op); })) return false;
  return std::any_of(node.input().begin(), node.input().end(),
                     [&](const auto& name) { return constants.contains(name); });
}

bool is_norm(const onnx::NodeProto& node) {
  return is_op(node, "BatchNormalization") || is_op(node, "InstanceNormalization") || is_op(node, "GroupNormalization");
}

bool is_activation(const onnx::NodeProto& node) {
  static constexpr std::array kOperators{
      "Relu",     "LeakyRelu", "PRelu",       "Clip", "Elu",       "Selu",     "Celu",  "Sigmoid",        "Tanh",
      "Softplus", "Mish",      "HardSigmoid", "Gelu", "HardSwish", "Softsign", "Swish", "ThresholdedRelu"};
  return std::any_of(kOperators.begin(), kOperators.end(), [&](const char* op) { return is_op(node, op); });
}

class BlockFinder {
 public:
  BlockFinder(const Model& model, const TensorSpecs& specs) : model_(model), specs_(specs), links_(model) {
    for (const auto& tensor : graph().initializer()) constants_.insert(tensor.name());
    for (const int n : constant_nodes(model)) {
      constants_.insert(graph().node(n).output().begin(), graph().node(n).output().end());
    }
    for (const auto& input : graph().input()) {
      if (links_.constant(input.name()) == nullptr) inputs_.insert(input.name());
    }
  }

  std::vector<Block> run() {
    std::vector<Block> found = residual();
    std::set<std::string> taken;
    for (const auto& block : found) taken.insert(block.nodes.begin(), block.nodes.end());
    for (int n = 0; n < graph().node_size(); ++n) {
      auto block = plain(n);
      if (!block ||
          std::any_of(block->nodes.begin(), block->nodes.end(), [&](const auto& name) { return taken.contains(name); }))
        continue;
      found.push_back(std::move(*block));
    }
    std::sort(found.begin(), found.end(),
              [&](const Block& a, const Block& b) { return links_.producer(a.output) < links_.producer(b.output); });
    return found;
  }

 private:
  [[nodiscard]] const onnx::GraphProto& graph() const { return model_.graph(); }
  [[nodiscard]] const std::vector<std::int64_t>* shape(const std::string& name) const {
    const auto it = specs_.find(name);
    return it == specs_.end() ? nullptr : &it->second.shape;
  }
  [[nodiscard]] bool same_shape(const std::string& a, const std::string& b) const {
    const auto* left = shape(a);
    const auto* right = shape(b);
    return left != nullptr && right != nullptr && *left == *right && specs_.at(a).type == specs_.at(b).type;
  }

  /// Sums of a tensor and of something that is made from it. Of those that overlap the smaller ones are taken.
  std::vector<Block> residual() const {
    std::vector<Block> candidates;
    for (int n = 0; n < graph().node_size(); ++n) {
      const auto& node = graph().node(n);
      if (!(is_op(node, "Add") || is_op(node, "Sum")) || node.input_size() != 2 || node.input(0) == node.input(1))
        continue;
      for (const int i : {0, 1}) {
        const std::string& shortcut = node.input(i);
        const int rest = links_.producer(node.input(1 - i));
        if (constants_.contains(shortcut) || inputs_.contains(shortcut) || rest < 0) continue;
        if (!same_shape(shortcut, node.output(0)) || !depends(rest, shortcut)) continue;
        if (auto block = without(shortcut, node.output(0), true)) candidates.push_back(std::move(*block));
        break;
      }
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Block& a, const Block& b) { return a.nodes.size() < b.nodes.size(); });
    std::vector<Block> found;
    std::set<std::string> taken;
    for (auto& block : candidates) {
      if (std::any_of(block.nodes.begin(), block.nodes.end(), [&](const auto& name) { return taken.contains(name); }))
        continue;
      taken.insert(block.nodes.begin(), block.nodes.end());
      found.push_back(std::move(block));
    }
    return found;
  }

  /// Convolution, then a normalisation, an activation or both; nobody else reads what is between them.
  std::optional<Block> plain(int n) const {
    const auto& conv = graph().node(n);
    if (!is_op(conv, "Conv") || !constants_.contains(conv.input(1)) || inputs_.contains(conv.input(0)))
      return std::nullopt;
    std::string end = conv.output(0);
    const auto only_reader = [&](const std::string& tensor) -> const onnx::NodeProto* {
      return links_.private_to_one(tensor) ? &graph().node(links_.consumers(tensor).front()) : nullptr;
    };
    const auto* next = only_reader(end);
    if (next != nullptr && is_norm(*next) && next->input(0) == end) end = next->output(0);
    end = after_activation(end);
    if (end == conv.output(0) || !same_shape(conv.input(0), end)) return std::nullopt;
    return without(conv.input(0), end, false);
  }

  /// One operator, or x · gate(x), where gate may be several (hard-swish: x · clip(x + 3) / 6).
  [[nodiscard]] std::string after_activation(const std::string& x) const {
    const auto& readers = links_.consumers(x);
    if (links_.is_output(x) || readers.empty() || readers.size() > 2) return x;
    if (readers.size() == 1) {
      const auto& node = graph().node(readers[0]);
      return is_activation(node) && node.input(0) == x ? node.output(0) : x;
    }
    std::string gate = x;
    for (int length = 0; length < 4; ++length) {
      int next = -1;
      for (const int reader : links_.consumers(gate)) {
        const auto& node = graph().node(reader);
        if (gate == x && is_op(node, "Mul") && reads_twice(node, x)) continue;
        next = reader;
      }
      if (next < 0 || (gate != x && !links_.private_to_one(gate))) return x;
      const auto& node = graph().node(next);
      if (is_op(node, "Mul") && gate != x && (node.input(0) == x || node.input(1) == x))
        return with_scale(node.output(0));
      const bool scalar = node.input_size() == 2 && constants_.contains(node.input(node.input(0) == gate ? 1 : 0));
      const bool arithmetic = is_op(node, "Add") || is_op(node, "Mul") || is_op(node, "Div");
      if (!is_activation(node) && !(arithmetic && scalar)) return x;
      gate = node.output(0);
    }
    return x;
  }

  /// The Mul that joins x with its gate, seen from x.
  [[nodiscard]] bool reads_twice(const onnx::NodeProto& node, const std::string& x) const {
    const std::string& other = node.input(0) == x ? node.input(1) : node.input(0);
    return other != x && !constants_.contains(other);
  }

  /// The division by 6 of a hard-swish may come last.
  [[nodiscard]] std::string with_scale(const std::string& x) const {
    if (!links_.private_to_one(x)) return x;
    const auto& node = graph().node(links_.consumers(x).front());
    const bool scale =
        (is_op(node, "Div") || is_op(node, "Mul")) && node.input(0) == x && constants_.contains(node.input(1));
    if (!scale) return x;
    const auto* constant = links_.constant(node.input(1));
    return constant != nullptr && element_count(dims(*constant)) == 1 ? node.output(0) : x;
  }

  /// Some way leads from the tensor to the node.
  [[nodiscard]] bool depends(int node, const std::string& tensor) const {
    const int first = links_.producer(tensor);  // nodes are in order: what comes before it cannot depend on it
    std::vector<int> open{node};
    std::set<int> seen{node};
    while (!open.empty()) {
      const int n = open.back();
      open.pop_back();
      for (const auto& name : reads(graph().node(n))) {
        if (name == tensor) return true;
        const int p = links_.producer(name);
        if (p > first && seen.insert(p).second) open.push_back(p);
      }
    }
    return false;
  }

  /// What dies when `input` takes the place of `output`; nothing if that is no block.
  std::optional<Block> without(const std::string& input, const std::string& output, bool is_residual) const {
    std::map<std::string, int> readers;  // left, by tensor
    std::vector<int> open{links_.producer(output)};
    std::set<int> dead{open.front()};
    while (!open.empty()) {
      const int n = open.back();
      open.pop_back();
      const auto names = reads(graph().node(n));
      for (const auto& name : names) {
        const int p = links_.producer(name);
        if (p < 0 || name == input || dead.contains(p)) continue;
        bool needed = false;
        for (const auto& made : graph().node(p).output()) {
          needed = needed || made == input || links_.is_output(made);
          for (const int reader : links_.consumers(made)) needed = needed || !dead.contains(reader);
        }
        if (!needed && dead.insert(p).second) open.push_back(p);
      }
    }
    Block block;
    block.input = input;
    block.output = output;
    block.residual = is_residual;
    for (const int n : dead) {
      const auto& node = graph().node(n);
      block.nodes.push_back(node.name());
      block.macs += node_cost(node, links_, specs_).macs;
      if (!carries_weights(node, constants_)) continue;
      if (!depends(n, input)) return std::nullopt;  // a branch of its own that only the sum reads
      if (block.name.empty()) block.name = node.name();
    }
    if (block.name.empty()) return std::nullopt;
    std::set<std::string> weights;
    for (const int n : dead) {
      for (const auto& name : reads(graph().node(n))) weights.insert(name);
    }
    for (const auto& name : weights) {
      const auto* tensor = links_.constant(name);
      if (tensor == nullptr || links_.is_output(name)) continue;
      const auto& by = links_.consumers(name);
      const auto type = element_type(tensor->data_type());
      if (!type || !std::all_of(by.begin(), by.end(), [&](int reader) { return dead.contains(reader); })) continue;
      block.weights += static_cast<std::int64_t>(element_count(dims(*tensor)) * element_size(*type));
    }
    return block;
  }

  const Model& model_;
  const TensorSpecs& specs_;
  const Links links_;
  std::unordered_set<std::string> constants_, inputs_;
};

}  // namespace

std::vector<Block> find_blocks(const Model& model, const TensorSpecs& specs) { return BlockFinder(model, specs).run(); }

Model remove_blocks(const Model& model, const std::vector<Block>& blocks, const std::vector<int>& which) {
  Model left = model;
  std::map<std::string, std::string> instead;
  const Links links(model);
  for (std::size_t b = 0; b < blocks.size(); ++b) {  // in topological order, so that chains end at what stays
    if (std::find(which.begin(), which.end(), static_cast<int>(b)) == which.end()) continue;
    const auto known = instead.find(blocks[b].input);
    const std::string input = known == instead.end() ? blocks[b].input : known->second;
    instead[blocks[b].output] = input;
    redirect(left, blocks[b].output, input);
    if (!links.is_output(blocks[b].output)) continue;
    for (auto& node : *left.graph().mutable_node()) {  // an output of the model keeps its name
      if (std::find(node.output().begin(), node.output().end(), blocks[b].output) == node.output().end()) continue;
      node.clear_input();
      node.clear_attribute();
      node.set_op_type("Identity");
      node.add_input(input);
    }
  }
  if (!instead.empty()) drop_dead_nodes(left);
  return left;
}

}  // namespace rtmdl
