#include "profiling/hypervolume.h"

#include <algorithm>
#include <tuple>

namespace rtmdl {

double hypervolume(std::vector<FrontPoint> points, const FrontPoint& reference) {
  std::sort(points.begin(), points.end(), [](const FrontPoint& a, const FrontPoint& b) {
    return std::tuple(a.latency, -a.accuracy) < std::tuple(b.latency, -b.accuracy);
  });
  double area = 0;
  double reached = reference.accuracy;
  for (const FrontPoint& p : points) {
    if (!(p.latency < reference.latency) || !(p.accuracy > reached)) continue;
    area += (reference.latency - p.latency) * (p.accuracy - reached);
    reached = p.accuracy;
  }
  return area;
}

}  // namespace rtmdl
