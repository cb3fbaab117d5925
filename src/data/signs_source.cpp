#include "data/drawn_scene.h"
#include "data/drawn_source.h"
#include "data/gtsrb_files.h"
#include "data/sign_shapes.h"
#include "data/sources.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

constexpr DrawnCounts kSignCounts{20000, 256, 2000, 256};

/// Where the corners of the square plate lie in the picture.
std::array<cv::Point2f, 4> pose(int side, Random& random) {
  const double extent = random.between(0.6, 0.96) * side;
  const double angle = random.between(-12, 12) * std::numbers::pi / 180;
  const double narrow = random.between(0.78, 1.0), room = (side - extent) / 2 + 0.04 * side;
  const cv::Point2d centre{side / 2.0 + random.between(-room, room), side / 2.0 + random.between(-room, room)};
  std::array<cv::Point2f, 4> corners;
  constexpr std::array<std::array<double, 2>, 4> kSquare{{{-1, -1}, {1, -1}, {1, 1}, {-1, 1}}};
  for (std::size_t k = 0; k < 4; ++k) {
    const double x = kSquare[k][0] * narrow * extent / 2, y = kSquare[k][1] * extent / 2;
    const double slip = 0.05 * extent;  // perspective
    corners[k] = {
        static_cast<float>(centre.x + x * std::cos(angle) - y * std::sin(angle) + random.between(-slip, slip)),
        static_cast<float>(centre.y + x * std::sin(angle) + y * std::cos(angle) + random.between(-slip, slip))};
  }
  return corners;
}

/// Paint fades towards grey, and a plate stands in another light than what is behind it.
cv::Mat weathered(const cv::Mat& plate, Random& random) {
  const float fade = static_cast<float>(random.between(0, 0.35)), light = static_cast<float>(random.between(0.65, 1.1));
  cv::Mat result = plate.clone();
  for (int y = 0; y < result.rows; ++y)
    for (int x = 0; x < result.cols; ++x) {
      auto& pixel = result.at<cv::Vec4b>(y, x);
      const float mean = static_cast<float>(pixel[0] + pixel[1] + pixel[2]) / 3;
      for (int c = 0; c < 3; ++c)
        pixel[c] = cv::saturate_cast<std::uint8_t>(light * ((1 - fade) * pixel[c] + fade * (0.6f * mean + 60)));
    }
  return result;
}

class SignsSource final : public DrawnSource {
 public:
  SignsSource(const ConfigNode& data, std::uint64_t seed) : DrawnSource(data, seed, kSignCounts, "signs 1") {
    data.allow({"source", "size", "batch", "count"});
    if (const auto size = data["size"]; size.present()) size_ = static_cast<int>(size.integer(16, 512));
    for (int label = 0; label < kSignClasses; ++label) {
      // Reduced by area beforehand: a warp that shrinks much would lose lines.
      const cv::Mat drawn = draw_sign(label);
      const int reduced = std::min(drawn.cols, side() * 5 / 4);
      plates_.emplace_back();
      cv::resize(drawn, plates_.back(), {reduced, reduced}, 0, 0, cv::INTER_AREA);
    }
  }

  bool labelled() const override { return true; }
  int classes() const override { return kSignClasses; }

 private:
  cv::Size picture_size() const override { return {size_, size_}; }
  int side() const { return size_ * (size_ < 80 ? 3 : size_ < 200 ? 2 : 1); }  ///< drawn larger than it is seen

  /// Every 43 pictures show every sign, in an order of their own.
  int label_of(Split s, std::size_t p) const {
    std::array<int, kSignClasses> order;
    std::iota(order.begin(), order.end(), 0);
    Random random(seed() ^ 0x5163'6e73ULL, purpose::of(s), p / kSignClasses);
    shuffle(order, random);
    return order[p % kSignClasses];
  }

  void draw(Split s, std::size_t p, cv::Mat picture, Frame& frame) override {
    Random chance = random(s, p);
    const int label = label_of(s, p);
    cv::Mat scene = draw_clutter({side(), side()}, chance);
    const auto corners = pose(side(), chance);
    const cv::Point2f foot = (corners[0] + corners[1] + corners[2] + corners[3]) / 4;
    if (chance.unit() < 0.7)  // the post
      cv::line(scene, foot, cv::Point2f(foot.x, static_cast<float>(side())), cv::Scalar::all(chance.between(70, 150)),
               std::max(1, side() / 18), cv::LINE_AA);
    const auto last = static_cast<float>(plates_[0].cols);
    const std::array<cv::Point2f, 4> plate{cv::Point2f(0, 0), {last, 0}, {last, last}, {0, last}};
    cv::Mat warped;
    cv::warpPerspective(weathered(plates_[static_cast<std::size_t>(label)], chance), warped,
                        cv::getPerspectiveTransform(plate.data(), corners.data()), scene.size(), cv::INTER_LINEAR,
                        cv::BORDER_CONSTANT, cv::Scalar::all(0));
    lay_over(warped, scene);
    Exposure exposure;
    exposure.blur = std::max(0.8, size_ / 50.0);
    exposure.motion = std::max(2.0, size_ / 16.0);
    photograph(scene, picture.size(), exposure, chance).copyTo(picture);
    frame.labels.push_back(label);
  }

  int size_ = 32;
  std::vector<cv::Mat> plates_;  // by class
};

}  // namespace

std::unique_ptr<Source> open_signs(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<SignsSource>(data, seed);
}

}  // namespace rtmdl
