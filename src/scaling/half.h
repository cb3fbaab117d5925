#pragma once
/// 16-bit floating point: weights and activations in f16 where that is safe, for accelerators that compute in it.
/// Inputs and outputs stay f32.

#include "model/cost.h"
#include "model/model.h"
#include "scaling/calibrate.h"

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl {

/// The largest finite f16.
inline constexpr float kHalfMax = 65504;
/// Nearest f16 (ties to even) as its bits; what is beyond kHalfMax becomes an infinity.
[[nodiscard]] std::uint16_t to_half_bits(float value) noexcept;

struct HalfModel {
  Model model;
  int half = 0;   ///< nodes that compute in f16
  int casts = 0;  ///< added
  /// Nodes that could compute in f16 but must not, one line each, with the reason: "conv1 (Conv): values reach 81000",
  /// "fc (Gemm): weights 'fc.w' reach 1e+06, f16 ends at 65504".
  std::vector<std::string> kept;
};

/// Convolutions and matrix products become f16, and with them what follows them directly and only moves, adds,
/// multiplies, clips or pools. Sums over many values (Softmax, normalisations, reductions), operators without f16
/// kernels, those with subgraphs, and those where an observed magnitude is above half of kHalfMax stay f32, with Cast
/// in between. `specs` and `peaks` (largest magnitude; infinite for what was not finite) are of all tensors. Expects a
/// normalised model; the operator set stays. Pure.
[[nodiscard]] HalfModel to_half(const Model& model, const TensorSpecs& specs,
                                const std::unordered_map<std::string, float>& peaks);

/// The same with specs and peaks from runs on the sets (at least one). `at` gives shapes, state and constants; scratch
/// files go to `folder`.
[[nodiscard]] HalfModel to_half(Engine& engine, const Model& model, const LoadRequest& at,
                                const std::vector<InputSet>& sets, const std::filesystem::path& folder,
                                const Context& context);

}  // namespace rtmdl
