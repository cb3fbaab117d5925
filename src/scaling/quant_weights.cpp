#include "scaling/quant_weights.h"

#include "model/scale_shift.h"
#include "model/tensor_data.h"
#include "scaling/quant_params.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rtmdl {
namespace {

/// To the nearest integer, ties to even, for magnitudes below 2^22: without a call, so that loops vectorise.
float nearest(float v) noexcept {
  constexpr float kShift = 12582912.0F;  // 1.5 · 2^23
  return (v + kShift) - kShift;
}

/// Calls f(element, output channel) for all elements in order.
template <typename F>
void for_each(const LinearWeights& w, F f) {
  const std::size_t runs = w.columns ? w.values.size() / w.channels : w.channels;
  const std::size_t length = w.values.size() / runs;
  for (std::size_t r = 0, i = 0; r < runs; ++r) {
    for (std::size_t k = 0; k < length; ++k, ++i) f(i, w.columns ? k : r);
  }
}

std::vector<float> magnitudes(const LinearWeights& w) {
  std::vector<float> magnitude(w.channels, 0);
  for_each(w, [&](std::size_t i, std::size_t c) { magnitude[c] = std::max(magnitude[c], std::fabs(w.values[i])); });
  return magnitude;
}

std::optional<LinearWeights> of_normalisation(const onnx::NodeProto& node, const Links& links) {
  constexpr std::size_t kRank = 4;
  const auto* gamma = node.input_size() == 5 ? links.constant(node.input(1)) : nullptr;
  if (gamma == nullptr || gamma->dims_size() != 1 || gamma->dims(0) < 1) return std::nullopt;
  const auto channels = static_cast<std::size_t>(gamma->dims(0));
  const auto s = scale_shift(node, links, node.input(0), kRank, channels);
  if (!s) return std::nullopt;
  LinearWeights w;
  w.name = node.input(1);
  w.shape = {gamma->dims(0), 1, 1, 1};
  w.channels = w.inputs = w.group = channels;
  for (std::size_t c = 0; c < channels; ++c) {
    w.values.push_back(static_cast<float>(s->scale_at(c)));
    w.bias.push_back(static_cast<float>(s->shift_at(c)));
  }
  return w;
}

bool all_are(const std::vector<std::int64_t>& values, std::int64_t wanted) {
  return std::all_of(values.begin(), values.end(), [wanted](std::int64_t v) { return v == wanted; });
}

std::optional<LinearWeights> of_transposed(const onnx::NodeProto& node, const Links& links) {
  const auto* tensor = node.input_size() > 1 ? links.constant(node.input(1)) : nullptr;
  if (tensor == nullptr || tensor->data_type() != onnx::TensorProto_DataType_FLOAT || tensor->dims_size() != 4)
    return std::nullopt;
  const auto shape = dims(*tensor);
  const std::vector<std::int64_t> kernel(shape.begin() + 2, shape.end());
  if (attribute_or(node, "group", std::int64_t{1}) != 1 || integers_attribute(node, "strides") != kernel ||
      !all_are(integers_attribute(node, "pads"), 0) || !all_are(integers_attribute(node, "output_padding"), 0) ||
      !all_are(integers_attribute(node, "dilations"), 1) || attribute(node, "output_shape") != nullptr ||
      attribute_or(node, "auto_pad", "NOTSET") != std::string("NOTSET"))
    return std::nullopt;
  const auto values = floats(*tensor).value_or(std::vector<float>());
  const auto inputs = static_cast<std::size_t>(shape[0]);
  const std::size_t pixels = element_count(kernel);
  LinearWeights w;
  w.name = node.input(1);
  w.inputs = inputs;
  w.channels = static_cast<std::size_t>(shape[1]) * pixels;
  w.shape = {static_cast<std::int64_t>(w.channels), shape[0], 1, 1};
  if (values.empty() || values.size() != w.channels * inputs) return std::nullopt;
  w.values.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) w.values[i % w.channels * inputs + i / w.channels] = values[i];
  if (node.input_size() < 3 || node.input(2).empty()) return w;
  const auto* bias = links.constant(node.input(2));
  const auto b = bias == nullptr ? std::vector<float>() : floats(*bias).value_or(std::vector<float>());
  if (b.size() * pixels != w.channels) return std::nullopt;
  for (std::size_t c = 0; c < w.channels; ++c) w.bias.push_back(b[c / pixels]);
  return w;
}

}  // namespace

int exact_weight_limit() noexcept {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512vnni") ? 127 : 63;
#else
  return 127;
#endif
}

std::size_t LinearWeights::output_of(std::size_t i) const {
  return columns ? i % channels : i / (values.size() / channels);
}

std::size_t LinearWeights::input_of(std::size_t i) const {
  if (columns) return i / channels;
  const auto per_group = static_cast<std::size_t>(shape[1]);
  const std::size_t row = values.size() / channels;
  const std::size_t out = i / row;
  return out / (channels / group) * per_group + i % row / (row / per_group);
}

std::optional<LinearWeights> linear_weights(const onnx::NodeProto& node, const Links& links) {
  if (is_op(node, "BatchNormalization")) return of_normalisation(node, links);
  if (is_op(node, "ConvTranspose")) return of_transposed(node, links);
  if (node.input_size() < 2) return std::nullopt;
  const auto* tensor = links.constant(node.input(1));
  if (tensor == nullptr || tensor->data_type() != onnx::TensorProto_DataType_FLOAT || tensor->dims_size() < 2)
    return std::nullopt;
  LinearWeights w;
  w.name = node.input(1);
  w.shape = dims(*tensor);
  w.values = floats(*tensor).value_or(std::vector<float>());
  if (w.values.empty()) return std::nullopt;
  w.columns = is_op(node, "MatMul") || (is_op(node, "Gemm") && attribute_or(node, "transB", std::int64_t{0}) == 0);
  w.channels = static_cast<std::size_t>(w.shape[w.columns ? 1 : 0]);
  const std::int64_t group = is_op(node, "Conv") ? attribute_or(node, "group", std::int64_t{1}) : 1;
  if (group < 1 || w.channels % static_cast<std::size_t>(group) != 0) return std::nullopt;
  w.group = static_cast<std::size_t>(group);
  w.inputs = static_cast<std::size_t>(w.shape[w.columns ? 0 : 1]) * w.group;
  if (node.input_size() > 2 && !node.input(2).empty()) {
    const auto* bias = links.constant(node.input(2));
    w.bias = bias == nullptr ? std::vector<float>() : floats(*bias).value_or(std::vector<float>());
    if (w.bias.size() != w.channels) return std::nullopt;
  }
  return w;
}

double least_scale(const LinearWeights& w, std::size_t c, double input_scale) {
  const double room = w.bias.empty() ? 0 : std::fabs(w.bias[c]) / (input_scale * 1e9);
  return std::max(room, 1e-9 / std::max(input_scale, 1e-9));
}

std::vector<float> covering_scales(const LinearWeights& w, double input_scale, int limit) {
  const std::vector<float> magnitude = magnitudes(w);
  std::vector<float> scales(w.channels);
  for (std::size_t c = 0; c < w.channels; ++c) {
    scales[c] =
        representable_scale(std::max(static_cast<double>(magnitude[c]) / limit, least_scale(w, c, input_scale)));
  }
  return scales;
}

std::vector<float> clipping_scales(const LinearWeights& w, double input_scale, int limit) {
  constexpr int kSteps = 12;
  const std::vector<float> whole = covering_scales(w, input_scale, limit);
  std::vector<float> best = whole;
  std::vector<double> least(w.channels, std::numeric_limits<double>::infinity());
  const float most = static_cast<float>(limit);
  for (int step = 0; step < kSteps; ++step) {
    std::vector<float> scales(w.channels);
    for (std::size_t c = 0; c < w.channels; ++c) {
      scales[c] = std::max(whole[c] * (1.0F - 0.04F * static_cast<float>(step)),
                           static_cast<float>(least_scale(w, c, input_scale)));
    }
    std::vector<double> error(w.channels, 0);
    for_each(w, [&](std::size_t i, std::size_t c) {
      const float q = nearest(std::clamp(w.values[i] / scales[c], -most, most));
      const double d = static_cast<double>(q) * scales[c] - w.values[i];
      error[c] += d * d;
    });
    for (std::size_t c = 0; c < w.channels; ++c) {
      if (error[c] < least[c]) least[c] = error[c], best[c] = scales[c];
    }
  }
  return best;
}

std::vector<std::int8_t> round_weights(const LinearWeights& w, const std::vector<float>& scales, int limit) {
  const float most = static_cast<float>(limit);
  std::vector<std::int8_t> rounded(w.values.size());
  for_each(w, [&](std::size_t i, std::size_t c) {
    rounded[i] = static_cast<std::int8_t>(nearest(std::clamp(w.values[i] / scales[c], -most, most)));
  });
  return rounded;
}

}  // namespace rtmdl
