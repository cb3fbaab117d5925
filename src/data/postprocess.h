#pragma once
/// From a model's outputs to a result that people use: classes, detections, text regions, lines, scalars, text.

#include "data/preprocess.h"
#include "task/config_node.h"

#include <rtmdl/tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rtmdl {

/// Axis-aligned, in pixels of the frame.
struct Box {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  float score = 0;
  std::int32_t label = 0;
};

struct LineSegment {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0, score = 0;
};

/// What one job gives. Vectors keep their capacity from job to job: reserved once, then no allocation (up to the step's
/// `max`).
struct Result {
  std::vector<std::int32_t> classes;  ///< top-k per element of the batch, best first: batch × k
  std::vector<float> scores;          ///< beside `classes`; for scalars: the values
  int k = 0;                          ///< classes per element
  std::vector<Box> boxes;
  std::vector<LineSegment> lines;
  std::vector<std::uint8_t>
      mask;  ///< binarised score map (0 or 1), or the class of each place, row-major; empty where there is none
  int mask_width = 0, mask_height = 0;
  std::string text;       ///< CTC
  void clear() noexcept;  ///< empties, keeps capacity
};
/// Memory that it holds, capacity included.
[[nodiscard]] std::size_t bytes_of(const Result& result) noexcept;

class Postprocess {
 public:
  virtual ~Postprocess() = default;
  /// `outputs` in the order of the model's outputs. Does not allocate after warm-up. False if shapes do not fit, or a
  /// value is NaN.
  virtual bool run(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) noexcept = 0;
  /// Classes that results can name: labels below it fit the model. 0 if there are none, or the outputs do not say.
  [[nodiscard]] virtual int classes() const noexcept { return 0; }
  /// Reserves what a result can need at most, so that the first job does not allocate.
  virtual void prepare(Result& result) const = 0;
};

/// `post: {kind: classes|detections|score_map|segmentation|lines|scalar|ctc|tensor, …}`. `outputs` are the model's
/// (names are used to find tensors).
[[nodiscard]] std::unique_ptr<Postprocess> make_postprocess(const ConfigNode& post,
                                                            std::span<const TensorSpec> outputs);

}  // namespace rtmdl
