#pragma once
/// Every index of every axis of every tensor of a graph, and which of them can only leave together. Internal to the
/// analysis of channels; the rules of the operators (channel_rules.h) fill it.

#include "model/cost.h"
#include "model/model.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rtmdl {

/// A union-find over atoms (tensor, axis, index). Activations are one tensor each, whoever reads them. A constant is a
/// tensor of its own for every input that reads it, because exporters share constants that happen to be equal;
/// except weight matrices, which are shared on purpose where they are.
class ChannelAtoms {
 public:
  struct TensorAxes {
    std::string name;
    std::vector<std::int64_t> shape;
    int first_axis = 0;         ///< ids of its axes: first_axis + k
    bool constant = false;      ///< an initializer
    int node = -1, input = -1;  ///< of a constant's use; -1: every use that is a weight matrix
  };
  struct Axis {
    int first = 0, size = 0;  ///< atoms first … first + size - 1
    int tensor = -1;          ///< -1: a factor of a Reshape
  };

  ChannelAtoms(const Model& model, const TensorSpecs& specs);

  /// Tensor of a node's input or output; -1 if it is left out or has no known shape.
  [[nodiscard]] int input(int node, int i) const;
  [[nodiscard]] int output(int node, int i) const;
  /// Tensor of an activation; -1 if unknown.
  [[nodiscard]] int activation(const std::string& name) const;
  [[nodiscard]] const std::vector<TensorAxes>& tensors() const { return tensors_; }
  [[nodiscard]] const std::vector<Axis>& axes() const { return axes_; }
  [[nodiscard]] std::size_t rank(int tensor) const { return tensors_[index(tensor)].shape.size(); }
  // Throw Error(internal) for an axis or an index that is not there: shapes that no run of the model gives.
  [[nodiscard]] std::int64_t dim(int tensor, std::size_t k) const {
    require(k < rank(tensor));
    return tensors_[index(tensor)].shape[k];
  }
  [[nodiscard]] int axis(int tensor, std::size_t k) const {
    require(k < rank(tensor));
    return tensors_[index(tensor)].first_axis + static_cast<int>(k);
  }
  [[nodiscard]] int atom(int axis, std::int64_t i) const {
    require(i >= 0 && i < size(axis));
    return axes_[index(axis)].first + static_cast<int>(i);
  }
  [[nodiscard]] int size(int axis) const { return axes_[index(axis)].size; }
  [[nodiscard]] std::size_t atoms() const { return parent_.size(); }

  /// An axis that belongs to no tensor.
  int add_axis(std::int64_t size);
  void join(int atom_a, int atom_b);
  /// Index by index; both have the same size, else both are locked.
  void join_axes(int axis_a, int axis_b, const std::string& otherwise);
  void lock(int atom, const std::string& reason);
  void lock_axis(int axis, const std::string& reason);
  void lock_tensor(int tensor, const std::string& reason);

  [[nodiscard]] int find(int atom) const;
  /// Empty if the atom may leave.
  [[nodiscard]] const std::string& reason(int atom) const;
  [[nodiscard]] bool locked(int atom) const { return reason_[index(find(atom))] >= 0; }
  /// No atom of it may leave.
  [[nodiscard]] bool axis_locked(int axis) const;
  /// Every join() as it was made.
  [[nodiscard]] const std::vector<std::pair<int, int>>& joins() const { return joins_; }

 private:
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }
  static void require(bool fits) {
    if (!fits) refuse();
  }
  [[noreturn]] static void refuse();
  int add_tensor(TensorAxes tensor);

  std::vector<TensorAxes> tensors_;
  std::vector<Axis> axes_;
  std::unordered_map<std::string, int> activations_;
  std::vector<std::vector<int>> inputs_, outputs_;  // by node
  mutable std::vector<int> parent_;
  std::vector<int> reason_;  // of roots: index into reasons_, the smallest (oldest) of all that were joined; -1: none
  std::vector<std::string> reasons_;
  std::unordered_map<std::string, int> reason_ids_;
  std::vector<std::pair<int, int>> joins_;
};

/// Inputs of an operator that hold a weight matrix when they are constant.
[[nodiscard]] bool is_weight_input(const onnx::NodeProto& node, int input);

}  // namespace rtmdl
