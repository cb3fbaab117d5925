#pragma once
/// Intervals of a run on tracks of a drawing, where they may follow or contain each other but not cross.

#include <rtmdl/time.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rtmdl {

struct Span {
  Time start{}, end{};
  std::uint32_t job = 0;  ///< index in the caller's list
  std::uint8_t stage = 0;
  bool clamped = false;  ///< cut by make_nested()
};

/// Sorts by start (the longer first) and cuts crossing spans so that any two are apart or one contains the other. Of a
/// crossing pair the one that loses less is cut: the end of a stage and the start of its successor are measured on two
/// threads, and may cross by microseconds.
void make_nested(std::vector<Span>& spans);

/// For spans sorted by start: the smallest lane that is free, from 0. Spans of one lane do not overlap.
[[nodiscard]] std::vector<std::size_t> assign_lanes(const std::vector<Span>& spans);

}  // namespace rtmdl
