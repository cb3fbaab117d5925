#pragma once
/// Changing the sampling rate of audio.

#include <span>
#include <vector>

namespace rtmdl {

/// Band-limited interpolation with a Kaiser-windowed sinc, as a polyphase filter (J. O. Smith, "Digital Audio
/// Resampling"). Pass band to 0.9 of the lower Nyquist frequency, stop band below −80 dB. Rates in Hz, whole numbers;
/// the result has round(n × to / from) samples and no delay.
[[nodiscard]] std::vector<float> resample(std::span<const float> samples, int from, int to);

}  // namespace rtmdl
