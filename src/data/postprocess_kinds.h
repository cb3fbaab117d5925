#pragma once
/// One constructor per kind of post-processing, and what they share: finding outputs, refusing NaN, mapping points back
/// to the frame.

#include "data/postprocess.h"

namespace rtmdl {

using OutputSpecs = std::span<const TensorSpec>;
using OutputViews = std::span<const TensorView>;

[[nodiscard]] std::unique_ptr<Postprocess> make_classes(const ConfigNode& post, OutputSpecs outputs);
[[nodiscard]] std::unique_ptr<Postprocess> make_detections(const ConfigNode& post, OutputSpecs outputs);
[[nodiscard]] std::unique_ptr<Postprocess> make_score_map(const ConfigNode& post, OutputSpecs outputs);
[[nodiscard]] std::unique_ptr<Postprocess> make_segmentation(const ConfigNode& post, OutputSpecs outputs);
[[nodiscard]] std::unique_ptr<Postprocess> make_lines(const ConfigNode& post, OutputSpecs outputs);
[[nodiscard]] std::unique_ptr<Postprocess> make_values(const ConfigNode& post,
                                                       OutputSpecs outputs);  ///< scalar and tensor
[[nodiscard]] std::unique_ptr<Postprocess> make_ctc(const ConfigNode& post, OutputSpecs outputs);

/// Place of the output that the node names; `fallback` if the node is absent. Fails with the nearest name.
[[nodiscard]] std::size_t find_output(const ConfigNode& name, OutputSpecs outputs, std::size_t fallback);
/// Places of the outputs that the node (one name or a list) names; empty if it is absent.
[[nodiscard]] std::vector<std::size_t> find_outputs(const ConfigNode& names, OutputSpecs outputs);
/// Fails at the node unless the output holds 32-bit floats.
void require_floats(const ConfigNode& post, const TensorSpec& output);
/// Fails at the node unless number_at() reads the output.
void require_numbers(const ConfigNode& post, const TensorSpec& output);
/// Elements if every dimension is known, else 0.
[[nodiscard]] std::size_t known_count(const TensorSpec& output) noexcept;

[[nodiscard]] bool has_nan(std::span<const float> values) noexcept;
/// Floats without NaN.
[[nodiscard]] bool is_sound(const TensorView& output) noexcept;
/// f32 without NaN, or integers of a type that number_at() reads.
[[nodiscard]] bool holds_numbers(const TensorView& output) noexcept;
/// Element i of a view that holds numbers.
[[nodiscard]] float number_at(const TensorView& output, std::size_t i) noexcept;

[[nodiscard]] inline float frame_x(const Geometry& g, float x) noexcept { return (x - g.offset_x) / g.scale_x; }
[[nodiscard]] inline float frame_y(const Geometry& g, float y) noexcept { return (y - g.offset_y) / g.scale_y; }
/// From pixels of the input to pixels of the frame, cut at its borders.
[[nodiscard]] Box to_frame(const Geometry& g, const Box& in_input) noexcept;

}  // namespace rtmdl
