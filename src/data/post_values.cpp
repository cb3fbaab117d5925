#include "data/postprocess_kinds.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

/// The outputs' values as they are. `scalar`: of the named outputs (the first if none is named), with a decision by a
/// threshold if there is one; `tensor`: of all outputs (or the named ones).
class Values final : public Postprocess {
 public:
  Values(const ConfigNode& post, OutputSpecs outputs) {
    const bool scalar = post.present() && post["kind"].text() == "scalar";
    if (scalar) post.allow({"kind", "outputs", "threshold"});
    else if (post.present()) post.allow({"kind", "outputs"});
    finite_ = scalar;
    places_ = find_outputs(post["outputs"], outputs);
    if (places_.empty() && scalar) places_ = {0};
    for (std::size_t i = 0; places_.size() < outputs.size() && !scalar && !post["outputs"].present(); ++i)
      places_.push_back(i);
    for (const std::size_t i : places_) {
      require_numbers(post, outputs[i]);
      reserved_ += known_count(outputs[i]);
    }
    if (scalar && post["threshold"].present()) {
      decides_ = true;
      threshold_ = static_cast<float>(post["threshold"].number());
    }
  }

  bool run(OutputViews outputs, const Geometry&, Result& result) noexcept override {
    result.clear();
    for (const std::size_t i : places_) {
      if (i >= outputs.size() || !holds_numbers(outputs[i])) return false;
      const std::size_t count = element_count(outputs[i].shape);
      for (std::size_t n = 0; n < count; ++n) result.scores.push_back(number_at(outputs[i], n));
    }
    if (finite_ && !std::all_of(result.scores.begin(), result.scores.end(), [](float v) { return std::isfinite(v); }))
      return false;
    if (!decides_) return true;
    result.k = 1;
    for (const float v : result.scores) result.classes.push_back(v >= threshold_);
    return true;
  }

  void prepare(Result& result) const override {
    result.scores.reserve(reserved_);
    if (decides_) result.classes.reserve(reserved_);
  }

 private:
  std::vector<std::size_t> places_;
  bool finite_ = false;  // a tensor may hold ±inf, as masks and logarithms do
  bool decides_ = false;
  float threshold_ = 0;
  std::size_t reserved_ = 0;
};

}  // namespace

std::unique_ptr<Postprocess> make_values(const ConfigNode& post, OutputSpecs outputs) {
  return std::make_unique<Values>(post, outputs);
}

}  // namespace rtmdl
