#include "data/non_maximum_suppression.h"
#include "data/postprocess_kinds.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

enum class Decoder { blazeface, ssd, boxes, yolo };
enum class Activation { none, sigmoid, softmax };  // from raw scores to 0..1

/// One grid of anchors: cells of `stride` pixels, `per_cell` anchors each, with the sizes that SSD offsets are relative
/// to.
struct AnchorLayer {
  int stride = 8;
  int per_cell = 1;
  std::vector<float> sizes;  ///< width, height of each anchor of a cell, pixels of the input
};

struct Anchor {
  float x = 0, y = 0, w = 1, h = 1;  // centre and size, pixels of the input
};

struct DetectionOptions {
  Decoder decoder = Decoder::blazeface;
  std::vector<AnchorLayer> layers;
  float variance_centre = 0.1f, variance_size = 0.2f;
  Activation activation = Activation::none;
  bool centre_format = false, fractions = false;
  bool yx = false;                 ///< y before x
  std::optional<bool> objectness;  ///< yolo; absent: by the layout
  std::size_t classes = 0;         ///< yolo; 0: all that follow
  std::int64_t background = -1;
  float threshold = 0.5f;
  float iou = 0.3f;
  Suppression suppression = Suppression::greedy;
  std::size_t most = 64;
};

std::vector<AnchorLayer> read_anchors(const ConfigNode& node, Decoder decoder) {
  if (!node.present()) {
    if (decoder == Decoder::ssd) node.fail("is missing: the decoder ssd needs {strides: […], sizes: [[w, h, …], …]}");
    return {{8, 2, {}}, {16, 6, {}}};  // BlazeFace, front camera
  }
  node.allow({"strides", "per_cell", "sizes"});
  const auto strides = node["strides"].integers();
  std::vector<AnchorLayer> layers(strides.size());
  const auto per_cell = node["per_cell"].present() ? node["per_cell"].integers() : std::vector<std::int64_t>{};
  const auto sizes = node["sizes"].present() ? node["sizes"].items() : std::vector<ConfigNode>{};
  if (decoder == Decoder::ssd ? sizes.size() != strides.size() : per_cell.size() != strides.size())
    node.fail(fmt::format("has {} strides; as many entries in `{}` are accepted", strides.size(),
                          decoder == Decoder::ssd ? "sizes" : "per_cell"));
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (strides[l] < 1 || strides[l] > 4096)
      node["strides"].fail(fmt::format("{} is out of range: 1 to 4096 is accepted", strides[l]));
    layers[l].stride = static_cast<int>(strides[l]);
    if (decoder != Decoder::ssd) {
      if (per_cell[l] < 1 || per_cell[l] > 64)
        node["per_cell"].fail(fmt::format("{} is out of range: 1 to 64 is accepted", per_cell[l]));
      layers[l].per_cell = static_cast<int>(per_cell[l]);
      continue;
    }
    for (const double v : sizes[l].numbers()) {
      if (v <= 0) sizes[l].fail("sizes are above 0 pixels");
      layers[l].sizes.push_back(static_cast<float>(v));
    }
    if (layers[l].sizes.empty() || layers[l].sizes.size() % 2 != 0)
      sizes[l].fail("expected width, height of every anchor of a cell");
    layers[l].per_cell = static_cast<int>(layers[l].sizes.size() / 2);
  }
  return layers;
}

DetectionOptions read_options(const ConfigNode& post) {
  post.allow({"kind", "decoder", "anchors", "variances", "activation", "format", "background", "threshold", "iou",
              "nms", "max", "outputs", "objectness", "classes"});
  DetectionOptions o;
  if (const auto decoder = post["decoder"]; decoder.present()) {
    const std::string name = decoder.one_of({"blazeface", "ssd", "boxes", "yolo"});
    o.decoder = name == "blazeface" ? Decoder::blazeface
                : name == "ssd"     ? Decoder::ssd
                : name == "boxes"   ? Decoder::boxes
                                    : Decoder::yolo;
  }
  const bool anchored = o.decoder == Decoder::blazeface || o.decoder == Decoder::ssd;
  if (anchored) o.layers = read_anchors(post["anchors"], o.decoder);
  if (!anchored && post["anchors"].present()) post["anchors"].fail("is for the decoders blazeface and ssd only");
  if (const auto variances = post["variances"]; variances.present()) {
    const auto v = variances.numbers();
    if (v.size() != 2) variances.fail("expected two numbers: for centres and for sizes, such as [0.1, 0.2]");
    o.variance_centre = static_cast<float>(v[0]);
    o.variance_size = static_cast<float>(v[1]);
  }
  if (const auto format = post["format"]; format.present()) {
    const std::string f = format.one_of(
        {"corners", "corners_fraction", "corners_yx", "corners_yx_fraction", "centre", "centre_fraction"});
    if (o.decoder != Decoder::boxes) format.fail("is for the decoder boxes only");
    o.centre_format = f.starts_with("centre");
    o.fractions = f.ends_with("fraction");
    o.yx = f.starts_with("corners_yx");
  }
  for (const char* key : {"objectness", "classes"})
    if (post[key].present() && o.decoder != Decoder::yolo) post[key].fail("is for the decoder yolo only");
  if (const auto objectness = post["objectness"]; objectness.present()) o.objectness = objectness.boolean();
  if (const auto classes = post["classes"]; classes.present())
    o.classes = static_cast<std::size_t>(classes.integer(1, 1 << 20));
  if (const auto background = post["background"]; background.present()) o.background = background.integer(0, 1 << 20);
  if (anchored) o.activation = o.background >= 0 ? Activation::softmax : Activation::sigmoid;
  if (const auto activation = post["activation"]; activation.present()) {
    const std::string a = activation.one_of({"none", "sigmoid", "softmax"});
    o.activation = a == "none" ? Activation::none : a == "sigmoid" ? Activation::sigmoid : Activation::softmax;
    if (o.decoder == Decoder::yolo && o.activation == Activation::softmax)
      activation.fail("softmax is not for the decoder yolo");
  }
  if (const auto threshold = post["threshold"]; threshold.present())
    o.threshold = static_cast<float>(threshold.number(0, 1));
  if (const auto iou = post["iou"]; iou.present()) o.iou = static_cast<float>(iou.number(0, 1));
  if (const auto nms = post["nms"]; nms.present()) {
    const std::string n = nms.one_of({"greedy", "weighted", "none"});
    o.suppression = n == "greedy" ? Suppression::greedy : n == "weighted" ? Suppression::weighted : Suppression::none;
  }
  if (const auto most = post["max"]; most.present()) o.most = static_cast<std::size_t>(most.integer(1, 1 << 16));
  return o;
}

class Detections final : public Postprocess {
 public:
  Detections(const ConfigNode& post, OutputSpecs outputs) : o_(read_options(post)) {
    const ConfigNode names = post["outputs"];
    const bool decoded = o_.decoder == Decoder::boxes;
    if (names.present() && decoded) names.allow({"boxes", "scores", "labels"});
    else if (names.present()) names.allow({"boxes", "scores"});
    boxes_ = find_outputs(names["boxes"], outputs);
    scores_ = find_outputs(names["scores"], outputs);
    labels_ = find_outputs(names["labels"], outputs);
    if (o_.decoder == Decoder::yolo) {
      if (boxes_.empty()) boxes_ = {0};
      scores_.clear();
    } else if (boxes_.empty() && scores_.empty() && labels_.empty()) {
      tell_apart(outputs);
    }
    const bool in_rows = decoded && scores_.empty();  // x0, y0, x1, y1, score, class
    if (o_.decoder != Decoder::yolo && (boxes_.empty() || (boxes_.size() != scores_.size() && !in_rows) ||
                                        (!labels_.empty() && labels_.size() != boxes_.size())))
      post.fail(
          fmt::format("of the model's {} outputs {} look like boxes, {} like scores and {} like labels; name them in "
                      "`outputs: {{boxes: …, scores: …{}}}`",
                      outputs.size(), boxes_.size(), scores_.size(), labels_.size(), decoded ? ", labels: …" : ""));
    for (const std::size_t i : boxes_) require_floats(post, outputs[i]);
    for (const std::size_t i : scores_) require_floats(post, outputs[i]);
    for (const std::size_t i : labels_) require_numbers(post, outputs[i]);
    for (const std::size_t i : boxes_)
      if (in_rows && !outputs[i].shape.empty() && outputs[i].shape.back() < 5)
        post.fail(fmt::format("the model's output '{}' [{}] holds no scores, and no other does", outputs[i].name,
                              fmt::join(outputs[i].shape, ", ")));
    classes_ = classes_of(outputs);
    for (const std::size_t i : boxes_) candidates_.reserve(candidates_.capacity() + known_count(outputs[i]) / 4);
  }

  bool run(OutputViews outputs, const Geometry& geometry, Result& result) noexcept override {
    result.clear();
    for (const auto* places : {&boxes_, &scores_})
      for (const std::size_t i : *places)
        if (i >= outputs.size() || !is_sound(outputs[i])) return false;
    for (const std::size_t i : labels_)
      if (i >= outputs.size() || !holds_numbers(outputs[i])) return false;
    candidates_.clear();
    const bool fits = o_.decoder == Decoder::yolo ? decode_yolo(outputs[boxes_[0]]) : decode(outputs, geometry);
    if (!fits || !std::all_of(candidates_.begin(), candidates_.end(), is_finite)) return false;
    std::erase_if(candidates_, [&](const Box& box) {  // in the padding, or nothing at all
      const Box seen = to_frame(geometry, box);
      return !(seen.x0 < seen.x1 && seen.y0 < seen.y1);
    });
    suppress(candidates_, o_.suppression, o_.iou, o_.most);
    for (const Box& box : candidates_) result.boxes.push_back(to_frame(geometry, box));
    return true;
  }

  int classes() const noexcept override { return classes_; }
  void prepare(Result& result) const override { result.boxes.reserve(o_.most); }

 private:
  /// As far as the shapes tell: 0 where the model names classes itself, or dimensions are free.
  int classes_of(OutputSpecs outputs) const {
    if (o_.classes > 0) return static_cast<int>(o_.classes);
    if (o_.decoder == Decoder::yolo) {
      const auto& shape = outputs[boxes_[0]].shape;
      if (shape.size() != 3 || shape[1] < 1 || shape[2] < 1) return 0;
      const bool across = shape[1] < shape[2];  // as decode_yolo()
      const std::int64_t others = o_.objectness.value_or(!across) ? 5 : 4;
      return static_cast<int>(std::max<std::int64_t>(0, std::min(shape[1], shape[2]) - others));
    }
    if (!labels_.empty() || scores_.empty() || outputs[scores_[0]].shape.size() < 2) return 0;
    return static_cast<int>(std::max<std::int64_t>(0, outputs[scores_[0]].shape.back()));
  }

  /// By name, else by the last dimension: 4 (or 16, with key points) is boxes, 1 is scores. Whole numbers are labels.
  void tell_apart(OutputSpecs outputs) {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::string& name = outputs[i].name;
      const std::int64_t last = outputs[i].shape.empty() ? 0 : outputs[i].shape.back();
      const auto named = [&](std::string_view word) { return name.find(word) != std::string::npos; };
      const bool whole = outputs[i].type != ElementType::f32;
      if (o_.decoder == Decoder::boxes && (whole || named("label"))) labels_.push_back(i);
      else if (named("box") || named("loc") || named("regress")) boxes_.push_back(i);
      else if (named("score") || named("conf") || named("class")) scores_.push_back(i);
      else (last >= 4 ? boxes_ : scores_).push_back(i);
    }
  }

  static bool is_finite(const Box& box) noexcept {
    return std::isfinite(box.score) && std::isfinite(box.x0) && std::isfinite(box.y0) && std::isfinite(box.x1) &&
           std::isfinite(box.y1);
  }
  static float sigmoid(float raw) noexcept { return 1.0f / (1.0f + std::exp(-std::clamp(raw, -100.0f, 100.0f))); }
  float score_of(float raw) const noexcept { return o_.activation == Activation::sigmoid ? sigmoid(raw) : raw; }

  static float softmax(std::span<const float> raw, float chosen) noexcept {
    const float most = *std::max_element(raw.begin(), raw.end());
    float sum = 0;
    for (const float v : raw) sum += std::exp(v - most);
    return std::exp(chosen - most) / sum;
  }

  /// The best class of one place; `label` −1 if none reaches the threshold.
  Box best_class(std::span<const float> scores) const noexcept {
    Box best;
    best.label = -1;
    for (std::size_t c = 0; c < scores.size(); ++c)
      if (static_cast<std::int64_t>(c) != o_.background && (best.label < 0 || scores[c] > best.score)) {
        best.score = scores[c];
        best.label = static_cast<std::int32_t>(c);
      }
    best.score = o_.activation == Activation::softmax ? softmax(scores, best.score) : score_of(best.score);
    if (best.score < o_.threshold) best.label = -1;
    return best;
  }

  /// The model says itself which class it is; `label` −1 (as such models pad with) if the threshold is not reached.
  Box one_class(float score, float label) const noexcept {
    Box box;
    box.score = score_of(score);
    const bool a_class = box.score >= o_.threshold && label >= 0 && label < 1 << 20;
    box.label = a_class ? static_cast<std::int32_t>(label) : -1;
    if (box.label == o_.background) box.label = -1;
    return box;
  }

  bool decode(OutputViews outputs, const Geometry& g) noexcept {
    const bool anchored = !o_.layers.empty();
    if (anchored && !lay_anchors(g)) return false;
    std::size_t place = 0;  // over all outputs together
    for (std::size_t t = 0; t < boxes_.size(); ++t) {
      const TensorView& box_view = outputs[boxes_[t]];
      if (box_view.shape.empty()) return false;
      const auto width = static_cast<std::size_t>(box_view.shape.back());
      const auto boxes = box_view.as<float>();
      if (width < (scores_.empty() ? 5u : 4u)) return false;
      const std::size_t n = boxes.size() / width;  // 0: a model that suppresses by itself found nothing
      const auto scores = scores_.empty() ? boxes : outputs[scores_[t]].as<float>();
      if (anchored && place + n > anchors_.size()) return false;
      if (n > 0 && (scores.empty() || scores.size() % n != 0)) return false;
      const std::size_t classes = n > 0 ? scores.size() / n : 0;
      const TensorView* labels = labels_.empty() ? nullptr : &outputs[labels_[t]];
      if (labels && (element_count(labels->shape) != n || (!scores_.empty() && classes > 1))) return false;
      candidates_.reserve(place + n);  // grows on the first call only
      for (std::size_t i = 0; i < n; ++i, ++place) {
        const float* const row = boxes.data() + i * width;
        Box box;
        if (labels) box = one_class(scores_.empty() ? row[4] : scores[i], number_at(*labels, i));
        else if (scores_.empty()) box = one_class(row[4], width > 5 ? row[5] : 0);
        else box = best_class(scores.subspan(i * classes, classes));
        if (box.label < 0) continue;
        locate(row, anchored ? anchors_[place] : Anchor{}, g, box);
        candidates_.push_back(box);
      }
    }
    return !anchored || place == anchors_.size();
  }

  void locate(const float* raw, const Anchor& a, const Geometry& g, Box& box) const noexcept {
    if (o_.decoder == Decoder::blazeface) {  // offsets and sizes in pixels of the input
      set_centre(box, a.x + raw[0], a.y + raw[1], raw[2], raw[3]);
    } else if (o_.decoder == Decoder::ssd) {  // Liu et al. 2016, equation 2
      set_centre(box, a.x + o_.variance_centre * raw[0] * a.w, a.y + o_.variance_centre * raw[1] * a.h,
                 a.w * std::exp(o_.variance_size * raw[2]), a.h * std::exp(o_.variance_size * raw[3]));
    } else {
      const float sx = o_.fractions ? static_cast<float>(g.input_width) : 1,
                  sy = o_.fractions ? static_cast<float>(g.input_height) : 1;
      if (o_.centre_format) {
        set_centre(box, raw[0] * sx, raw[1] * sy, raw[2] * sx, raw[3] * sy);
      } else {
        box.x0 = raw[o_.yx ? 1 : 0] * sx, box.y0 = raw[o_.yx ? 0 : 1] * sy;
        box.x1 = raw[o_.yx ? 3 : 2] * sx, box.y1 = raw[o_.yx ? 2 : 3] * sy;
      }
    }
  }

  static void set_centre(Box& box, float x, float y, float w, float h) noexcept {
    box.x0 = x - w / 2, box.y0 = y - h / 2, box.x1 = x + w / 2, box.y1 = y + h / 2;
  }

  /// [1, 4 + classes, N] without objectness (v8), or [1, N, 5 + classes] with it (v5), unless told; centres and sizes
  /// in pixels of the input.
  bool decode_yolo(const TensorView& view) noexcept {
    if (view.shape.size() != 3 || view.shape[0] != 1) return false;
    const bool across = view.shape[1] < view.shape[2];  // attributes before places
    const auto attributes = static_cast<std::size_t>(across ? view.shape[1] : view.shape[2]);
    const auto n = static_cast<std::size_t>(across ? view.shape[2] : view.shape[1]);
    const bool objectness = o_.objectness.value_or(!across);
    const std::size_t first_class = objectness ? 5 : 4;
    if (attributes < first_class + std::max<std::size_t>(1, o_.classes)) return false;
    const std::size_t end = o_.classes > 0 ? first_class + o_.classes : attributes;
    candidates_.reserve(n);
    const auto values = view.as<float>();
    const auto at = [&](std::size_t i, std::size_t a) {
      return across ? values[a * n + i] : values[i * attributes + a];
    };
    for (std::size_t i = 0; i < n; ++i) {
      Box box;
      for (std::size_t c = first_class; c < end; ++c)
        if (c == first_class || at(i, c) > box.score) {
          box.score = at(i, c);
          box.label = static_cast<std::int32_t>(c - first_class);
        }
      box.score = score_of(box.score) * (objectness ? score_of(at(i, 4)) : 1.0f);
      if (box.score < o_.threshold) continue;
      set_centre(box, at(i, 0), at(i, 1), at(i, 2), at(i, 3));
      candidates_.push_back(box);
    }
    return true;
  }

  /// Row by row, the anchors of a cell together; made anew only when the input's size changes.
  bool lay_anchors(const Geometry& g) noexcept {
    if (g.input_width == laid_width_ && g.input_height == laid_height_) return true;
    anchors_.clear();
    for (const AnchorLayer& layer : o_.layers) {
      const int columns = (g.input_width + layer.stride - 1) / layer.stride,
                rows = (g.input_height + layer.stride - 1) / layer.stride;
      for (int y = 0; y < rows; ++y)
        for (int x = 0; x < columns; ++x)
          for (int a = 0; a < layer.per_cell; ++a) {
            Anchor anchor{
                (static_cast<float>(x) + 0.5f) * static_cast<float>(g.input_width) / static_cast<float>(columns),
                (static_cast<float>(y) + 0.5f) * static_cast<float>(g.input_height) / static_cast<float>(rows), 1, 1};
            if (!layer.sizes.empty()) {
              anchor.w = layer.sizes[static_cast<std::size_t>(2 * a)];
              anchor.h = layer.sizes[static_cast<std::size_t>(2 * a + 1)];
            }
            anchors_.push_back(anchor);
          }
    }
    laid_width_ = g.input_width;
    laid_height_ = g.input_height;
    return true;
  }

  DetectionOptions o_;
  int classes_ = 0;
  std::vector<std::size_t> boxes_, scores_, labels_;  // places of the outputs, by twos or threes
  std::vector<Anchor> anchors_;
  int laid_width_ = 0, laid_height_ = 0;
  std::vector<Box> candidates_;
};

}  // namespace

std::unique_ptr<Postprocess> make_detections(const ConfigNode& post, OutputSpecs outputs) {
  return std::make_unique<Detections>(post, outputs);
}

}  // namespace rtmdl
