#pragma once
/// Where early exits of a network can be. Pure, graph only.

#include "model/cost.h"
#include "model/model.h"

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

/// By place: the share of the multiply-accumulates and bytes moved that lies before it.
[[nodiscard]] std::vector<double> work_before(const Model& model, const TensorSpecs& specs,
                                              const std::vector<ExitPlace>& places);

/// About `most` of the places, as evenly spread between 8 and 90 % as `before` (share of all that lies before each)
/// allows. Those that `before` does not know are left out.
[[nodiscard]] std::vector<ExitPlace> spread_places(const std::vector<ExitPlace>& places,
                                                   const std::vector<double>& before, std::size_t most);

}  // namespace rtmdl
