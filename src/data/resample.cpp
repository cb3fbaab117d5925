#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>

namespace rtmdl {
namespace {

constexpr double kZeroCrossings = 32;  // of the sinc, on each side
constexpr double kCutoff = 0.95;       // of the lower Nyquist frequency: the middle of the transition
constexpr double kKaiserBeta = 8.0;    // about −80 dB

/// Modified Bessel function of the first kind, order 0.
double bessel_i0(double x) {
  double sum = 1, term = 1;
  for (int k = 1; term > sum * 1e-12; ++k) {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

}  // namespace

std::vector<float> resample(std::span<const float> samples, int from, int to) {
  if (from == to || samples.empty()) return {samples.begin(), samples.end()};
  const std::int64_t common = std::gcd(from, to);
  const std::int64_t up = to / common, down = from / common;
  const double cutoff = kCutoff * std::min(1.0, static_cast<double>(to) / from);
  const int half = static_cast<int>(std::ceil(kZeroCrossings / cutoff));
  const int taps = 2 * half;

  // Phase p holds the filter for an output that lies p / up samples after an input.
  std::vector<float> phases(static_cast<std::size_t>(up * taps));
  for (std::int64_t p = 0; p < up; ++p) {
    double sum = 0;
    float* filter = &phases[static_cast<std::size_t>(p * taps)];
    for (int k = 0; k < taps; ++k) {
      const double t = (k - half + 1) - static_cast<double>(p) / static_cast<double>(up);
      const double r = t / half;
      const double x = std::numbers::pi * cutoff * t;
      const double window =
          std::abs(r) < 1 ? bessel_i0(kKaiserBeta * std::sqrt(1 - r * r)) / bessel_i0(kKaiserBeta) : 0;
      const double value = (std::abs(x) < 1e-12 ? 1.0 : std::sin(x) / x) * cutoff * window;
      filter[k] = static_cast<float>(value);
      sum += value;
    }
    for (int k = 0; k < taps; ++k) filter[k] = static_cast<float>(filter[k] / sum);  // gain 1 at 0 Hz in every phase
  }

  const auto count = static_cast<std::int64_t>(samples.size());
  std::vector<float> result(static_cast<std::size_t>((count * up + down / 2) / down));
  for (std::size_t n = 0; n < result.size(); ++n) {
    const std::int64_t at = static_cast<std::int64_t>(n) * down;
    const std::int64_t first = at / up - half + 1;
    const float* filter = &phases[static_cast<std::size_t>((at % up) * taps)];
    const std::int64_t begin = std::max<std::int64_t>(0, -first), end = std::min<std::int64_t>(taps, count - first);
    float sum = 0;
    for (std::int64_t k = begin; k < end; ++k) sum += filter[k] * samples[static_cast<std::size_t>(first + k)];
    result[n] = sum;
  }
  return result;
}

}  // namespace rtmdl
