#include "data/metric.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "data/non_maximum_suppression.h"

namespace rtmdl {
namespace {

/// right / all, over all frames together.
class Share : public Metric {
 public:
  double value() const override { return all_ > 0 ? right_ / all_ : 1; }
  std::size_t count() const override { return frames_; }
  void reset() override { right_ = all_ = 0, frames_ = 0; }

 protected:
  void add_share(double right, double all) {
    right_ += right;
    all_ += all;
    ++frames_;
  }

 private:
  double right_ = 0, all_ = 0;
  std::size_t frames_ = 0;
};

/// The wanted class is among the first `k_` of the candidate.
class TopK final : public Share {
 public:
  TopK(int k, bool use_labels) : k_(k), use_labels_(use_labels) {}
  void add(const Result& candidate, const Result& reference, const Frame& frame) override {
    const bool labelled = use_labels_ && !frame.labels.empty();
    const auto reference_k = static_cast<std::size_t>(std::max(1, reference.k));
    const std::size_t elements = labelled ? frame.labels.size() : reference.classes.size() / reference_k;
    const auto stride = static_cast<std::size_t>(std::max(1, candidate.k));
    std::size_t right = 0;
    for (std::size_t e = 0; e < elements; ++e) {
      const std::int32_t wanted = labelled ? frame.labels[e] : reference.classes[e * reference_k];
      for (std::size_t i = 0;
           i < std::min(stride, static_cast<std::size_t>(k_)) && e * stride + i < candidate.classes.size(); ++i)
        if (candidate.classes[e * stride + i] == wanted) {
          ++right;
          break;
        }
    }
    add_share(static_cast<double>(right), static_cast<double>(elements));
  }

 private:
  int k_;
  bool use_labels_;
};

/// F1 = 2 TP / (candidates + references). Each item of the candidate, best first, takes the best match that is left.
class DetectionF1 final : public Share {
 public:
  void add(const Result& candidate, const Result& reference, const Frame&) override {
    std::vector<bool> taken(reference.boxes.size(), false);
    std::size_t matched = 0;
    for (const Box& box : candidate.boxes) {
      float best = 0;
      std::size_t best_at = 0;
      for (std::size_t r = 0; r < reference.boxes.size(); ++r) {
        if (taken[r] || reference.boxes[r].label != box.label) continue;
        const float iou = intersection_over_union(box, reference.boxes[r]);
        if (iou > best) best = iou, best_at = r;
      }
      if (best < 0.5f) continue;
      taken[best_at] = true;
      ++matched;
    }
    add_share(2.0 * static_cast<double>(matched), static_cast<double>(candidate.boxes.size() + reference.boxes.size()));
  }
};

/// Mean over the classes that occur of the area under the precision-recall curve: every detection, best score first
/// over all frames, takes the box of its class that it overlaps most, if by half and if none took it before; precision
/// is the best at this recall or a higher one (Everingham et al. 2015, section 4.2, with all points as since VOC 2010).
class MeanAveragePrecision final : public Metric {
 public:
  void add(const Result& candidate, const Result&, const Frame& frame) override {
    ++frames_;
    for (const LabelledBox& box : frame.boxes)
      if (!box.ignore) ++curves_[box.label].boxes;
    order_.resize(candidate.boxes.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return candidate.boxes[a].score > candidate.boxes[b].score; });
    taken_.assign(frame.boxes.size(), false);
    for (const std::size_t d : order_) {
      const Box& found = candidate.boxes[d];
      float best = 0;
      std::size_t at = 0;
      for (std::size_t t = 0; t < frame.boxes.size(); ++t) {
        const LabelledBox& truth = frame.boxes[t];
        if (truth.label != found.label) continue;
        const float iou = intersection_over_union(found, {truth.x0, truth.y0, truth.x1, truth.y1, 1, truth.label});
        if (iou > best) best = iou, at = t;
      }
      const bool matches = best >= 0.5f;
      if (matches && frame.boxes[at].ignore) continue;
      curves_[found.label].found.push_back({found.score, matches && !taken_[at]});
      if (matches) taken_[at] = true;
    }
  }

  double value() const override {
    double sum = 0, classes = 0;
    bool any_found = false;
    for (const auto& [label, curve] : curves_) {
      any_found = any_found || !curve.found.empty();
      if (curve.boxes == 0) continue;
      sum += average_precision(curve);
      ++classes;
    }
    if (classes > 0) return sum / classes;
    return any_found ? 0 : 1;  // there was nothing to find
  }
  std::size_t count() const override { return frames_; }
  void reset() override { *this = MeanAveragePrecision(); }

 private:
  struct Found {
    float score;
    bool right;
  };
  struct Curve {
    std::vector<Found> found;
    std::size_t boxes = 0;  ///< that are there
  };

  static double average_precision(const Curve& curve) {
    std::vector<Found> found = curve.found;
    std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.score > b.score; });
    std::vector<double> precision(found.size());
    double right = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      right += found[i].right;
      precision[i] = right / static_cast<double>(i + 1);
    }
    double best = 0, area = 0;
    for (std::size_t i = found.size(); i-- > 0;) {
      best = std::max(best, precision[i]);
      if (found[i].right) area += best;  // recall grows by one box here
    }
    return area / static_cast<double>(curve.boxes);
  }

  std::map<std::int32_t, Curve> curves_;  // by class
  std::size_t frames_ = 0;
  std::vector<std::size_t> order_;  // scratch of add()
  std::vector<bool> taken_;
};

class LineF1 final : public Share {
 public:
  void add(const Result& candidate, const Result& reference, const Frame& frame) override {
    const double rows = static_cast<double>(frame.image.rows) / std::max(1, frame.batch);
    const double near = 0.05 * std::hypot(static_cast<double>(frame.image.cols), rows);
    std::vector<bool> taken(reference.lines.size(), false);
    std::size_t matched = 0;
    for (const LineSegment& line : candidate.lines) {
      double best = near;
      std::size_t best_at = reference.lines.size();
      for (std::size_t r = 0; r < reference.lines.size(); ++r) {
        if (taken[r]) continue;
        const double d = distance(line, reference.lines[r]);
        if (d <= best) best = d, best_at = r;
      }
      if (best_at == reference.lines.size()) continue;
      taken[best_at] = true;
      ++matched;
    }
    add_share(2.0 * static_cast<double>(matched), static_cast<double>(candidate.lines.size() + reference.lines.size()));
  }

 private:
  /// The farther of both ends, for the better of both directions.
  static double distance(const LineSegment& a, const LineSegment& b) {
    const auto between = [](float x0, float y0, float x1, float y1) {
      return std::hypot(static_cast<double>(x1) - x0, static_cast<double>(y1) - y0);
    };
    const double same = std::max(between(a.x0, a.y0, b.x0, b.y0), between(a.x1, a.y1, b.x1, b.y1));
    const double turned = std::max(between(a.x0, a.y0, b.x1, b.y1), between(a.x1, a.y1, b.x0, b.y0));
    return std::min(same, turned);
  }
};

/// The candidate's mask at a place of the reference's, which may have another resolution.
std::uint8_t mask_at(const Result& m, int x, int y, const Result& reference) {
  if (m.mask_width <= 0 || m.mask_height <= 0) return 0;
  const auto scaled = [](int at, int to, int from) {
    return static_cast<std::size_t>((2 * at + 1) * static_cast<std::int64_t>(to) / (2 * from));
  };
  return m.mask[scaled(y, m.mask_height, reference.mask_height) * static_cast<std::size_t>(m.mask_width) +
                scaled(x, m.mask_width, reference.mask_width)];
}

class MaskF1 final : public Share {
 public:
  void add(const Result& candidate, const Result& reference, const Frame&) override {
    std::size_t both = 0, sum = 0, at = 0;
    for (int y = 0; y < reference.mask_height; ++y)
      for (int x = 0; x < reference.mask_width; ++x) {
        const bool r = reference.mask[at++] != 0, c = mask_at(candidate, x, y, reference) != 0;
        both += r && c;
        sum += static_cast<std::size_t>(r) + static_cast<std::size_t>(c);
      }
    add_share(2.0 * static_cast<double>(both), static_cast<double>(sum));
  }
};

/// Mean over the classes that occur of intersection / union, each over all frames together (Everingham et al. 2015,
/// section 4.1.4): a share of places would let a large background hide what is small.
class MeanIou final : public Metric {
 public:
  void add(const Result& candidate, const Result& reference, const Frame&) override {
    std::size_t at = 0;
    for (int y = 0; y < reference.mask_height; ++y)
      for (int x = 0; x < reference.mask_width; ++x) {
        const std::uint8_t r = reference.mask[at++], c = mask_at(candidate, x, y, reference);
        ++either_[r];
        if (r == c) ++both_[r];
        else ++either_[c];
      }
    ++frames_;
  }
  double value() const override {
    double sum = 0, classes = 0;
    for (std::size_t c = 0; c < either_.size(); ++c)
      if (either_[c] > 0) {
        sum += static_cast<double>(both_[c]) / static_cast<double>(either_[c]);
        ++classes;
      }
    return classes > 0 ? sum / classes : 1;
  }
  std::size_t count() const override { return frames_; }
  void reset() override { *this = MeanIou(); }

 private:
  std::array<std::size_t, 256> both_{}, either_{};
  std::size_t frames_ = 0;
};

class Tolerance final : public Share {
 public:
  explicit Tolerance(double tolerance) : tolerance_(tolerance) {}
  void add(const Result& candidate, const Result& reference, const Frame&) override {
    const std::size_t common = std::min(candidate.scores.size(), reference.scores.size());
    std::size_t right = 0;
    for (std::size_t i = 0; i < common; ++i)
      right += std::abs(static_cast<double>(candidate.scores[i]) - reference.scores[i]) <= tolerance_;
    add_share(static_cast<double>(right),
              static_cast<double>(std::max(candidate.scores.size(), reference.scores.size())));
  }

 private:
  double tolerance_;
};

class EditDistance final : public Share {
 public:
  void add(const Result& candidate, const Result& reference, const Frame&) override {
    const std::u32string a = code_points(candidate.text), b = code_points(reference.text);
    const auto longest = static_cast<double>(std::max(a.size(), b.size()));
    add_share(longest - static_cast<double>(edits(a, b)), longest);
  }

 private:
  /// UTF-8 to code points; a byte that is not UTF-8 counts as one.
  static std::u32string code_points(const std::string& text) {
    std::u32string result;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if ((byte & 0xc0) == 0x80 && !result.empty()) result.back() = result.back() << 6 | (byte & 0x3f);
      else result.push_back(byte);
    }
    return result;
  }

  static std::size_t edits(const std::u32string& a, const std::u32string& b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const std::size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
      }
    }
    return row.back();
  }
};

}  // namespace

std::unique_ptr<Metric> make_metric(const std::string& metric, const std::string& post_kind, double tolerance) {
  if (metric == "top1" || metric == "top5") {
    if (post_kind != "classes")
      bad_input(
          fmt::format("the metric '{}' is for `post: {{kind: classes}}`, not for '{}'; 'agreement' fits every kind",
                      metric, post_kind));
    return std::make_unique<TopK>(metric == "top1" ? 1 : 5, true);
  }
  if (metric == "map50") {
    if (post_kind != "detections")
      bad_input(fmt::format(
          "the metric 'map50' is for `post: {{kind: detections}}`, not for '{}'; 'agreement' fits every kind",
          post_kind));
    return std::make_unique<MeanAveragePrecision>();
  }
  if (metric != "agreement")
    bad_input(fmt::format("the metric '{}' is not accepted; accepted are agreement, top1, top5, map50", metric));
  if (post_kind == "classes") return std::make_unique<TopK>(1, false);
  if (post_kind == "detections") return std::make_unique<DetectionF1>();
  if (post_kind == "score_map") return std::make_unique<MaskF1>();
  if (post_kind == "segmentation") return std::make_unique<MeanIou>();
  if (post_kind == "lines") return std::make_unique<LineF1>();
  if (post_kind == "ctc") return std::make_unique<EditDistance>();
  if (post_kind == "scalar" || post_kind == "tensor") return std::make_unique<Tolerance>(tolerance);
  bad_input(fmt::format("no metric is known for the kind of post-processing '{}'", post_kind));
}

}  // namespace rtmdl
