#pragma once
/// Pre- and post-processing of your own, from a shared library that the task file names:
///
///   pre:  {plugin: libmine.so, options: "..."}
///   post: {kind: plugin, plugin: libmine.so, gives: detections, options: "..."}
///
/// Every command loads it, so that it is profiled, scored and planned for as well as run. The library defines
/// rtmdl_make_pre_step_1 or rtmdl_make_post_step_1, or both. A step is used by one thread at a time. What it throws
/// while it is made is an error of the task file; what it throws later fails that job.

#include <rtmdl/input.h>
#include <rtmdl/result.h>
#include <rtmdl/tensor.h>

#include <span>

namespace rtmdl {

/// How a point of the model's input maps back to the frame: frame = (input - offset) / scale, per axis. Pre-processing
/// says it, post-processing uses it.
struct Geometry {
  float scale_x = 1, scale_y = 1, offset_x = 0, offset_y = 0;
  int frame_width = 0, frame_height = 0;  ///< of the frame (one picture of it), pixels
  int input_width = 0, input_height = 0;  ///< of the model's input, pixels
};

class PreStep {
 public:
  virtual ~PreStep() = default;
  /// Fills the model's first input, whose shape is fixed: a resolution variant has a smaller one. Should not allocate
  /// after the first call. False: the input does not fit, the job fails.
  virtual bool run(const Input& input, TensorView model_input, Geometry& geometry) = 0;
};

class PostStep {
 public:
  virtual ~PostStep() = default;
  /// `outputs` in the order of the model's; `result` is empty and keeps its capacity. Should not allocate after the
  /// first call. False fails the job.
  virtual bool run(std::span<const TensorView> outputs, const Geometry& geometry, Result& result) = 0;
  /// Reserves what a result can need at most.
  virtual void prepare(Result& /*result*/) const {}
  /// Classes that results can name; 0: not known.
  [[nodiscard]] virtual int classes() const { return 0; }
};

}  // namespace rtmdl

extern "C" {
/// The caller deletes what they return; null refuses. `options`: as in the task file, "" without.
rtmdl::PreStep* rtmdl_make_pre_step_1(const rtmdl::TensorSpec* input, const char* options);
rtmdl::PostStep* rtmdl_make_post_step_1(const rtmdl::TensorSpec* outputs, std::size_t count, const char* options);
}
