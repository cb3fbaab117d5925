#include "data/preprocess_steps.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

bool is_channels(std::int64_t n) { return n == 1 || n == 3 || n == 4; }

/// A number, or a quotient such as 1/255.
double number_or_quotient(const ConfigNode& node) {
  const std::string text = node.is_scalar() ? node.text() : "";
  const auto slash = text.find('/');
  if (slash == std::string::npos) return node.number();
  double above = 0, below = 0;
  const char* middle = text.data() + slash;
  const char* end = text.data() + text.size();
  const auto a = std::from_chars(text.data(), middle, above);
  const auto b = std::from_chars(middle + 1, end, below);
  if (a.ec != std::errc{} || a.ptr != middle || b.ec != std::errc{} || b.ptr != end || !std::isfinite(above / below))
    node.fail(fmt::format("'{}' is not a finite number or a quotient such as 1/255", text));
  return above / below;
}

/// One number for all channels, or one for each.
std::array<double, kMostChannels> per_channel(const ConfigNode& node, int colours) {
  std::array<double, kMostChannels> result;
  if (node.is_scalar()) {
    result.fill(number_or_quotient(node));
    return result;
  }
  const auto items = node.items();
  if (static_cast<int>(items.size()) != colours)
    node.fail(fmt::format("has {} values; one for all or one for each of the {} channels is accepted", items.size(),
                          colours));
  for (std::size_t c = 0; c < items.size(); ++c) result[c] = number_or_quotient(items[c]);
  std::fill(result.begin() + static_cast<std::ptrdiff_t>(items.size()), result.end(), result[0]);  // never written
  return result;
}

void read_size(const ConfigNode& node) {
  const std::vector<std::int64_t> size = node.integers();
  if (size.size() != 2 || size[0] < 1 || size[1] < 1 || size[0] > 16384 || size[1] > 16384)
    node.fail("expected [width, height] in pixels, 1 to 16384 each");
}

void read_crop(const ConfigNode& node, PreprocessPlan& plan) {
  if (node.is_list()) {
    const std::vector<std::int64_t> r = node.integers();
    if (r.size() != 4 || r[0] < 0 || r[1] < 0 || r[2] < 1 || r[3] < 1 || std::max({r[0], r[1], r[2], r[3]}) > 1 << 20)
      node.fail("expected [x, y, width, height] in pixels of the frame");
    plan.crop =
        cv::Rect(static_cast<int>(r[0]), static_cast<int>(r[1]), static_cast<int>(r[2]), static_cast<int>(r[3]));
  } else if (node.text() == "center" || node.text() == "centre") {
    plan.crop_share = 1;
  } else if (node.text().find('%') != std::string::npos) {
    plan.crop_share = node.fraction();
    if (plan.crop_share <= 0) node.fail("0 % leaves nothing of the frame");
  } else {
    node.fail(fmt::format(
        "'{}' is not accepted; accepted are center, a share of the frame such as 87.5 %, and [x, y, width, height]",
        node.text()));
  }
}

TensorLayout guess_layout(const TensorSpec& input) {
  const auto& s = input.shape;
  if (s.size() == 4 && !is_channels(s[1]) && is_channels(s[3])) return TensorLayout::nhwc;
  return TensorLayout::nchw;
}

/// A spectrogram fills an input of two dimensions, besides those of 1; which is which is found by the number of bands.
void place_spectrogram(const ConfigNode& pre, const TensorSpec& input, PreprocessPlan& plan) {
  MelOptions& mel = *plan.mel;
  const ConfigNode step = pre[mel.coefficients > 0 ? "mfcc" : "mel"];
  for (const char* other : {"resize", "letterbox", "crop", "pad", "interpolation", "colour", "layout", "alpha"})
    if (pre[other].present()) pre[other].fail(fmt::format("is for pictures; `{}` is for sounds", step.key()));
  if (!plan.same_for_all()) step.fail("has no channels: steps with a value for each do not go with it");
  const std::int64_t rows = mel.coefficients > 0 ? mel.coefficients : mel.bands;
  std::vector<std::int64_t> sides;
  for (const std::int64_t d : input.shape)
    if (d != 1) sides.push_back(d);
  const bool first = !sides.empty() && sides.front() == rows, second = sides.size() == 2 && sides.back() == rows;
  if (sides.size() > 2 || !(first || second) || input.type != ElementType::f32)
    step.fail(
        fmt::format("the model's input '{}' {} [{}] takes no spectrogram: f32 [{}, frames] or [frames, {}], "
                    "dimensions of 1 besides, is accepted",
                    input.name, element_name(input.type), fmt::join(input.shape, ", "), rows, rows));
  if (!mel.order_given) mel.frames_first = !first;
  else if (sides.size() == 2 && !(mel.frames_first ? second : first))
    step["order"].fail(fmt::format("the model's input '{}' [{}] has the {} {} in the other place", input.name,
                                   fmt::join(input.shape, ", "), rows,
                                   mel.coefficients > 0 ? "coefficients" : "bands"));
}

void check_input(const ConfigNode& pre, const TensorSpec& input, const PreprocessPlan& plan) {
  if (input.shape.size() != 4) {  // not for pictures: frames are copied, and run() checks their size
    for (const char* step : {"resize", "letterbox", "crop", "colour", "layout", "alpha"})
      if (pre.present() && pre[step].present())
        pre[step].fail(fmt::format("is for pictures, and the model's input '{}' [{}] takes none: four dimensions do",
                                   input.name, fmt::join(input.shape, ", ")));
    if (!plan.same_for_all())
      pre.fail(
          fmt::format("has steps with a value for each channel, and the model's input '{}' "
                      "[{}] has no channels",
                      input.name, fmt::join(input.shape, ", ")));
    return;
  }
  if (!pre.present()) return;  // nothing said about pictures: frames that are tensors are copied
  const std::int64_t channels = plan.layout == TensorLayout::nchw ? input.shape[1] : input.shape[3];
  const char* layout = plan.layout == TensorLayout::nchw ? "NCHW" : "NHWC";
  if (channels > 0 && channels != plan.channels())
    pre.fail(
        fmt::format("the model's input '{}' [{}] has {} channels in the layout {}, but the steps give {}; `colour`, "
                    "`alpha` and `layout` change that",
                    input.name, fmt::join(input.shape, ", "), channels, layout, plan.channels()));
}

}  // namespace

PreprocessPlan plan_preprocess(const ConfigNode& pre, const TensorSpec& input, int rate) {
  PreprocessPlan plan;
  plan.layout = guess_layout(input);
  const auto takes_gray = [&] {
    return input.shape.size() == 4 && input.shape[plan.layout == TensorLayout::nchw ? 1 : 3] == 1;
  };
  if (!pre.present()) {
    if (takes_gray()) plan.colour = Colour::gray;
    check_input(pre, input, plan);
    return plan;
  }
  pre.require_map("a map of steps such as {resize: [128, 128], scale: 1/255}");
  pre.allow({"resize", "letterbox", "crop", "pad", "interpolation", "colour", "layout", "alpha", "scale", "shift",
             "mean", "std", "mel", "mfcc"});

  // What the other steps depend on comes first; the order among the steps below is that of the file.
  if (const auto layout = pre["layout"]; layout.present())
    plan.layout = layout.one_of({"NCHW", "NHWC"}) == "NCHW" ? TensorLayout::nchw : TensorLayout::nhwc;
  if (const auto colour = pre["colour"]; colour.present()) {
    const std::string name = colour.one_of({"rgb", "bgr", "gray"});
    plan.colour = name == "rgb" ? Colour::rgb : name == "bgr" ? Colour::bgr : Colour::gray;
  } else if (takes_gray()) {
    plan.colour = Colour::gray;
  }
  if (pre["resize"].present() && pre["letterbox"].present())
    pre["letterbox"].fail("either resize or letterbox is accepted, not both");

  if (pre["mel"].present() && pre["mfcc"].present())
    pre["mfcc"].fail("either mel or mfcc is accepted, not both: mfcc takes the keys of mel, too");
  if (pre["mel"].present() || pre["mfcc"].present()) plan.colour = Colour::gray;  // no channels

  bool sized = false;
  for (const auto& [name, step] : pre.members()) {
    if (name == "resize" || name == "letterbox") {
      read_size(step);
      plan.letterbox = name == "letterbox";
      sized = true;
    } else if (name == "crop") {
      if (sized) step.fail("must stand before resize or letterbox: it is cut from the frame");
      read_crop(step, plan);
    } else if (name == "mel" || name == "mfcc") {
      plan.mel = parse_mel(step, name == "mfcc", rate);
    } else if (name == "pad") {
      plan.pad = step.number(0, 255);
    } else if (name == "interpolation") {
      plan.interpolation = step.one_of({"linear", "area"}) == "area" ? Interpolation::area : Interpolation::linear;
    } else if (name == "alpha") {
      plan.alpha = static_cast<float>(step.number(-1e30, 1e30));
    } else if (name == "scale" || name == "shift" || name == "mean" || name == "std") {
      const auto values = per_channel(step, plan.colours());
      for (std::size_t c = 0; c < kMostChannels; ++c) {
        const double v = values[c];
        if (name == "std" && v == 0) step.fail("0 cannot be divided by");
        const double by = name == "scale" ? v : name == "std" ? 1 / v : 1;
        const double plus = name == "shift" ? v : name == "mean" ? -v : 0;
        plan.gain[c] = static_cast<float>(plan.gain[c] * by);
        plan.bias[c] = static_cast<float>(plan.bias[c] * by + plus);
      }
    }
  }
  if (pre["pad"].present() && !plan.letterbox) pre["pad"].fail("is for letterbox only");
  if (plan.mel) place_spectrogram(pre, input, plan);
  else check_input(pre, input, plan);
  return plan;
}

}  // namespace rtmdl
