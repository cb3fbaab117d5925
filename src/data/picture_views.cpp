#include "data/picture_views.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

constexpr int kLeastSide = 32;  // pixels; a smaller crop shows nothing that a network would recognise

constexpr float kLeastVisible = 0.3f;  // share of a box

/// The largest size within the picture that has the aspect of what is delivered.
cv::Size largest_crop(cv::Size picture, cv::Size delivered) {
  if (delivered.empty()) return picture;
  const double aspect = static_cast<double>(delivered.width) / delivered.height;
  cv::Size crop = picture;
  if (picture.width > picture.height * aspect)
    crop.width = std::max(1, static_cast<int>(std::lround(picture.height * aspect)));
  else crop.height = std::max(1, static_cast<int>(std::lround(picture.width / aspect)));
  return crop;
}

cv::Mat resized(const cv::Mat& picture, cv::Size size) {
  if (size.empty() || picture.size() == size) return picture.clone();
  cv::Mat result;
  const bool shrinks = size.width < picture.cols || size.height < picture.rows;
  cv::resize(picture, result, size, 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
  return result;
}

}  // namespace

Augment parse_augment(const ConfigNode& node) {
  Augment augment;
  if (!node.present()) return augment;
  node.allow({"flip", "scale", "brightness"});
  if (const auto flip = node["flip"]; flip.present()) augment.flip = flip.boolean();
  if (const auto scale = node["scale"]; scale.present()) {
    const std::vector<double> range = scale.numbers();
    if (range.size() != 2 || range[0] <= 0 || range[0] > range[1] || range[1] > 1)
      scale.fail("expected the smallest and the largest side of a crop, such as [0.5, 1.0], within 0 and 1");
    augment.scale_least = range[0];
    augment.scale_most = range[1];
  }
  if (const auto brightness = node["brightness"]; brightness.present()) augment.brightness = brightness.fraction();
  return augment;
}

cv::Size parse_size(const ConfigNode& node) {
  if (!node.present()) return {};
  const std::vector<std::int64_t> size = node.integers();
  if (size.size() != 2 || size[0] < 1 || size[1] < 1 || size[0] > 16384 || size[1] > 16384)
    node.fail("expected [width, height] in pixels, 1 to 16384 each");
  return {static_cast<int>(size[0]), static_cast<int>(size[1])};
}

View whole_view(const cv::Mat& picture, cv::Size delivered) {
  const cv::Size size = largest_crop(picture.size(), delivered);
  const cv::Rect crop((picture.cols - size.width) / 2, (picture.rows - size.height) / 2, size.width, size.height);
  return {resized(picture(crop), delivered), crop, false};
}

View random_view(const cv::Mat& picture, cv::Size delivered, const Augment& augment, Split split, Random random) {
  const cv::Size most = largest_crop(picture.size(), delivered);
  const double side = random.between(augment.scale_least, augment.scale_most);
  int width =
      std::clamp(static_cast<int>(std::lround(side * most.width)), std::min(kLeastSide, most.width), most.width);
  const bool other_parity = split == Split::calibration || split == Split::training;
  if (((most.width - width) % 2 != 0) != other_parity) width += width > 1 ? -1 : 1;
  width = std::min(width, most.width);
  const int height =
      std::clamp(static_cast<int>(std::lround(static_cast<double>(width) * most.height / most.width)), 1, most.height);
  View view;
  view.crop =
      cv::Rect(static_cast<int>(random.below(static_cast<std::uint32_t>(picture.cols - width + 1))),
               static_cast<int>(random.below(static_cast<std::uint32_t>(picture.rows - height + 1))), width, height);
  view.image = resized(picture(view.crop), delivered);
  const double gain = random.between(1 - augment.brightness, 1 + augment.brightness);
  view.flipped = random.below(2) == 1 && augment.flip;
  view.image.convertTo(view.image, -1, gain);
  if (view.flipped) cv::flip(view.image, view.image, 1);
  return view;
}

View moving_view(const cv::Mat& picture, cv::Size delivered, std::size_t step, std::size_t steps, Random random) {
  if (step == 0) return whole_view(picture, delivered);
  const cv::Size most = largest_crop(picture.size(), delivered);
  int width = std::max(1, most.width * 9 / 10);
  if ((most.width - width) % 2 != 0) ++width;  // the parity of evaluation
  const int height =
      std::clamp(static_cast<int>(std::lround(static_cast<double>(width) * most.height / most.width)), 1, most.height);
  const double phase = random.between(0, 2 * std::numbers::pi);
  const double angle = phase + 2 * std::numbers::pi * static_cast<double>(step) / static_cast<double>(steps);
  const int x = static_cast<int>(std::lround((picture.cols - width) * (0.5 + 0.5 * std::cos(angle))));
  const int y = static_cast<int>(std::lround((picture.rows - height) * (0.5 + 0.5 * std::sin(angle))));
  const cv::Rect crop(x, y, width, height);
  return {resized(picture(crop), delivered.empty() ? picture.size() : delivered), crop, false};
}

std::vector<LabelledBox> boxes_in(const View& view, cv::Size picture, std::span<const LabelledBox> shares) {
  const auto width = static_cast<float>(view.image.cols), height = static_cast<float>(view.image.rows);
  const float sx = width / static_cast<float>(view.crop.width), sy = height / static_cast<float>(view.crop.height);
  std::vector<LabelledBox> seen;
  for (const LabelledBox& share : shares) {
    LabelledBox box = share;
    const auto across = [&](float x) {
      return (x * static_cast<float>(picture.width) - static_cast<float>(view.crop.x)) * sx;
    };
    const auto down = [&](float y) {
      return (y * static_cast<float>(picture.height) - static_cast<float>(view.crop.y)) * sy;
    };
    box.x0 = across(share.x0), box.x1 = across(share.x1);
    box.y0 = down(share.y0), box.y1 = down(share.y1);
    if (view.flipped) {
      box.x0 = width - box.x0, box.x1 = width - box.x1;
      std::swap(box.x0, box.x1);
    }
    const float whole = (box.x1 - box.x0) * (box.y1 - box.y0);
    box.x0 = std::clamp(box.x0, 0.0f, width), box.x1 = std::clamp(box.x1, 0.0f, width);
    box.y0 = std::clamp(box.y0, 0.0f, height), box.y1 = std::clamp(box.y1, 0.0f, height);
    const float visible = (box.x1 - box.x0) * (box.y1 - box.y0);
    if (visible <= 0) continue;
    box.ignore = box.ignore || visible < kLeastVisible * whole;
    seen.push_back(box);
  }
  return seen;
}

}  // namespace rtmdl
