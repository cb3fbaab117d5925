#pragma once
/// Static int8 in QDQ form: QuantizeLinear/DequantizeLinear pairs placed so that ONNX Runtime's CPU provider takes
/// integer kernels. Activations asymmetric uint8, weights symmetric int8 per output channel, bias int32 (Jacob et al.
/// 2018, eq. 5–8).

#include "model/cost.h"
#include "model/model.h"
#include "scaling/bias_correction.h"
#include "scaling/quant_params.h"
#include "scaling/quant_weights.h"

#include <string>
#include <vector>

namespace rtmdl {

/// How weights and biases of integer units are made.
struct WeightForm {
  WeightScales scales;  ///< of the weights that it names; the others' cover their largest weight
  BiasShifts shifts;    ///< taken away from the biases
};

/// Begins the name of every node that quantize() writes for the unit: profiles are read by it.
[[nodiscard]] std::string unit_mark(int unit);
/// Follows it in the names of conversions between integer and float units.
inline constexpr const char* kConversionMark = "convert~";

/// The model with the chosen units in integers (`integer[i]` belongs to `units[i]`). Tensors between units keep
/// their names where they stay float.
///
/// What stays float must stay float: ONNX Runtime (≥ 1.21, WeightBiasQuantization) takes a float Conv, ConvTranspose or
/// Gemm between a DequantizeLinear and a QuantizeLinear and rounds its weights to 8 bits on one scale for the whole
/// tensor, which ruins depthwise layers. It leaves alone those that read a per-channel DequantizeLinear, so float ones
/// are given one (all its scales equal); `specs` tells the number of channels.
[[nodiscard]] Model quantize(const Model& model, const std::vector<Unit>& units, const std::vector<bool>& integer,
                             const Params& params, const TensorSpecs& specs, const WeightForm& weights = {},
                             int weight_limit = exact_weight_limit());
/// The scales that quantize() takes for the weights of every linear unit in `which`.
[[nodiscard]] WeightScales weight_scales(const Model& model, const std::vector<Unit>& units,
                                         const std::vector<bool>& which, const Params& params, bool clipped,
                                         int weight_limit = exact_weight_limit());

}  // namespace rtmdl
