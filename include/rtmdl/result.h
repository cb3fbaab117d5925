#pragma once
/// What a job gives: classes, detections, text regions, lines, scalars, text.

#include <cstdint>
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

}  // namespace rtmdl
