#include "data/mel.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>
#include <opencv2/core/hal/interface.h>

namespace rtmdl {
namespace {

double to_mel(MelScale scale, double hertz) {
  if (scale == MelScale::htk) return 2595 * std::log10(1 + hertz / 700);
  return hertz < 1000 ? 3 * hertz / 200 : 15 + 27 * std::log(hertz / 1000) / std::log(6.4);
}

double to_hertz(MelScale scale, double mel) {
  if (scale == MelScale::htk) return 700 * (std::pow(10, mel / 2595) - 1);
  return mel < 15 ? 200 * mel / 3 : 1000 * std::exp((mel - 15) * std::log(6.4) / 27);
}

int samples_of(const ConfigNode& node, int rate, int standard_ms) {
  const double seconds = node.present() ? to_seconds(node.duration()) : standard_ms / 1000.0;
  const double samples = std::round(seconds * rate);
  if (samples < 2 || samples > 1 << 16)
    node.fail(fmt::format("'{}' is out of range: 2 to {} samples at {} Hz are accepted", node.text(), 1 << 16, rate));
  return static_cast<int>(samples);
}

int rate_of(const ConfigNode& node, int of_data) {
  if (!node.present()) {
    if (of_data == 0) node.fail("is missing: the data do not say their sampling rate; such as 16 kHz is accepted");
    return of_data;
  }
  const double hertz = node.hertz();
  if (hertz < 1000 || hertz > 768000 || hertz != std::floor(hertz))
    node.fail("expected a whole number of Hz from 1 kHz to 768 kHz");
  if (of_data != 0 && static_cast<int>(hertz) != of_data)
    node.fail(fmt::format("'{}' is not the rate of the data, {} Hz", node.text(), of_data));
  return static_cast<int>(hertz);
}

void parse_band_limits(const ConfigNode& node, MelOptions& o) {
  if (const auto low = node["low"]; low.present()) o.low = low.hertz();
  if (const auto high = node["high"]; high.present()) o.high = high.hertz();
  else o.high = o.rate / 2.0;
  if (o.high > o.rate / 2.0)
    node["high"].fail(fmt::format("'{}' is above half the rate, {} Hz", node["high"].text(), o.rate / 2.0));
  if (!(o.low >= 0 && o.low < o.high))
    node["low"].fail(fmt::format("{} Hz is not below `high`, {} Hz, and from 0 Hz on", o.low, o.high));
}

void parse_log(const ConfigNode& node, bool cepstral, MelOptions& o) {
  if (const auto log = node["log"]; log.present()) {
    const std::string how = log.one_of({"true", "false", "db"});
    o.log = how == "true" ? MelLog::natural : how == "db" ? MelLog::decibel : MelLog::none;
    if (cepstral && o.log == MelLog::none) log.fail("cepstra are of logarithms; true and db are accepted");
  }
  if (const auto least = node["floor"]; least.present()) o.least = least.number(1e-30, 1);
}

}  // namespace

MelOptions parse_mel(const ConfigNode& node, bool cepstral, int rate) {
  node.require_map("a map such as {bands: 64, window: 25 ms, hop: 10 ms}");
  if (cepstral)
    node.allow({"coefficients", "bands", "window", "hop", "fft", "low", "high", "power", "scale", "log", "floor",
                "padding", "order", "rate"});
  else
    node.allow(
        {"bands", "window", "hop", "fft", "low", "high", "power", "scale", "log", "floor", "padding", "order", "rate"});
  MelOptions o;
  o.rate = rate_of(node["rate"], rate);
  if (const auto bands = node["bands"]; bands.present()) o.bands = static_cast<int>(bands.integer(2, 1024));
  o.window = samples_of(node["window"], o.rate, 25);
  o.hop = samples_of(node["hop"], o.rate, 10);
  o.fft = 2;
  while (o.fft < o.window) o.fft *= 2;
  if (const auto fft = node["fft"]; fft.present()) {
    o.fft = static_cast<int>(fft.integer(o.window, 1 << 17));
    if (o.fft % 2 != 0) fft.fail(fmt::format("{} is odd; an even number of points is accepted", o.fft));
  }
  parse_band_limits(node, o);
  if (const auto power = node["power"]; power.present()) o.power = static_cast<double>(power.integer(1, 2));
  if (const auto scale = node["scale"]; scale.present())
    o.scale = scale.one_of({"htk", "slaney"}) == "slaney" ? MelScale::slaney : MelScale::htk;
  parse_log(node, cepstral, o);
  if (const auto padding = node["padding"]; padding.present()) {
    const std::string how = padding.one_of({"none", "zeros", "reflect"});
    o.padding = how == "none" ? MelPadding::none : how == "zeros" ? MelPadding::zeros : MelPadding::reflect;
  }
  if (const auto order = node["order"]; order.present()) {
    o.frames_first = order.one_of({"bands_first", "frames_first"}) == "frames_first";
    o.order_given = true;
  }
  if (cepstral) {
    o.coefficients = std::min(13, o.bands);
    if (const auto c = node["coefficients"]; c.present()) o.coefficients = static_cast<int>(c.integer(1, o.bands));
  }
  return o;
}

MelSpectrogram::MelSpectrogram(const MelOptions& options, const ConfigNode& where)
    : o_(options),
      hann_(static_cast<std::size_t>(o_.window)),
      block_(static_cast<std::size_t>(o_.fft), 0.0f),
      spectrum_(static_cast<std::size_t>(o_.fft)),
      power_(static_cast<std::size_t>(o_.fft) / 2 + 1),
      bands_(static_cast<std::size_t>(o_.bands)) {
  for (std::size_t n = 0; n < hann_.size(); ++n)
    hann_[n] = static_cast<float>(0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(n) / o_.window));
  // The transform behind cv::dft, kept: cv::dft makes its tables anew at each call.
  bool needs_buffer = false;
  transform_ = cv::hal::DFT1D::create(o_.fft, 1, CV_32F, CV_HAL_DFT_REAL_OUTPUT, &needs_buffer);
  lay_triangles(where);
  for (int c = 0; c < o_.coefficients; ++c)
    for (int b = 0; b < o_.bands; ++b)
      cosines_.push_back(static_cast<float>(std::sqrt((c == 0 ? 1.0 : 2.0) / o_.bands) *
                                            std::cos(std::numbers::pi * c * (b + 0.5) / o_.bands)));
}

void MelSpectrogram::lay_triangles(const ConfigNode& where) {
  const double low = to_mel(o_.scale, o_.low), high = to_mel(o_.scale, o_.high);
  const auto corner = [&](int k) { return to_hertz(o_.scale, low + (high - low) * k / (o_.bands + 1)); };
  for (int b = 0; b < o_.bands; ++b) {
    const double left = corner(b), middle = corner(b + 1), right = corner(b + 2);
    const double height = o_.scale == MelScale::slaney ? 2 / (right - left) : 1;
    Triangle triangle;
    for (std::size_t k = 0; k < power_.size(); ++k) {
      const double hertz = static_cast<double>(k) * o_.rate / o_.fft;
      const double weight = std::min((hertz - left) / (middle - left), (right - hertz) / (right - middle));
      if (weight <= 0) continue;
      if (triangle.weights.empty()) triangle.first = k;
      triangle.weights.push_back(static_cast<float>(height * weight));
    }
    if (triangle.weights.empty())
      where["bands"].fail(
          fmt::format("{} is too many for {} points at {} Hz: band {} ({:.0f} to {:.0f} Hz) holds no "
                      "frequency of the transform; fewer bands or a larger `fft` are accepted",
                      o_.bands, o_.fft, o_.rate, b, left, right));
    triangles_.push_back(std::move(triangle));
  }
}

std::size_t MelSpectrogram::frames(std::size_t samples) const noexcept {
  const auto window = static_cast<std::size_t>(o_.window), hop = static_cast<std::size_t>(o_.hop);
  if (o_.padding != MelPadding::none) return samples == 0 ? 0 : 1 + samples / hop;
  return samples < window ? 0 : 1 + (samples - window) / hop;
}

/// `window` samples from `start` on, weighted, at the beginning of the block.
void MelSpectrogram::load(std::span<const float> samples, std::ptrdiff_t start) noexcept {
  const auto count = static_cast<std::ptrdiff_t>(samples.size());
  for (std::ptrdiff_t n = 0; n < o_.window; ++n) {
    std::ptrdiff_t at = start + n;
    float value = 0;
    if (at >= 0 && at < count) {
      value = samples[static_cast<std::size_t>(at)];
    } else if (o_.padding == MelPadding::reflect) {
      const std::ptrdiff_t period = std::max<std::ptrdiff_t>(1, 2 * (count - 1));
      at = ((at % period) + period) % period;
      value = samples[static_cast<std::size_t>(std::min(at, std::max<std::ptrdiff_t>(0, period - at)))];
    }
    block_[static_cast<std::size_t>(n)] = hann_[static_cast<std::size_t>(n)] * value;
  }
}

void MelSpectrogram::run(std::span<const float> samples, float* out, std::ptrdiff_t row_stride,
                         std::ptrdiff_t frame_stride) noexcept {
  const std::size_t count = frames(samples.size());
  const std::ptrdiff_t before = o_.padding == MelPadding::none ? 0 : o_.fft / 2 - (o_.fft - o_.window) / 2;
  const auto least = static_cast<float>(o_.least);
  for (std::size_t t = 0; t < count; ++t) {
    load(samples, static_cast<std::ptrdiff_t>(t) * o_.hop - before);
    transform_->apply(reinterpret_cast<const uchar*>(block_.data()), reinterpret_cast<uchar*>(spectrum_.data()));
    // Packed: Re 0, Re 1, Im 1, Re 2, Im 2, …, Re n/2.
    const std::size_t last = power_.size() - 1;
    power_[0] = spectrum_[0] * spectrum_[0];
    power_[last] = spectrum_.back() * spectrum_.back();
    for (std::size_t k = 1; k < last; ++k)
      power_[k] = spectrum_[2 * k - 1] * spectrum_[2 * k - 1] + spectrum_[2 * k] * spectrum_[2 * k];
    if (o_.power == 1)
      for (float& v : power_) v = std::sqrt(v);
    float* to = out + static_cast<std::ptrdiff_t>(t) * frame_stride;
    for (std::size_t b = 0; b < bands_.size(); ++b) {
      const float* from = power_.data() + triangles_[b].first;
      float sum = 0;
      for (std::size_t k = 0; k < triangles_[b].weights.size(); ++k) sum += triangles_[b].weights[k] * from[k];
      if (o_.log == MelLog::natural) sum = std::log(std::max(sum, least));
      else if (o_.log == MelLog::decibel) sum = 10 * std::log10(std::max(sum, least));
      if (o_.coefficients == 0) to[static_cast<std::ptrdiff_t>(b) * row_stride] = sum;
      bands_[b] = sum;
    }
    for (int c = 0; c < o_.coefficients; ++c) {
      const float* cosine = cosines_.data() + static_cast<std::size_t>(c) * bands_.size();
      float sum = 0;
      for (std::size_t b = 0; b < bands_.size(); ++b) sum += cosine[b] * bands_[b];
      to[c * row_stride] = sum;
    }
  }
}

}  // namespace rtmdl
