#pragma once
/// Where the weights of a pruned model came from, composed over several prunings and kept inside the model's file.

#include "scaling/prune.h"

namespace rtmdl {

/// `second` was found on the model that `first` describes: positions in the model before both.
[[nodiscard]] SourceIndices compose(const SourceIndices& first, const SourceIndices& second);

/// Into the model's metadata, replacing what was there. Nothing is written for empty indices.
void write_indices(Model& model, const SourceIndices& indices);
/// Empty if there are none. Throws Error(bad_input) if they are damaged.
[[nodiscard]] SourceIndices read_indices(const Model& model);

}  // namespace rtmdl
