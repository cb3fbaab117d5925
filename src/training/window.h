#pragma once
/// The moving window of convolutions and pools, with every default and automatic padding filled in.

#include "training/operators.h"

#include <cstdint>
#include <vector>

namespace rtmdl::training {

struct Window {
  std::vector<std::int64_t> kernel, stride, dilation;
  std::vector<std::int64_t> begin, end;  ///< padding

  [[nodiscard]] std::int64_t reach(std::size_t d) const { return dilation[d] * (kernel[d] - 1) + 1; }
  [[nodiscard]] bool symmetric() const { return begin == end; }
};

/// `kernel`: of the weights; empty: the attribute kernel_shape. `x` is [N, C, spatial …].
[[nodiscard]] Window window_of(const Call& call, const at::Tensor& x, std::vector<std::int64_t> kernel);
/// Padding of the spatial axes by `begin` and `end`; negative amounts crop.
[[nodiscard]] at::Tensor padded(const at::Tensor& x, const std::vector<std::int64_t>& begin,
                                const std::vector<std::int64_t>& end, double value);

}  // namespace rtmdl::training
