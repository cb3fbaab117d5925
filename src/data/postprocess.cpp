#include "data/postprocess.h"

#include "data/plugin_steps.h"
#include "data/postprocess_kinds.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

bool is_read(ElementType type) noexcept {
  return type == ElementType::f32 || type == ElementType::i32 || type == ElementType::i64 || type == ElementType::u8 ||
         type == ElementType::boolean;
}

}  // namespace

std::size_t bytes_of(const Result& r) noexcept {
  return sizeof r + r.classes.capacity() * sizeof(std::int32_t) + r.scores.capacity() * sizeof(float) +
         r.boxes.capacity() * sizeof(Box) + r.lines.capacity() * sizeof(LineSegment) + r.mask.capacity() +
         r.text.capacity();
}

void Result::clear() noexcept {
  classes.clear();
  scores.clear();
  k = 0;
  boxes.clear();
  lines.clear();
  mask.clear();
  mask_width = mask_height = 0;
  text.clear();
}

std::unique_ptr<Postprocess> make_postprocess(const ConfigNode& post, OutputSpecs outputs) {
  if (outputs.empty()) post.fail("the model has no outputs");
  if (!post.present()) return make_values(post, outputs);
  post.require_map("a map such as {kind: classes}");
  const std::string kind = post["kind"].one_of(
      {"classes", "detections", "score_map", "segmentation", "lines", "scalar", "ctc", "tensor", "plugin"});
  if (kind == "classes") return make_classes(post, outputs);
  if (kind == "detections") return make_detections(post, outputs);
  if (kind == "score_map") return make_score_map(post, outputs);
  if (kind == "segmentation") return make_segmentation(post, outputs);
  if (kind == "lines") return make_lines(post, outputs);
  if (kind == "plugin") return make_plugin_postprocess(post, outputs);
  if (kind == "ctc") return make_ctc(post, outputs);
  return make_values(post, outputs);
}

std::size_t find_output(const ConfigNode& name, OutputSpecs outputs, std::size_t fallback) {
  if (!name.present()) return fallback;
  const std::string found = name.text();
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].name == found) return i;
    names.push_back(outputs[i].name);
  }
  const std::string near = nearest_word(found, names);
  name.fail(fmt::format("the model has no output '{}'{}; it has {}", found,
                        near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near), fmt::join(names, ", ")));
}

std::vector<std::size_t> find_outputs(const ConfigNode& names, OutputSpecs outputs) {
  if (!names.present()) return {};
  if (names.is_scalar()) return {find_output(names, outputs, 0)};
  std::vector<std::size_t> found;
  for (const ConfigNode& name : names.items()) found.push_back(find_output(name, outputs, 0));
  return found;
}

void require_floats(const ConfigNode& post, const TensorSpec& output) {
  if (output.type != ElementType::f32)
    post.fail(
        fmt::format("the model's output '{}' is of type {}; f32 is accepted", output.name, element_name(output.type)));
}

void require_numbers(const ConfigNode& post, const TensorSpec& output) {
  if (!is_read(output.type))
    post.fail(fmt::format("the model's output '{}' is of type {}; f32, i32, i64, u8 and boolean are accepted",
                          output.name, element_name(output.type)));
}

std::size_t known_count(const TensorSpec& output) noexcept {
  const bool known = std::all_of(output.shape.begin(), output.shape.end(), [](std::int64_t d) { return d >= 0; });
  return known ? element_count(output.shape) : 0;
}

bool has_nan(std::span<const float> values) noexcept {
  constexpr std::size_t kBlock = 16;  // a fixed size, so that -O2 makes vector code of it
  std::int32_t found[kBlock] = {};
  std::size_t i = 0;
  for (; i + kBlock <= values.size(); i += kBlock)
    for (std::size_t j = 0; j < kBlock; ++j) found[j] |= values[i + j] != values[i + j];
  for (; i < values.size(); ++i) found[0] |= values[i] != values[i];
  return std::any_of(std::begin(found), std::end(found), [](std::int32_t f) { return f != 0; });
}

bool is_sound(const TensorView& output) noexcept {
  return output.type == ElementType::f32 && output.bytes.size() == element_count(output.shape) * sizeof(float) &&
         !has_nan(output.as<float>());
}

bool holds_numbers(const TensorView& output) noexcept {
  if (output.type == ElementType::f32) return is_sound(output);
  return is_read(output.type) && output.bytes.size() == element_count(output.shape) * element_size(output.type);
}

float number_at(const TensorView& output, std::size_t i) noexcept {
  switch (output.type) {
    case ElementType::f32: return output.as<float>()[i];
    case ElementType::i32: return static_cast<float>(output.as<std::int32_t>()[i]);
    case ElementType::i64: return static_cast<float>(output.as<std::int64_t>()[i]);
    default: return output.as<std::uint8_t>()[i];
  }
}

Box to_frame(const Geometry& g, const Box& in_input) noexcept {
  const auto w = static_cast<float>(g.frame_width), h = static_cast<float>(g.frame_height);
  return {std::clamp(frame_x(g, in_input.x0), 0.0f, w),
          std::clamp(frame_y(g, in_input.y0), 0.0f, h),
          std::clamp(frame_x(g, in_input.x1), 0.0f, w),
          std::clamp(frame_y(g, in_input.y1), 0.0f, h),
          in_input.score,
          in_input.label};
}

}  // namespace rtmdl
