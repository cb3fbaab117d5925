#pragma once
/// From a frame to a model's input tensor: named steps, composed in the order written in the task file's `pre:`, or a
/// user's own.

#include "data/frame.h"
#include "task/config_node.h"

#include <rtmdl/step.h>
#include <rtmdl/tensor.h>

#include <memory>
#include <string>

namespace rtmdl {

/// Owns its scratch memory; one object a worker thread. After the first call with frames of one size it does not
/// allocate.
class Preprocess {
 public:
  virtual ~Preprocess() = default;
  /// Fills `input` (its shape is fixed by the model: a resolution variant gets resized to its own input). Returns false
  /// if the frame does not fit (wrong element count for a tensor frame, empty image).
  virtual bool run(const Frame& frame, TensorView input, Geometry& geometry) noexcept = 0;
  /// For the message when a frame does not fit: ", which gives 98 frames of 64 bands"; empty where the frame itself
  /// says it all.
  [[nodiscard]] virtual std::string what_it_gives(const Frame& frame) const = 0;
};

/// `pre` may be absent (frame tensors are copied, images are resized to the input and cast). Where `resize`/`letterbox`
/// gives a size, it says how the source model wants it; `input` (the bound shape of the model that really runs) wins,
/// so that one configuration serves every resolution. `rate`: of the sounds, in Hz, as sampling_rate() gives it.
[[nodiscard]] std::unique_ptr<Preprocess> make_preprocess(const ConfigNode& pre, const TensorSpec& input, int rate = 0);

}  // namespace rtmdl
