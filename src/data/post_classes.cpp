#include "data/postprocess_kinds.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

/// The k best classes of each element of the batch.
class Classes final : public Postprocess {
 public:
  Classes(const ConfigNode& post, OutputSpecs outputs) {
    post.allow({"kind", "k", "softmax", "output"});
    if (const auto k = post["k"]; k.present()) k_ = static_cast<int>(k.integer(1, 1000));
    if (const auto softmax = post["softmax"]; softmax.present()) softmax_ = softmax.boolean();
    output_ = find_output(post["output"], outputs, 0);
    require_floats(post, outputs[output_]);
    const auto& shape = outputs[output_].shape;
    batch_ = shape.size() > 1 && shape[0] > 0 ? static_cast<std::size_t>(shape[0]) : 1;
    classes_ = static_cast<int>(known_count(outputs[output_]) / batch_);
  }

  bool run(OutputViews outputs, const Geometry&, Result& result) noexcept override {
    result.clear();
    if (output_ >= outputs.size() || !is_sound(outputs[output_])) return false;
    const TensorView& view = outputs[output_];
    const auto values = view.as<float>();
    const std::size_t batch = view.shape.size() > 1 ? static_cast<std::size_t>(view.shape[0]) : 1;
    if (batch == 0 || values.empty()) return false;
    const std::size_t classes = values.size() / batch;
    const int k = std::min(k_, static_cast<int>(classes));
    result.k = k;
    for (std::size_t b = 0; b < batch; ++b)
      if (!add_best(values.subspan(b * classes, classes), k, result)) return false;
    return true;
  }

  int classes() const noexcept override { return classes_; }

  void prepare(Result& result) const override {
    result.classes.reserve(batch_ * static_cast<std::size_t>(k_));
    result.scores.reserve(batch_ * static_cast<std::size_t>(k_));
  }

 private:
  /// Insertion into a short sorted list; of equal values the lower class comes first. False if the best is infinite:
  /// something overflowed (−inf, for a class that cannot be, is fine).
  bool add_best(std::span<const float> values, int k, Result& result) const noexcept {
    const std::size_t at = result.classes.size();
    for (std::size_t c = 0; c < values.size(); ++c) {
      const bool full = result.classes.size() - at == static_cast<std::size_t>(k);
      if (full && values[c] <= result.scores.back()) continue;
      if (full) {
        result.classes.pop_back();
        result.scores.pop_back();
      }
      std::size_t place = result.classes.size();
      while (place > at && result.scores[place - 1] < values[c]) --place;
      result.classes.insert(result.classes.begin() + static_cast<std::ptrdiff_t>(place), static_cast<std::int32_t>(c));
      result.scores.insert(result.scores.begin() + static_cast<std::ptrdiff_t>(place), values[c]);
    }
    const float most = result.scores[at];
    if (!std::isfinite(most)) return false;
    if (!softmax_) return true;
    float sum = 0;
    for (const float v : values) sum += std::exp(v - most);
    for (std::size_t i = at; i < result.scores.size(); ++i) result.scores[i] = std::exp(result.scores[i] - most) / sum;
    return true;
  }

  int k_ = 5;
  bool softmax_ = true;
  std::size_t output_ = 0;
  std::size_t batch_ = 1;
  int classes_ = 0;  // 0: the shape does not say
};

}  // namespace

std::unique_ptr<Postprocess> make_classes(const ConfigNode& post, OutputSpecs outputs) {
  return std::make_unique<Classes>(post, outputs);
}

}  // namespace rtmdl
