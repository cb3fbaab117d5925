// What carries weights: convolutions, matrix products, normalisations.
#include "training/operators.h"
#include "training/window.h"

#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

using Integers = std::vector<std::int64_t>;

at::Tensor narrowed(const Call& c, const at::Tensor& t) {
  return c.pass.bfloat16 && t.defined() ? t.to(at::kBFloat16) : t;
}

Integers kernel_of(const at::Tensor& weight) { return {weight.sizes().begin() + 2, weight.sizes().end()}; }

void convolution(Call& c) {
  at::Tensor x = narrowed(c, c.operand(0));
  const at::Tensor weight = narrowed(c, c.operand(1));
  const at::Tensor bias = c.has(2) ? narrowed(c, c.in[2]) : at::Tensor();
  Window w = window_of(c, x, kernel_of(weight));
  const Integers none(w.kernel.size(), 0);
  if (!w.symmetric()) {
    x = padded(x, w.begin, w.end, 0);
    w.begin = none;
  }
  c.out[0] = at::convolution(x, weight, bias, w.stride, w.begin, w.dilation, false, none,
                             attribute_or(c.node, "group", std::int64_t{1}));
}

void transposed_convolution(Call& c) {
  const at::Tensor& x = c.operand(0);
  const at::Tensor& weight = c.operand(1);
  const at::Tensor bias = c.has(2) ? c.in[2] : at::Tensor();
  Window w = window_of(c, x, kernel_of(weight));
  const std::size_t n = w.kernel.size();
  Integers more = integers_attribute(c.node, "output_padding");
  more.resize(n, 0);
  Integers wanted = integers_attribute(c.node, "output_shape");
  const std::string automatic = attribute_or(c.node, "auto_pad", "NOTSET");
  const bool same = automatic.starts_with("SAME");
  for (std::size_t d = 0; d < n && (same || !wanted.empty()); ++d) {
    const std::int64_t in = x.size(static_cast<std::int64_t>(d) + 2);
    const std::int64_t out = wanted.empty() ? in * w.stride[d] : wanted[wanted.size() - n + d];
    const std::int64_t total = w.stride[d] * (in - 1) + more[d] + w.reach(d) - out;
    w.begin[d] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
    w.end[d] = total - w.begin[d];
  }
  const std::int64_t groups = attribute_or(c.node, "group", std::int64_t{1});
  const bool native = w.symmetric() && *std::min_element(w.begin.begin(), w.begin.end()) >= 0;
  const Integers none(n, 0);
  at::Tensor y = at::convolution(x, weight, bias, w.stride, native ? w.begin : none, w.dilation, true, more, groups);
  if (!native) {
    for (std::size_t d = 0; d < n; ++d) {
      w.begin[d] = -w.begin[d];
      w.end[d] = -w.end[d];
    }
    y = padded(y, w.begin, w.end, 0);
  }
  c.out[0] = y;
}

void matrix_product(Call& c) {
  c.out[0] = c.operand(0).is_floating_point() ? at::matmul(narrowed(c, c.operand(0)), narrowed(c, c.operand(1)))
                                              : at::matmul(c.operand(0), c.operand(1));
}

void gemm(Call& c) {
  const float alpha = attribute_or(c.node, "alpha", 1.F);
  const float beta = attribute_or(c.node, "beta", 1.F);
  at::Tensor a = narrowed(c, c.operand(0));
  at::Tensor b = narrowed(c, c.operand(1));
  const at::Tensor bias = c.has(2) ? narrowed(c, c.in[2]) : at::Tensor();
  if (attribute_or(c.node, "transA", std::int64_t{0}) != 0) a = a.t();
  if (attribute_or(c.node, "transB", std::int64_t{0}) == 0) b = b.t();
  if (alpha == 1 && (!bias.defined() || (beta == 1 && bias.dim() == 1 && bias.size(0) == b.size(0)))) {
    c.out[0] = at::linear(a, b, bias);
    return;
  }
  const at::Tensor y = at::linear(a, b) * alpha;
  c.out[0] = bias.defined() ? y + bias * beta : y;
}

void einsum(Call& c) {
  c.out[0] = at::einsum(attribute_or(c.node, "equation", ""), std::vector<at::Tensor>(c.in.begin(), c.in.end()));
}

void batch_normalization(Call& c) {
  const at::Tensor& x = c.operand(0);
  // The variance of one value is none.
  const bool own = c.pass.batch_statistics && !c.frozen && x.numel() > x.size(1);
  c.out[0] = at::batch_norm(x, c.operand(1), c.operand(2), c.operand(3), c.operand(4), own, c.pass.running_share,
                            attribute_or(c.node, "epsilon", 1e-5F), false);
}

void layer_normalization(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t axis = wrap_axis(attribute_or(c.node, "axis", std::int64_t{-1}), x.dim());
  const at::IntArrayRef over = x.sizes().slice(static_cast<std::size_t>(axis));
  const float epsilon = attribute_or(c.node, "epsilon", 1e-5F);
  const at::Tensor& scale = c.operand(1);
  const at::Tensor shift = c.has(2) ? c.in[2] : at::Tensor();
  if (scale.sizes() == over && (!shift.defined() || shift.sizes() == over)) {
    c.out[0] = at::layer_norm(x, over, scale, shift, epsilon);
    return;
  }
  const at::Tensor y = at::layer_norm(x, over, {}, {}, epsilon) * scale;
  c.out[0] = shift.defined() ? y + shift : y;
}

void rms_normalization(Call& c) {
  const at::Tensor& x = c.operand(0);
  Integers axes;
  for (std::int64_t d = wrap_axis(attribute_or(c.node, "axis", std::int64_t{-1}), x.dim()); d < x.dim(); ++d)
    axes.push_back(d);
  c.out[0] = x * (x.square().mean(axes, true) + attribute_or(c.node, "epsilon", 1e-5F)).rsqrt() * c.operand(1);
}

void instance_normalization(Call& c) {
  c.out[0] = at::instance_norm(c.operand(0), c.operand(1), c.operand(2), {}, {}, true, 0,
                               attribute_or(c.node, "epsilon", 1e-5F), false);
}

void group_normalization(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t groups = attribute_or(c.node, "num_groups", std::int64_t{1});
  const auto by_channel = [&](const at::Tensor& t) {  // by group before operator set 21
    return t.size(0) == x.size(1) ? t : t.repeat_interleave(x.size(1) / t.size(0));
  };
  c.out[0] = at::group_norm(x, groups, by_channel(c.operand(1)), by_channel(c.operand(2)),
                            attribute_or(c.node, "epsilon", 1e-5F), false);
}

void lp_normalization(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t p = attribute_or(c.node, "p", std::int64_t{2});
  c.out[0] = x / x.norm(p, attribute_or(c.node, "axis", std::int64_t{-1}), true);
}

void mean_variance_normalization(Call& c) {
  const at::Tensor& x = c.operand(0);
  Integers axes = integers_attribute(c.node, "axes");
  if (axes.empty()) axes = {0, 2, 3};
  const at::Tensor centred = x - x.mean(axes, true);
  c.out[0] = centred / (centred.square().mean(axes, true).sqrt() + 1e-9);
}

/// Krizhevsky et al. 2012, section 3.3.
void local_response_normalization(Call& c) {
  const at::Tensor& x = c.operand(0);
  const std::int64_t size = attribute_or(c.node, "size", std::int64_t{1});
  Integers amounts(static_cast<std::size_t>(2 * (x.dim() - 1)), 0);
  amounts[amounts.size() - 2] = (size - 1) / 2;
  amounts[amounts.size() - 1] = size / 2;
  const at::Tensor squares = at::constant_pad_nd(x.square(), amounts, 0);
  at::Tensor sum = squares.narrow(1, 0, x.size(1));
  for (std::int64_t k = 1; k < size; ++k) sum = sum + squares.narrow(1, k, x.size(1));
  const float alpha = attribute_or(c.node, "alpha", 1e-4F) / static_cast<float>(size);
  c.out[0] = x / (sum * alpha + attribute_or(c.node, "bias", 1.F)).pow(attribute_or(c.node, "beta", 0.75F));
}

}  // namespace

void add_product_operators(OperatorTable& t) {
  t["Conv"] = convolution;
  t["ConvTranspose"] = transposed_convolution;
  t["MatMul"] = matrix_product;
  t["Gemm"] = gemm;
  t["Einsum"] = einsum;
  t["BatchNormalization"] = batch_normalization;
  t["LayerNormalization"] = layer_normalization;
  t["RMSNormalization"] = rms_normalization;
  t["InstanceNormalization"] = instance_normalization;
  t["GroupNormalization"] = group_normalization;
  t["LpNormalization"] = lp_normalization;
  t["MeanVarianceNormalization"] = mean_variance_normalization;
  t["LRN"] = local_response_normalization;
}

}  // namespace rtmdl::training
