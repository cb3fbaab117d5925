#pragma once
/// Where a graph can be cut in two with one tensor between the parts: what `rtmdl inspect` shows; segments
/// are cut at seams (model/split.h). Pure, graph only.

#include "model/cost.h"
#include "model/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// A chain: part k holds the nodes between tensors[k - 1] and tensors[k]; of all that goes on, part k + 1 and those
/// behind it read tensors[k] only. Weights and what follows from weights or shapes alone do not count: they are
/// constants of whichever part reads them. Outputs of the model that are complete before a cut do not count either.
struct CutPoints {
  std::vector<std::string> tensors;  ///< in topological order
  std::vector<int> part;             ///< by node: which part computes it, 0 to tensors.size()
};

/// Every tensor that dominates all that depends on it. Where side branches lead to outputs of their own, the chain
/// follows the branch with most nodes. Needs nodes in topological order (load_model() leaves them so). O(nodes + edges)
/// but for the dominator tree, whose walks are short on real graphs (Cooper, Harvey & Kennedy 2001).
[[nodiscard]] CutPoints find_cut_points(const Model& model);

/// The largest sum of bytes of tensors that are live at once (inputs and activations, not weights) when nodes run in
/// their order and nothing is computed in place: what a run needs about, whatever the back-end reuses. Tensors that
/// `specs` does not know count as nothing.
[[nodiscard]] std::int64_t peak_activation_bytes(const Model& model, const TensorSpecs& specs);

}  // namespace rtmdl
