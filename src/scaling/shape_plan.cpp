#include "model/tensor_data.h"
#include "scaling/channel_analysis.h"
#include "scaling/channel_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

using Shape = std::vector<std::int64_t>;

std::size_t axis_of(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

std::optional<Shape> whole(const std::optional<ShapeTensor>& tensor) {
  if (!tensor) return std::nullopt;
  Shape values;
  for (const auto& v : tensor->values) values.push_back(std::llround(v.value));
  return values;
}

std::string text(const onnx::NodeProto& node) {
  return fmt::format("'{}' ({})", node.name().empty() ? node.output(0) : node.name(), node.op_type());
}

/// One plan in the making.
class Planning {
 public:
  Planning(const Model& model, const Links& links, const ChannelAtoms& atoms, const ShapeValues& before,
           const AxisSources& sources)
      : model_(model), links_(links), atoms_(atoms), before_(before), sources_(sources) {}

  ShapePlan run() {
    const ShapeLookup lookup = [this](const std::string& name) -> const Shape* {
      if (const auto it = shapes_.find(name); it != shapes_.end()) return &it->second;
      const int tensor = atoms_.activation(name);
      if (tensor < 0) return nullptr;
      return &shapes_.emplace(name, shape_after(atoms_, tensor, sources_)).first->second;
    };
    for (int round = 0; round < 2; ++round) {  // the second sees what the edits of the first do elsewhere
      const ShapeValues after(model_, links_, lookup, plan_.edits);
      after_ = &after;
      wanted_.clear();
      plan_.attributes.clear();
      plan_.inputs.clear();
      const ShapeEdits edits = plan_.edits;
      for (int n = 0; n < model_.graph().node_size() && plan_.conflict.empty(); ++n) visit(n);
      if (!plan_.conflict.empty() || plan_.edits == edits) break;
      if (round == 1) conflict(0, "shapes that are computed depend on each other");
    }
    return std::move(plan_);
  }

 private:
  [[nodiscard]] bool changed(int axis) const { return sources_.contains(axis); }
  [[nodiscard]] bool changed_size(int tensor, std::size_t k) const {
    return after_size(tensor, k) != atoms_.dim(tensor, k);
  }
  [[nodiscard]] std::int64_t after_size(int tensor, std::size_t k) const {
    const auto it = sources_.find(atoms_.axis(tensor, k));
    return it == sources_.end() ? atoms_.dim(tensor, k) : static_cast<std::int64_t>(it->second.size());
  }
  /// How many of the positions before `end` stay.
  [[nodiscard]] std::int64_t kept_before(int tensor, std::size_t k, std::int64_t end) const {
    const auto it = sources_.find(atoms_.axis(tensor, k));
    if (it == sources_.end()) return end;
    return std::count_if(it->second.begin(), it->second.end(), [&](std::int64_t p) { return p < end; });
  }
  void conflict(int n, std::string_view what) {
    if (plan_.conflict.empty()) plan_.conflict = fmt::format("{}: {}", text(model_.graph().node(n)), what);
  }

  /// Element `i` of this input shall be `value`.
  void edit(int n, const std::optional<ShapeTensor>& now, std::size_t i, std::int64_t value) {
    if (!now || i >= now->values.size() || !now->values[i].place) return conflict(n, "its shape is computed");
    const ConstantPlace& place = *now->values[i].place;
    const auto [it, fresh] = wanted_.try_emplace(place, value);
    if (!fresh && it->second != value) return conflict(n, "two nodes need different values of a shape that they share");
    plan_.edits[place] = value;
  }

  void visit(int n) {
    const auto& node = model_.graph().node(n);
    if (!(node.domain().empty() || node.domain() == "ai.onnx")) return;
    const std::string& op = node.op_type();
    if (op == "Reshape") reshape(n);
    else if (op == "Expand") target(n, 1, 0);
    else if (op == "ConstantOfShape") target(n, 0, 0);
    else if (op == "Resize" && node.input_size() > 3 && !node.input(3).empty()) resize(n);
    else if (op == "Slice") slice(n);
    else if (op == "Split") split(n);
    else if (op == "Pad") pad(n);
    else if (op == "Gather") gather(n);
    else if (op == "Squeeze") squeeze(n);
    else if (op == "Conv" || op == "ConvTranspose") convolution(n);
    else if (op == "LSTM" || op == "GRU" || op == "RNN") hidden_size(n);
  }

  [[nodiscard]] bool any_changed(int tensor) const {
    for (std::size_t k = 0; tensor >= 0 && k < atoms_.rank(tensor); ++k) {
      if (changed_size(tensor, k)) return true;
    }
    return false;
  }

  /// Neither the value nor the dimension that it stands for is another than before. (They may differ from each other:
  /// fractions are computed more precisely here than there.)
  [[nodiscard]] bool untouched(const std::optional<Shape>& before, const Shape& after, std::size_t i, int tensor,
                               std::size_t k) const {
    return before && i < before->size() && (*before)[i] == after[i] && !changed_size(tensor, k);
  }

  void reshape(int n) {
    const int x = atoms_.input(n, 0);
    const int y = atoms_.output(n, 0);
    if (x < 0 || y < 0) return;
    const auto now = after_->at(n, 1);
    const auto values = whole(now);
    if (!values || values->size() != atoms_.rank(y)) {
      if (any_changed(x) || any_changed(y)) conflict(n, "its shape is computed");
      return;
    }
    const auto old_values = whole(before_.at(n, 1));
    const bool zero_copies = attribute_or(model_.graph().node(n), "allowzero", std::int64_t{0}) == 0;
    for (std::size_t k = 0; k < values->size(); ++k) {
      const std::int64_t v = (*values)[k];
      if (v == -1) continue;
      const bool copies = v == 0 && zero_copies && k < atoms_.rank(x);
      if (!copies && untouched(old_values, *values, k, y, k)) continue;
      if ((copies ? after_size(x, k) : v) != after_size(y, k)) edit(n, now, k, after_size(y, k));
    }
  }

  /// The value is the output's shape, or its last dimensions, or 1 where broadcasting decides.
  void target(int n, int input, int output) {
    const int y = atoms_.output(n, output);
    if (y < 0) return;
    const auto now = after_->at(n, input);
    const auto values = whole(now);
    if (!values || values->size() > atoms_.rank(y)) {
      if (any_changed(y)) conflict(n, "its shape is computed");
      return;
    }
    const auto old_values = whole(before_.at(n, input));
    const bool broadcasts = is_op(model_.graph().node(n), "Expand");
    for (std::size_t k = 0; k < values->size(); ++k) {
      const std::size_t l = k + atoms_.rank(y) - values->size();
      const std::int64_t v = (*values)[k];
      if (untouched(old_values, *values, k, y, l)) continue;
      if (v != after_size(y, l) && !(broadcasts && v == 1)) edit(n, now, k, after_size(y, l));
    }
  }

  void resize(int n) {
    const int y = atoms_.output(n, 0);
    if (y < 0) return;
    Shape axes = integers_attribute(model_.graph().node(n), "axes");
    if (axes.empty()) {
      for (std::size_t k = 0; k < atoms_.rank(y); ++k) axes.push_back(static_cast<std::int64_t>(k));
    }
    const auto now = after_->at(n, 3);
    const auto values = whole(now);
    const auto old_values = whole(before_.at(n, 3));
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const std::size_t k = axis_of(axes[i], atoms_.rank(y));
      if (values && untouched(old_values, *values, i, y, k)) continue;
      if (!values ? changed_size(y, k) : (*values)[i] != after_size(y, k)) edit(n, now, i, after_size(y, k));
    }
  }

  /// Bounds as an attribute (opsets before 10) or as inputs.
  void slice(int n) {
    const auto& node = model_.graph().node(n);
    const int x = atoms_.input(n, 0);
    const int y = atoms_.output(n, 0);
    if (x < 0 || y < 0) return;
    const bool attributes = attribute(node, "starts") != nullptr;
    const auto old_starts = attributes ? std::optional(integers_attribute(node, "starts")) : whole(before_.at(n, 1));
    const auto old_ends = attributes ? std::optional(integers_attribute(node, "ends")) : whole(before_.at(n, 2));
    auto axes = attributes ? std::optional(integers_attribute(node, "axes")) : whole(before_.at(n, 3));
    const auto steps = attributes ? std::nullopt : whole(before_.at(n, 4));
    const auto starts_now = attributes ? std::nullopt : after_->at(n, 1);
    const auto ends_now = attributes ? std::nullopt : after_->at(n, 2);
    auto starts = attributes ? old_starts : whole(starts_now);
    auto ends = attributes ? std::optional(integers_attribute(node, "ends")) : whole(ends_now);
    if (!old_starts || !old_ends || !starts || !ends) {
      if (any_changed(x) || any_changed(y)) conflict(n, "its bounds are computed");
      return;
    }
    if (!axes || axes->empty()) {
      axes.emplace();
      for (std::size_t i = 0; i < old_starts->size(); ++i) axes->push_back(static_cast<std::int64_t>(i));
    }
    bool rewrite_starts = false;
    bool rewrite_ends = false;
    // A bound that is computed from how many channels there are gives way to a constant, if it is the only one.
    const auto change = [&](const std::optional<ShapeTensor>& now, std::size_t i, std::int64_t value, bool& rewrite) {
      rewrite = attributes || (axes->size() == 1 && !now->values[i].place);
      if (!rewrite) edit(n, now, i, value);
    };
    for (std::size_t i = 0; i < axes->size(); ++i) {
      const std::size_t k = axis_of((*axes)[i], atoms_.rank(x));
      if (steps && (*steps)[i] != 1) continue;  // its axis does not change
      if (untouched(old_starts, *starts, i, x, k) && untouched(old_ends, *ends, i, y, k)) continue;
      const auto bound = [](std::int64_t v, std::int64_t size) {
        return std::clamp<std::int64_t>(v < 0 ? v + size : v, 0, size);
      };
      const std::int64_t start = kept_before(x, k, bound((*old_starts)[i], atoms_.dim(x, k)));
      const std::int64_t end = start + after_size(y, k);
      if (bound((*starts)[i], after_size(x, k)) != start) {
        (*starts)[i] = start;
        change(starts_now, i, start, rewrite_starts);
      }
      if (bound((*ends)[i], after_size(x, k)) != end) {
        (*ends)[i] = end;
        change(ends_now, i, end, rewrite_ends);
      }
    }
    if (attributes) {
      if (rewrite_starts) plan_.attributes.push_back({n, "starts", *starts, true});
      if (rewrite_ends) plan_.attributes.push_back({n, "ends", *ends, true});
    } else {
      if (rewrite_starts) plan_.inputs.push_back({n, 1, *starts});
      if (rewrite_ends) plan_.inputs.push_back({n, 2, *ends});
    }
  }

  void split(int n) {
    const auto& node = model_.graph().node(n);
    const int x = atoms_.input(n, 0);
    if (x < 0) return;
    const std::size_t k = axis_of(attribute_or(node, "axis", std::int64_t{0}), atoms_.rank(x));
    Shape sizes;
    for (int o = 0; o < node.output_size(); ++o) {
      const int y = atoms_.output(n, o);
      if (y < 0) return;
      sizes.push_back(after_size(y, k));
    }
    if (attribute(node, "split") != nullptr) {
      if (integers_attribute(node, "split") != sizes) plan_.attributes.push_back({n, "split", sizes, true});
    } else if (node.input_size() > 1 && !node.input(1).empty()) {
      const auto now = after_->at(n, 1);
      const auto values = whole(now);
      if (!values && any_changed(x)) return conflict(n, "its sizes are computed");
      for (std::size_t o = 0; values && o < sizes.size(); ++o) {
        if ((*values)[o] != sizes[o]) edit(n, now, o, sizes[o]);
      }
    } else if (changed_size(x, k) &&
               std::any_of(sizes.begin(), sizes.end(), [&](std::int64_t s) { return s != sizes[0]; })) {
      if (model_.opset() >= 13) plan_.inputs.push_back({n, 1, sizes});
      else plan_.attributes.push_back({n, "split", sizes, true});
    }
  }

  void pad(int n) {
    const auto& node = model_.graph().node(n);
    const int x = atoms_.input(n, 0);
    const int y = atoms_.output(n, 0);
    if (x < 0 || y < 0 || (!any_changed(x) && !any_changed(y))) return;
    const std::size_t rank = atoms_.rank(x);
    const auto* a = attribute(node, "pads") != nullptr ? attribute(node, "pads") : attribute(node, "paddings");
    const auto now = a == nullptr ? after_->at(n, 1) : std::nullopt;
    auto pads = a != nullptr ? std::optional(integers_attribute(node, a->name())) : whole(before_.at(n, 1));
    if (!pads || pads->size() != 2 * rank) return;  // then the axes that it pads were locked
    bool rewrite = false;
    for (std::size_t k = 0; k < rank; ++k) {
      const std::int64_t before = (*pads)[k];
      if (before <= 0 && (*pads)[rank + k] <= 0) continue;
      const std::int64_t first = kept_before(y, k, before);
      const std::int64_t last = after_size(y, k) - first - after_size(x, k);
      for (const auto& [at, value] : {std::pair{k, first}, std::pair{rank + k, last}}) {
        if ((*pads)[at] == value) continue;
        (*pads)[at] = value;
        rewrite = true;
        if (a == nullptr) edit(n, now, at, value);
      }
    }
    if (a != nullptr && rewrite) plan_.attributes.push_back({n, a->name(), *pads, true});
  }

  /// Constant indices: where the elements that they pick are now.
  void gather(int n) {
    const auto& node = model_.graph().node(n);
    const int x = atoms_.input(n, 0);
    const int which = atoms_.input(n, 1);
    if (x < 0 || which < 0) return;
    const std::size_t k = axis_of(attribute_or(node, "axis", std::int64_t{0}), atoms_.rank(x));
    const bool listed = atoms_.rank(which) == 1 && changed(atoms_.axis(which, 0));
    if (!changed(atoms_.axis(x, k)) && !listed) return;
    const auto* constant = links_.constant(node.input(1));
    const auto indices = constant == nullptr ? std::nullopt : integers(*constant);
    if (!indices) return conflict(n, "its indices are computed");
    std::vector<std::int64_t> place(static_cast<std::size_t>(atoms_.dim(x, k)), -1);  // after, by place before
    for (std::size_t p = 0; p < place.size(); ++p) {
      if (!changed(atoms_.axis(x, k))) place[p] = static_cast<std::int64_t>(p);
    }
    if (changed(atoms_.axis(x, k))) {
      const auto& source = sources_.at(atoms_.axis(x, k));
      for (std::size_t p = 0; p < source.size(); ++p)
        place[static_cast<std::size_t>(source[p])] = static_cast<std::int64_t>(p);
    }
    Shape result;
    const auto pick = [&](std::size_t i) {
      const std::int64_t p = (*indices)[i];
      result.push_back(place[static_cast<std::size_t>(p < 0 ? p + atoms_.dim(x, k) : p)]);
    };
    if (listed) {
      for (const std::int64_t i : sources_.at(atoms_.axis(which, 0))) pick(static_cast<std::size_t>(i));
    } else {
      for (std::size_t i = 0; i < indices->size(); ++i) pick(i);
    }
    if (std::any_of(result.begin(), result.end(), [](std::int64_t p) { return p < 0; }))
      return conflict(n, "it picks what has left");
    plan_.inputs.push_back({n, 1, std::move(result)});
  }

  /// Without axes it would take away what has shrunk to one.
  void squeeze(int n) {
    const auto& node = model_.graph().node(n);
    const int x = atoms_.input(n, 0);
    if (x < 0 || attribute(node, "axes") != nullptr || (node.input_size() > 1 && !node.input(1).empty())) return;
    Shape axes;
    bool shrunk = false;
    for (std::size_t k = 0; k < atoms_.rank(x); ++k) {
      if (atoms_.dim(x, k) == 1) axes.push_back(static_cast<std::int64_t>(k));
      else shrunk = shrunk || after_size(x, k) == 1;
    }
    if (!shrunk) return;
    if (model_.opset() >= 13) plan_.inputs.push_back({n, 1, axes});
    else plan_.attributes.push_back({n, "axes", axes, true});
  }

  void convolution(int n) {
    const int x = atoms_.input(n, 0);
    const std::int64_t groups = attribute_or(model_.graph().node(n), "group", std::int64_t{1});
    if (x < 0 || groups == 1 || groups != atoms_.dim(x, 1) || !changed_size(x, 1)) return;
    plan_.attributes.push_back({n, "group", {after_size(x, 1)}, false});
  }

  void hidden_size(int n) {
    const int r = atoms_.input(n, 2);
    if (r < 0 || !changed_size(r, 2)) return;
    if (attribute(model_.graph().node(n), "hidden_size") != nullptr) {
      plan_.attributes.push_back({n, "hidden_size", {after_size(r, 2)}, false});
    }
  }

  const Model& model_;
  const Links& links_;
  const ChannelAtoms& atoms_;
  const ShapeValues& before_;
  const AxisSources& sources_;
  const ShapeValues* after_ = nullptr;
  std::unordered_map<std::string, Shape> shapes_;
  ShapeEdits wanted_;
  ShapePlan plan_;
};

}  // namespace

ShapePlanner::ShapePlanner(const Model& model, const Links& links, const ChannelAtoms& atoms)
    : model_(model),
      links_(links),
      atoms_(atoms),
      before_(model, links, [&atoms](const std::string& name) -> const Shape* {
        const int tensor = atoms.activation(name);
        return tensor < 0 ? nullptr : &atoms.tensors()[static_cast<std::size_t>(tensor)].shape;
      }) {}

ShapePlan ShapePlanner::plan(const AxisSources& sources) const {
  return Planning(model_, links_, atoms_, before_, sources).run();
}

}  // namespace rtmdl
