#include "data/input_files.h"
#include "data/picture_views.h"
#include "data/sources.h"

#include <algorithm>

#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

constexpr std::size_t kCalibration = 64, kEvaluation = 200, kTraining = 2048;

/// A gradient with noise and moving rectangles, or uniform noise in −1..1 where a tensor is wanted.
class SyntheticSource final : public Source {
 public:
  SyntheticSource(const ConfigNode& data, std::uint64_t seed) : seed_(seed) {
    data.allow({"source", "size", "shape", "frames"});
    size_ = parse_size(data["size"]);
    if (const auto shape = data["shape"]; shape.present()) {
      if (!size_.empty()) shape.fail("either `size` (pictures) or `shape` (tensors) is accepted, not both");
      shape_ = shape.integers();
      for (const std::int64_t d : shape_)
        if (d < 1 || d > 1 << 24) shape.fail("each dimension is 1 to 2^24");
      if (shape_.empty() || shape_.size() > 8 || element_count(shape_) > 1u << 26)
        shape.fail("expected 1 to 8 dimensions, at most 2^26 elements in all");
    }
    if (size_.empty() && shape_.empty()) size_ = {640, 480};
    if (const auto frames = data["frames"]; frames.present())
      frames_ = static_cast<std::size_t>(frames.integer(1, 1 << 20));
    fingerprint_ = fingerprint_of(data, seed, {});
  }

  std::size_t size(Split s) const override {
    switch (s) {
      case Split::calibration: return kCalibration;
      case Split::evaluation: return kEvaluation;
      case Split::stream: return frames_;
      case Split::training: return kTraining;
    }
    return 0;
  }

  Frame read(Split s, std::size_t i) override {
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    const std::uint64_t why = purpose::of(s);
    Random noise(seed_, why, i);
    if (!shape_.empty()) {
      frame.tensor = Tensor(ElementType::f32, shape_);
      for (float& v : frame.tensor.as<float>()) v = static_cast<float>(noise.between(-1, 1));
      return frame;
    }
    frame.image = paint(Random(seed_, why, s == Split::stream ? 0 : i), noise, s == Split::stream ? i : 0);
    return frame;
  }

  bool synthetic() const override { return true; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  /// `scene` places the rectangles and gives them their speed; `step` moves them.
  cv::Mat paint(Random scene, Random noise, std::size_t step) const {
    cv::Mat image(size_, CV_8UC3);
    const double tilt = scene.between(-1, 1);
    for (int y = 0; y < image.rows; ++y) {
      auto* row = image.ptr<cv::Vec3b>(y);
      for (int x = 0; x < image.cols; ++x) {
        const double g = 60 + 120 * (0.5 + 0.25 * (tilt * x / image.cols + static_cast<double>(y) / image.rows));
        const auto n = static_cast<int>(noise.below(17)) - 8;
        for (int c = 0; c < 3; ++c) row[x][c] = cv::saturate_cast<std::uint8_t>(g + 20 * c + n);
      }
    }
    for (int r = 0; r < 6; ++r) {
      const double w = scene.between(0.05, 0.3) * image.cols, h = scene.between(0.05, 0.3) * image.rows;
      const double vx = scene.between(-8, 8), vy = scene.between(-8, 8);
      const double x0 = scene.between(0, image.cols), y0 = scene.between(0, image.rows);
      const auto wrapped = [](double v, double n) { return v - n * std::floor(v / n); };
      const cv::Rect at(static_cast<int>(wrapped(x0 + vx * static_cast<double>(step), image.cols) - w / 2),
                        static_cast<int>(wrapped(y0 + vy * static_cast<double>(step), image.rows) - h / 2),
                        static_cast<int>(w) + 1, static_cast<int>(h) + 1);
      const cv::Scalar colour(scene.below(256), scene.below(256), scene.below(256));
      cv::rectangle(image, at, colour, cv::FILLED);
    }
    return image;
  }

  std::uint64_t seed_;
  cv::Size size_;
  std::vector<std::int64_t> shape_;
  std::size_t frames_ = 64;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Source> open_synthetic(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<SyntheticSource>(data, seed);
}

}  // namespace rtmdl
