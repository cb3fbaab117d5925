#pragma once
/// Reconstruction after pruning (He et al. 2017, eq. 2 and its asymmetric form, in channels): layers that read removed
/// channels take over what the remaining ones tell about them. On the task's own inputs every channel c that a layer
/// read before is regressed on those that it reads now, y_c ≈ Σ_k B_ck x_k + d_c, the same for all positions; weights W
/// become W · B, and W · d goes to the bias. y is from the model before, x from the pruned one with the layers before
/// this one reconstructed, so that errors do not add up. Ridge regression: how strong, is chosen on inputs that the fit
/// has not seen, by the error that is left in the readers' outputs.

#include "base/context.h"
#include "engine/engine.h"
#include "scaling/prune.h"
#include "scaling/scale.h"

#include <filesystem>
#include <set>
#include <span>
#include <string>

namespace rtmdl {

enum class Readers {
  all,          ///< of anything that the cut changed, so that errors do not add up
  of_lost_only  ///< those that lost channels: what a first look needs
};

/// Changes weights of `pruned`, which prune() made of `model`, whose tensors' shapes `specs` gives; its graph only
/// where a bias is added. Readers are Conv and ConvTranspose without groups, Gemm, and MatMul (no constant part), whose
/// weights no other node reads and `exempt` does not name. Gives the number of layers that changed; ends early, with
/// later layers as they were, when the context is stopped.
int reconstruct(Engine& engine, const Model& model, const TensorSpecs& specs, Pruned& pruned,
                const std::set<std::string>& exempt, Readers readers, const LoadRequest& at,
                std::span<const InputSet> sets, const std::filesystem::path& folder, const Context& context);

}  // namespace rtmdl
