#include "data/postprocess_kinds.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rtmdl {
namespace {

/// Text regions from a probability map, after DB (Liao et al. 2020, section 3.6). Where we differ: boxes are
/// axis-aligned, and a box's score is the mean over its component, not over its rectangle.
class ScoreMap final : public Postprocess {
 public:
  ScoreMap(const ConfigNode& post, OutputSpecs outputs) {
    post.allow({"kind", "output", "threshold", "box_threshold", "unclip", "min_area", "max", "sigmoid"});
    output_ = find_output(post["output"], outputs, 0);
    require_floats(post, outputs[output_]);
    if (const auto v = post["threshold"]; v.present()) threshold_ = static_cast<float>(v.number(0, 1));
    if (const auto v = post["box_threshold"]; v.present()) box_threshold_ = static_cast<float>(v.number(0, 1));
    if (const auto v = post["unclip"]; v.present()) unclip_ = static_cast<float>(v.number(0, 100));
    if (const auto v = post["min_area"]; v.present()) min_area_ = static_cast<int>(v.integer(1, 1 << 30));
    if (const auto v = post["sigmoid"]; v.present()) sigmoid_ = v.boolean();
    // sigmoid is monotonic: compare in logits, convert the few that remain
    least_ = sigmoid_ ? std::log(threshold_ / (1 - threshold_)) : threshold_;
    if (const auto v = post["max"]; v.present()) most_ = static_cast<std::size_t>(v.integer(1, 1 << 16));
    reserved_ = known_count(outputs[output_]);
    pending_.reserve(reserved_);
    seen_.reserve(reserved_);
  }

  bool run(OutputViews outputs, const Geometry& geometry, Result& result) noexcept override {
    result.clear();
    if (output_ >= outputs.size() || !is_sound(outputs[output_]) || !find_size(outputs[output_].shape)) return false;
    const auto map = outputs[output_].as<float>();
    reserved_ = std::max(reserved_, map.size());
    pending_.reserve(reserved_);
    result.mask_width = width_;
    result.mask_height = height_;
    result.mask.resize(map.size());
    seen_.resize(map.size());
    binarise(map.data(), map.size(), least_, result.mask.data(), seen_.data());
    const std::uint8_t* const begin = seen_.data();
    const std::uint8_t* const end = begin + seen_.size();
    for (const void* open = begin; result.boxes.size() < most_;) {
      const auto* from = static_cast<const std::uint8_t*>(open);
      open = std::memchr(from, 0, static_cast<std::size_t>(end - from));
      if (!open) break;
      const auto at = static_cast<int>(static_cast<const std::uint8_t*>(open) - begin);
      add_component(at % width_, at / width_, map, geometry, result);
    }
    return true;
  }

  void prepare(Result& result) const override {
    result.boxes.reserve(most_);
    result.mask.reserve(reserved_);
  }

 private:
  bool find_size(std::span<const std::int64_t> shape) noexcept {
    std::int64_t h = 0, w = 0;
    if (shape.size() == 4 && shape[0] == 1 && shape[1] == 1) {
      h = shape[2], w = shape[3];
    } else if (shape.size() == 4 && shape[0] == 1 && shape[3] == 1) {
      h = shape[1], w = shape[2];
    } else if (shape.size() == 3 && shape[0] == 1) {
      h = shape[1], w = shape[2];
    } else if (shape.size() == 2) {
      h = shape[0], w = shape[1];
    }
    height_ = static_cast<int>(h);
    width_ = static_cast<int>(w);
    return h > 0 && w > 0;
  }

  struct Run {
    std::int32_t y, x0, x1;  // x1 included
  };
  struct Component {
    int x0, y0, x1, y1, area = 0;
    double sum = 0;
  };

  std::size_t place(int x, int y) const noexcept {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x);
  }

  /// What is below the threshold needs no visit. Blocks of a fixed size, so that the compiler makes vector code of it
  /// at -O2.
  static void binarise(const float* __restrict map, std::size_t n, float threshold, std::uint8_t* __restrict mask,
                       std::uint8_t* __restrict seen) noexcept {
    constexpr std::size_t kBlock = 16;
    std::size_t i = 0;
    for (; i + kBlock <= n; i += kBlock) {
      for (std::size_t j = 0; j < kBlock; ++j) mask[i + j] = map[i + j] > threshold;
      for (std::size_t j = 0; j < kBlock; ++j) seen[i + j] = mask[i + j] ^ 1;
    }
    for (; i < n; ++i) {
      mask[i] = map[i] > threshold;
      seen[i] = mask[i] ^ 1;
    }
  }

  /// The whole run of open places around (x, y), marked and counted.
  Run take_run(int x, int y, std::span<const float> map, Component& c) noexcept {
    int x0 = x, x1 = x;
    while (x0 > 0 && !seen_[place(x0 - 1, y)]) --x0;
    while (x1 + 1 < width_ && !seen_[place(x1 + 1, y)]) ++x1;
    float sum = 0;
    for (int i = x0; i <= x1; ++i) {
      seen_[place(i, y)] = 1;
      const float v = map[place(i, y)];
      sum += sigmoid_ ? 1 / (1 + std::exp(-v)) : v;
    }
    c.x0 = std::min(c.x0, x0), c.x1 = std::max(c.x1, x1), c.y0 = std::min(c.y0, y), c.y1 = std::max(c.y1, y);
    c.area += x1 - x0 + 1;
    c.sum += sum;
    return {y, x0, x1};
  }

  /// Flood fill by runs, with 8 neighbours. A run is pushed once, so `pending_` never outgrows the map.
  void add_component(int start_x, int start_y, std::span<const float> map, const Geometry& g, Result& result) noexcept {
    Component c{start_x, start_y, start_x, start_y};
    pending_.clear();
    pending_.push_back(take_run(start_x, start_y, map, c));
    while (!pending_.empty()) {
      const Run run = pending_.back();
      pending_.pop_back();
      for (const int y : {run.y - 1, run.y + 1}) {
        if (y < 0 || y >= height_) continue;
        const int last = std::min(width_ - 1, run.x1 + 1);
        for (int x = std::max(0, run.x0 - 1); x <= last; ++x) {
          if (seen_[place(x, y)]) continue;
          pending_.push_back(take_run(x, y, map, c));
          x = pending_.back().x1;
        }
      }
    }
    add_box(c, g, result);
  }

  void add_box(const Component& c, const Geometry& g, Result& result) const noexcept {
    const auto score = static_cast<float>(c.sum / c.area);
    if (c.area < min_area_ || score < box_threshold_) return;
    const auto w = static_cast<float>(c.x1 - c.x0 + 1), h = static_cast<float>(c.y1 - c.y0 + 1);
    const float grow = w * h * unclip_ / (2 * (w + h));  // equation 10
    const float sx = static_cast<float>(g.input_width) / static_cast<float>(width_),
                sy = static_cast<float>(g.input_height) / static_cast<float>(height_);
    result.boxes.push_back(to_frame(
        g, {(static_cast<float>(c.x0) - grow) * sx, (static_cast<float>(c.y0) - grow) * sy,
            (static_cast<float>(c.x1 + 1) + grow) * sx, (static_cast<float>(c.y1 + 1) + grow) * sy, score, 0}));
  }

  std::size_t output_ = 0;
  bool sigmoid_ = false;
  float least_ = 0;  // what a place must exceed
  float threshold_ = 0.3f, box_threshold_ = 0.6f, unclip_ = 1.5f;
  int min_area_ = 9;
  std::size_t most_ = 256;
  int width_ = 0, height_ = 0;
  std::size_t reserved_ = 0;
  std::vector<std::uint8_t> seen_;
  std::vector<Run> pending_;
};

}  // namespace

std::unique_ptr<Postprocess> make_score_map(const ConfigNode& post, OutputSpecs outputs) {
  return std::make_unique<ScoreMap>(post, outputs);
}

}  // namespace rtmdl
