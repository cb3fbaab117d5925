#pragma once
/// Graphs of real architectures (tests/architectures/NAME.onnx, made by scripts/export-architectures), whose weights
/// are not in the files: they are filled here.

#include "model/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl::test {

/// Names of all files, in alphabetical order.
[[nodiscard]] std::vector<std::string> architectures();

/// The graph as exported (no normalise(), the opset of the file), weights filled so that signals keep their size from
/// layer to layer (He et al. 2015; normalisations near 1, variances positive). Equal in every process. Input shapes are
/// fixed, the batch is one.
[[nodiscard]] Model architecture(const std::string& name, std::uint64_t seed = 1);

/// Fills initializers that have dimensions but no data, as above.
void fill_weights(Model& model, std::uint64_t seed = 1);

}  // namespace rtmdl::test
