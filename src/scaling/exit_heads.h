#pragma once
/// The heads of early exits: where they can read, and how they are written into a graph. A head averages what it reads
/// over a grid of cells and classifies that linearly. Pure, graph only.

#include "model/cost.h"
#include "model/model.h"
#include "scaling/softmax_regression.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// Between the nodes before `node` and those from it on, where all that goes on is one tensor.
struct ExitPlace {
  int node = 0;
  std::string tensor;
  std::vector<std::int64_t> shape;  ///< [N, features], or [N, channels, rows, columns]
  std::string dequantised_like;     ///< of int8 models: the DequantizeLinear node that reads it; else empty
};

/// In order: not where the back-end runs both sides as one operator, nor before the first operator that takes time or
/// behind the last. `specs`: of every tensor.
[[nodiscard]] std::vector<ExitPlace> find_exit_places(const Model& model, const TensorSpecs& specs);

/// Numbers that a head classifies, at most about `most` (a cell of the grid has all channels).
[[nodiscard]] std::size_t head_features(const ExitPlace& place, std::size_t most);

/// A copy whose outputs are the heads' features [N, features] at each place, then the model's own. `names`: of these.
[[nodiscard]] Model with_features(const Model& model, const std::vector<ExitPlace>& places, std::size_t most_features,
                                  std::vector<std::string>& names);

struct ExitHead {
  ExitPlace place;
  LinearClassifier classifier;
};
struct HeadSpan {
  int begin = 0, end = 0;  ///< nodes of the new graph
  std::string output;
};
/// A copy with an output more for each head, of the type of the model's own (its only one), behind it. Nodes of a head
/// stand right after those that it needs. `probabilities`: heads end with a Softmax, as the model does.
[[nodiscard]] Model with_heads(const Model& model, const std::vector<ExitHead>& heads, std::size_t most_features,
                               bool probabilities, std::vector<HeadSpan>& spans);

}  // namespace rtmdl
