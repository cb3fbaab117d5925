#include "training/window.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl::training {

Window window_of(const Call& call, const at::Tensor& x, std::vector<std::int64_t> kernel) {
  Window w;
  w.kernel = kernel.empty() ? integers_attribute(call.node, "kernel_shape") : std::move(kernel);
  const std::size_t n = w.kernel.size();
  if (x.dim() != static_cast<std::int64_t>(n) + 2)
    bad_input(fmt::format("a window of {} axes on a tensor of rank {}", n, x.dim()));
  const auto filled = [&](const char* name, std::int64_t otherwise) {
    std::vector<std::int64_t> v = integers_attribute(call.node, name);
    v.resize(n, otherwise);
    return v;
  };
  w.stride = filled("strides", 1);
  w.dilation = filled("dilations", 1);
  std::vector<std::int64_t> pads = integers_attribute(call.node, "pads");
  pads.resize(2 * n, 0);
  w.begin.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(n));
  w.end.assign(pads.begin() + static_cast<std::ptrdiff_t>(n), pads.end());
  const std::string automatic = attribute_or(call.node, "auto_pad", "NOTSET");
  if (automatic == "VALID") {
    std::fill(w.begin.begin(), w.begin.end(), 0);
    std::fill(w.end.begin(), w.end.end(), 0);
  } else if (automatic != "NOTSET" && !automatic.empty()) {
    for (std::size_t d = 0; d < n; ++d) {
      const std::int64_t in = x.size(static_cast<std::int64_t>(d) + 2);
      const std::int64_t out = (in + w.stride[d] - 1) / w.stride[d];
      const std::int64_t total = std::max<std::int64_t>(0, (out - 1) * w.stride[d] + w.reach(d) - in);
      w.begin[d] = automatic == "SAME_LOWER" ? total - total / 2 : total / 2;
      w.end[d] = total - w.begin[d];
    }
  }
  return w;
}

at::Tensor padded(const at::Tensor& x, const std::vector<std::int64_t>& begin, const std::vector<std::int64_t>& end,
                  double value) {
  std::vector<std::int64_t> amounts;  // torch counts from the last axis
  for (std::size_t d = begin.size(); d-- > 0;) {
    amounts.push_back(begin[d]);
    amounts.push_back(end[d]);
  }
  return at::constant_pad_nd(x, amounts, value);
}

}  // namespace rtmdl::training
