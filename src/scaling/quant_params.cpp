#include "scaling/quant_params.h"

#include "model/tensor_data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace rtmdl {
namespace {

Range range_of_constant(const onnx::TensorProto& tensor) {
  Range range;
  for (const float v : floats(tensor).value_or(std::vector<float>())) {
    range.low = std::min(range.low, v);
    range.high = std::max(range.high, v);
  }
  return range;
}

/// y = a · x + b with q shared: b must be a whole number of steps, or the reading of 0 (padding) would be off.
TensorParams cover_scaled(Range y, double a, double b) {
  y.low = std::min(y.low, static_cast<float>(b));  // x = 0 is on the grid, too
  y.high = std::max(y.high, static_cast<float>(b));
  double step = std::max((static_cast<double>(y.high) - y.low) / 255, 1e-30);
  if (b != 0) {
    for (double whole = std::floor(std::fabs(b) / step); whole >= 0; --whole) {
      const double candidate = whole > 0 ? std::fabs(b) / whole : step;
      const double zero = std::ceil(-y.low / candidate);
      if (zero <= 255 && zero + std::ceil(y.high / candidate) <= 255) {
        step = candidate;
        break;
      }
      if (whole == 0) step *= 1 + 1.0 / 128;
    }
  }
  const double zero = std::clamp(b != 0 ? std::ceil(-y.low / step) : std::round(-y.low / step), 0.0, 255.0);
  TensorParams p;
  p.read = {representable_scale(step), static_cast<std::uint8_t>(zero)};
  p.written = {representable_scale(step / a),
               static_cast<std::uint8_t>(std::clamp(zero + std::round(b / step), 0.0, 255.0))};
  return p;
}

/// Below this, values of the tensor are all one to those who read it: x · HardSigmoid(x), as a hard-swish is spelt, is
/// 0 from where its ramp begins. Minus infinity if there is no such value.
float floor_of(const Model& model, const Links& links, const std::string& tensor) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  if (links.is_output(tensor)) return kNone;
  const auto ramp = [&](const onnx::NodeProto& node) {
    const float alpha = attribute_or(node, "alpha", 0.2F);
    return is_op(node, "HardSigmoid") && node.input(0) == tensor && alpha > 0
               ? -attribute_or(node, "beta", 0.5F) / alpha
               : kNone;
  };
  float least = std::numeric_limits<float>::infinity();
  for (const int r : links.consumers(tensor)) {
    const auto& reader = model.graph().node(r);
    float own = ramp(reader);
    if (is_op(reader, "Mul") && reader.input_size() == 2 && reader.input(0) != reader.input(1)) {
      const int other = links.producer(reader.input(reader.input(0) == tensor ? 1 : 0));
      if (other >= 0) own = ramp(model.graph().node(other));
    }
    least = std::min(least, own);
  }
  return std::isfinite(least) && least <= 0 ? least : kNone;
}

}  // namespace

float representable_scale(double scale) noexcept { return static_cast<float>(std::clamp(scale, 1e-30, 1e30)); }

QuantParams cover(Range range) { return cover_scaled(range, 1, 0).read; }

Params choose_params(const Model& model, const std::vector<Unit>& units,
                     const std::unordered_map<std::string, Histogram>& histograms,
                     const std::vector<Calibration>& methods) {
  Params params;
  const Links links(model);
  Calibration method = Calibration::min_max;
  const auto from_histogram = [&](const std::string& name, double scale, double shift) -> std::optional<TensorParams> {
    const auto it = histograms.find(name);
    if (it == histograms.end() || !it->second.usable()) return std::nullopt;
    Range range = it->second.range(method);
    const float floor = floor_of(model, links, name);  // and one step more: rounding must not lift it
    range.low = std::max(range.low, floor - (range.high - floor) / 254);
    return cover_scaled(range, scale, shift);
  };
  const auto plain = [&](const std::string& name) {
    if (const auto* constant = links.constant(name)) {
      const QuantParams p = cover(range_of_constant(*constant));
      params.insert({name, {p, p}});
    } else if (auto p = from_histogram(name, 1, 0)) {
      params.insert({name, *p});
    }
  };
  for (std::size_t u = 0; u < units.size(); ++u) {
    const Unit& unit = units[u];
    method = methods[u];
    for (const auto& input : unit.inputs) {
      if (!params.contains(input)) plain(input);
    }
    for (const auto& output : unit.outputs) {
      if (unit.kind == UnitKind::same && params.contains(unit.inputs[0])) {
        const QuantParams p = params[unit.inputs[0]].read;
        params[output] = {p, p};
      } else if (unit.kind == UnitKind::hard_sigmoid) {
        params[output] = cover_scaled(
            {static_cast<float>(std::min(0.0, unit.shift)), static_cast<float>(std::max(0.0, unit.scale + unit.shift))},
            unit.scale, unit.shift);
      } else if (auto p = from_histogram(output, unit.scale, unit.shift)) {
        params[output] = *p;
      }
    }
  }
  return params;
}

}  // namespace rtmdl
