#pragma once
/// How good a family of levels is as a whole: the area that its accuracy–latency front dominates (the S-metric of
/// Zitzler and Thiele 1998, exact in two dimensions). Pure.

#include <vector>

namespace rtmdl {

struct FrontPoint {
  double latency = 0;   ///< less is better
  double accuracy = 0;  ///< more is better
};

/// Area between the points that no other beats and the reference, which is the worst of both. Points that are not
/// better than it in both count nothing. O(n log n).
[[nodiscard]] double hypervolume(std::vector<FrontPoint> points, const FrontPoint& reference);

}  // namespace rtmdl
