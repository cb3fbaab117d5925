// Pools and padding.
#include "training/operators.h"
#include "training/window.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

using Integers = std::vector<std::int64_t>;

/// How much more the last window of ceil_mode needs at the end of each axis; it has to begin inside.
Integers overhang(const Call& c, const at::Tensor& x, const Window& w) {
  Integers extra(w.kernel.size(), 0);
  if (attribute_or(c.node, "ceil_mode", std::int64_t{0}) == 0) return extra;
  for (std::size_t d = 0; d < extra.size(); ++d) {
    const std::int64_t in = x.size(static_cast<std::int64_t>(d) + 2);
    const std::int64_t span = in + w.begin[d] + w.end[d] - w.reach(d);
    std::int64_t out = (span + w.stride[d] - 1) / w.stride[d] + 1;
    if ((out - 1) * w.stride[d] >= in + w.begin[d]) --out;
    extra[d] = std::max<std::int64_t>(0, (out - 1) * w.stride[d] - span);
  }
  return extra;
}

/// Whether torch's own pools know this padding.
bool native(const Window& w, const Integers& extra) {
  if (!w.symmetric()) return false;
  for (std::size_t d = 0; d < extra.size(); ++d) {
    if (extra[d] > 0 || w.begin[d] > w.kernel[d] / 2) return false;
  }
  return true;
}

Integers sum_of(Integers a, const Integers& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

at::Tensor max_pool_of(const at::Tensor& x, const Window& w, const Integers& padding) {
  switch (w.kernel.size()) {
    case 1: return at::max_pool1d(x, w.kernel, w.stride, padding, w.dilation);
    case 2: return at::max_pool2d(x, w.kernel, w.stride, padding, w.dilation);
    default: return at::max_pool3d(x, w.kernel, w.stride, padding, w.dilation);
  }
}

at::Tensor average_pool_of(const at::Tensor& x, const Window& w, const Integers& padding, bool include) {
  switch (w.kernel.size()) {
    case 1: return at::avg_pool1d(x, w.kernel, w.stride, padding, false, include);
    case 2: return at::avg_pool2d(x, w.kernel, w.stride, padding, false, include);
    default: return at::avg_pool3d(x, w.kernel, w.stride, padding, false, include);
  }
}

void max_pool(Call& c) {
  const at::Tensor& x = c.operand(0);
  const Window w = window_of(c, x, {});
  const Integers extra = overhang(c, x, w);
  if (native(w, extra)) {
    c.out[0] = max_pool_of(x, w, w.begin);
    return;
  }
  const double nothing = -std::numeric_limits<double>::infinity();
  c.out[0] = max_pool_of(padded(x, w.begin, sum_of(w.end, extra), nothing), w, Integers(extra.size(), 0));
}

void average_pool(Call& c) {
  const at::Tensor& x = c.operand(0);
  const Window w = window_of(c, x, {});
  const Integers extra = overhang(c, x, w);
  const bool include = attribute_or(c.node, "count_include_pad", std::int64_t{0}) != 0;
  if (native(w, extra)) {
    c.out[0] = average_pool_of(x, w, w.begin, include);
    return;
  }
  // The mean over the whole window, over the share of the window that counts.
  const Integers none(extra.size(), 0);
  Integers spatial{1, 1};
  spatial.insert(spatial.end(), x.sizes().begin() + 2, x.sizes().end());
  at::Tensor counts = padded(at::ones(spatial, x.options().requires_grad(false)), w.begin, w.end, include ? 1 : 0);
  counts = average_pool_of(padded(counts, none, extra, 0), w, none, true);
  c.out[0] = average_pool_of(padded(x, w.begin, sum_of(w.end, extra), 0), w, none, true) / counts;
}

Integers spatial_axes(const at::Tensor& x) {
  Integers axes(static_cast<std::size_t>(std::max<std::int64_t>(x.dim() - 2, 0)));
  std::iota(axes.begin(), axes.end(), 2);
  return axes;
}

/// Which position of an axis of `size` stands at `i`, which may lie outside.
std::int64_t mirrored(std::int64_t i, std::int64_t size) {
  if (size == 1) return 0;
  const std::int64_t period = 2 * (size - 1);
  i = ((i % period) + period) % period;
  return i < size ? i : period - i;
}

void pad(Call& c) {
  at::Tensor x = c.operand(0);
  const Integers amounts = c.integers(1, "pads").value_or(Integers{});
  Integers axes(amounts.size() / 2);
  std::iota(axes.begin(), axes.end(), 0);
  if (c.has(3)) axes = to_integers(c.in[3]);
  const std::string mode = attribute_or(c.node, "mode", "constant");
  Integers begin(static_cast<std::size_t>(x.dim()), 0);
  Integers end = begin;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(wrap_axis(axes[i], x.dim()));
    begin[axis] = amounts.at(i);
    end[axis] = amounts.at(i + axes.size());
  }
  if (mode == "constant") {
    const double value = c.has(2) ? c.in[2].item<double>() : attribute_or(c.node, "value", 0.F);
    c.out[0] = padded(x, begin, end, value);
    return;
  }
  for (std::int64_t d = 0; d < x.dim(); ++d) {
    const std::int64_t b = begin[static_cast<std::size_t>(d)];
    const std::int64_t e = end[static_cast<std::size_t>(d)];
    if (b == 0 && e == 0) continue;
    const std::int64_t size = x.size(d);
    Integers from;
    for (std::int64_t i = -b; i < size + e; ++i) {
      from.push_back(mode == "reflect" ? mirrored(i, size)
                     : mode == "edge"  ? std::clamp<std::int64_t>(i, 0, size - 1)
                                       : ((i % size) + size) % size);
    }
    x = x.index_select(d, from_integers(from).to(x.device()));
  }
  c.out[0] = x;
}

}  // namespace

void add_image_operators(OperatorTable& t) {
  t["MaxPool"] = max_pool;
  t["AveragePool"] = average_pool;
  t["GlobalAveragePool"] = [](Call& c) { c.out[0] = c.operand(0).mean(spatial_axes(c.operand(0)), true); };
  t["GlobalMaxPool"] = [](Call& c) { c.out[0] = c.operand(0).amax(spatial_axes(c.operand(0)), true); };
  t["Pad"] = pad;
}

}  // namespace rtmdl::training
