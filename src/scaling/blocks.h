#pragma once
/// Depth: parts of a graph that can be left out because what goes in has the shape of what comes out. Pure.

#include "model/cost.h"
#include "model/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// A residual block (what stands between a fork and the Add that joins it again, the other branch being the identity,
/// with the activation that follows left in place), or a run convolution – normalisation – activation whose input and
/// output have equal shapes.
struct Block {
  std::string name;                ///< of its first weight-carrying node
  std::string input;               ///< tensor
  std::string output;              ///< tensor of the same shape, which `input` replaces
  std::vector<std::string> nodes;  ///< what goes, by name
  bool residual = false;
  std::int64_t macs = 0;
  std::int64_t weights = 0;  ///< bytes
};

/// In topological order; blocks do not overlap, except that a residual block may hold plain runs, which are then not
/// listed. Expects normalise() before.
[[nodiscard]] std::vector<Block> find_blocks(const Model& model, const TensorSpecs& specs);

/// The model without these blocks (indices into `blocks`).
[[nodiscard]] Model remove_blocks(const Model& model, const std::vector<Block>& blocks, const std::vector<int>& which);

}  // namespace rtmdl
