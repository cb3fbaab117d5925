#include "data/postprocess_kinds.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

constexpr std::int64_t kMostMaskClasses =
    std::numeric_limits<std::uint8_t>::max() + 1;  // what a place of the mask holds

/// The class of each place of a picture: the best of a map of scores for each class, or as the model says.
class Segmentation final : public Postprocess {
 public:
  Segmentation(const ConfigNode& post, OutputSpecs outputs) {
    post.allow({"kind", "output", "layout"});
    output_ = find_output(post["output"], outputs, 0);
    const TensorSpec& output = outputs[output_];
    require_numbers(post, output);
    scored_ = output.type == ElementType::f32;
    const auto& shape = output.shape;
    if (scored_ && (shape.size() != 4 || shape[0] > 1))
      post.fail(
          fmt::format("the model's output '{}' [{}] is no map of scores; [1, classes, H, W] and [1, H, W, classes] "
                      "are accepted, and whole numbers [1, H, W]",
                      output.name, fmt::join(shape, ", ")));
    if (const auto layout = post["layout"]; layout.present()) nchw_ = layout.one_of({"NCHW", "NHWC"}) == "NCHW";
    else if (scored_) nchw_ = shape[1] <= shape[3];  // there are fewer classes than places in a row
    if (const std::int64_t classes = scored_ ? shape[nchw_ ? 1 : 3] : 2; classes == 1 || classes > kMostMaskClasses)
      post.fail(fmt::format("the model's output '{}' [{}] has {} classes in the layout {}; 2 to {} are accepted{}",
                            output.name, fmt::join(shape, ", "), classes, nchw_ ? "NCHW" : "NHWC", kMostMaskClasses,
                            classes == 1 ? " (of one, `score_map` makes a mask)" : ""));
    reserved_ = known_count(output);
    if (scored_ && reserved_ > 0) reserved_ /= static_cast<std::size_t>(shape[nchw_ ? 1 : 3]);
    best_.reserve(reserved_);
  }

  bool run(OutputViews outputs, const Geometry&, Result& result) noexcept override {
    result.clear();
    if (output_ >= outputs.size() || !holds_numbers(outputs[output_])) return false;
    const TensorView& view = outputs[output_];
    return scored_ ? choose(view, result) : copy(view, result);
  }

  void prepare(Result& result) const override { result.mask.reserve(reserved_); }

 private:
  bool choose(const TensorView& view, Result& result) noexcept {
    if (view.shape.size() != 4 || view.shape[0] != 1 ||
        !take_size(view.shape[nchw_ ? 2 : 1], view.shape[nchw_ ? 3 : 2], result))
      return false;
    const std::int64_t classes = view.shape[nchw_ ? 1 : 3];
    if (classes < 1 || classes > kMostMaskClasses) return false;
    const std::size_t places = result.mask.size();
    const auto n = static_cast<std::size_t>(classes), step = nchw_ ? std::size_t{1} : n, plane = nchw_ ? places : 1;
    const float* const scores = view.as<float>().data();
    best_.resize(places);
    for (std::size_t i = 0; i < places; ++i) best_[i] = scores[i * step];
    for (std::size_t c = 1; c < n; ++c) {  // class by class, so that memory is read in order; of equals the lower class
      const float* const map = scores + c * plane;
      for (std::size_t i = 0; i < places; ++i) {
        const bool better = map[i * step] > best_[i];
        best_[i] = better ? map[i * step] : best_[i];
        result.mask[i] = better ? static_cast<std::uint8_t>(c) : result.mask[i];
      }
    }
    return true;
  }

  /// H and W are the last two dimensions that are left when those of size 1 at either end are taken away.
  bool copy(const TensorView& view, Result& result) noexcept {
    std::span<const std::int64_t> shape = view.shape;
    while (shape.size() > 2 && shape.front() == 1) shape = shape.subspan(1);
    while (shape.size() > 2 && shape.back() == 1) shape = shape.first(shape.size() - 1);
    if (shape.size() != 2 || !take_size(shape[0], shape[1], result)) return false;
    for (std::size_t i = 0; i < result.mask.size(); ++i) {
      const float label = number_at(view, i);
      if (label < 0 || label >= static_cast<float>(kMostMaskClasses)) return false;
      result.mask[i] = static_cast<std::uint8_t>(label);
    }
    return true;
  }

  static bool take_size(std::int64_t height, std::int64_t width, Result& result) noexcept {
    if (height < 1 || width < 1) return false;
    result.mask_height = static_cast<int>(height);
    result.mask_width = static_cast<int>(width);
    result.mask.assign(static_cast<std::size_t>(height) * static_cast<std::size_t>(width), 0);
    return true;
  }

  std::size_t output_ = 0;
  bool scored_ = true, nchw_ = true;
  std::size_t reserved_ = 0;
  std::vector<float> best_;
};

}  // namespace

std::unique_ptr<Postprocess> make_segmentation(const ConfigNode& post, OutputSpecs outputs) {
  return std::make_unique<Segmentation>(post, outputs);
}

}  // namespace rtmdl
