#pragma once
/// Smaller inputs for models whose spatial dimensions are free.

#include "model/edit.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// Height and width times `fraction`, each to the nearest multiple of 32 (what strides and upsampling of common
/// networks divide), at least 32; the other dimensions as they are.
[[nodiscard]] std::vector<std::int64_t> scaled_shape(std::vector<std::int64_t> shape, const SpatialInput& input,
                                                     double fraction);
/// "1x3x240x320"
[[nodiscard]] std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace rtmdl
