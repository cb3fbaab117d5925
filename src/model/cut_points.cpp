#include "model/cut_points.h"

#include "model/fixed_nodes.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>

namespace rtmdl {
namespace {

/// Nodes, and the tensors that they pass on, as vertices of a flow graph from one root, which stands for the model's
/// inputs. Vertices are in topological order.
class Flow {
 public:
  explicit Flow(const Model& model) : graph_(model.graph()), fixed_(fixed_nodes(model).fixed) {
    vertices_.emplace_back();
    vertex_of_node_.assign(static_cast<std::size_t>(graph_.node_size()), 0);
    const Links links(model);
    for (const auto& input : graph_.input()) {
      if (links.constant(input.name()) == nullptr) add(input.name(), -1, {0});
    }
    for (int i = 0; i < graph_.node_size(); ++i) add_node(i);
    find_cuts();
  }

  CutPoints chain() {
    CutPoints cuts;
    std::vector<std::vector<std::size_t>> below(vertices_.size());
    for (std::size_t v = 1; v < vertices_.size(); ++v) {
      if (vertices_[v].is_cut) below[vertices_[v].cut_above].push_back(v);
    }
    std::vector<char> chosen(vertices_.size(), 0);
    for (std::size_t at = 0; !below[at].empty();) {
      at = *std::max_element(below[at].begin(), below[at].end(), [&](std::size_t a, std::size_t b) {
        return vertices_[a].nodes_behind < vertices_[b].nodes_behind;
      });
      chosen[at] = 1;
      cuts.tensors.push_back(vertices_[at].name);
    }
    std::vector<int> part(vertices_.size(), 0);
    for (std::size_t v = 1; v < vertices_.size(); ++v) {
      const std::size_t d = vertices_[v].dominator;
      part[v] = part[d] + chosen[d];
    }
    cuts.part.resize(vertex_of_node_.size());
    for (std::size_t i = 0; i < vertex_of_node_.size(); ++i) cuts.part[i] = part[vertex_of_node_[i]];
    place_constants(cuts);
    return cuts;
  }

 private:
  struct Vertex {
    std::string name;  ///< of a tensor; empty for nodes and the root
    int node = -1;     ///< that it is, or that makes it
    std::vector<std::size_t> from;
    std::size_t dominator = 0, depth = 0;  ///< nearest one; number of them
    std::size_t nodes_behind = 0;          ///< that it dominates
    bool is_cut = false;
    std::size_t cut_above = 0;  ///< nearest dominator that is a cut
  };

  std::size_t add(const std::string& name, int node, std::vector<std::size_t> from) {
    Vertex v;
    v.name = name;
    v.node = node;
    v.dominator = from.front();
    for (const std::size_t f : from) v.dominator = common_dominator(v.dominator, f);
    v.depth = vertices_[v.dominator].depth + 1;
    v.from = std::move(from);
    vertices_.push_back(std::move(v));
    if (!name.empty()) by_name_[name] = vertices_.size() - 1;
    return vertices_.size() - 1;
  }

  void add_node(int i) {
    if (fixed_[static_cast<std::size_t>(i)]) return;
    std::vector<std::size_t> from;
    for (const auto& name : reads(graph_.node(i))) {
      if (const auto it = by_name_.find(name); it != by_name_.end()) from.push_back(it->second);
    }
    if (from.empty()) from.push_back(0);
    const std::size_t v = vertex_of_node_[static_cast<std::size_t>(i)] = add("", i, std::move(from));
    for (const auto& output : graph_.node(i).output()) {
      if (!output.empty()) add(output, i, {v});
    }
  }

  std::size_t common_dominator(std::size_t a, std::size_t b) const {
    while (a != b) {
      if (a > b) std::swap(a, b);  // the later one cannot dominate the earlier one
      b = vertices_[b].dominator;
    }
    return a;
  }

  /// A vertex dominates all that depends on it if no dominator of those lies above it.
  void find_cuts() {
    std::vector<std::size_t> highest(vertices_.size(), std::numeric_limits<std::size_t>::max());
    for (std::size_t v = vertices_.size() - 1; v > 0; --v) {
      Vertex& x = vertices_[v];
      if (x.name.empty()) ++x.nodes_behind;  // itself, for those above
      vertices_[x.dominator].nodes_behind += x.nodes_behind;
      x.is_cut = !x.name.empty() && x.node >= 0 && x.nodes_behind > 0 && highest[v] >= x.depth;
      const std::size_t seen = std::min(highest[v], vertices_[x.dominator].depth);
      for (const std::size_t f : x.from) highest[f] = std::min(highest[f], seen);
    }
    for (std::size_t v = 1; v < vertices_.size(); ++v) {
      const std::size_t d = vertices_[v].dominator;
      vertices_[v].cut_above = vertices_[d].is_cut ? d : vertices_[d].cut_above;
    }
  }

  /// To the first part that reads them; backwards, as constants read constants.
  void place_constants(CutPoints& cuts) const {
    std::unordered_map<std::string, int> first_reader;
    for (int i = graph_.node_size() - 1; i >= 0; --i) {
      int& part = cuts.part[static_cast<std::size_t>(i)];
      if (fixed_[static_cast<std::size_t>(i)]) {
        std::optional<int> first;
        for (const auto& output : graph_.node(i).output()) {
          const auto it = first_reader.find(output);
          if (it != first_reader.end()) first = std::min(first.value_or(it->second), it->second);
        }
        part = first.value_or(0);
      }
      for (auto& name : reads(graph_.node(i))) {
        const auto [it, fresh] = first_reader.try_emplace(std::move(name), part);
        if (!fresh) it->second = std::min(it->second, part);
      }
    }
  }

  const onnx::GraphProto& graph_;
  std::vector<bool> fixed_;
  std::vector<Vertex> vertices_;
  std::vector<std::size_t> vertex_of_node_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

double bytes_of(const TensorSpec& spec) {
  double bytes = static_cast<double>(element_size(spec.type));
  for (const std::int64_t d : spec.shape) bytes *= static_cast<double>(std::max<std::int64_t>(d, 0));
  return bytes;
}

}  // namespace

CutPoints find_cut_points(const Model& model) { return Flow(model).chain(); }

std::int64_t peak_activation_bytes(const Model& model, const TensorSpecs& specs) {
  const Links links(model);
  const auto& graph = model.graph();
  std::unordered_map<std::string, int> last_read;  // what the caller reads is live to the end
  for (int i = 0; i < graph.node_size(); ++i) {
    for (auto& name : reads(graph.node(i))) last_read[std::move(name)] = i;
  }
  std::vector<std::vector<std::string>> freed(static_cast<std::size_t>(graph.node_size()));
  for (const auto& [name, node] : last_read) {
    if (!links.is_output(name)) freed[static_cast<std::size_t>(node)].push_back(name);
  }
  const auto bytes = [&](const std::string& name) {
    const auto it = links.constant(name) == nullptr ? specs.find(name) : specs.end();
    return it == specs.end() ? 0.0 : bytes_of(it->second);
  };
  double live = 0, most = 0;
  for (const auto& input : graph.input()) live += bytes(input.name());
  most = live;
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const auto& output : graph.node(i).output()) live += bytes(output);
    most = std::max(most, live);
    for (const auto& name : freed[static_cast<std::size_t>(i)]) live -= bytes(name);
    for (const auto& output : graph.node(i).output()) {
      if (!last_read.contains(output) && !links.is_output(output)) live -= bytes(output);
    }
  }
  return static_cast<std::int64_t>(std::min(most, 9e18));
}

}  // namespace rtmdl
