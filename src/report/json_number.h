#pragma once
/// How numbers are written in our JSON.

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

namespace rtmdl {

/// Six significant digits; null if not finite.
inline nlohmann::ordered_json json_number(double x) {
  if (!std::isfinite(x)) return nullptr;
  const double rounded = std::strtod(fmt::format("{:.6g}", x).c_str(), nullptr);
  return rounded == 0 ? 0.0 : rounded;
}

}  // namespace rtmdl
