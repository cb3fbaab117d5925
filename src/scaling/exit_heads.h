#pragma once
/// The heads of early exits, and how they are written into a graph: averages over a grid of cells, perhaps a hidden
/// layer, and a linear classifier. Pure, graph only.

#include "model/model.h"
#include "scaling/convolutional_head.h"
#include "scaling/exit_places.h"
#include "scaling/softmax_regression.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// What a head reads: of a picture, averages over a grid.
struct ExitReading {
  ExitPlace place;
  std::array<std::int64_t, 2> grid{1, 1};  ///< rows, columns
  bool convolved = false;                  ///< by what reads it, else it is classified as it is
  [[nodiscard]] std::size_t features() const { return static_cast<std::size_t>(place.shape[1] * grid[0] * grid[1]); }
};

/// For a linear classifier: the finest grid of 4 × 4 cells, 2 × 2 or one with at most about `most` features.
[[nodiscard]] ExitReading coarse_reading(const ExitPlace& place, std::size_t most);
/// For a convolution: 8 × 8 cells, 4 × 4 where channels are many; nothing where there is no such picture.
[[nodiscard]] std::optional<ExitReading> fine_reading(const ExitPlace& place);

/// A copy whose outputs are the readings [N, features], which are in the order of the graph, then the model's own.
/// `names`: of these.
[[nodiscard]] Model with_readings(const Model& model, const std::vector<ExitReading>& readings,
                                  std::vector<std::string>& names);

struct ExitHead {
  ExitReading reading;
  LinearClassifier classifier;
  std::optional<HeadConvolution> convolution;  ///< between the two
};
struct HeadSpan {
  int begin = 0, end = 0;  ///< nodes of the new graph
  std::string output;
};
/// A copy with an output more for each head, of the type of the model's own (its only one), behind it. Heads are in the
/// order of the graph; nodes of a head stand right after those that it needs and after the head before it.
/// `probabilities`: heads end with a Softmax, as the model does.
[[nodiscard]] Model with_heads(const Model& model, const std::vector<ExitHead>& heads, bool probabilities,
                               std::vector<HeadSpan>& spans);

}  // namespace rtmdl
