#include "data/sign_shapes.h"

#include "data/canvas.h"

#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

using namespace paint;
constexpr int kPlateSide = 256;

/// Face and outline are drawn by the same strokes: the outline is what is opaque.
struct Plate {
  Plate() : face(kPlateSide, kPlateSide, CV_8UC3, white), outline(cv::Mat::zeros(kPlateSide, kPlateSide, CV_8U)) {}
  cv::Mat face, outline;
};

const cv::Point2d kMiddle{0, 0};

void round_plate(Plate& plate, Canvas& face, const cv::Scalar& colour) {
  Canvas(plate.outline).disc(kMiddle, 0.98, cv::Scalar(255));
  face.disc(kMiddle, 0.95, colour);
}

void prohibition(Plate& plate, Canvas& face) {
  round_plate(plate, face, red);
  face.disc(kMiddle, 0.7, white);
}

std::array<cv::Point2d, 3> triangle(double inset, bool downwards) {
  // Equilateral, its centre of gravity a little below the middle so that it fills the plate.
  const double r = 0.98 - 2 * inset, y = 0.16;
  std::array<cv::Point2d, 3> corners{
      cv::Point2d{0, y - r}, {r * std::sqrt(3.0) / 2, y + r / 2}, {-r * std::sqrt(3.0) / 2, y + r / 2}};
  if (downwards)
    for (cv::Point2d& c : corners) c.y = -c.y;
  return corners;
}

void red_triangle(Plate& plate, Canvas& face, bool downwards) {
  constexpr double kRounding = 0.1;
  Canvas(plate.outline).rounded(triangle(0, downwards), kRounding, cv::Scalar(255));
  face.rounded(triangle(0.005, downwards), kRounding * 0.8, red);
  face.rounded(triangle(0.15, downwards), 0.01, white);
}

void end_of(Plate& plate, Canvas& face) {
  Canvas(plate.outline).disc(kMiddle, 0.98, cv::Scalar(255));
  face.ring(kMiddle, 0.93, 0.03, grey);
}

/// Five thin strokes from below left to above right.
void strike_out(Canvas& face) {
  const double half = 0.9 / std::sqrt(2.0);
  for (const double shift : {-0.2, -0.1, 0.0, 0.1, 0.2})
    face.stroke({{-half + shift * 0.7, half + shift * 0.7 - 0.02}, {half + shift * 0.7, -half + shift * 0.7 + 0.02}},
                0.04, black);
}

void limit(Plate& plate, Canvas& face, const std::string& number) {
  prohibition(plate, face);
  const bool three = number.size() == 3;
  face.text(number, kMiddle, 0.66, three ? 1.06 : 0.88, three ? 0.13 : 0.15, black);
}

void priority_road(Plate& plate, Canvas& face) {
  const auto diamond = [](double r) { return std::array<cv::Point2d, 4>{cv::Point2d{0, -r}, {r, 0}, {0, r}, {-r, 0}}; };
  Canvas(plate.outline).rounded(diamond(0.9), 0.06, cv::Scalar(255));
  face.rounded(diamond(0.93), 0.02, black);
  face.rounded(diamond(0.88), 0.02, white);
  face.rounded(diamond(0.54), 0.04, yellow);
}

void stop(Plate& plate, Canvas& face) {
  const auto octagon = [](double r) {
    std::array<cv::Point2d, 8> corners;
    for (std::size_t k = 0; k < 8; ++k) {
      const double a = (static_cast<double>(k) + 0.5) * std::numbers::pi / 4;
      corners[k] = {r * std::cos(a), r * std::sin(a)};
    }
    return corners;
  };
  Canvas(plate.outline).polygon(octagon(1.03), cv::Scalar(255));
  face.polygon(octagon(0.97), red);
  face.text("STOP", kMiddle, 0.56, 1.5, 0.13, white);
}

void no_entry(Plate& plate, Canvas& face) {
  round_plate(plate, face, red);
  face.polygon({{-0.68, -0.18}, {0.68, -0.18}, {0.68, 0.18}, {-0.68, 0.18}}, white);
}

void arrow(Canvas& face, Canvas::Points way, cv::Point2d tip) {
  face.stroke(way, 0.22, white);
  face.arrowhead(*(way.end() - 1), tip, 0.42, 0.62, white);
}

void roundabout(Canvas& face) {
  for (int k = 0; k < 3; ++k) {
    // Anticlockwise on the road is anticlockwise here.
    const double from = 120.0 * k + 42, to = 120.0 * k + 118;
    face.arc(kMiddle, 0.52, from, to, 0.17, white);
    const auto at = [](double degrees, double r) {
      const double a = degrees * std::numbers::pi / 180;
      return cv::Point2d(r * std::cos(a), r * std::sin(a));
    };
    const cv::Point2d base = at(from + 4, 0.52), tip = at(from - 34, 0.54);
    face.arrowhead(base, tip, cv::norm(tip - base), 0.44, white);
  }
}

void mandatory(Plate& plate, Canvas& face, int label) {
  round_plate(plate, face, blue);
  const auto turn = [&](double s) {
    arrow(face, {{-0.26 * s, 0.6}, {-0.26 * s, -0.06}, {0.2 * s, -0.06}}, {0.66 * s, -0.06});
  };
  const auto fork = [&](double s) {
    arrow(face, {{-0.2 * s, 0.66}, {-0.2 * s, -0.3}}, {-0.2 * s, -0.72});
    arrow(face, {{-0.2 * s, 0.34}, {-0.02 * s, 0.1}, {0.2 * s, 0.1}}, {0.66 * s, 0.1});
  };
  switch (label) {
    case 33: turn(1); break;
    case 34: turn(-1); break;
    case 35: arrow(face, {{0, 0.68}, {0, -0.3}}, {0, -0.74}); break;
    case 36: fork(1); break;
    case 37: fork(-1); break;
    case 38: arrow(face, {{-0.44, -0.44}, {0.16, 0.16}}, {0.52, 0.52}); break;
    case 39: arrow(face, {{0.44, -0.44}, {-0.16, 0.16}}, {-0.52, 0.52}); break;
    default: roundabout(face); break;
  }
}

void warning(Plate& plate, Canvas& whole, int label) {
  red_triangle(plate, whole, false);
  Canvas face = whole.within({0, 0}, 0.84);
  switch (label) {
    case 11: pictogram::crossing_with_priority(face); break;
    case 18: pictogram::exclamation_mark(face); break;
    case 19: pictogram::bend(face, false); break;
    case 20: pictogram::bend(face, true); break;
    case 21: pictogram::double_bend(face); break;
    case 22: pictogram::bumps(face); break;
    case 23: pictogram::skidding_car(face); break;
    case 24: pictogram::narrowing_on_the_right(face); break;
    case 25: pictogram::worker(face); break;
    case 26: pictogram::traffic_light(face); break;
    case 27: pictogram::pedestrian(face); break;
    case 28: pictogram::children(face); break;
    case 29: pictogram::bicycle(face); break;
    case 30: pictogram::snowflake(face); break;
    default: pictogram::deer(face); break;
  }
}

void overtaking(Canvas& face, bool lorry, const cv::Scalar& left, const cv::Scalar& right) {
  if (lorry) pictogram::lorry(face, {-0.22, -0.02}, 0.42, left);
  else pictogram::car(face, {-0.3, 0.02}, 0.38, left);
  pictogram::car(face, {lorry ? 0.38 : 0.32, 0.02}, lorry ? 0.3 : 0.38, right);
}

void draw(Plate& plate, Canvas& face, int label) {
  static const std::array<const char*, 9> kLimits{"20", "30", "50", "60", "70", "80", "", "100", "120"};
  if (label <= 8 && label != 6) return limit(plate, face, kLimits[static_cast<std::size_t>(label)]);
  switch (label) {
    case 6:
      end_of(plate, face);
      face.text("80", kMiddle, 0.7, 0.96, 0.14, grey);
      return strike_out(face);
    case 9: prohibition(plate, face); return overtaking(face, false, red, black);
    case 10: prohibition(plate, face); return overtaking(face, true, red, black);
    case 12: return priority_road(plate, face);
    case 13: return red_triangle(plate, face, true);
    case 14: return stop(plate, face);
    case 15: return prohibition(plate, face);
    case 16: prohibition(plate, face); return pictogram::lorry(face, {0, 0.02}, 0.56, black);
    case 17: return no_entry(plate, face);
    case 32: end_of(plate, face); return strike_out(face);
    case 41:
      end_of(plate, face);
      overtaking(face, false, grey, grey);
      return strike_out(face);
    case 42:
      end_of(plate, face);
      overtaking(face, true, grey, grey);
      return strike_out(face);
    default: break;
  }
  if (label >= 33 && label <= 40) return mandatory(plate, face, label);
  warning(plate, face, label);
}

}  // namespace

cv::Mat draw_sign(int label) {
  Plate plate;
  Canvas face(plate.face);
  draw(plate, face, label);
  cv::Mat sign;
  cv::merge(std::vector<cv::Mat>{plate.face, plate.outline}, sign);
  return sign;
}

}  // namespace rtmdl
