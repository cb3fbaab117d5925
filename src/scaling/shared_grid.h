#pragma once
/// Layers that all widths of a family share, in 8 bits: their weights lie on one grid of integers, that of the widest
/// form, so that the int8 weights of a narrower form are slices of the widest form's. Pure.

#include "model/model.h"
#include "scaling/prune.h"
#include "scaling/quant_weights.h"

#include <set>
#include <string>

namespace rtmdl {

/// Steps of the grid that covers the weights of these names, by output channel. Of Conv, Gemm and MatMul.
[[nodiscard]] WeightScales covering_grid(const Model& widest, const std::set<std::string>& names);

/// The same of a narrower form: `positions` are those of its initializers in the widest form's (an empty list: all).
[[nodiscard]] WeightScales grid_within(const WeightScales& grid, const SourceIndices& positions, const Model& narrow);

/// Moves the weights to their nearest points on the grid. They stay float; what is rounded to the grid again, even
/// times a factor, finds the same integers whatever float rounding did in between.
void round_to_grid(Model& model, const WeightScales& grid);

/// The grid in the folded form of a model, where layers have other weights' names and a factor per output channel.
/// What `folded` notes about where its weights came from follows them. Layers that folding changed otherwise are left
/// out.
[[nodiscard]] WeightScales follow_folding(const Model& model, const WeightScales& grid, Model& folded);

}  // namespace rtmdl
