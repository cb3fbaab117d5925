#pragma once
/// What is around a drawn thing, and what a camera makes of it.

#include "data/random.h"

#include <opencv2/core/mat.hpp>

namespace rtmdl {

/// Something that a sign could stand before: sky, leaves, walls, and shapes that are no signs.
[[nodiscard]] cv::Mat draw_clutter(cv::Size size, Random& random);

/// Lays a picture with opacity (blue, green, red, opacity) over another of the same size.
void lay_over(const cv::Mat& top, cv::Mat& picture);

struct Exposure {
  double least_gain = 0.4, most_gain = 1.2;
  double blur = 1;    ///< most, standard deviation in pixels of the result
  double motion = 3;  ///< longest, pixels of the result
  double noise = 10;  ///< most, standard deviation of 256
};
/// Light that differs over the picture, the colour of the light, lost contrast, blur by focus and by motion, reduction
/// to `size`, and noise.
[[nodiscard]] cv::Mat photograph(const cv::Mat& picture, cv::Size size, const Exposure& exposure, Random& random);

}  // namespace rtmdl
