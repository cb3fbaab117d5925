#include "scaling/prune.h"

#include "model/edit.h"
#include "model/tensor_data.h"
#include "scaling/channel_analysis.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

using Sources = std::vector<std::vector<std::int64_t>>;  ///< by axis; empty: as it was

[[noreturn]] void wrong(const std::string& message) { throw Error(ErrorCode::internal, message); }

/// Bytes of the elements, however the file stores them.
std::string raw_bytes(const onnx::TensorProto& tensor) {
  if (tensor.has_raw_data()) return tensor.raw_data();
  const auto type = element_type(tensor.data_type());
  const std::size_t size = type ? element_size(*type) : 0;
  std::string bytes;
  const auto append = [&](const auto& values) {
    for (const auto value : values) bytes.append(reinterpret_cast<const char*>(&value), size);
  };
  switch (tensor.data_type()) {  // little-endian, as raw data are: narrow integers are the low bytes of wide ones
    case onnx::TensorProto::FLOAT: append(tensor.float_data()); break;
    case onnx::TensorProto::DOUBLE: append(tensor.double_data()); break;
    case onnx::TensorProto::INT64: append(tensor.int64_data()); break;
    case onnx::TensorProto::UINT64:
    case onnx::TensorProto::UINT32: append(tensor.uint64_data()); break;
    default: append(tensor.int32_data()); break;
  }
  return bytes;
}

onnx::TensorProto sliced(const onnx::TensorProto& tensor, const Sources& sources) {
  auto shape = dims(tensor);
  const auto type = element_type(tensor.data_type());
  if (!type) wrong(fmt::format("weights '{}' have a type that cannot be sliced", tensor.name()));
  std::string bytes = raw_bytes(tensor);
  for (std::size_t k = 0; k < shape.size(); ++k) {
    if (sources[k].empty()) continue;
    std::size_t inner = element_size(*type);
    for (std::size_t l = k + 1; l < shape.size(); ++l) inner *= static_cast<std::size_t>(shape[l]);
    const std::size_t outer =
        std::accumulate(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(k), std::size_t{1},
                        [](std::size_t n, std::int64_t d) { return n * static_cast<std::size_t>(d); });
    std::string result;
    result.reserve(outer * sources[k].size() * inner);
    for (std::size_t o = 0; o < outer; ++o) {
      for (const std::int64_t i : sources[k]) {
        result.append(bytes, (o * static_cast<std::size_t>(shape[k]) + static_cast<std::size_t>(i)) * inner, inner);
      }
    }
    bytes = std::move(result);
    shape[k] = static_cast<std::int64_t>(sources[k].size());
  }
  onnx::TensorProto result;
  result.set_name(tensor.name());
  result.set_data_type(tensor.data_type());
  for (const std::int64_t d : shape) result.add_dims(d);
  result.set_raw_data(std::move(bytes));
  return result;
}

/// The groups of `analysis` that `groups` names, with what is kept of each; the others stay whole.
Kept matched(const ChannelAnalysis& analysis, const ChannelGroups& groups, const Kept& kept) {
  if (kept.size() != groups.groups.size())
    wrong(fmt::format("{} groups are kept of {}", kept.size(), groups.groups.size()));
  std::unordered_map<std::string, std::size_t> by_name;
  for (std::size_t g = 0; g < analysis.groups.groups.size(); ++g) by_name[analysis.groups.groups[g].name] = g;
  Kept all = keep_all(analysis.groups);
  for (std::size_t g = 0; g < kept.size(); ++g) {
    const auto& group = groups.groups[g];
    const auto it = by_name.find(group.name);
    const auto channels = static_cast<int>(group.channels.size());
    if (it == by_name.end() || static_cast<int>(all[it->second].size()) != channels) {
      wrong(fmt::format("channel group '{}' of {} is none of this model's", group.name, channels));
    }
    const std::set<int> once(kept[g].begin(), kept[g].end());
    if (once.empty() || once.size() != kept[g].size() || *once.begin() < 0 || *once.rbegin() >= channels) {
      wrong(fmt::format("channel group '{}' of {}: what is kept is empty, twice the same or out of range", group.name,
                        channels));
    }
    all[it->second] = kept[g];
  }
  return all;
}

class Pruning {
 public:
  Pruning(const Model& model, const ChannelAnalysis& analysis, AxisSources sources)
      : analysis_(analysis), sources_(std::move(sources)), pruned_{model, {}, {}} {
    for (int i = 0; i < graph().initializer_size(); ++i) place_[graph().initializer(i).name()] = i;
  }

  Pruned run(const TensorSpecs& specs) {
    const ShapePlan plan = analysis_.planner.plan(sources_);
    if (!plan.conflict.empty()) wrong(plan.conflict);
    slice_constants();
    std::map<std::pair<int, int>, ShapePlan::Input> inputs;
    for (const auto& [place, value] : plan.edits) {
      auto& input = inputs[{place.node, place.input}];
      if (input.values.empty()) input = {place.node, place.input, standing(place)};
      input.values.at(static_cast<std::size_t>(place.element)) = value;
    }
    for (const auto& input : plan.inputs) inputs[{input.node, input.input}] = input;
    for (const auto& [at, input] : inputs) write(input);
    for (const auto& a : plan.attributes) {
      auto& node = *graph().mutable_node(a.node);
      if (a.list) set_attribute(node, a.name, a.values);
      else set_attribute(node, a.name, a.values.front());
    }
    forget_unused();
    graph().clear_value_info();
    pruned_.specs = specs;
    for (auto& [name, spec] : pruned_.specs) {
      if (const int t = analysis_.atoms.activation(name); t >= 0)
        spec.shape = shape_after(analysis_.atoms, t, sources_);
    }
    return std::move(pruned_);
  }

 private:
  onnx::GraphProto& graph() { return pruned_.model.graph(); }
  const onnx::TensorProto& constant(int node, int input) {
    return graph().initializer(place_.at(graph().node(node).input(input)));
  }

  /// What an input holds; of one that is computed, one number.
  std::vector<std::int64_t> standing(const ConstantPlace& place) {
    const std::string& name = graph().node(place.node).input(place.input);
    if (!place_.contains(name)) return {0};
    return integers(constant(place.node, place.input)).value_or(std::vector<std::int64_t>());
  }

  /// Uses of one constant that need the same slices stay one constant; each further kind gets a copy.
  void slice_constants() {
    std::map<std::string, std::map<Sources, std::vector<int>>> kinds;  // by name: tensors of the analysis
    const auto& tensors = analysis_.atoms.tensors();
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      if (!tensors[t].constant) continue;
      Sources sources(tensors[t].shape.size());
      for (std::size_t k = 0; k < sources.size(); ++k) {
        const auto it = sources_.find(analysis_.atoms.axis(static_cast<int>(t), k));
        if (it != sources_.end()) sources[k] = it->second;
      }
      kinds[tensors[t].name][std::move(sources)].push_back(static_cast<int>(t));
    }
    for (const auto& name : captured()) {
      if (kinds.contains(name))
        kinds[name][Sources(static_cast<std::size_t>(graph().initializer(place_.at(name)).dims_size()))];
    }
    for (const auto& [name, uses] : kinds) {
      const onnx::TensorProto before = graph().initializer(place_.at(name));
      bool first = true;  // "as it was" sorts first
      for (const auto& [sources, of] : uses) {
        const bool same = std::all_of(sources.begin(), sources.end(), [](const auto& s) { return s.empty(); });
        if (same || first) {
          if (!same) {
            *graph().mutable_initializer(place_.at(name)) = sliced(before, sources);
            pruned_.indices[name] = sources;
          }
        } else {
          const std::string copy = add(sliced(before, sources));
          for (const int t : of) redirect_use(analysis_.atoms.tensors()[static_cast<std::size_t>(t)], copy);
          pruned_.indices[copy] = sources;
        }
        first = false;
      }
    }
  }

  /// Constants that the graphs inside nodes read: they see them as they were.
  std::set<std::string> captured() {
    std::set<std::string> names;
    for (const auto& node : graph().node()) {
      if (!has_subgraph(node)) continue;
      for (const auto& name : reads(node)) names.insert(name);
    }
    return names;
  }

  void redirect_use(const ChannelAtoms::TensorAxes& tensor, const std::string& to) {
    if (tensor.node >= 0) {
      graph().mutable_node(tensor.node)->set_input(tensor.input, to);
      return;
    }
    for (auto& node : *graph().mutable_node()) {
      for (int i = 0; i < node.input_size(); ++i) {
        if (node.input(i) == tensor.name && is_weight_input(node, i)) node.set_input(i, to);
      }
    }
  }

  std::string add(onnx::TensorProto tensor) {
    const std::string name = add_constant(pruned_.model, std::move(tensor));
    place_[name] = graph().initializer_size() - 1;
    return name;
  }

  /// In place if nobody else reads it.
  void write(const ShapePlan::Input& input) {
    auto& node = *graph().mutable_node(input.node);
    if (is_op(node, "Split")) remove_attribute(node, "num_outputs");  // sizes or how many, not both
    while (node.input_size() <= input.input) node.add_input("");
    const std::string name = node.input(input.input);
    const auto known = place_.find(name);
    const bool narrow =
        known != place_.end() && graph().initializer(known->second).data_type() == onnx::TensorProto::INT32;
    const std::string stem = name.empty() ? node.name() + ".sizes" : name;
    Sources::value_type shape{static_cast<std::int64_t>(input.values.size())};
    if (known != place_.end() && graph().initializer(known->second).dims_size() == 0) shape.clear();
    onnx::TensorProto tensor = make_tensor(stem, shape, std::span<const std::int64_t>(input.values));
    if (narrow) {
      const std::vector<std::int32_t> values(input.values.begin(), input.values.end());
      tensor = make_tensor(stem, shape, std::span<const std::int32_t>(values));
    }
    if (known != place_.end() && Links(pruned_.model).private_to_one(name)) {
      *graph().mutable_initializer(known->second) = std::move(tensor);
    } else {
      node.set_input(input.input, add(std::move(tensor)));
    }
  }

  void forget_unused() {
    std::set<std::string> used;
    for (const auto& node : graph().node()) {
      for (const auto& name : reads(node)) used.insert(name);
    }
    for (const auto& output : graph().output()) used.insert(output.name());
    auto& weights = *graph().mutable_initializer();
    weights.erase(
        std::remove_if(weights.begin(), weights.end(), [&](const auto& t) { return !used.contains(t.name()); }),
        weights.end());
    std::erase_if(pruned_.indices, [&](const auto& entry) { return !used.contains(entry.first); });
  }

  const ChannelAnalysis& analysis_;
  const AxisSources sources_;
  Pruned pruned_;
  std::unordered_map<std::string, int> place_;  // of initializers
};

}  // namespace

Kept keep_all(const ChannelGroups& groups) {
  Kept kept;
  for (const auto& group : groups.groups) {
    kept.emplace_back(group.channels.size());
    std::iota(kept.back().begin(), kept.back().end(), 0);
  }
  return kept;
}

Pruned prune(const Model& model, const TensorSpecs& specs, const ChannelGroups& groups, const Kept& kept) {
  const ChannelAnalysis analysis(model, specs);
  AxisSources sources = axis_sources(analysis, matched(analysis, groups, kept));
  if (sources.empty()) return {model, specs, {}};
  return Pruning(model, analysis, std::move(sources)).run(specs);
}

}  // namespace rtmdl
