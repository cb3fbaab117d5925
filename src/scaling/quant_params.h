#pragma once
/// Grids of activations: which real numbers the 256 values of a tensor stand for.

#include "model/model.h"
#include "scaling/calibrate.h"
#include "scaling/units.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl {

/// real = scale · (q − zero)
struct QuantParams {
  float scale = 1;
  std::uint8_t zero = 0;
};

/// The smallest grid of 256 values that covers the range and has 0 on it.
[[nodiscard]] QuantParams cover(Range range);

/// How a unit's output is written (by its kernel) and read (by those behind it); they differ where scale and shift were
/// absorbed.
struct TensorParams {
  QuantParams written, read;
};
using Params = std::unordered_map<std::string, TensorParams>;

/// For every tensor that a unit could quantise, by its unit's method. Data-moving units hand on their input's. What
/// only a hard-swish reads is not resolved below its ramp.
[[nodiscard]] Params choose_params(const Model& model, const std::vector<Unit>& units,
                                   const std::unordered_map<std::string, Histogram>& histograms,
                                   const std::vector<Calibration>& methods);

/// A scale that float32 holds and no division by it overflows.
[[nodiscard]] float representable_scale(double scale) noexcept;

}  // namespace rtmdl
