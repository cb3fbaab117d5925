// Resize and Upsample. Every mode is a weighted sum of a few picked positions, axis by axis; torch's own kernels serve
// where they mean the same.
#include "training/operators.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

using Integers = std::vector<std::int64_t>;

struct Axis {
  std::int64_t in = 1, out = 1;
  float scale = 1;
};

struct Plan {
  std::string mode, place, rounding;
  float cubic = -0.75F;
  std::vector<Axis> axes;
};

/// Where output position i lies in the input. In single precision, as the runtimes do it: ties depend on it.
float source(const Plan& p, const Axis& a, std::int64_t i) {
  const auto x = static_cast<float>(i);
  if (p.place == "asymmetric") return x / a.scale;
  if (p.place == "align_corners")
    return a.out == 1 ? 0 : x * static_cast<float>(a.in - 1) / static_cast<float>(a.out - 1);
  if (p.place == "pytorch_half_pixel" && a.out == 1) return 0;
  const float centred = (x + 0.5F) / a.scale - 0.5F;
  if (p.place != "half_pixel_symmetric") return centred;
  const float adjustment = static_cast<float>(a.out) / (a.scale * static_cast<float>(a.in));
  return static_cast<float>(a.in) / 2 * (1 - adjustment) + centred;
}

std::int64_t nearest(const Plan& p, const Axis& a, std::int64_t i) {
  const float x = source(p, a, i);
  float picked = 0;
  if (p.rounding == "floor") picked = std::floor(x);
  else if (p.rounding == "ceil") picked = std::ceil(x);
  else if (p.rounding == "round_prefer_ceil") picked = std::floor(x + 0.5F);
  else if (p.rounding == "simple")  // operator set 10
    picked = a.scale < 1 ? std::ceil(x) : std::trunc(x);
  else picked = std::ceil(x - 0.5F);
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(picked), 0, a.in - 1);
}

struct Tap {
  Integers from;
  std::vector<float> weight;
};

std::vector<Tap> taps(const Plan& p, const Axis& a) {
  const std::size_t count = p.mode == "nearest" ? 1 : p.mode == "linear" ? 2 : 4;
  std::vector<Tap> result(count);
  const auto add = [&](std::size_t k, std::int64_t from, float weight) {
    result[k].from.push_back(std::clamp<std::int64_t>(from, 0, a.in - 1));
    result[k].weight.push_back(weight);
  };
  for (std::int64_t i = 0; i < a.out; ++i) {
    if (count == 1) {
      add(0, nearest(p, a, i), 1);
      continue;
    }
    float x = source(p, a, i);
    if (count == 2) x = std::clamp(x, 0.F, static_cast<float>(a.in - 1));
    const float whole = std::floor(x);
    const float t = x - whole;
    const auto from = static_cast<std::int64_t>(whole);
    if (count == 2) {
      add(0, from, 1 - t);
      add(1, from + 1, t);
      continue;
    }
    const float k = p.cubic;  // Keys 1981
    const auto near = [k](float d) { return ((k + 2) * d - (k + 3)) * d * d + 1; };
    const auto far = [k](float d) { return ((k * d - 5 * k) * d + 8 * k) * d - 4 * k; };
    add(0, from - 1, far(t + 1));
    add(1, from, near(t));
    add(2, from + 1, near(1 - t));
    add(3, from + 2, far(2 - t));
  }
  return result;
}

at::Tensor resized(const at::Tensor& x, const Plan& p, std::int64_t d) {
  const Axis& a = p.axes[static_cast<std::size_t>(d)];
  at::Tensor sum;
  for (const Tap& tap : taps(p, a)) {
    at::Tensor picked = x.index_select(d, from_integers(tap.from).to(x.device()));
    if (p.mode != "nearest") {
      Integers shape(static_cast<std::size_t>(x.dim()), 1);
      shape[static_cast<std::size_t>(d)] = a.out;
      at::Tensor weight = at::empty({a.out}, at::kFloat);
      std::copy(tap.weight.begin(), tap.weight.end(), weight.data_ptr<float>());
      picked = picked * weight.to(x.device(), x.scalar_type()).reshape(shape);
    }
    sum = sum.defined() ? sum + picked : picked;
  }
  return sum;
}

/// Nothing unless one of torch's kernels does the same.
std::optional<at::Tensor> with_kernel(const at::Tensor& x, const Plan& p) {
  if (x.dim() != 4 || p.axes[0].in != p.axes[0].out || p.axes[1].in != p.axes[1].out) return std::nullopt;
  const Axis& h = p.axes[2];
  const Axis& w = p.axes[3];
  const std::array<std::int64_t, 2> size{h.out, w.out};
  if (p.mode == "nearest") {
    for (const Axis* a : {&h, &w}) {
      if (a->out % a->in != 0) return std::nullopt;
      for (std::int64_t i = 0; i < a->out; ++i) {
        if (nearest(p, *a, i) != i / (a->out / a->in)) return std::nullopt;
      }
    }
    return at::upsample_nearest2d(x, size);
  }
  if (p.mode != "linear") return std::nullopt;
  if (p.place == "align_corners") return at::upsample_bilinear2d(x, size, true);
  if ((p.place == "half_pixel" || p.place == "pytorch_half_pixel") && h.out > 1 && w.out > 1)
    return at::upsample_bilinear2d(x, size, false, h.scale, w.scale);
  return std::nullopt;
}

void set_sizes(Plan& p, const Call& c, const Integers& axes, const std::vector<double>& scales, const Integers& sizes) {
  const std::size_t given = sizes.empty() ? scales.size() : sizes.size();
  if (given != axes.size()) bad_input(fmt::format("{} scales for {} axes", given, axes.size()));
  for (std::size_t i = 0; i < given; ++i) {
    Axis& a = p.axes[static_cast<std::size_t>(wrap_axis(axes[i], static_cast<std::int64_t>(p.axes.size())))];
    if (sizes.empty()) {
      a.scale = static_cast<float>(scales[i]);
      a.out = static_cast<std::int64_t>(std::floor(static_cast<float>(a.in) * a.scale));
    } else {
      a.out = c.written_in(sizes) && axes[i] == 0 && sizes[i] == c.model_batch ? c.batch : sizes[i];
      a.scale = static_cast<float>(a.out) / static_cast<float>(a.in);
    }
  }
}

void resize(Call& c) {
  const at::Tensor& x = c.operand(0);
  const bool old = c.opset < 11 || c.node.op_type() == "Upsample";
  Plan p;
  p.mode = attribute_or(c.node, "mode", "nearest");
  p.place = old ? "asymmetric" : attribute_or(c.node, "coordinate_transformation_mode", "half_pixel");
  p.rounding = old ? "simple" : attribute_or(c.node, "nearest_mode", "round_prefer_floor");
  p.cubic = attribute_or(c.node, "cubic_coeff_a", -0.75F);
  for (const std::int64_t size : x.sizes()) p.axes.push_back({size, size, 1});

  const std::size_t scales_at = old ? 1 : 2;
  std::vector<double> scales;
  if (c.has(scales_at) && c.in[scales_at].numel() > 0) {
    const at::Tensor s = c.in[scales_at].to(at::kCPU, at::kDouble).contiguous();
    scales.assign(s.data_ptr<double>(), s.data_ptr<double>() + s.numel());
  } else if (const onnx::AttributeProto* a = attribute(c.node, "scales")) {
    scales.assign(a->floats().begin(), a->floats().end());
  }
  Integers sizes;
  if (!old && scales.empty() && c.has(3)) sizes = to_integers(c.in[3]);
  Integers axes = integers_attribute(c.node, "axes");
  for (std::int64_t d = 0; axes.size() < std::max(scales.size(), sizes.size()); ++d) axes.push_back(d);
  set_sizes(p, c, axes, scales, sizes);

  if (const std::optional<at::Tensor> y = with_kernel(x, p)) {
    c.out[0] = *y;
    return;
  }
  at::Tensor y = x;
  for (std::int64_t d = 0; d < x.dim(); ++d) {
    const Axis& a = p.axes[static_cast<std::size_t>(d)];
    if (a.in != a.out || a.scale != 1) y = resized(y, p, d);
  }
  c.out[0] = y;
}

}  // namespace

void add_resize_operators(OperatorTable& t) {
  t["Resize"] = resize;
  t["Upsample"] = resize;
}

}  // namespace rtmdl::training
