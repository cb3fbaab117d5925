#pragma once
/// Which nodes compute the same in every run, and whose results may change their shape. Pure, graph only.

#include "model/model.h"

#include <string>
#include <unordered_set>
#include <vector>

namespace rtmdl {

struct FixedNodes {
  /// By node: whether it gives the same in every run with the same shapes of inputs, because it depends on weights
  /// only, or on shapes that no value decides.
  std::vector<bool> fixed;
  /// Tensors whose shape values may decide: other inputs of the same shape may change it.
  std::unordered_set<std::string> free_shape;
};

/// Needs nodes in topological order.
[[nodiscard]] FixedNodes fixed_nodes(const Model& model);

}  // namespace rtmdl
