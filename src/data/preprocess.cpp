#include "data/preprocess.h"

#include "data/plugin_steps.h"
#include "data/preprocess_steps.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

namespace rtmdl {
namespace {

template <typename T>
T converted(float v) noexcept {
  if constexpr (std::is_same_v<T, float>) return v;
  else return static_cast<T>(std::clamp(std::lround(v), 0L, 255L));
}

class StepPreprocess final : public Preprocess {
 public:
  StepPreprocess(const ConfigNode& pre, const TensorSpec& input, int rate) : plan_(plan_preprocess(pre, input, rate)) {
    if (plan_.mel) mel_.emplace(*plan_.mel, pre[plan_.mel->coefficients > 0 ? "mfcc" : "mel"]);
  }

  bool run(const Frame& frame, TensorView input, Geometry& geometry) noexcept override {
    try {
      if (mel_) return run_sound(frame, input, geometry);
      return frame.image.empty() ? copy_tensor(frame, input, geometry) : run_picture(frame, input, geometry);
    } catch (...) {  // out of memory on the first frame of a size
      return false;
    }
  }

  std::string what_it_gives(const Frame& frame) const override {
    if (!mel_) return "";
    const TensorView sound = frame.values();
    if (sound.type != ElementType::f32 || sound.bytes.empty()) return ", which holds no samples in f32";
    return fmt::format(", which gives {} frames of {} {}", mel_->frames(sound.as<float>().size()), mel_->rows(),
                       plan_.mel->coefficients > 0 ? "coefficients" : "bands");
  }

 private:
  bool run_sound(const Frame& frame, const TensorView& input, Geometry& geometry) noexcept {
    const TensorView sound = frame.values();
    if (sound.type != ElementType::f32 || sound.bytes.empty() || input.type != ElementType::f32) return false;
    const std::span<const float> samples = sound.as<float>();
    const auto to = input.as<float>();
    const std::size_t frames = mel_->frames(samples.size()), rows = static_cast<std::size_t>(mel_->rows());
    if (frames == 0 || frames * rows != to.size()) return false;
    geometry = Geometry{};
    const bool frames_first = plan_.mel->frames_first;
    mel_->run(samples, to.data(), frames_first ? 1 : static_cast<std::ptrdiff_t>(frames),
              frames_first ? static_cast<std::ptrdiff_t>(rows) : 1);
    if (!plan_.keeps_values())
      for (float& v : to) v = plan_.gain[0] * v + plan_.bias[0];
    return true;
  }

  bool copy_tensor(const Frame& frame, const TensorView& input, Geometry& geometry) const noexcept {
    const TensorView values = frame.values();
    if (values.bytes.empty() || values.type != input.type || values.bytes.size() != input.bytes.size() ||
        !same_order(values.shape, input.shape))
      return false;
    geometry = Geometry{};
    if (plan_.keeps_values()) {
      std::memcpy(input.bytes.data(), values.bytes.data(), input.bytes.size());
      return true;
    }
    if (input.type != ElementType::f32) return false;
    const std::span<const float> from = values.as<float>();
    const auto to = input.as<float>();
    std::size_t channels = 1, plane = to.size();  // values of one channel that lie together
    if (!plan_.same_for_all()) {
      if (input.shape.size() != 4) return false;
      const bool nchw = plan_.layout == TensorLayout::nchw;
      channels = static_cast<std::size_t>(plan_.colours());
      if (input.shape[nchw ? 1 : 3] != plan_.colours()) return false;
      plane = nchw ? static_cast<std::size_t>(input.shape[2] * input.shape[3]) : 1;
    }
    for (std::size_t at = 0, c = 0; at < to.size(); at += plane, c = (c + 1) % channels)
      for (std::size_t i = at; i < at + plane; ++i) to[i] = plan_.gain[c] * from[i] + plan_.bias[c];
    return true;
  }

  /// Numbers lie in the input as they lie in the frame: dimensions of 1 do not count, nor those of a frame that is one
  /// row.
  static bool same_order(std::span<const std::int64_t> frame, std::span<const std::int64_t> input) noexcept {
    const auto more_than_one = [](std::int64_t d) { return d != 1; };
    if (std::count_if(frame.begin(), frame.end(), more_than_one) <= 1) return true;
    auto f = frame.begin(), i = input.begin();
    for (;; ++f, ++i) {
      f = std::find_if(f, frame.end(), more_than_one);
      i = std::find_if(i, input.end(), more_than_one);
      if (f == frame.end() || i == input.end()) return f == frame.end() && i == input.end();
      if (*f != *i) return false;
    }
  }

  bool run_picture(const Frame& frame, const TensorView& input, Geometry& geometry) {
    const cv::Mat& all = frame.image;
    if (all.depth() != CV_8U || (all.channels() != 1 && all.channels() != 3)) return false;
    if (input.shape.size() != 4 || frame.batch < 1 || all.rows % frame.batch != 0) return false;
    const bool nchw = plan_.layout == TensorLayout::nchw;
    const cv::Size size(static_cast<int>(input.shape[nchw ? 3 : 2]), static_cast<int>(input.shape[nchw ? 2 : 1]));
    if (input.shape[0] != frame.batch || input.shape[nchw ? 1 : 3] != plan_.channels() || size.empty()) return false;
    if (input.bytes.size() != element_count(input.shape) * element_size(input.type)) return false;

    const cv::Size picture(all.cols, all.rows / frame.batch);
    cv::Rect crop, target;
    if (!place(picture, size, crop, target)) return false;
    geometry.frame_width = picture.width;
    geometry.frame_height = picture.height;
    geometry.input_width = size.width;
    geometry.input_height = size.height;
    geometry.scale_x = static_cast<float>(target.width) / static_cast<float>(crop.width);
    geometry.scale_y = static_cast<float>(target.height) / static_cast<float>(crop.height);
    geometry.offset_x = static_cast<float>(target.x) - static_cast<float>(crop.x) * geometry.scale_x;
    geometry.offset_y = static_cast<float>(target.y) - static_cast<float>(crop.y) * geometry.scale_y;

    resize_.reserve(picture, all.channels(), size);
    resize_.prepare(crop.size(), all.channels(), target.size(), plan_.interpolation);
    for (int b = 0; b < frame.batch; ++b) {
      const cv::Mat one = all(crop + cv::Point(0, b * picture.height));
      if (input.type == ElementType::f32)
        write(one, input.as<float>().data() + element_count(input.shape.subspan(1)) * static_cast<std::size_t>(b), size,
              target);
      else if (input.type == ElementType::u8)
        write(one,
              input.as<std::uint8_t>().data() + element_count(input.shape.subspan(1)) * static_cast<std::size_t>(b),
              size, target);
      else return false;
    }
    return true;
  }

  /// Which rectangle of the frame goes to which rectangle of the input.
  bool place(cv::Size picture, cv::Size size, cv::Rect& crop, cv::Rect& target) const noexcept {
    crop = plan_.crop.value_or(cv::Rect({0, 0}, picture));
    if (crop.x + crop.width > picture.width || crop.y + crop.height > picture.height) return false;
    if (plan_.crop_share > 0) {
      const double fit =
          std::min(static_cast<double>(picture.width) / size.width, static_cast<double>(picture.height) / size.height) *
          plan_.crop_share;
      crop.width = std::clamp(static_cast<int>(std::lround(size.width * fit)), 1, picture.width);
      crop.height = std::clamp(static_cast<int>(std::lround(size.height * fit)), 1, picture.height);
      crop.x = (picture.width - crop.width) / 2;
      crop.y = (picture.height - crop.height) / 2;
    }
    target = cv::Rect({0, 0}, size);
    if (plan_.letterbox) {
      const double fit =
          std::min(static_cast<double>(size.width) / crop.width, static_cast<double>(size.height) / crop.height);
      target.width = std::clamp(static_cast<int>(std::lround(crop.width * fit)), 1, size.width);
      target.height = std::clamp(static_cast<int>(std::lround(crop.height * fit)), 1, size.height);
      target.x = (size.width - target.width) / 2;
      target.y = (size.height - target.height) / 2;
    }
    return true;
  }

  template <typename T>
  void write(const cv::Mat& picture, T* out, cv::Size size, const cv::Rect& target) noexcept {
    const bool nchw = plan_.layout == TensorLayout::nchw;
    const int colours = plan_.colours(), channels = plan_.channels();
    const int stride = nchw ? 1 : channels;  // from pixel to pixel
    const std::ptrdiff_t plane =
        nchw ? static_cast<std::ptrdiff_t>(size.width) * size.height : 1;  // from channel to channel
    for (int y = 0; y < size.height; ++y) {
      T* line = out + static_cast<std::ptrdiff_t>(y) * size.width * stride;
      const bool inside = y >= target.y && y < target.y + target.height;
      const float* row = inside ? resize_.row(picture, y - target.y) : nullptr;
      for (int c = 0; c < colours; ++c) {
        T* to = line + c * plane;
        const float gain = plan_.gain[static_cast<std::size_t>(c)], bias = plan_.bias[static_cast<std::size_t>(c)];
        const T pad = converted<T>(gain * static_cast<float>(plan_.pad) + bias);
        const int left = inside ? target.x : size.width;
        for (int x = 0; x < left; ++x) to[x * stride] = pad;
        if (!inside) continue;
        write_channel(row, picture.channels(), c, gain, bias, to + static_cast<std::ptrdiff_t>(left) * stride, stride,
                      target.width);
        for (int x = left + target.width; x < size.width; ++x) to[x * stride] = pad;
      }
      if (plan_.alpha) {
        const T alpha = converted<T>(*plan_.alpha);
        T* to = line + colours * plane;
        for (int x = 0; x < size.width; ++x) to[x * stride] = alpha;
      }
    }
  }

  template <typename T>
  void write_channel(const float* row, int from, int c, float gain, float bias, T* to, int stride,
                     int n) const noexcept {
    if (plan_.colour == Colour::gray && from == 3) {  // ITU-R BT.601, as OpenCV; a row is B, G, R
      for (int x = 0; x < n; ++x, row += 3)
        to[x * stride] = converted<T>(gain * (0.114f * row[0] + 0.587f * row[1] + 0.299f * row[2]) + bias);
      return;
    }
    row += from == 1 ? 0 : plan_.colour == Colour::rgb ? 2 - c : c;
    for (int x = 0; x < n; ++x, row += from) to[x * stride] = converted<T>(gain * *row + bias);
  }

  PreprocessPlan plan_;
  PictureResize resize_;
  std::optional<MelSpectrogram> mel_;  // of sounds
};

}  // namespace

std::unique_ptr<Preprocess> make_preprocess(const ConfigNode& pre, const TensorSpec& input, int rate) {
  if (is_plugin(pre)) return make_plugin_preprocess(pre, input);
  return std::make_unique<StepPreprocess>(pre, input, rate);
}

}  // namespace rtmdl
