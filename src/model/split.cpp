#include "model/split.h"

#include "model/edit.h"
#include "model/fixed_nodes.h"
#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <set>
#include <unordered_set>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// Nodes that must be run: the others give the same each time, and no output of the model.
class Runs {
 public:
  explicit Runs(const Model& model)
      : links_(model), nodes_(fixed_nodes(model)), from_weights_(nodes_.fixed.size(), false) {
    for (const int i : constant_nodes(model)) from_weights_[static_cast<std::size_t>(i)] = true;
    for (std::size_t i = 0; i < nodes_.fixed.size(); ++i)
      for (const auto& output : model.graph().node(static_cast<int>(i)).output())
        if (links_.is_output(output)) nodes_.fixed[i] = from_weights_[i] = false;
  }
  /// Whether it depends on nothing but weights.
  [[nodiscard]] bool from_weights(int i) const { return from_weights_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] bool free_shape(const std::string& tensor) const { return nodes_.free_shape.contains(tensor); }
  [[nodiscard]] bool node(int i) const { return !nodes_.fixed[static_cast<std::size_t>(i)]; }
  /// Whether a name stands for a value that is another one in every run.
  [[nodiscard]] bool live(const std::string& name) const {
    if (name.empty() || links_.constant(name) != nullptr) return false;
    const int producer = links_.producer(name);
    return producer < 0 || node(producer);
  }
  [[nodiscard]] const Links& links() const { return links_; }

 private:
  Links links_;
  FixedNodes nodes_;
  std::vector<bool> from_weights_;
};

class Splitting {
 public:
  Splitting(const Model& model, const std::vector<int>& cuts) : model_(model), cuts_(cuts), runs_(model) {
    int last = 0;
    for (const int cut : cuts) {
      if (cut <= last || cut >= model.graph().node_size())
        bad_input(fmt::format("{}: a cut before node {}: cuts are ascending, from 1 to {}", model.name, cut,
                              model.graph().node_size() - 1));
      last = cut;
    }
    graphs_.resize(cuts.size() + 1);
    place_nodes();
    find_crossing();
  }

  [[nodiscard]] std::vector<std::string> wanted() const { return {wanted_.begin(), wanted_.end()}; }

  std::vector<Model> parts(const std::unordered_map<std::string, Tensor>& values) const {
    std::vector<Model> parts;
    for (std::size_t k = 0; k < graphs_.size(); ++k) parts.push_back(part(k, values));
    return parts;
  }

 private:
  struct Graph {
    std::set<int> nodes;
    std::set<std::string> read, made;
    std::set<std::string> sent;  ///< to later parts
  };

  [[nodiscard]] std::size_t part_of(int node) const {
    return static_cast<std::size_t>(std::upper_bound(cuts_.begin(), cuts_.end(), node) - cuts_.begin());
  }

  void place_nodes() {
    for (int i = 0; i < model_.graph().node_size(); ++i) {
      if (runs_.from_weights(i)) continue;
      Graph& graph = graphs_[part_of(i)];
      const auto& node = model_.graph().node(i);
      const std::vector<std::string> names = reads(node);
      // A shape of what another part has: the value takes the node's place.
      const bool out_of_reach = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return runs_.live(name) && !graph.made.contains(name);
      });
      if (!runs_.node(i) && out_of_reach) continue;
      add(i, graph);
    }
    for (Graph& graph : graphs_) {
      std::vector<std::string> read(graph.read.begin(), graph.read.end());
      while (!read.empty()) {
        const int producer = runs_.links().producer(read.back());
        read.pop_back();
        if (producer < 0 || !runs_.from_weights(producer) || graph.nodes.contains(producer)) continue;
        add(producer, graph);
        for (std::string& name : reads(model_.graph().node(producer))) read.push_back(std::move(name));
      }
    }
  }

  void add(int i, Graph& graph) {
    const auto& node = model_.graph().node(i);
    graph.nodes.insert(i);
    for (std::string& name : reads(node)) graph.read.insert(std::move(name));
    for (const auto& output : node.output())
      if (!output.empty()) graph.made.insert(output);
  }

  void find_crossing() {
    for (std::size_t k = 0; k < graphs_.size(); ++k)
      for (const std::string& name : graphs_[k].read) {
        const int producer = runs_.links().producer(name);
        if (producer < 0 || graphs_[k].made.contains(name)) continue;
        if (runs_.node(producer)) graphs_[part_of(producer)].sent.insert(name);
        else wanted_.insert(name);
      }
  }

  [[nodiscard]] Model part(std::size_t k, const std::unordered_map<std::string, Tensor>& values) const {
    const Graph& graph = graphs_[k];
    Model out;
    out.name = model_.name;
    const auto& whole = model_.proto;
    out.proto.set_ir_version(whole.ir_version());
    *out.proto.mutable_opset_import() = whole.opset_import();
    *out.proto.mutable_functions() = whole.functions();
    onnx::GraphProto& to = out.graph();
    to.set_name(fmt::format("{} {}", whole.graph().name(), k + 1));
    for (const int i : graph.nodes) *to.add_node() = whole.graph().node(i);
    const auto wanted = [&](const std::string& name) {
      return graph.read.contains(name) || (k == 0 && runs_.links().is_output(name));
    };
    for (const auto& weights : whole.graph().initializer())
      if (wanted(weights.name())) *to.add_initializer() = weights;
    for (const auto& weights : whole.graph().sparse_initializer())
      if (wanted(weights.values().name())) *to.add_sparse_initializer() = weights;
    for (const auto& input : whole.graph().input()) {
      const bool weights = runs_.links().constant(input.name()) != nullptr;
      if (wanted(input.name()) || (k == 0 && !weights)) *to.add_input() = input;
    }
    for (const std::string& name : graph.read) {
      const int producer = runs_.links().producer(name);
      if (producer < 0 || graph.made.contains(name)) continue;
      if (runs_.node(producer)) {
        to.add_input()->set_name(name);
        continue;
      }
      const auto value = values.find(name);
      auto tensor = value == values.end() ? std::nullopt : make_tensor(name, Tensor(value->second).view());
      if (!tensor) bad_input(fmt::format("{}: the value of '{}' is not known", model_.name, name));
      *to.add_initializer() = std::move(*tensor);
    }
    std::set<std::string> given;
    for (const auto& output : whole.graph().output()) {
      const bool made_nowhere = runs_.links().producer(output.name()) < 0;
      if (!graph.made.contains(output.name()) && !(k == 0 && made_nowhere)) continue;
      *to.add_output() = output;
      given.insert(output.name());
    }
    for (const std::string& name : graph.sent)
      if (!given.contains(name)) to.add_output()->set_name(name);
    return out;
  }

  const Model& model_;
  const std::vector<int>& cuts_;
  Runs runs_;
  std::vector<Graph> graphs_;
  std::set<std::string> wanted_;
};

bool is_one_of(const onnx::NodeProto& node, const std::set<std::string>& types) {
  return types.contains(node.op_type());
}

}  // namespace

std::vector<Seam> find_seams(const Model& model, std::size_t most_crossing) {
  const Runs runs(model);
  const auto& graph = model.graph();
  std::unordered_map<std::string, int> last_read;
  for (int i = 0; i < graph.node_size(); ++i) {
    if (!runs.node(i)) continue;
    for (auto& name : reads(graph.node(i)))
      if (runs.live(name)) last_read[std::move(name)] = i;
  }
  std::vector<std::string> crossing;
  for (const auto& input : graph.input())
    if (runs.live(input.name()) && last_read.contains(input.name())) crossing.push_back(input.name());
  std::vector<Seam> seams;
  bool begun = false;
  for (int i = 0; i < graph.node_size(); ++i) {
    if (!runs.node(i)) continue;
    std::erase_if(crossing, [&](const std::string& name) { return last_read.at(name) < i; });
    const bool varies =
        std::any_of(crossing.begin(), crossing.end(), [&](const std::string& name) { return runs.free_shape(name); });
    if (begun && !varies && !crossing.empty() && crossing.size() <= most_crossing) seams.push_back({i, crossing});
    begun = true;
    for (const auto& output : graph.node(i).output())
      if (last_read.contains(output)) crossing.push_back(output);
  }
  return seams;
}

bool is_heavy(const onnx::NodeProto& node) {
  static const std::set<std::string> kHeavy{"Conv",          "ConvTranspose", "Gemm", "MatMul",       "LSTM",
                                            "GRU",           "RNN",           "If",   "Loop",         "QLinearConv",
                                            "QLinearMatMul", "ConvInteger",   "Scan", "MatMulInteger"};
  return is_one_of(node, kHeavy);
}

bool parts_a_pair(const Model& model, const Links& links, const Seam& seam) {
  static const std::set<std::string> kJoins{"Relu",      "Clip",        "LeakyRelu", "PRelu",     "Sigmoid",
                                            "Tanh",      "HardSigmoid", "HardSwish", "Add",       "Mul",
                                            "Softmax",   "Gelu",        "Elu",       "Sub",       "Div",
                                            "Transpose", "Squeeze",     "Reshape",   "Unsqueeze", "BatchNormalization"};
  return std::any_of(seam.crossing.begin(), seam.crossing.end(), [&](const std::string& tensor) {
    const int producer = links.producer(tensor);
    if (producer >= 0 && model.graph().node(producer).op_type() == "DequantizeLinear") return true;
    const std::vector<int>& readers = links.consumers(tensor);
    if (readers.size() != 1) return false;
    const auto& reader = model.graph().node(readers.front());
    return reader.op_type() == "QuantizeLinear" ||
           (producer >= 0 && is_heavy(model.graph().node(producer)) && is_one_of(reader, kJoins));
  });
}

std::vector<Model> split(const Model& model, const std::vector<int>& cuts, const FixedValues& values) {
  const Splitting splitting(model, cuts);
  const std::vector<std::string> wanted = splitting.wanted();
  return splitting.parts(wanted.empty() ? std::unordered_map<std::string, Tensor>{} : values(wanted));
}

void set_input_type(Model& model, const TensorSpec& spec) {
  for (auto& input : *model.graph().mutable_input()) {
    if (input.name() != spec.name) continue;
    auto& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx_type(spec.type));
    type.mutable_shape()->clear_dim();
    for (const std::int64_t d : spec.shape) type.mutable_shape()->add_dim()->set_dim_value(d);
  }
}

}  // namespace rtmdl
