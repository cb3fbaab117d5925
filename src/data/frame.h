#pragma once
/// One input as it comes from the world, before pre-processing.

#include "data/labelled_box.h"

#include <rtmdl/tensor.h>

#include <cstdint>
#include <vector>

#include <opencv2/core/mat.hpp>

namespace rtmdl {

/// Either an image (8-bit, 1 or 3 channels, BGR as OpenCV reads it), or a batch of images of one size (`image` holds
/// them one below the other, `batch` > 1), or a tensor (audio window, raw input).
struct Frame {
  cv::Mat image;
  Tensor tensor;
  TensorView borrowed;  ///< a tensor that somebody else owns, instead of `tensor`
  int batch = 1;
  std::vector<std::int32_t> labels;  ///< one an element of the batch; empty where there are none
  std::vector<LabelledBox> boxes;    ///< of sources that have boxes; batch = 1
  std::int64_t index = 0;            ///< place in its source
  bool restart = false;              ///< first of a sequence: a stateful model starts afresh here

  /// The tensor, whoever owns it. Nobody writes through it.
  [[nodiscard]] TensorView values() const noexcept {
    return borrowed.bytes.empty() ? const_cast<Tensor&>(tensor).view() : borrowed;
  }
};

}  // namespace rtmdl
