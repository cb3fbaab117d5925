#pragma once
/// Bias correction (Nagel et al. 2019, section 4.2), empirical: what rounding inputs and weights of one layer adds to
/// the mean of each of its output channels, measured on the task's own inputs.

#include "scaling/calibrate.h"
#include "scaling/quant_params.h"
#include "scaling/quant_weights.h"
#include "scaling/units.h"

#include <map>
#include <string>
#include <vector>

namespace rtmdl {

/// By the name of a unit's output: what its bias has too much of, per output channel.
using BiasShifts = std::map<std::string, std::vector<double>>;

/// Every linear unit in `which` is run beside itself, once as it is and once with rounded weights on rounded inputs,
/// both on the float model's own activations: so no layer answers for another's shift. `scales` as quantize() takes
/// them. Only Conv and Gemm: a MatMul has no place for a bias.
[[nodiscard]] BiasShifts measure_bias_shifts(Engine& engine, const Model& model, const LoadRequest& at,
                                             const std::vector<Unit>& units, const std::vector<bool>& which,
                                             const Params& params, const WeightScales& scales,
                                             const std::vector<InputSet>& sets, const std::filesystem::path& folder,
                                             const Context& context);

}  // namespace rtmdl
