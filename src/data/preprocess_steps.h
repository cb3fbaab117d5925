#pragma once
/// The steps of `pre:` as a plan: one geometry (or, for sounds, one spectrogram), then one affine function per channel.

#include "data/mel.h"
#include "data/picture_resize.h"
#include "task/config_node.h"

#include <rtmdl/tensor.h>

#include <algorithm>
#include <array>
#include <optional>

namespace rtmdl {

enum class Colour { rgb, bgr, gray };
enum class TensorLayout { nchw, nhwc };

constexpr int kMostChannels = 4;

struct PreprocessPlan {
  // Geometry: the crop is cut from the frame, then stretched or letterboxed to the input.
  double crop_share = 0;         ///< > 0: the largest centred crop with the input's aspect, times this
  std::optional<cv::Rect> crop;  ///< in pixels of the frame
  bool letterbox = false;
  double pad = 114;  ///< 0..255, before the values' steps
  Interpolation interpolation = Interpolation::linear;

  /// Sounds: the tensor of samples becomes one of `mel` values, bands (or coefficients) × frames.
  std::optional<MelOptions> mel;

  // Values: written = gain[c] × value + bias[c], c in the order of the model's channels.
  Colour colour = Colour::rgb;
  TensorLayout layout = TensorLayout::nchw;
  std::array<float, kMostChannels> gain{1, 1, 1, 1}, bias{};
  std::optional<float> alpha;  ///< an extra channel with this value

  [[nodiscard]] int colours() const noexcept { return colour == Colour::gray ? 1 : 3; }
  [[nodiscard]] bool keeps_values() const noexcept {
    return gain == std::array<float, kMostChannels>{1, 1, 1, 1} && bias == std::array<float, kMostChannels>{};
  }
  [[nodiscard]] bool same_for_all() const noexcept {  ///< channels
    return std::all_of(gain.begin(), gain.end(), [&](float g) { return g == gain[0]; }) &&
           std::all_of(bias.begin(), bias.end(), [&](float b) { return b == bias[0]; });
  }
  [[nodiscard]] int channels() const noexcept { return colours() + (alpha ? 1 : 0); }
};

/// Reads `pre:` (may be absent) for a model's input. `rate`: as for make_preprocess(). Throws Error(bad_input).
[[nodiscard]] PreprocessPlan plan_preprocess(const ConfigNode& pre, const TensorSpec& input, int rate);

}  // namespace rtmdl
