#include "scaling/resolution.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace rtmdl {

std::vector<std::int64_t> scaled_shape(std::vector<std::int64_t> shape, const SpatialInput& input, double fraction) {
  constexpr double kGrid = 32;
  for (const std::size_t d : {input.height, input.width}) {
    if (d >= shape.size() || fraction == 1) continue;
    const double scaled = std::round(static_cast<double>(shape[d]) * fraction / kGrid) * kGrid;
    shape[d] = static_cast<std::int64_t>(std::max(kGrid, scaled));
  }
  return shape;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("{}", fmt::join(shape, "x")); }

}  // namespace rtmdl
