#pragma once
/// Ground truth of detectors.

#include <cstdint>

namespace rtmdl {

/// A thing that a person marked in a picture: axis-aligned, in pixels of the frame.
struct LabelledBox {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  std::int32_t label = 0;
  bool ignore = false;  ///< a crowd, or a fragment that a crop left: whether it is found counts neither way
};

}  // namespace rtmdl
