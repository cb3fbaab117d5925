#include "data/postprocess_kinds.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace rtmdl {
namespace {

/// Line segments as M-LSD gives them (Gu et al. 2022, "Towards light-weight and real-time line segment detection",
/// section 3): a map of scores for the segments' centres, and for each place the displacements to both ends, in places
/// of the map.
class Lines final : public Postprocess {
 public:
  Lines(const ConfigNode& post, OutputSpecs outputs) {
    post.allow({"kind", "outputs", "threshold", "neighbourhood", "min_length", "sigmoid", "max"});
    const ConfigNode names = post["outputs"];
    if (names.present()) names.allow({"scores", "offsets"});
    if (outputs.size() < 2) post.fail("the model has one output; scores and offsets are two");
    const std::size_t first = outputs[0].shape.empty()                                             ? 0
                              : outputs[0].shape.back() == 1 || channels_of(outputs[0].shape) == 1 ? 0
                                                                                                   : 1;
    scores_ = find_output(names["scores"], outputs, first);
    offsets_ = find_output(names["offsets"], outputs, 1 - std::min<std::size_t>(1, scores_));
    require_floats(post, outputs[scores_]);
    require_floats(post, outputs[offsets_]);
    if (const auto v = post["threshold"]; v.present()) threshold_ = static_cast<float>(v.number(0, 1));
    if (const auto v = post["neighbourhood"]; v.present()) radius_ = static_cast<int>(v.integer(1, 63)) / 2;
    if (const auto v = post["min_length"]; v.present()) min_length_ = static_cast<float>(v.number(0, 1e6));
    if (const auto v = post["sigmoid"]; v.present()) sigmoid_ = v.boolean();
    if (const auto v = post["max"]; v.present()) most_ = static_cast<std::size_t>(v.integer(1, 1 << 16));
    found_.reserve(known_count(outputs[scores_]));
  }

  bool run(OutputViews outputs, const Geometry& g, Result& result) noexcept override {
    result.clear();
    if (std::max(scores_, offsets_) >= outputs.size() || !is_sound(outputs[scores_]) || !is_sound(outputs[offsets_]))
      return false;
    const TensorView& score_view = outputs[scores_];
    const TensorView& offset_view = outputs[offsets_];
    if (score_view.shape.size() != 4 || offset_view.shape.size() != 4 || score_view.shape[0] != 1) return false;
    const bool nhwc = offset_view.shape[3] == 4;
    height_ = static_cast<int>(offset_view.shape[nhwc ? 1 : 2]);
    width_ = static_cast<int>(offset_view.shape[nhwc ? 2 : 3]);
    const auto scores = score_view.as<float>();
    const auto offsets = offset_view.as<float>();
    if (width_ < 1 || height_ < 1 || scores.size() != places() || offsets.size() != 4 * places()) return false;
    const std::size_t step = nhwc ? 4 : 1, plane = nhwc ? 1 : places();
    const float sx = static_cast<float>(g.input_width) / static_cast<float>(width_),
                sy = static_cast<float>(g.input_height) / static_cast<float>(height_);

    // sigmoid is monotonic: compare in logits, convert the few that remain
    const float least = sigmoid_ ? std::log(threshold_ / (1 - threshold_)) : threshold_;
    found_.clear();
    found_.reserve(places());  // grows on the first call only
    for (int y = 0; y < height_; ++y)
      for (int x = 0; x < width_; ++x) {
        const std::size_t at =
            static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x);
        const float score = scores[at];
        if (score < least || !is_peak(scores, x, y, score)) continue;
        const float* d = offsets.data() + at * step;
        const auto fx = static_cast<float>(x), fy = static_cast<float>(y);
        LineSegment line{(fx + d[0]) * sx, (fy + d[plane]) * sy, (fx + d[2 * plane]) * sx, (fy + d[3 * plane]) * sy,
                         sigmoid_ ? 1 / (1 + std::exp(-score)) : score};
        const float length = std::hypot(line.x1 - line.x0, line.y1 - line.y0);
        if (!std::isfinite(length + line.score)) return false;
        if (length >= min_length_) found_.push_back(line);
      }
    std::sort(found_.begin(), found_.end(), [](const LineSegment& a, const LineSegment& b) {
      return std::tie(b.score, a.y0, a.x0, a.y1, a.x1) < std::tie(a.score, b.y0, b.x0, b.y1, b.x1);
    });
    for (std::size_t i = 0; i < std::min(most_, found_.size()); ++i) {
      const LineSegment& l = found_[i];
      result.lines.push_back({frame_x(g, l.x0), frame_y(g, l.y0), frame_x(g, l.x1), frame_y(g, l.y1), l.score});
    }
    return true;
  }

  void prepare(Result& result) const override { result.lines.reserve(most_); }

 private:
  static std::int64_t channels_of(const std::vector<std::int64_t>& nchw) { return nchw.size() == 4 ? nchw[1] : 0; }
  std::size_t places() const noexcept { return static_cast<std::size_t>(width_) * static_cast<std::size_t>(height_); }

  /// No place of the neighbourhood is higher; of equals the first in reading order is the peak.
  bool is_peak(std::span<const float> scores, int x, int y, float score) const noexcept {
    for (int ny = std::max(0, y - radius_); ny <= std::min(height_ - 1, y + radius_); ++ny)
      for (int nx = std::max(0, x - radius_); nx <= std::min(width_ - 1, x + radius_); ++nx) {
        const float other =
            scores[static_cast<std::size_t>(ny) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(nx)];
        const bool before = ny < y || (ny == y && nx < x);
        if (other > score || (before && other == score)) return false;
      }
    return true;
  }

  std::size_t scores_ = 0, offsets_ = 1;
  float threshold_ = 0.2f;
  int radius_ = 2;
  float min_length_ = 20;
  bool sigmoid_ = false;
  std::size_t most_ = 200;
  int width_ = 0, height_ = 0;
  std::vector<LineSegment> found_;
};

}  // namespace

std::unique_ptr<Postprocess> make_lines(const ConfigNode& post, OutputSpecs outputs) {
  return std::make_unique<Lines>(post, outputs);
}

}  // namespace rtmdl
