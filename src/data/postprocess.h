#pragma once
/// From a model's outputs to a result that people use: classes, detections, text regions, lines, scalars, text.

#include "data/preprocess.h"
#include "task/config_node.h"

#include <rtmdl/result.h>
#include <rtmdl/tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace rtmdl {

/// Memory that it holds, capacity included.
[[nodiscard]] std::size_t bytes_of(const Result& result) noexcept;

class Postprocess {
 public:
  virtual ~Postprocess() = default;
  /// `outputs` in the order of the model's outputs. Does not allocate after warm-up. False if shapes do not fit, a
  /// value is NaN, or one that the result rests on is infinite (in a raw tensor or a map it may be).
  virtual bool run(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) = 0;
  /// Classes that results can name: labels below it fit the model. 0 if there are none, or the outputs do not say.
  [[nodiscard]] virtual int classes() const noexcept { return 0; }
  /// Reserves what a result can need at most, so that the first job does not allocate.
  virtual void prepare(Result& result) const = 0;
};

/// `post: {kind: classes|detections|score_map|segmentation|lines|scalar|ctc|tensor|plugin, …}`. `outputs` are the
/// model's (names are used to find tensors).
[[nodiscard]] std::unique_ptr<Postprocess> make_postprocess(const ConfigNode& post,
                                                            std::span<const TensorSpec> outputs);

}  // namespace rtmdl
