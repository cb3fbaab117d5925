#include "scaling/channel_atoms.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace rtmdl {

bool is_weight_input(const onnx::NodeProto& node, int input) {
  if (is_op(node, "Conv") || is_op(node, "ConvTranspose")) return input == 1;
  if (is_op(node, "Gemm") || is_op(node, "MatMul")) return input < 2;
  if (is_op(node, "LSTM") || is_op(node, "GRU") || is_op(node, "RNN")) return input >= 1 && input <= 3;
  if (is_op(node, "Gather")) return input == 0;
  return is_op(node, "Einsum");
}

ChannelAtoms::ChannelAtoms(const Model& model, const TensorSpecs& specs) {
  const Links links(model);
  const auto from_specs = [&](const std::string& name) {
    if (name.empty()) return -1;
    if (const auto it = activations_.find(name); it != activations_.end()) return it->second;
    const auto spec = specs.find(name);
    if (spec == specs.end()) return -1;
    const auto& shape = spec->second.shape;
    if (std::any_of(shape.begin(), shape.end(), [](std::int64_t d) { return d < 0; })) return -1;
    return activations_[name] = add_tensor({name, shape, 0, false, -1, -1});
  };
  for (const auto& input : model.graph().input()) from_specs(input.name());
  std::map<std::string, int> matrices;
  const auto nodes = static_cast<std::size_t>(model.graph().node_size());
  inputs_.resize(nodes);
  outputs_.resize(nodes);
  for (std::size_t n = 0; n < nodes; ++n) {
    const auto& node = model.graph().node(static_cast<int>(n));
    for (int i = 0; i < node.input_size(); ++i) {
      const std::string& name = node.input(i);
      const auto* constant = links.constant(name);
      int tensor = -1;
      if (constant == nullptr) {
        tensor = from_specs(name);
      } else if (constant->dims_size() < 2 || !is_weight_input(node, i)) {
        tensor = add_tensor({name, dims(*constant), 0, true, static_cast<int>(n), i});
      } else {
        const auto [it, fresh] = matrices.try_emplace(name, -1);
        if (fresh) it->second = add_tensor({name, dims(*constant), 0, true, -1, -1});
        tensor = it->second;
      }
      inputs_[n].push_back(tensor);
    }
    for (const auto& name : node.output()) outputs_[n].push_back(from_specs(name));
  }
}

void ChannelAtoms::refuse() { throw Error(ErrorCode::internal, "the shapes of a node do not fit its operator"); }

int ChannelAtoms::add_tensor(TensorAxes tensor) {
  const int id = static_cast<int>(tensors_.size());
  tensor.first_axis = static_cast<int>(axes_.size());
  for (const std::int64_t d : tensor.shape) axes_[index(add_axis(d))].tensor = id;
  tensors_.push_back(std::move(tensor));
  return id;
}

int ChannelAtoms::add_axis(std::int64_t size) {
  const auto first = parent_.size();
  parent_.resize(first + static_cast<std::size_t>(size));
  std::iota(parent_.begin() + static_cast<std::ptrdiff_t>(first), parent_.end(), static_cast<int>(first));
  reason_.resize(parent_.size(), -1);
  axes_.push_back({static_cast<int>(first), static_cast<int>(size), -1});
  return static_cast<int>(axes_.size()) - 1;
}

int ChannelAtoms::input(int node, int i) const {
  const auto& of = inputs_[index(node)];
  return i >= 0 && index(i) < of.size() ? of[index(i)] : -1;
}

int ChannelAtoms::output(int node, int i) const {
  const auto& of = outputs_[index(node)];
  return i >= 0 && index(i) < of.size() ? of[index(i)] : -1;
}

int ChannelAtoms::activation(const std::string& name) const {
  const auto it = activations_.find(name);
  return it == activations_.end() ? -1 : it->second;
}

int ChannelAtoms::find(int atom) const {
  while (parent_[index(atom)] != atom) {
    parent_[index(atom)] = parent_[index(parent_[index(atom)])];
    atom = parent_[index(atom)];
  }
  return atom;
}

void ChannelAtoms::join(int atom_a, int atom_b) {
  joins_.emplace_back(atom_a, atom_b);
  int a = find(atom_a);
  int b = find(atom_b);
  if (a == b) return;
  if (b < a) std::swap(a, b);  // the older atom is the root: trees stay flat, as later tensors join earlier ones
  parent_[index(b)] = a;
  int& kept = reason_[index(a)];
  const int other = reason_[index(b)];
  if (kept < 0 || (other >= 0 && other < kept)) kept = other;
}

void ChannelAtoms::join_axes(int axis_a, int axis_b, const std::string& otherwise) {
  if (size(axis_a) != size(axis_b)) {
    lock_axis(axis_a, otherwise);
    lock_axis(axis_b, otherwise);
    return;
  }
  for (int i = 0; i < size(axis_a); ++i) join(atom(axis_a, i), atom(axis_b, i));
}

void ChannelAtoms::lock(int atom, const std::string& reason) {
  int& id = reason_[index(find(atom))];
  if (id >= 0) return;
  const auto [it, fresh] = reason_ids_.try_emplace(reason, static_cast<int>(reasons_.size()));
  if (fresh) reasons_.push_back(reason);
  id = it->second;
}

void ChannelAtoms::lock_axis(int axis, const std::string& reason) {
  for (int i = 0; i < size(axis); ++i) lock(atom(axis, i), reason);
}

void ChannelAtoms::lock_tensor(int tensor, const std::string& reason) {
  if (tensor < 0) return;
  for (std::size_t k = 0; k < rank(tensor); ++k) lock_axis(axis(tensor, k), reason);
}

const std::string& ChannelAtoms::reason(int atom) const {
  static const std::string kNone;
  const int id = reason_[index(find(atom))];
  return id < 0 ? kNone : reasons_[index(id)];
}

bool ChannelAtoms::axis_locked(int axis) const {
  for (int i = 0; i < size(axis); ++i) {
    if (!locked(atom(axis, i))) return false;
  }
  return true;
}

}  // namespace rtmdl
