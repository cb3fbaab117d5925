#include "data/picture_resize.h"

#include <algorithm>
#include <cmath>

#include <opencv2/core/hal/intrin.hpp>

namespace rtmdl {
namespace {

/// Blocks of a fixed size and pointers that do not alias, so that the compiler makes vector code of the loops below at
/// -O2.
constexpr int kBlock = 16;

/// sum = a × bytes of one row + b × bytes of the next: all that `linear` needs.
void blend(const std::uint8_t* __restrict one, float a, const std::uint8_t* __restrict next, float b,
           float* __restrict sum, int n) noexcept {
  int i = 0;
  for (; i + kBlock <= n; i += kBlock)
    for (int j = 0; j < kBlock; ++j)
      sum[i + j] = a * static_cast<float>(one[i + j]) + b * static_cast<float>(next[i + j]);
  for (; i < n; ++i) sum[i] = a * static_cast<float>(one[i]) + b * static_cast<float>(next[i]);
}

void accumulate(const std::uint8_t* __restrict bytes, float weight, float* __restrict sum, int n) noexcept {
  int i = 0;
  for (; i + kBlock <= n; i += kBlock)
    for (int j = 0; j < kBlock; ++j) sum[i + j] += weight * static_cast<float>(bytes[i + j]);
  for (; i < n; ++i) sum[i] += weight * static_cast<float>(bytes[i]);
}

/// Works on four floats at a time: with three channels the fourth belongs to the next pixel and is overwritten by it,
/// so `tall` and `out` have one float to spare.
void combine_colours(const float* tall, const ResizeTaps& taps, float* out, int width) noexcept {
  const float* weight = taps.weights.data();
  for (int x = 0; x < width; ++x, weight += taps.count, out += 3) {
    const float* from = tall + static_cast<std::ptrdiff_t>(taps.first[static_cast<std::size_t>(x)]) * 3;
    cv::v_float32x4 sum = cv::v_setall_f32(weight[0]) * cv::v_load(from);
    for (int k = 1; k < taps.count; ++k) sum += cv::v_setall_f32(weight[k]) * cv::v_load(from + k * 3);
    cv::v_store(out, sum);
  }
}

void combine_gray(const float* tall, const ResizeTaps& taps, float* out, int width) noexcept {
  const float* weight = taps.weights.data();
  for (int x = 0; x < width; ++x, weight += taps.count) {
    const float* from = tall + taps.first[static_cast<std::size_t>(x)];
    float sum = 0;
    for (int k = 0; k < taps.count; ++k) sum += weight[k] * from[k];
    out[x] = sum;
  }
}

}  // namespace

void ResizeTaps::reserve(int source, int destination) {
  first.reserve(static_cast<std::size_t>(destination));
  weights.reserve(static_cast<std::size_t>(source) + 2 * static_cast<std::size_t>(destination));  // ≥ places × count
}

void ResizeTaps::build(int source, int destination, Interpolation interpolation) {
  const double ratio = static_cast<double>(source) / destination;
  const bool area = interpolation == Interpolation::area && ratio > 1;
  count = source == destination ? 1 : std::min(source, area ? static_cast<int>(std::ceil(ratio)) + 1 : 2);
  first.assign(static_cast<std::size_t>(destination), 0);
  weights.assign(static_cast<std::size_t>(destination) * static_cast<std::size_t>(count), 0.0f);
  for (int d = 0; d < destination; ++d) {
    // `area`: the destination pixel covers [low, high) of the source. `linear`: two source centres around its own.
    const double centre = (d + 0.5) * ratio - 0.5;
    const double low = d * ratio, high = (d + 1) * ratio;
    const int start = std::clamp(static_cast<int>(std::floor(area ? low + 1e-9 : centre)), 0, source - count);
    double sum = 0;
    float* weight = &weights[static_cast<std::size_t>(d) * static_cast<std::size_t>(count)];
    for (int k = 0; k < count; ++k) {
      const int s = start + k;
      double share;
      if (count == 1) share = 1;
      else if (area) share = std::max(0.0, std::min(high, s + 1.0) - std::max(low, static_cast<double>(s)));
      else share = std::max(0.0, 1 - std::abs(s - std::clamp(centre, 0.0, source - 1.0)));
      weight[k] = static_cast<float>(share);
      sum += share;
    }
    for (int k = 0; k < count; ++k) weight[k] = static_cast<float>(weight[k] / sum);
    first[static_cast<std::size_t>(d)] = start;
  }
}

void PictureResize::reserve(cv::Size source, int channels, cv::Size destination) {
  across_.reserve(source.width, destination.width);
  down_.reserve(source.height, destination.height);
  tall_.reserve(static_cast<std::size_t>(source.width) * static_cast<std::size_t>(channels) + 1);
  row_.reserve(static_cast<std::size_t>(destination.width) * static_cast<std::size_t>(channels) + 1);
}

void PictureResize::prepare(cv::Size source, int channels, cv::Size destination, Interpolation interpolation) {
  if (source == source_ && channels == channels_ && destination == destination_ && interpolation == interpolation_)
    return;
  across_.build(source.width, destination.width, interpolation);
  down_.build(source.height, destination.height, interpolation);
  tall_.resize(static_cast<std::size_t>(source.width) * static_cast<std::size_t>(channels) + 1);
  row_.resize(static_cast<std::size_t>(destination.width) * static_cast<std::size_t>(channels) + 1);
  source_ = source;
  channels_ = channels;
  destination_ = destination;
  interpolation_ = interpolation;
}

const float* PictureResize::row(const cv::Mat& picture, int y) noexcept {
  const int n = source_.width * channels_;
  const int first = down_.first[static_cast<std::size_t>(y)];
  const float* weight = &down_.weights[static_cast<std::size_t>(y) * static_cast<std::size_t>(down_.count)];
  if (down_.count == 1) {
    blend(picture.ptr(first), 1, picture.ptr(first), 0, tall_.data(), n);
  } else {
    blend(picture.ptr(first), weight[0], picture.ptr(first + 1), weight[1], tall_.data(), n);
    for (int k = 2; k < down_.count; ++k)
      if (weight[k] != 0) accumulate(picture.ptr(first + k), weight[k], tall_.data(), n);
  }
  if (source_.width == destination_.width) return tall_.data();
  if (channels_ == 3) combine_colours(tall_.data(), across_, row_.data(), destination_.width);
  else combine_gray(tall_.data(), across_, row_.data(), destination_.width);
  return row_.data();
}

}  // namespace rtmdl
