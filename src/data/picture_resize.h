#pragma once
/// Separable resizing of 8-bit pictures to rows of floats, with all tables made beforehand.
///
/// cv::resize would do, but it takes heap memory at every call and rounds to 8 bits in between; the run-time path may
/// not do the former.

#include <cstdint>
#include <vector>

#include <opencv2/core/mat.hpp>

namespace rtmdl {

enum class Interpolation { linear, area };  ///< as OpenCV's INTER_LINEAR and INTER_AREA

/// Which source places make one destination place, and their weights (they sum to 1).
struct ResizeTaps {
  std::vector<std::int32_t> first;  ///< one a destination place
  std::vector<float> weights;       ///< `count` a destination place
  int count = 0;

  /// Whatever is built for no more places does not allocate then.
  void reserve(int source, int destination);
  /// Half-pixel centres. `area` differs from `linear` only where the picture shrinks.
  void build(int source, int destination, Interpolation interpolation);
};

/// Takes a rectangle of a picture to `width` × `height`. Allocates in reserve() and prepare() only, and there only if
/// something grew.
class PictureResize {
 public:
  /// Rectangles and results that are no larger, whatever their shape, will not make prepare() allocate.
  void reserve(cv::Size source, int channels, cv::Size destination);
  void prepare(cv::Size source, int channels, cv::Size destination, Interpolation interpolation);
  /// Row y of the result: width × channels floats, 0..255, interleaved. `picture` is at least the prepared source,
  /// 8-bit.
  const float* row(const cv::Mat& picture, int y) noexcept;

 private:
  cv::Size source_, destination_;
  int channels_ = 0;
  Interpolation interpolation_ = Interpolation::linear;
  ResizeTaps across_, down_;
  std::vector<float> tall_;  // one source row after vertical combination
  std::vector<float> row_;
};

}  // namespace rtmdl
