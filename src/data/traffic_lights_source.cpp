#include "data/canvas.h"
#include "data/drawn_scene.h"
#include "data/drawn_source.h"
#include "data/picture_views.h"
#include "data/sources.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

constexpr DrawnCounts kLightCounts{4000, 128, 500, 128};
constexpr int kPatch = 256;                              // side of the picture that a light is drawn on
constexpr double kHalfWidth = 0.36, kHalfHeight = 0.94;  // of the housing on it
enum Lamp { kRed, kYellow, kGreen, kOff };

/// A light from the front, and what it gives off: each blue, green and red on a patch.
struct Light {
  cv::Mat body;   ///< with opacity
  cv::Mat shine;  ///< black but for the lamp that is lit
};

Light draw_light(int state, Random& random) {
  static const std::array<cv::Scalar, 3> kGlass{cv::Scalar(25, 20, 70), cv::Scalar(20, 60, 75), cv::Scalar(45, 60, 20)};
  static const std::array<cv::Scalar, 3> kShine{cv::Scalar(50, 40, 255), cv::Scalar(40, 190, 255),
                                                cv::Scalar(170, 255, 60)};
  static const std::array<cv::Scalar, 3> kHousing{cv::Scalar(32, 30, 30), cv::Scalar(50, 62, 40),
                                                  cv::Scalar(30, 150, 190)};
  cv::Mat face(kPatch, kPatch, CV_8UC3, cv::Scalar::all(30)), outline = cv::Mat::zeros(kPatch, kPatch, CV_8U);
  Light light;
  light.shine = cv::Mat::zeros(kPatch, kPatch, CV_8UC3);
  constexpr double kRounding = 0.06;
  const cv::Point2d corners[] = {{-kHalfWidth + kRounding, -kHalfHeight + kRounding},
                                 {kHalfWidth - kRounding, -kHalfHeight + kRounding},
                                 {kHalfWidth - kRounding, kHalfHeight - kRounding},
                                 {-kHalfWidth + kRounding, kHalfHeight - kRounding}};
  Canvas(outline).rounded(corners, kRounding, cv::Scalar(255));
  Canvas canvas(face), shine(light.shine);
  const cv::Scalar housing = kHousing[random.unit() < 0.6 ? 0 : 1 + random.below(2)];
  canvas.rounded(corners, kRounding, housing);
  for (int lamp = 0; lamp < 3; ++lamp) {
    const cv::Point2d at(0, 0.6 * (lamp - 1));
    canvas.disc(at, 0.28, housing * 0.6);
    canvas.disc(at, 0.24, kGlass[static_cast<std::size_t>(lamp)]);
    canvas.arc(at, 0.28, 190, 350, 0.07, housing * 0.45);  // the hood
    if (lamp != state) continue;
    const cv::Scalar colour = kShine[static_cast<std::size_t>(lamp)];
    shine.disc(at, 0.23, colour * random.between(0.75, 1.0));
    shine.disc(at, 0.13, colour * 0.5 + cv::Scalar::all(120));
  }
  cv::merge(std::vector<cv::Mat>{face, outline}, light.body);
  return light;
}

/// Street and town: nothing in it is a traffic light, but much is red, yellow and green.
class Street {
 public:
  Street(cv::Size size, bool night, Random& random)
      : picture(size, CV_8UC3), size_(size), night_(night), dim_(night ? 0.3 : 1), random_(random) {
    horizon_ = static_cast<int>(random_.between(0.5, 0.72) * size.height);
    paint_sky_and_ground();
    for (std::uint32_t k = 0, houses = 3 + random_.below(6); k < houses; ++k) add_house();
    for (std::uint32_t k = 0, trees = random_.below(5); k < trees; ++k) add_tree();
    add_road();
    for (std::uint32_t k = 0, cars = random_.below(4); k < cars; ++k) add_car();
  }

  cv::Mat picture;

 private:
  int across(double least, double most) { return static_cast<int>(random_.between(least, most) * size_.width); }
  int down(double least, double most) { return static_cast<int>(random_.between(least, most) * size_.height); }

  void paint_sky_and_ground() {
    cv::Scalar zenith{random_.between(180, 240), random_.between(140, 200), random_.between(90, 180)};
    cv::Scalar low(225, 215, 205);
    ground_ = cv::Scalar::all(random_.between(85, 125) * dim_);
    if (night_) zenith = cv::Scalar(40, 25, 18), low = cv::Scalar(60, 50, 50);
    for (int y = 0; y < size_.height; ++y) {
      const double share = std::min(1.0, static_cast<double>(y) / horizon_);
      picture.row(y).setTo(y < horizon_ ? zenith * (1 - share) + low * share : ground_);
    }
  }

  void add_house() {
    const cv::Point corner{across(-0.1, 0.95), horizon_ - down(0.08, 0.45)};
    const cv::Rect house(corner, cv::Size(across(0.08, 0.3), size_.height));
    const cv::Rect front = house & cv::Rect(0, 0, size_.width, horizon_);
    const double base = random_.between(70, 190) * dim_;
    const cv::Scalar wall{base * random_.between(0.75, 1), base * random_.between(0.85, 1), base};
    cv::rectangle(picture, front, wall, cv::FILLED);
    const int step = std::max(6, across(0.02, 0.045));
    for (int y = house.y + step / 2; y + step / 2 < horizon_; y += step)
      for (int x = house.x + step / 2; x + step / 2 < house.br().x; x += step) {
        const bool lit = random_.unit() < 0.3 && night_;
        const double pane = random_.between(30, 110) * dim_;
        cv::rectangle(picture, cv::Rect(x, y, step / 2, step / 2) & front,
                      lit ? cv::Scalar(90, 170, 210) : cv::Scalar::all(pane), cv::FILLED);
      }
  }

  void add_tree() {
    const cv::Point crown{across(0, 1), horizon_ - down(0, 0.25)};
    for (int leaf = 0; leaf < 40; ++leaf) {
      const cv::Point at{crown.x + across(-0.09, 0.09), crown.y + down(-0.1, 0.1)};
      const int radius = 2 + across(0.005, 0.03);
      const cv::Scalar colour{random_.between(20, 60), random_.between(60, 130), random_.between(25, 80)};
      cv::circle(picture, at, radius, colour * dim_, cv::FILLED, cv::LINE_AA);
    }
  }

  void add_road() {
    const int vanishing = across(0.3, 0.7), w = size_.width, h = size_.height;
    cv::fillConvexPoly(
        picture,
        std::vector<cv::Point>{
            {vanishing - w / 50, horizon_}, {vanishing + w / 50, horizon_}, {w * 11 / 10, h}, {-w / 10, h}},
        ground_ * 0.7, cv::LINE_AA);
    const auto at = [&](double share) {
      return cv::Point(static_cast<int>(vanishing + (w / 2.0 - vanishing) * share),
                       static_cast<int>(horizon_ + (h - horizon_) * share));
    };
    for (int k = 0; k < 5; ++k) {  // the line in the middle
      const double near = 1.0 / (1 + 2 * k), far = 1.0 / (1.9 + 2 * k);
      cv::line(picture, at(near), at(far), cv::Scalar::all(220 * dim_), std::max(1, static_cast<int>(0.012 * w * near)),
               cv::LINE_AA);
    }
  }

  void add_car() {
    const double share = random_.between(0.1, 0.8), width = 0.3 * share * size_.width;
    const double x = across(0.1, 0.9), y = horizon_ + (size_.height - horizon_) * share;
    const cv::Scalar body{random_.between(20, 230), random_.between(20, 230), random_.between(20, 230)};
    const double lamp = random_.between(130, 255);
    cv::rectangle(picture, cv::Rect2d(x - width / 2, y - width * 0.5, width, width * 0.5), body * dim_, cv::FILLED);
    cv::rectangle(picture, cv::Rect2d(x - width * 0.38, y - width * 0.82, width * 0.76, width * 0.34),
                  body * dim_ * 0.5, cv::FILLED);
    for (const double side : {-0.42, 0.42})
      cv::circle(picture, cv::Point2d(x + side * width, y - width * 0.36), std::max(1, static_cast<int>(width * 0.06)),
                 cv::Scalar(40, 30, lamp), cv::FILLED, cv::LINE_AA);
  }

  cv::Size size_;
  bool night_;
  double dim_;
  Random& random_;
  int horizon_ = 0;
  cv::Scalar ground_;
};

struct Pose {
  double height = 0;  ///< of the housing, pixels
  double angle = 0;   ///< degrees
  double narrow = 1;  ///< seen from the side
  cv::Point2d centre;
  cv::Rect2d around;  ///< a little more than what it covers
};

Pose random_pose(cv::Size size, Random& random) {
  Pose pose;
  pose.height = size.height * std::exp(random.between(std::log(0.09), std::log(0.36)));
  pose.angle = random.between(-8, 8);
  if (random.unit() < 0.1) pose.angle += 90;  // lies on its side, as over some streets
  pose.narrow = random.between(0.75, 1.0);
  const double a = pose.angle * CV_PI / 180, w = pose.height * kHalfWidth / kHalfHeight * pose.narrow;
  const cv::Size2d span(std::abs(w * std::cos(a)) + std::abs(pose.height * std::sin(a)) + 4,
                        std::abs(w * std::sin(a)) + std::abs(pose.height * std::cos(a)) + 4);
  pose.centre = {random.between(span.width / 2, std::max(span.width / 2 + 1, size.width - span.width / 2)),
                 random.between(span.height / 2, std::max(span.height / 2 + 1, 0.72 * size.height - span.height / 2))};
  pose.around = {pose.centre.x - span.width / 2, pose.centre.y - span.height / 2, span.width, span.height};
  return pose;
}

class TrafficLightsSource final : public DrawnSource {
 public:
  TrafficLightsSource(const ConfigNode& data, std::uint64_t seed)
      : DrawnSource(data, seed, kLightCounts, "traffic lights 1") {
    data.allow({"source", "size", "classes", "count"});
    if (const auto size = data["size"]; size.present()) {
      size_ = size.is_list() ? parse_size(size) : cv::Size(1, 1) * static_cast<int>(size.integer(64, 2048));
      if (std::min(size_.width, size_.height) < 64 || std::max(size_.width, size_.height) > 2048)
        size.fail("expected one side, or [width, height], of 64 to 2048 pixels");
    }
    if (const auto classes = data["classes"]; classes.present()) classes_ = static_cast<int>(classes.integer(3, 4));
  }

  bool has_boxes() const override { return true; }
  int classes() const override { return classes_; }

 private:
  cv::Size picture_size() const override { return size_; }

  void draw(Split s, std::size_t p, cv::Mat picture, Frame& frame) override {
    Random chance = random(s, p);
    const bool night = chance.unit() < 0.2;
    cv::Mat scene = Street(size_, night, chance).picture;
    std::vector<Pose> poses;
    const std::size_t wanted = 1 + chance.below(3);
    for (int tries = 0; tries < 40 && poses.size() < wanted; ++tries) {
      const Pose pose = random_pose(size_, chance);
      if (std::none_of(poses.begin(), poses.end(), [&](const Pose& o) { return (o.around & pose.around).area() > 0; }))
        poses.push_back(pose);
    }
    for (const Pose& pose : poses) add_post(scene, pose, night, chance);  // first: none may stand before a light
    for (const Pose& pose : poses) {
      const int state = static_cast<int>(chance.below(static_cast<std::uint32_t>(classes_)));
      frame.boxes.push_back(hang(scene, pose, state, night, chance));
    }
    Exposure exposure;
    exposure.least_gain = 0.5;
    exposure.blur = std::max(0.6, size_.height / 400.0);
    exposure.motion = std::max(1.5, size_.height / 160.0);
    photograph(scene, size_, exposure, chance).copyTo(picture);
  }

  void add_post(cv::Mat& scene, const Pose& pose, bool night, Random& random) const {
    const int width = std::max(1, static_cast<int>(pose.height * 0.08));
    const double grey = random.between(50, 130);
    const bool stands = random.unit() < 0.7, from_left = random.unit() < 0.5;
    const cv::Point2d ground(pose.centre.x, size_.height);
    const cv::Point2d side(from_left ? 0 : size_.width, pose.centre.y - pose.height * 0.45);
    cv::line(scene, pose.centre, stands ? ground : side, cv::Scalar::all(night ? 25 : grey), width, cv::LINE_AA);
  }

  /// Draws a light into the scene; gives the box of its housing.
  static LabelledBox hang(cv::Mat& scene, const Pose& pose, int state, bool night, Random& random) {
    Light light = draw_light(state, random);
    // Reduced by area beforehand, or its lamps would alias; and only what is near it is touched.
    const int patch = std::clamp(static_cast<int>(pose.height * 1.25), 16, kPatch);
    for (cv::Mat* layer : {&light.body, &light.shine}) {
      cv::Mat reduced;
      cv::resize(*layer, reduced, {patch, patch}, 0, 0, cv::INTER_AREA);
      *layer = reduced;
    }
    const int halo = static_cast<int>(pose.height * 0.4) + 3;
    const cv::Rect near =
        cv::Rect(static_cast<int>(pose.around.x) - halo, static_cast<int>(pose.around.y) - halo,
                 static_cast<int>(pose.around.width) + 2 * halo, static_cast<int>(pose.around.height) + 2 * halo) &
        cv::Rect({0, 0}, scene.size());
    cv::Mat part = scene(near);
    const double scale = pose.height / (kHalfHeight * patch), a = pose.angle * CV_PI / 180, half = (patch - 1) / 2.0;
    cv::Matx23d map(scale * pose.narrow * std::cos(a), -scale * std::sin(a), 0, scale * pose.narrow * std::sin(a),
                    scale * std::cos(a), 0);
    map(0, 2) = pose.centre.x - near.x - (map(0, 0) + map(0, 1)) * half;
    map(1, 2) = pose.centre.y - near.y - (map(1, 0) + map(1, 1)) * half;
    cv::Mat body, shine;
    cv::warpAffine(light.body, body, map, part.size(), cv::INTER_LINEAR, cv::BORDER_CONSTANT, cv::Scalar::all(0));
    cv::warpAffine(light.shine, shine, map, part.size(), cv::INTER_LINEAR, cv::BORDER_CONSTANT, cv::Scalar::all(0));
    if (night) {
      cv::Mat dark;
      cv::multiply(body, cv::Scalar(0.4, 0.4, 0.4, 1), dark);
      body = dark;
    }
    lay_over(body, part);
    if (state != kOff) {
      cv::Mat glow;
      cv::GaussianBlur(shine, glow, {}, std::max(1.0, pose.height * (night ? 0.12 : 0.05)));
      cv::max(part, shine, part);
      cv::addWeighted(part, 1, glow, night ? 0.9 : 0.4, 0, part);
    }
    cv::Mat opacity;
    cv::extractChannel(body, opacity, 3);
    const cv::Rect box = cv::boundingRect(opacity > 127) + near.tl();
    return {static_cast<float>(box.x),
            static_cast<float>(box.y),
            static_cast<float>(box.br().x),
            static_cast<float>(box.br().y),
            state,
            false};
  }

  cv::Size size_{416, 416};
  int classes_ = 3;
};

}  // namespace

std::unique_ptr<Source> open_traffic_lights(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<TrafficLightsSource>(data, seed);
}

}  // namespace rtmdl
