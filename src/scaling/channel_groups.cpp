#include "scaling/channel_groups.h"

#include "model/tensor_data.h"
#include "scaling/channel_analysis.h"
#include "scaling/channel_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_set>

namespace rtmdl {
namespace {

std::uint64_t mix(std::uint64_t h, std::uint64_t v) {
  h ^= v + 0x9E3779B97F4A7C15ULL + (h << 6) + (h >> 2);
  return h * 0xBF58476D1CE4E5B9ULL;
}

/// Positions of one class of atoms along one axis.
struct ClassAxis {
  int axis;
  std::vector<int> positions;
};

/// Atoms that can only leave together and may.
struct Class {
  std::vector<ClassAxis> axes;  ///< ascending
  std::uint64_t ties = 0;       ///< how its positions are joined: classes with equal ties may change places
  int first_maker = 0;          ///< index into the makers

  [[nodiscard]] const ClassAxis* at(int axis) const {
    const auto it =
        std::lower_bound(axes.begin(), axes.end(), axis, [](const ClassAxis& a, int id) { return a.axis < id; });
    return it != axes.end() && it->axis == axis ? &*it : nullptr;
  }
};

class Classes {
 public:
  Classes(const ChannelAtoms& atoms, const ChannelRules& rules) : atoms_(atoms), rules_(rules) {
    collect();
    locate();
    tie();
  }
  /// In the order of the makers and of the channels along their outputs.
  [[nodiscard]] const std::vector<Class>& all() const { return classes_; }

 private:
  void collect() {
    for (std::size_t m = 0; m < rules_.makers().size(); ++m) {
      const int axis = rules_.makers()[m].axis;
      for (int i = 0; i < atoms_.size(axis); ++i) {
        const int root = atoms_.find(atoms_.atom(axis, i));
        if (atoms_.locked(root) || !of_root_.try_emplace(root, static_cast<int>(classes_.size())).second) continue;
        classes_.emplace_back().first_maker = static_cast<int>(m);
      }
    }
  }
  void locate() {
    class_of_.assign(atoms_.atoms(), -1);
    place_.assign(atoms_.atoms(), 0);
    axis_of_.assign(atoms_.atoms(), -1);
    for (std::size_t a = 0; a < atoms_.axes().size(); ++a) {
      const auto& axis = atoms_.axes()[a];
      for (int i = 0; i < axis.size; ++i) {
        const auto atom = static_cast<std::size_t>(axis.first + i);
        axis_of_[atom] = static_cast<int>(a);
        const auto it = of_root_.find(atoms_.find(axis.first + i));
        if (it == of_root_.end()) continue;
        class_of_[atom] = it->second;
        auto& axes = classes_[static_cast<std::size_t>(it->second)].axes;
        if (axes.empty() || axes.back().axis != static_cast<int>(a)) axes.push_back({static_cast<int>(a), {}});
        place_[atom] = static_cast<int>(axes.back().positions.size());
        axes.back().positions.push_back(i);
      }
    }
  }
  void tie() {
    for (const auto& [a, b] : atoms_.joins()) {
      const int c = class_of_[static_cast<std::size_t>(a)];
      if (c < 0) continue;
      std::uint64_t h = 0;
      for (const int atom : {a, b}) {
        h = mix(h, static_cast<std::uint64_t>(axis_of_[static_cast<std::size_t>(atom)]));
        h = mix(h, static_cast<std::uint64_t>(place_[static_cast<std::size_t>(atom)]));
      }
      classes_[static_cast<std::size_t>(c)].ties += h;  // a sum: the order of the joins does not matter
    }
  }

  const ChannelAtoms& atoms_;
  const ChannelRules& rules_;
  std::unordered_map<int, int> of_root_;
  std::vector<Class> classes_;
  std::vector<int> class_of_, place_, axis_of_;  // by atom
};

std::string node_name(const onnx::NodeProto& node) {
  return !node.name().empty() || node.output().empty() ? node.name() : node.output(0);
}

std::vector<ChannelSlice> slices(const Class& one, const ChannelAtoms& atoms, const Links& links) {
  std::vector<ChannelSlice> found;
  std::set<std::pair<std::string, std::vector<std::int64_t>>> seen;
  for (const auto& [axis, positions] : one.axes) {
    const int t = atoms.axes()[static_cast<std::size_t>(axis)].tensor;
    if (t < 0) continue;
    const auto& tensor = atoms.tensors()[static_cast<std::size_t>(t)];
    if (!tensor.constant) continue;
    const auto* weights = links.constant(tensor.name);
    if (weights == nullptr || weights->data_type() == onnx::TensorProto::INT64) continue;  // indices of a Gather
    ChannelSlice slice{tensor.name, axis - tensor.first_axis, {positions.begin(), positions.end()}};
    auto key = slice.indices;
    key.push_back(slice.axis);
    if (seen.emplace(slice.tensor, std::move(key)).second) found.push_back(std::move(slice));
  }
  return found;
}

/// Weights of types that cannot be sliced, and those that are outputs.
void lock_constants(ChannelAtoms& atoms, const Links& links) {
  for (std::size_t t = 0; t < atoms.tensors().size(); ++t) {
    const auto& tensor = atoms.tensors()[t];
    if (!tensor.constant) continue;
    const auto* weights = links.constant(tensor.name);
    const bool usable = weights != nullptr && element_type(weights->data_type()) && wrong_size(*weights).empty();
    if (!usable)
      atoms.lock_tensor(static_cast<int>(t),
                        fmt::format("weights '{}' have a type that is not understood", tensor.name));
    if (links.is_output(tensor.name)) atoms.lock_tensor(static_cast<int>(t), "they are an output of the model");
  }
}

class Builder {
 public:
  Builder(const Model& model, ChannelAnalysis& analysis, const ChannelRules& rules, const Classes& classes)
      : model_(model), analysis_(analysis), rules_(rules), classes_(classes.all()) {}

  void build() {
    std::map<std::pair<std::vector<std::pair<int, std::size_t>>, std::uint64_t>, std::vector<std::size_t>> alike;
    std::vector<const std::vector<std::size_t>*> order;
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      std::vector<std::pair<int, std::size_t>> signature;
      for (const auto& axis : classes_[c].axes) signature.emplace_back(axis.axis, axis.positions.size());
      auto& members = alike[{std::move(signature), classes_[c].ties}];
      if (members.empty()) order.push_back(&members);
      members.push_back(c);
    }
    for (const auto* members : order) add(*members);
    list_whole();
  }

 private:
  void add(const std::vector<std::size_t>& members) {
    const Class& first = classes_[members.front()];
    const auto& maker = rules_.makers()[static_cast<std::size_t>(first.first_maker)];
    ChannelGroup group;
    group.multiple = static_cast<int>(first.at(maker.axis)->positions.size());
    for (const std::size_t c : members)
      group.channels.push_back({slices(classes_[c], analysis_.atoms, analysis_.links)});
    const auto whole = [&](const std::string& reason) {
      for (const std::size_t c : members)
        reasons_[analysis_.atoms.find(analysis_.atoms.atom(maker.axis, classes_[c].at(maker.axis)->positions[0]))] =
            reason;
    };
    if (members.size() == 1) return whole("none of them can leave without the others");
    if (group.channels.front().weights.empty()) return whole("they have no weights of their own");
    const auto add_name = [&](std::vector<std::string>& names, int node) {
      const std::string name = node_name(model_.graph().node(node));
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    };
    for (const auto& m : rules_.makers()) {
      if (first.at(m.axis) != nullptr) add_name(group.makers, m.node);
    }
    for (const auto& r : rules_.readers()) {
      if (first.at(r.axis) != nullptr) add_name(group.readers, r.node);
    }
    const std::string stem = node_name(model_.graph().node(maker.node));
    group.name = stem;
    for (int i = 2; !names_.insert(group.name).second; ++i) group.name = fmt::format("{}:{}", stem, i);
    std::vector<GroupAxis> axes;
    for (std::size_t a = 0; a < first.axes.size(); ++a) {
      if (analysis_.atoms.axes()[static_cast<std::size_t>(first.axes[a].axis)].tensor < 0) continue;
      GroupAxis axis{first.axes[a].axis, static_cast<int>(first.axes[a].positions.size()), {}};
      for (const std::size_t c : members) {
        const auto& positions = classes_[c].axes[a].positions;
        axis.positions.insert(axis.positions.end(), positions.begin(), positions.end());
      }
      axes.push_back(std::move(axis));
    }
    if (std::string reason = cannot_shrink(group, axes); !reason.empty()) return whole(reason);
    analysis_.groups.groups.push_back(std::move(group));
    analysis_.axes.push_back(std::move(axes));
  }

  /// Shapes that the graph computes must come out right, whatever stays of the group.
  std::string cannot_shrink(const ChannelGroup& group, const std::vector<GroupAxis>& axes) {
    const int n = static_cast<int>(group.channels.size());
    for (const int keep : std::set<int>{n - 1, n - n / 2, 1}) {
      AxisSources sources;
      for (const auto& axis : axes) {
        auto& source = sources[axis.axis];
        const auto kept_end = static_cast<std::size_t>(keep) * static_cast<std::size_t>(axis.count);
        std::vector<char> gone(static_cast<std::size_t>(analysis_.atoms.size(axis.axis)), 0);
        for (std::size_t p = kept_end; p < axis.positions.size(); ++p)
          gone[static_cast<std::size_t>(axis.positions[p])] = 1;
        for (std::size_t i = 0; i < gone.size(); ++i) {
          if (gone[i] == 0) source.push_back(static_cast<std::int64_t>(i));
        }
      }
      if (auto conflict = analysis_.planner.plan(sources).conflict; !conflict.empty()) return conflict;
    }
    return {};
  }

  void list_whole() {
    std::unordered_set<int> listed;
    for (const auto& maker : rules_.makers()) {
      WholeGroup whole;
      for (int i = 0; i < analysis_.atoms.size(maker.axis); ++i) {
        const int root = analysis_.atoms.find(analysis_.atoms.atom(maker.axis, i));
        const auto it = reasons_.find(root);
        const std::string& reason = it != reasons_.end() ? it->second : analysis_.atoms.reason(root);
        if (reason.empty() || (listed.contains(root) && !fresh_.contains(root))) continue;
        listed.insert(root);
        fresh_.insert(root);
        ++whole.channels;
        if (whole.reason.empty()) whole.reason = reason;
      }
      fresh_.clear();
      if (whole.channels == 0) continue;
      whole.name = node_name(model_.graph().node(maker.node));
      analysis_.groups.whole.push_back(std::move(whole));
    }
  }

  const Model& model_;
  ChannelAnalysis& analysis_;
  const ChannelRules& rules_;
  const std::vector<Class>& classes_;
  std::set<std::string> names_;
  std::unordered_map<int, std::string> reasons_;  // by root: of classes that could leave, but are no group
  std::unordered_set<int> fresh_;                 // roots that the maker at hand listed first
};

}  // namespace

ChannelAnalysis::ChannelAnalysis(const Model& model, const TensorSpecs& specs)
    : links(model), atoms(model, specs), planner(model, links, atoms) {
  lock_constants(atoms, links);
  ChannelRules rules(model, atoms, planner.before());
  rules.apply();
  const Classes classes(atoms, rules);
  Builder(model, *this, rules, classes).build();
}

AxisSources axis_sources(const ChannelAnalysis& analysis, const Kept& kept) {
  std::unordered_map<int, std::vector<std::int64_t>> content;  // by axis: what goes where; -1: it leaves
  for (std::size_t g = 0; g < kept.size(); ++g) {
    const auto channels = analysis.groups.groups[g].channels.size();
    std::vector<int> slots = kept[g];
    std::sort(slots.begin(), slots.end());
    if (slots.size() == channels && slots == kept[g]) continue;
    for (const auto& axis : analysis.axes[g]) {
      auto& to = content[axis.axis];
      if (to.empty()) {
        to.resize(static_cast<std::size_t>(analysis.atoms.size(axis.axis)));
        std::iota(to.begin(), to.end(), 0);
      }
      for (const int p : axis.positions) to[static_cast<std::size_t>(p)] = -1;
      const auto position = [&](int channel, int i) {
        return axis.positions[static_cast<std::size_t>(channel * axis.count + i)];
      };
      for (std::size_t s = 0; s < slots.size(); ++s) {
        for (int i = 0; i < axis.count; ++i)
          to[static_cast<std::size_t>(position(slots[s], i))] = position(kept[g][s], i);
      }
    }
  }
  for (auto& [axis, to] : content) to.erase(std::remove(to.begin(), to.end(), -1), to.end());
  return content;
}

std::vector<std::int64_t> shape_after(const ChannelAtoms& atoms, int tensor, const AxisSources& sources) {
  auto shape = atoms.tensors()[static_cast<std::size_t>(tensor)].shape;
  for (std::size_t k = 0; k < shape.size(); ++k) {
    if (const auto it = sources.find(atoms.axis(tensor, k)); it != sources.end())
      shape[k] = static_cast<std::int64_t>(it->second.size());
  }
  return shape;
}

ChannelGroups find_channel_groups(const Model& model, const TensorSpecs& specs) {
  return ChannelAnalysis(model, specs).groups;
}

}  // namespace rtmdl
