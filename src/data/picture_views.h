#pragma once
/// Many inputs from few pictures: seeded crops, scales, flips and brightness, such as a camera would see.

#include "data/random.h"
#include "data/source.h"

#include <span>
#include <vector>

#include <opencv2/core/mat.hpp>

namespace rtmdl {

/// `augment: {flip: false, scale: [0.5, 1.0], brightness: 10 %}`.
struct Augment {
  bool flip = false;         ///< mirror every second view; wrong for text, so only if asked
  double scale_least = 0.5;  ///< side of a crop / side of the picture
  double scale_most = 1.0;
  double brightness = 0.1;  ///< factor 1 ± this
};
[[nodiscard]] Augment parse_augment(const ConfigNode& augment);
/// `size: [w, h]`; absent: {0, 0}, pictures keep their own size.
[[nodiscard]] cv::Size parse_size(const ConfigNode& size);

/// What is seen of a picture.
struct View {
  cv::Mat image;
  cv::Rect crop;  ///< in pixels of the picture; `image` is this, resized
  bool flipped = false;
};

/// The whole picture; with a `delivered` size, its largest centred crop of that aspect, resized.
[[nodiscard]] View whole_view(const cv::Mat& picture, cv::Size delivered);
/// A seeded variation. Crops for calibration and training have a width of the other parity than those for evaluation
/// (and than the whole picture), so that one picture can serve both and no input does.
[[nodiscard]] View random_view(const cv::Mat& picture, cv::Size delivered, const Augment& augment, Split split,
                               Random random);
/// Step `step` of `steps` of a camera that sways over the picture (crops of 90 %, resized to the size of the whole
/// view); step 0 is the whole view.
[[nodiscard]] View moving_view(const cv::Mat& picture, cv::Size delivered, std::size_t step, std::size_t steps,
                               Random random);

/// Boxes of the picture (in shares of its sides, 0 to 1) as they lie in the view (in its pixels), cut at its borders.
/// Those without a part in it are left out; of those that show less than 30 % of themselves, none can be expected to
/// be found: they are marked to be ignored.
[[nodiscard]] std::vector<LabelledBox> boxes_in(const View& view, cv::Size picture,
                                                std::span<const LabelledBox> shares);

}  // namespace rtmdl
