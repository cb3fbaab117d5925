#pragma once
/// Which nodes compute the same in every run. Pure, graph only.

#include "model/model.h"

#include <vector>

namespace rtmdl {

/// By node: whether it gives the same in every run with the same shapes of inputs, because it depends on weights only,
/// or on shapes that no value decides. Needs nodes in topological order.
[[nodiscard]] std::vector<bool> fixed_nodes(const Model& model);

}  // namespace rtmdl
