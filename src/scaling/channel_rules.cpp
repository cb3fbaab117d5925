#include "scaling/channel_rules.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rtmdl {

ChannelRules::ChannelRules(const Model& model, ChannelAtoms& atoms, const ShapeValues& values)
    : model_(model), atoms_(atoms), values_(values), opset_(model.opset()) {
  for (const auto& tensor : model.graph().initializer()) constants_.insert(tensor.name());
  for (const auto& input : model.graph().input()) constants_.erase(input.name());
  for (const int n : constant_nodes(model)) {
    constants_.insert(model.graph().node(n).output().begin(), model.graph().node(n).output().end());
  }
}

bool ChannelRules::constant(int n, int i) const {
  return i < node(n).input_size() && constants_.contains(node(n).input(i));
}

std::optional<std::vector<std::int64_t>> ChannelRules::values(int n, int i) const {
  const auto tensor = values_.at(n, i);
  if (!tensor) return std::nullopt;
  std::vector<std::int64_t> whole;
  for (const auto& v : tensor->values) whole.push_back(std::llround(v.value));
  return whole;
}

std::optional<std::vector<std::int64_t>> ChannelRules::values(int n, int i, std::string_view attribute_name) const {
  if (const auto* a = attribute(node(n), attribute_name)) {
    if (a->type() == onnx::AttributeProto_AttributeType_INT) return std::vector<std::int64_t>{a->i()};
    return integers_attribute(node(n), attribute_name);
  }
  return values(n, i);
}

std::optional<std::vector<std::int64_t>> ChannelRules::indices(int n, int i) const {
  for (const auto& tensor : model_.graph().initializer()) {
    if (tensor.name() == node(n).input(i)) return integers(tensor);
  }
  return std::nullopt;
}

bool ChannelRules::known(int n, int inputs) {
  bool all = out(n) >= 0;
  for (int i = 0; i < inputs; ++i) all = all && in(n, i) >= 0;
  if (!all) lock_node(n, says(n, "has inputs or outputs of unknown shape"));
  return all;
}

void ChannelRules::lock_node(int n, const std::string& reason) {
  for (int i = 0; i < node(n).input_size(); ++i) atoms_.lock_tensor(in(n, i), reason);
  for (int i = 0; i < node(n).output_size(); ++i) atoms_.lock_tensor(out(n, i), reason);
}

void ChannelRules::same(int n, int tensor_a, std::size_t k, int tensor_b, std::size_t l) {
  atoms_.join_axes(atoms_.axis(tensor_a, k), atoms_.axis(tensor_b, l), says(n, "changes how many they are"));
}

void ChannelRules::broadcast(int n, const std::vector<int>& operands) {
  const int y = out(n);
  const std::size_t rank = atoms_.rank(y);
  for (const int x : operands) {
    const std::size_t own = atoms_.rank(x);
    for (std::size_t k = 0; k < own && own <= rank; ++k) {
      const std::size_t l = k + rank - own;
      if (atoms_.dim(x, k) != 1 || atoms_.dim(y, l) == 1) same(n, x, k, y, l);
    }
  }
}

std::string ChannelRules::says(int n, std::string_view what) const {
  return fmt::format("'{}' ({}) {}", node(n).name().empty() ? node(n).output(0) : node(n).name(), node(n).op_type(),
                     what);
}

void ChannelRules::apply() {
  for (const auto& output : model_.graph().output()) {
    atoms_.lock_tensor(atoms_.activation(output.name()), "they are an output of the model");
  }
  for (const auto& input : model_.graph().input()) {
    atoms_.lock_tensor(atoms_.activation(input.name()), "they are an input of the model");
  }
  for (std::size_t a = 0; a < atoms_.axes().size(); ++a) {
    if (atoms_.axes()[a].size == 1) atoms_.lock_axis(static_cast<int>(a), "it is one channel");
  }
  for (int n = 0; n < model_.graph().node_size(); ++n) {
    if (has_subgraph(node(n))) {  // what it captures from outside, too
      const std::string reason =
          fmt::format("operator '{}' (node '{}') has a graph of its own", node(n).op_type(), node(n).name());
      lock_node(n, reason);
      for (const auto& name : reads(node(n))) atoms_.lock_tensor(atoms_.activation(name), reason);
      continue;
    }
    ChannelRule rule = nullptr;
    if (node(n).domain().empty() || node(n).domain() == "ai.onnx") {
      for (const auto* table : {&elementwise_rules(), &layer_rules(), &layout_rules()}) {
        if (const auto it = table->find(node(n).op_type()); it != table->end()) rule = it->second;
      }
    }
    if (rule == nullptr) {
      lock_node(n, fmt::format("operator '{}' (node '{}') is not understood", node(n).op_type(), node(n).name()));
    } else {
      rule(*this, n);
    }
  }
  for (const int n : reshapes_) split_and_merge(n);
  choose_factors();
}

}  // namespace rtmdl
