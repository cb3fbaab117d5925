#pragma once
/// Smooth shapes on a picture whose sides are −1 to 1, y downwards: what drawn signs and lamps are made of.

#include <initializer_list>
#include <span>
#include <string>
#include <utility>

#include <opencv2/core/mat.hpp>

namespace rtmdl {

namespace paint {
// As on German signs, a little dulled: blue, green, red.
const cv::Scalar red(34, 26, 196), blue(158, 84, 8), white(240, 242, 242), black(24, 22, 22), yellow(20, 190, 245),
    grey(132, 130, 130), green(80, 160, 30);
}  // namespace paint

/// Draws into a square picture (8-bit, one or three channels) that it shares. Widths and radii are in the same units.
class Canvas {
 public:
  using Points = std::initializer_list<cv::Point2d>;
  explicit Canvas(cv::Mat picture) : picture_(std::move(picture)) {}
  /// The same picture, whose middle and half side are `origin` and `scale` for what is drawn.
  [[nodiscard]] Canvas within(cv::Point2d origin, double scale) const;

  void disc(cv::Point2d centre, double radius, const cv::Scalar& colour);
  void ellipse(cv::Point2d centre, cv::Size2d radii, double degrees, const cv::Scalar& colour);
  void ring(cv::Point2d centre, double radius, double width, const cv::Scalar& colour);
  /// Of a circle, clockwise from `from` to `to` degrees; 0 is to the right.
  void arc(cv::Point2d centre, double radius, double from, double to, double width, const cv::Scalar& colour);
  /// The upper half of an ellipse, on a level ground.
  void mound(cv::Point2d foot, cv::Size2d radii, const cv::Scalar& colour);
  void polygon(Points corners, const cv::Scalar& colour);
  void polygon(std::span<const cv::Point2d> corners, const cv::Scalar& colour);
  /// A polygon whose corners are rounded: it grows by `radius` on every side.
  void rounded(std::span<const cv::Point2d> corners, double radius, const cv::Scalar& colour);
  /// A line through the points with round ends and joints.
  void stroke(Points points, double width, const cv::Scalar& colour);
  /// A triangle at `tip` that points away from `from`.
  void arrowhead(cv::Point2d from, cv::Point2d tip, double length, double width, const cv::Scalar& colour);
  /// Centred, with capitals of this height.
  void text(const std::string& text, cv::Point2d centre, double height, double width, double stroke,
            const cv::Scalar& colour);

 private:
  [[nodiscard]] double pixels(double length) const { return length * scale_ * picture_.cols / 2; }
  [[nodiscard]] cv::Point2d pixel(cv::Point2d p) const;  ///< its place in the picture, from the corner of the first
  [[nodiscard]] cv::Point place(cv::Point2d p) const;    ///< as OpenCV's lines want it: in 1/256 pixels
  cv::Mat picture_;
  cv::Point2d origin_;
  double scale_ = 1;
};

}  // namespace rtmdl
