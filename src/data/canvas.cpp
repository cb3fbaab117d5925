#include "data/canvas.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {
constexpr int kShift = 8;  // fractional bits of OpenCV's coordinates
constexpr double kUnit = 1 << kShift;
}  // namespace

Canvas Canvas::within(cv::Point2d origin, double scale) const {
  Canvas part(picture_);
  part.origin_ = origin_ + origin * scale_;
  part.scale_ = scale_ * scale;
  return part;
}

cv::Point2d Canvas::pixel(cv::Point2d p) const {
  return (p * scale_ + origin_ + cv::Point2d(1, 1)) * (picture_.cols / 2.0);
}

cv::Point Canvas::place(cv::Point2d p) const {
  const cv::Point2d at = pixel(p) - cv::Point2d(0.5, 0.5);
  return {static_cast<int>(std::lround(at.x * kUnit)), static_cast<int>(std::lround(at.y * kUnit))};
}

void Canvas::mound(cv::Point2d foot, cv::Size2d radii, const cv::Scalar& colour) {
  std::vector<cv::Point2d> edge;
  constexpr int kSteps = 24;
  for (int k = 0; k <= kSteps; ++k) {
    const double a = std::numbers::pi * k / kSteps;
    edge.push_back(foot + cv::Point2d(radii.width * std::cos(a), -radii.height * std::sin(a)));
  }
  polygon(edge, colour);
}

void Canvas::disc(cv::Point2d centre, double radius, const cv::Scalar& colour) {
  cv::circle(picture_, place(centre), static_cast<int>(std::lround(pixels(radius) * kUnit)), colour, cv::FILLED,
             cv::LINE_AA, kShift);
}

void Canvas::ellipse(cv::Point2d centre, cv::Size2d radii, double degrees, const cv::Scalar& colour) {
  const cv::Size axes(static_cast<int>(std::lround(pixels(radii.width) * kUnit)),
                      static_cast<int>(std::lround(pixels(radii.height) * kUnit)));
  cv::ellipse(picture_, place(centre), axes, degrees, 0, 360, colour, cv::FILLED, cv::LINE_AA, kShift);
}

void Canvas::ring(cv::Point2d centre, double radius, double width, const cv::Scalar& colour) {
  arc(centre, radius, 0, 360, width, colour);
}

void Canvas::arc(cv::Point2d centre, double radius, double from, double to, double width, const cv::Scalar& colour) {
  const int axis = static_cast<int>(std::lround(pixels(radius) * kUnit));
  cv::ellipse(picture_, place(centre), {axis, axis}, 0, from, to, colour,
              std::max(1, static_cast<int>(std::lround(pixels(width)))), cv::LINE_AA, kShift);
}

void Canvas::polygon(Points corners, const cv::Scalar& colour) {
  polygon(std::span(corners.begin(), corners.size()), colour);
}

void Canvas::polygon(std::span<const cv::Point2d> corners, const cv::Scalar& colour) {
  std::vector<cv::Point> places;
  for (const cv::Point2d& p : corners) places.push_back(place(p));
  cv::fillPoly(picture_, std::vector<std::vector<cv::Point>>{places}, colour, cv::LINE_AA, kShift);
}

void Canvas::rounded(std::span<const cv::Point2d> corners, double radius, const cv::Scalar& colour) {
  polygon(corners, colour);
  const int thickness = std::max(1, static_cast<int>(std::lround(2 * pixels(radius))));
  for (std::size_t i = 0; i < corners.size(); ++i)
    cv::line(picture_, place(corners[i]), place(corners[(i + 1) % corners.size()]), colour, thickness, cv::LINE_AA,
             kShift);
}

void Canvas::stroke(Points points, double width, const cv::Scalar& colour) {
  const int thickness = std::max(1, static_cast<int>(std::lround(pixels(width))));
  for (const auto* p = points.begin(); p + 1 < points.end(); ++p)
    cv::line(picture_, place(*p), place(p[1]), colour, thickness, cv::LINE_AA, kShift);
}

void Canvas::arrowhead(cv::Point2d from, cv::Point2d tip, double length, double width, const cv::Scalar& colour) {
  const cv::Point2d way = (tip - from) / std::max(1e-9, cv::norm(tip - from));
  const cv::Point2d base = tip - way * length, side(-way.y * width / 2, way.x * width / 2);
  polygon({tip, base + side, base - side}, colour);
}

void Canvas::text(const std::string& text, cv::Point2d centre, double height, double width, double stroke,
                  const cv::Scalar& colour) {
  // OpenCV's letters have a size of their own: they are written large on a sheet and brought to the size wanted.
  constexpr double kScale = 6;
  constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
  const cv::Size wanted(std::max(1, static_cast<int>(std::lround(pixels(width)))),
                        std::max(1, static_cast<int>(std::lround(pixels(height)))));
  int below = 0;
  const cv::Size bare = cv::getTextSize(text, kFont, kScale, 1, &below);
  const int pen = std::max(1, static_cast<int>(std::lround(pixels(stroke) * bare.height / wanted.height)));
  cv::Mat sheet = cv::Mat::zeros(bare.height + 2 * pen + below, bare.width + 4 * pen, CV_8U);
  cv::putText(sheet, text, {2 * pen, bare.height + pen}, kFont, kScale, cv::Scalar(255), pen, cv::LINE_AA);
  cv::Mat written = sheet(cv::boundingRect(sheet)), mask;
  cv::resize(written, mask, wanted, 0, 0, cv::INTER_AREA);
  const cv::Point2d middle = pixel(centre);
  const cv::Rect at(static_cast<int>(std::lround(middle.x - wanted.width / 2.0)),
                    static_cast<int>(std::lround(middle.y - wanted.height / 2.0)), wanted.width, wanted.height);
  const cv::Rect inside = at & cv::Rect({0, 0}, picture_.size());
  for (int y = inside.y; y < inside.br().y; ++y)
    for (int x = inside.x; x < inside.br().x; ++x) {
      const int share = mask.at<std::uint8_t>(y - at.y, x - at.x);
      auto* pixel = picture_.ptr(y) + x * picture_.channels();
      for (int c = 0; c < picture_.channels(); ++c)
        pixel[c] = cv::saturate_cast<std::uint8_t>((pixel[c] * (255 - share) + colour[c] * share) / 255);
    }
}

}  // namespace rtmdl
