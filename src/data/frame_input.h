#pragma once
/// A frame of ours as programs and their steps see it.

#include "data/frame.h"

#include <rtmdl/input.h>

namespace rtmdl {

/// Looks into the frame's memory.
[[nodiscard]] inline Input input_of(const Frame& frame) {
  const TensorView tensor = frame.values();
  Input in = frame.image.empty() ? Input::tensor(tensor.bytes.data(), tensor.type, tensor.shape)
                                 : Input::picture(frame.image.data, frame.image.cols, frame.image.rows,
                                                  frame.image.channels(), frame.image.step[0]);
  in.batch = frame.batch;
  in.restart = frame.restart;
  return in;
}

}  // namespace rtmdl
