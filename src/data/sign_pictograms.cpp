#include "data/canvas.h"
#include "data/sign_shapes.h"

#include <cmath>
#include <numbers>

namespace rtmdl::pictogram {
namespace {

using paint::black;

cv::Point2d turned(cv::Point2d v, double degrees) {
  const double a = degrees * std::numbers::pi / 180;
  return {v.x * std::cos(a) - v.y * std::sin(a), v.x * std::sin(a) + v.y * std::cos(a)};
}

/// A person who walks to the left: `at` is between the feet, `size` the height.
void walker(Canvas& canvas, cv::Point2d at, double size) {
  const auto p = [&](double x, double y) { return cv::Point2d(at.x + x * size, at.y + y * size); };
  canvas.disc(p(-0.02, -0.9), 0.1 * size, black);
  canvas.stroke({p(0, -0.72), p(0.02, -0.42)}, 0.2 * size, black);
  canvas.stroke({p(0.02, -0.42), p(-0.14, -0.22), p(-0.2, 0)}, 0.11 * size, black);
  canvas.stroke({p(0.02, -0.42), p(0.14, -0.22), p(0.28, -0.02)}, 0.11 * size, black);
  canvas.stroke({p(-0.02, -0.72), p(-0.2, -0.56), p(-0.26, -0.42)}, 0.08 * size, black);
  canvas.stroke({p(0.02, -0.72), p(0.2, -0.56), p(0.26, -0.46)}, 0.08 * size, black);
}

}  // namespace

void car(Canvas& canvas, cv::Point2d centre, double size, const cv::Scalar& colour) {
  const auto p = [&](double x, double y) { return centre + cv::Point2d(x, y) * size; };
  canvas.polygon({p(-0.6, -0.1), p(-0.42, -0.6), p(0.42, -0.6), p(0.6, -0.1)}, colour);
  canvas.polygon({p(-0.75, -0.12), p(0.75, -0.12), p(0.75, 0.42), p(-0.75, 0.42)}, colour);
  canvas.polygon({p(-0.72, 0.4), p(-0.4, 0.4), p(-0.4, 0.68), p(-0.72, 0.68)}, colour);
  canvas.polygon({p(0.72, 0.4), p(0.4, 0.4), p(0.4, 0.68), p(0.72, 0.68)}, colour);
  canvas.polygon({p(-0.42, -0.14), p(-0.31, -0.46), p(0.31, -0.46), p(0.42, -0.14)}, paint::white);
}

void lorry(Canvas& canvas, cv::Point2d centre, double size, const cv::Scalar& colour) {
  const auto p = [&](double x, double y) { return centre + cv::Point2d(x, y) * size; };
  canvas.polygon({p(-0.28, -0.5), p(0.9, -0.5), p(0.9, 0.32), p(-0.28, 0.32)}, colour);
  canvas.polygon({p(-0.9, 0.32), p(-0.9, 0.0), p(-0.74, -0.3), p(-0.36, -0.3), p(-0.36, 0.32)}, colour);
  canvas.polygon({p(-0.78, 0.0), p(-0.68, -0.2), p(-0.5, -0.2), p(-0.5, 0.0)}, paint::white);
  for (const double x : {-0.6, 0.3, 0.66}) canvas.disc(p(x, 0.36), 0.22 * size, paint::white);
  for (const double x : {-0.6, 0.3, 0.66}) canvas.disc(p(x, 0.38), 0.17 * size, colour);
}

void crossing_with_priority(Canvas& canvas) {
  canvas.stroke({{0, 0.52}, {0, -0.12}}, 0.2, black);
  canvas.arrowhead({0, 0.5}, {0, -0.42}, 0.36, 0.42, black);
  canvas.stroke({{-0.38, 0.26}, {0.38, 0.26}}, 0.1, black);
}

void exclamation_mark(Canvas& canvas) {
  canvas.polygon({{-0.13, -0.36}, {0.13, -0.36}, {0.07, 0.26}, {-0.07, 0.26}}, black);
  canvas.disc({0, -0.36}, 0.13, black);
  canvas.disc({0, 0.46}, 0.12, black);
}

void bend(Canvas& canvas, bool right) {
  const double s = right ? 1 : -1;
  canvas.stroke({{-0.2 * s, 0.58}, {-0.2 * s, 0.24}, {-0.14 * s, 0.08}, {0.0, -0.02}, {0.08 * s, -0.07}}, 0.17, black);
  canvas.arrowhead({0, -0.02}, {0.36 * s, -0.24}, 0.36, 0.4, black);
}

void double_bend(Canvas& canvas) {
  canvas.stroke({{0.16, 0.6}, {0.16, 0.42}, {-0.16, 0.2}, {-0.16, 0.06}, {0.1, -0.12}, {0.1, -0.2}}, 0.15, black);
  canvas.arrowhead({0.1, 0}, {0.1, -0.46}, 0.28, 0.34, black);
}

void bumps(Canvas& canvas) {
  canvas.polygon({{-0.58, 0.5}, {0.58, 0.5}, {0.58, 0.58}, {-0.58, 0.58}}, black);
  for (const double x : {-0.28, 0.28}) canvas.mound({x, 0.52}, {0.25, 0.32}, black);
}

void skidding_car(Canvas& canvas) {
  car(canvas, {0.02, -0.06}, 0.34, black);
  for (const double x : {-0.2, 0.2})
    canvas.stroke({{x - 0.06, 0.24}, {x + 0.08, 0.32}, {x - 0.08, 0.44}, {x + 0.08, 0.54}, {x, 0.62}}, 0.08, black);
}

void narrowing_on_the_right(Canvas& canvas) {
  canvas.stroke({{-0.16, 0.6}, {-0.16, -0.3}}, 0.13, black);
  canvas.stroke({{0.34, 0.6}, {0.34, 0.3}, {0.14, 0.06}, {0.14, -0.3}}, 0.13, black);
}

void worker(Canvas& canvas) {
  canvas.disc({-0.02, -0.26}, 0.1, black);
  canvas.stroke({{0.02, -0.12}, {0.14, 0.18}}, 0.17, black);
  canvas.stroke({{0.12, 0.18}, {-0.06, 0.32}, {-0.1, 0.58}}, 0.11, black);
  canvas.stroke({{0.14, 0.18}, {0.26, 0.38}, {0.36, 0.58}}, 0.11, black);
  canvas.stroke({{0.02, -0.08}, {-0.18, 0.1}}, 0.08, black);
  canvas.stroke({{0.1, 0.06}, {-0.34, 0.34}}, 0.05, black);
  canvas.mound({-0.38, 0.6}, {0.24, 0.22}, black);
}

void traffic_light(Canvas& canvas) {
  const cv::Point2d box[] = {{-0.1, -0.28}, {0.1, -0.28}, {0.1, 0.52}, {-0.1, 0.52}};
  canvas.rounded(box, 0.07, black);
  canvas.disc({0, -0.22}, 0.12, paint::red);
  canvas.disc({0, 0.12}, 0.12, paint::yellow);
  canvas.disc({0, 0.46}, 0.12, paint::green);
}

void pedestrian(Canvas& canvas) {
  walker(canvas, {0, 0.46}, 0.8);
  for (const double x : {-0.42, -0.14, 0.14, 0.42})
    canvas.polygon({{x - 0.07, 0.52}, {x + 0.07, 0.52}, {x + 0.09, 0.64}, {x - 0.09, 0.64}}, black);
}

void children(Canvas& canvas) {
  walker(canvas, {-0.22, 0.58}, 0.62);
  walker(canvas, {0.2, 0.58}, 0.8);
}

void bicycle(Canvas& canvas) {
  for (const double x : {-0.34, 0.34}) canvas.ring({x, 0.34}, 0.23, 0.07, black);
  canvas.stroke({{-0.34, 0.34}, {-0.2, 0.02}, {0.18, 0.02}, {0.34, 0.34}}, 0.06, black);
  canvas.stroke({{-0.2, 0.02}, {0.0, 0.34}, {0.18, 0.02}}, 0.06, black);
  canvas.stroke({{-0.34, 0.34}, {0.0, 0.34}}, 0.06, black);
  canvas.stroke({{-0.2, 0.02}, {-0.24, -0.1}}, 0.06, black);
  canvas.stroke({{-0.34, -0.1}, {-0.12, -0.1}}, 0.08, black);
  canvas.stroke({{0.18, 0.02}, {0.14, -0.14}, {0.3, -0.18}}, 0.06, black);
}

void snowflake(Canvas& canvas) {
  const cv::Point2d centre(0, 0.16);
  for (int arm = 0; arm < 6; ++arm) {
    const double angle = 60 * arm + 30;
    const auto p = [&](double along, double aside) { return centre + turned({along, aside}, angle); };
    canvas.stroke({centre, p(0.44, 0)}, 0.07, black);
    canvas.stroke({p(0.36, 0.14), p(0.22, 0), p(0.36, -0.14)}, 0.055, black);
  }
}

void deer(Canvas& canvas) {
  canvas.ellipse({0.06, 0.14}, {0.31, 0.12}, -18, black);
  canvas.polygon({{-0.26, 0.2}, {-0.1, 0.06}, {-0.26, -0.26}, {-0.38, -0.2}}, black);
  canvas.ellipse({-0.38, -0.22}, {0.13, 0.07}, -25, black);
  canvas.stroke({{-0.28, -0.26}, {-0.18, -0.44}}, 0.045, black);
  canvas.stroke({{-0.24, -0.34}, {-0.32, -0.46}}, 0.04, black);
  canvas.stroke({{-0.14, 0.24}, {-0.3, 0.36}, {-0.42, 0.32}}, 0.07, black);
  canvas.stroke({{-0.1, 0.26}, {-0.2, 0.46}, {-0.34, 0.5}}, 0.07, black);
  canvas.stroke({{0.28, 0.1}, {0.38, 0.32}, {0.5, 0.52}}, 0.08, black);
  canvas.stroke({{0.22, 0.14}, {0.24, 0.38}, {0.34, 0.58}}, 0.08, black);
  canvas.stroke({{0.34, 0.02}, {0.42, -0.04}}, 0.07, black);
}

}  // namespace rtmdl::pictogram
