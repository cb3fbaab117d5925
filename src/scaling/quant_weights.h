#pragma once
/// Weights in 8 bits: symmetric, one scale per output channel, and the int32 bias that goes with them.

#include "model/model.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Largest magnitude of int8 weights that this machine's kernels add up exactly: 127, or 63 on x86 without VNNI, whose
/// 8-bit products saturate at 16 bits in pairs.
[[nodiscard]] int exact_weight_limit() noexcept;

/// Scale of every output channel, by the name of the weights.
using WeightScales = std::map<std::string, std::vector<float>>;

/// Weights and bias of a Conv, Gemm or MatMul; of a BatchNormalization as the depthwise Conv of one pixel that it is;
/// of a ConvTranspose whose filters do not overlap as the Conv of one pixel whose channels DepthToSpace spreads out.
struct LinearWeights {
  std::string name;                 ///< of the weights
  std::vector<std::int64_t> shape;  ///< of the weights
  std::vector<float> values;
  std::vector<float> bias;   ///< empty: none
  std::size_t channels = 0;  ///< outputs
  std::size_t inputs = 0;    ///< channels of the input, of all groups together
  std::size_t group = 1;
  bool columns = false;  ///< outputs lie in dimension 1: MatMul, Gemm without transB

  /// Which output channel element i serves, and which channel of the input it reads.
  [[nodiscard]] std::size_t output_of(std::size_t i) const;
  [[nodiscard]] std::size_t input_of(std::size_t i) const;
};

/// Nothing if the weights are no f32 constants, and for other operators and forms.
[[nodiscard]] std::optional<LinearWeights> linear_weights(const onnx::NodeProto& node, const Links& links);

/// The smallest scale that leaves the bias of channel c room in 32 bits.
[[nodiscard]] double least_scale(const LinearWeights& weights, std::size_t c, double input_scale);
/// The scales that `limit` steps reach the largest weight with. `input_scale` is that of the activations: the bias is
/// counted in steps of input_scale · scale, in 32 bits with room for the sum.
[[nodiscard]] std::vector<float> covering_scales(const LinearWeights& weights, double input_scale, int limit);
/// The same, but smaller where cutting the largest weights off makes the summed squared rounding error less.
[[nodiscard]] std::vector<float> clipping_scales(const LinearWeights& weights, double input_scale, int limit);

[[nodiscard]] std::vector<std::int8_t> round_weights(const LinearWeights& weights, const std::vector<float>& scales,
                                                     int limit);

}  // namespace rtmdl
