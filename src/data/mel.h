#pragma once
/// From samples to mel spectrograms and cepstral coefficients: what most networks for sound see.

#include "task/config_node.h"

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <opencv2/core/hal/hal.hpp>

namespace rtmdl {

enum class MelScale {
  htk,     ///< 2595 log10(1 + f / 700); triangles of height 1 (the HTK book; torchaudio's default)
  slaney,  ///< linear to 1 kHz, logarithmic above; triangles of area 1 (Slaney's Auditory Toolbox; librosa's default)
};
enum class MelLog { none, natural, decibel };
enum class MelPadding {
  none,     ///< frames lie within the samples: 1 + (samples − window) / hop of them
  zeros,    ///< frame t is centred at sample t × hop, zeros beyond the ends: 1 + samples / hop
  reflect,  ///< likewise, samples mirrored at the ends
};

struct MelOptions {
  int rate = 16000;  ///< Hz
  int bands = 64;
  int window = 400, hop = 160;  ///< samples
  int fft = 512;                ///< points; windows are filled up with zeros
  double low = 0, high = 8000;  ///< Hz
  double power = 2;             ///< of the spectrum's magnitude
  MelScale scale = MelScale::htk;
  MelLog log = MelLog::natural;
  double least = 1e-10;  ///< what the logarithm takes for less
  MelPadding padding = MelPadding::none;
  int coefficients = 0;  ///< > 0: this many of the orthonormal DCT-II of the bands (MFCC)
  bool frames_first = false;
  bool order_given = false;  ///< else the model's input tells
};

/// Reads `mel: {…}`, or `mfcc: {…}` if `cepstral`. `rate` in Hz is that of the task's sounds, 0 if they are no sounds.
/// Throws Error(bad_input).
[[nodiscard]] MelOptions parse_mel(const ConfigNode& node, bool cepstral, int rate);

/// Hann windows (periodic), Fourier transform, power, triangles over a mel scale, logarithm, and for MFCC a cosine
/// transform (Davis & Mermelstein 1980). Owns its scratch memory and does not allocate after construction; one thread
/// at a time.
class MelSpectrogram {
 public:
  /// Throws Error(bad_input) at `where` if a band holds no frequency of the transform.
  MelSpectrogram(const MelOptions& options, const ConfigNode& where);

  /// Values of a frame: bands or coefficients.
  [[nodiscard]] int rows() const noexcept { return o_.coefficients > 0 ? o_.coefficients : o_.bands; }
  /// Frames that so many samples give; 0 if they are too few.
  [[nodiscard]] std::size_t frames(std::size_t samples) const noexcept;
  /// Row r of frame t goes to out[r × row_stride + t × frame_stride].
  void run(std::span<const float> samples, float* out, std::ptrdiff_t row_stride, std::ptrdiff_t frame_stride) noexcept;

 private:
  struct Triangle {
    std::size_t first = 0;  ///< bin
    std::vector<float> weights;
  };
  void lay_triangles(const ConfigNode& where);
  void load(std::span<const float> samples, std::ptrdiff_t start) noexcept;

  MelOptions o_;
  std::vector<float> hann_;
  cv::Ptr<cv::hal::DFT1D> transform_;
  std::vector<float> block_, spectrum_;  // of `fft` values
  std::vector<float> power_;             // of fft / 2 + 1
  std::vector<Triangle> triangles_;
  std::vector<float> bands_;
  std::vector<float> cosines_;  // coefficients × bands
};

}  // namespace rtmdl
