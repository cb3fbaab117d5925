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
  explicit Runs(const Model& model) : links_(model), fixed_(fixed_nodes(model)) {
    for (std::size_t i = 0; i < fixed_.size(); ++i)
      for (const auto& output : model.graph().node(static_cast<int>(i)).output())
        if (links_.is_output(output)) fixed_[i] = false;
  }
  [[nodiscard]] bool node(int i) const { return !fixed_[static_cast<std::size_t>(i)]; }
  /// Whether a name stands for a value that is another one in every run.
  [[nodiscard]] bool live(const std::string& name) const {
    if (name.empty() || links_.constant(name) != nullptr) return false;
    const int producer = links_.producer(name);
    return producer < 0 || node(producer);
  }
  [[nodiscard]] const Links& links() const { return links_; }

 private:
  Links links_;
  std::vector<bool> fixed_;
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
    std::vector<int> nodes;
    std::set<std::string> read, made;
    std::set<std::string> sent;  ///< to later parts
  };

  [[nodiscard]] std::size_t part_of(int node) const {
    return static_cast<std::size_t>(std::upper_bound(cuts_.begin(), cuts_.end(), node) - cuts_.begin());
  }

  void place_nodes() {
    for (int i = 0; i < model_.graph().node_size(); ++i) {
      Graph& graph = graphs_[part_of(i)];
      const auto& node = model_.graph().node(i);
      const std::vector<std::string> names = reads(node);
      // A shape of what another part has: the value takes the node's place.
      const bool out_of_reach = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return runs_.live(name) && !graph.made.contains(name);
      });
      if (!runs_.node(i) && out_of_reach) continue;
      graph.nodes.push_back(i);
      graph.read.insert(names.begin(), names.end());
      for (const auto& output : node.output())
        if (!output.empty()) graph.made.insert(output);
    }
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
    for (const auto& weights : whole.graph().initializer())
      if (graph.read.contains(weights.name())) *to.add_initializer() = weights;
    for (const auto& weights : whole.graph().sparse_initializer())
      if (graph.read.contains(weights.values().name())) *to.add_sparse_initializer() = weights;
    for (const auto& input : whole.graph().input())
      if (graph.read.contains(input.name()) || k == 0) *to.add_input() = input;
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
    if (begun && !crossing.empty() && crossing.size() <= most_crossing) seams.push_back({i, crossing});
    begun = true;
    for (const auto& output : graph.node(i).output())
      if (last_read.contains(output)) crossing.push_back(output);
  }
  return seams;
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
