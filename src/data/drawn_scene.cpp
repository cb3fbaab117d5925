#include "data/drawn_scene.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

// Numbers that are drawn one after another stand in statements or braces of their own: the order of a call's arguments
// is the compiler's, and pictures must not depend on it.

/// Slow waves of brightness, such as walls and leaves have: −1 to 1, one channel.
cv::Mat waves(cv::Size size, int cells, Random& random) {
  cv::Mat coarse(cells, cells, CV_32F), fine;
  for (int y = 0; y < cells; ++y)
    for (int x = 0; x < cells; ++x) coarse.at<float>(y, x) = static_cast<float>(random.between(-1, 1));
  cv::resize(coarse, fine, size, 0, 0, cv::INTER_CUBIC);
  return fine;
}

cv::Scalar colour_near(const cv::Scalar& base, double spread, Random& random) {
  const double light = random.between(-spread, spread);
  cv::Scalar colour;
  for (int c = 0; c < 3; ++c) colour[c] = std::clamp(base[c] + light + random.between(-spread, spread) / 3, 0.0, 255.0);
  return colour;
}

cv::Scalar any_background(Random& random) {
  static const std::array<cv::Scalar, 8> kColours{
      cv::Scalar(215, 190, 160), cv::Scalar(225, 222, 220), cv::Scalar(60, 110, 80), cv::Scalar(40, 70, 55),
      cv::Scalar(110, 115, 120), cv::Scalar(90, 120, 160),  cv::Scalar(70, 80, 120), cv::Scalar(50, 50, 50)};
  return colour_near(kColours[random.below(kColours.size())], 25, random);
}

void add_waves(cv::Mat& picture, int cells, double height, Random& random) {
  const cv::Mat wave = waves(picture.size(), cells, random);
  for (int y = 0; y < picture.rows; ++y) {
    auto* row = picture.ptr<cv::Vec3b>(y);
    const auto* w = wave.ptr<float>(y);
    for (int x = 0; x < picture.cols; ++x)
      for (int c = 0; c < 3; ++c)
        row[x][c] = cv::saturate_cast<std::uint8_t>(row[x][c] + static_cast<float>(height) * w[x]);
  }
}

cv::Point somewhere(cv::Size size, Random& random) {
  return {static_cast<int>(random.between(-0.1, 1.1) * size.width),
          static_cast<int>(random.between(-0.1, 1.1) * size.height)};
}

void add_shape(cv::Mat& picture, Random& random) {
  const cv::Scalar colour = any_background(random);
  const double side = std::max(picture.cols, picture.rows);
  const cv::Point at = somewhere(picture.size(), random);
  switch (random.below(4)) {
    case 0: {  // a wall, a window, a post
      const cv::Size size{1 + static_cast<int>(random.between(0.03, 0.5) * side),
                          1 + static_cast<int>(random.between(0.03, 0.7) * side)};
      cv::rectangle(picture, cv::Rect(at, size), colour, cv::FILLED);
      break;
    }
    case 1: {  // leaves
      const int leaves = 6 + static_cast<int>(random.below(20));
      for (int k = 0; k < leaves; ++k) {
        const cv::Point leaf{at.x + static_cast<int>(random.between(-0.2, 0.2) * side),
                             at.y + static_cast<int>(random.between(-0.2, 0.2) * side)};
        const cv::Size axes{1 + static_cast<int>(random.between(0.01, 0.06) * side),
                            1 + static_cast<int>(random.between(0.01, 0.04) * side)};
        const double angle = random.between(0, 180);
        cv::ellipse(picture, leaf, axes, angle, 0, 360, colour_near(colour, 25, random), cv::FILLED, cv::LINE_AA);
      }
      break;
    }
    case 2: {  // a wire, a branch, an edge of a roof
      const cv::Point end = somewhere(picture.size(), random);
      cv::line(picture, at, end, colour, 1 + static_cast<int>(random.between(0.005, 0.06) * side), cv::LINE_AA);
      break;
    }
    default: {
      const std::vector<cv::Point> corners{at, somewhere(picture.size(), random), somewhere(picture.size(), random)};
      cv::fillConvexPoly(picture, corners, colour, cv::LINE_AA);
      break;
    }
  }
}

/// Light falls off over the picture along a line, sometimes with the sharp edge of a shadow.
cv::Mat light_over(cv::Size size, double gain, Random& random) {
  const double angle = random.between(0, 2 * std::numbers::pi), slope = random.between(0, 0.35);
  const bool shadowed = random.unit() < 0.2;
  const double edge = random.between(-0.5, 0.5), shade = random.between(0.45, 0.8);
  cv::Mat light(size, CV_32F);
  for (int y = 0; y < size.height; ++y)
    for (int x = 0; x < size.width; ++x) {
      const double along = (static_cast<double>(x) / size.width - 0.5) * std::cos(angle) +
                           (static_cast<double>(y) / size.height - 0.5) * std::sin(angle);
      light.at<float>(y, x) = static_cast<float>(gain * (1 + slope * along) * (shadowed && along > edge ? shade : 1));
    }
  return light;
}

/// A line of the length and direction of a movement, as a kernel.
cv::Mat movement(double length, double angle) {
  const int reach = static_cast<int>(std::ceil(length / 2)), side = 2 * reach + 1;
  cv::Mat kernel = cv::Mat::zeros(side, side, CV_32F);
  constexpr int kSteps = 64;
  for (int k = 0; k < kSteps; ++k) {
    const double along = length * ((k + 0.5) / kSteps - 0.5);
    kernel.at<float>(static_cast<int>(std::lround(reach + along * std::sin(angle))),
                     static_cast<int>(std::lround(reach + along * std::cos(angle)))) += 1.0f / kSteps;
  }
  return kernel;
}

}  // namespace

cv::Mat draw_clutter(cv::Size size, Random& random) {
  cv::Mat picture(size, CV_8UC3);
  const cv::Scalar above = any_background(random), below = any_background(random);
  for (int y = 0; y < size.height; ++y) {
    const double share = static_cast<double>(y) / size.height;
    picture.row(y).setTo(above * (1 - share) + below * share);
  }
  const int shapes = static_cast<int>(random.below(9));
  for (int k = 0; k < shapes; ++k) add_shape(picture, random);
  add_waves(picture, 4, random.between(0, 30), random);
  add_waves(picture, 16, random.between(0, 30), random);
  return picture;
}

void lay_over(const cv::Mat& top, cv::Mat& picture) {
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = top.ptr<cv::Vec4b>(y);
    auto* to = picture.ptr<cv::Vec3b>(y);
    for (int x = 0; x < picture.cols; ++x) {
      const int opacity = from[x][3];
      if (opacity == 0) continue;
      for (int c = 0; c < 3; ++c)
        to[x][c] = static_cast<std::uint8_t>((from[x][c] * opacity + to[x][c] * (255 - opacity) + 127) / 255);
    }
  }
}

cv::Mat photograph(const cv::Mat& picture, cv::Size size, const Exposure& exposure, Random& random) {
  const double scale = static_cast<double>(picture.cols) / size.width;
  cv::Mat seen = picture;
  const double blur = random.between(0, exposure.blur) * scale;
  if (blur > 0.3) {
    cv::Mat soft;
    cv::GaussianBlur(seen, soft, {}, blur);
    seen = soft;
  }
  const double motion = random.between(0, exposure.motion) * scale, direction = random.between(0, std::numbers::pi);
  if (motion > 1) {
    cv::Mat moved;
    cv::filter2D(seen, moved, -1, movement(motion, direction), {-1, -1}, 0, cv::BORDER_REPLICATE);
    seen = moved;
  }
  if (seen.size() != size) {
    cv::Mat small;
    cv::resize(seen, small, size, 0, 0, cv::INTER_AREA);
    seen = small;
  }
  // Gains are perceived as ratios: as many pictures at half the light as at double.
  const double gain = std::exp(random.between(std::log(exposure.least_gain), std::log(exposure.most_gain)));
  const double haze = random.between(0, 0.25), warmth = random.between(-0.1, 0.1);
  const cv::Mat light = light_over(size, gain, random);
  const double noise = random.between(1, exposure.noise);
  cv::Mat grain(size, CV_32FC3);
  cv::RNG(random.next()).fill(grain, cv::RNG::NORMAL, 0, noise);
  const float tint[3] = {static_cast<float>(1 - warmth), 1, static_cast<float>(1 + warmth)};
  cv::Mat result(size, CV_8UC3);
  for (int y = 0; y < size.height; ++y) {
    const auto* from = seen.ptr<cv::Vec3b>(y);
    const auto* l = light.ptr<float>(y);
    const auto* g = grain.ptr<cv::Vec3f>(y);
    auto* to = result.ptr<cv::Vec3b>(y);
    for (int x = 0; x < size.width; ++x)
      for (int c = 0; c < 3; ++c) {
        const float value = static_cast<float>(1 - haze) * from[x][c] + static_cast<float>(haze) * 128;
        to[x][c] = cv::saturate_cast<std::uint8_t>(value * l[x] * tint[c] + g[x][c]);
      }
  }
  return result;
}

}  // namespace rtmdl
