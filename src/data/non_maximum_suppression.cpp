#include "data/non_maximum_suppression.h"

#include <algorithm>
#include <tuple>

namespace rtmdl {
namespace {

constexpr std::int32_t kTaken = -1;

/// A total order, so that the outcome does not depend on how the sort treats equal scores.
bool better(const Box& a, const Box& b) noexcept {
  return std::tie(b.score, a.label, a.x0, a.y0, a.x1, a.y1) < std::tie(a.score, b.label, b.x0, b.y0, b.x1, b.y1);
}

/// Marks what `boxes[i]` silences and gives the weighted mean of it all.
Box gather(std::vector<Box>& boxes, std::size_t i, float iou) noexcept {
  const Box best = boxes[i];
  Box sum{0, 0, 0, 0, best.score, best.label};
  float weight = 0;
  for (std::size_t j = i; j < boxes.size(); ++j) {
    Box& other = boxes[j];
    if (other.label != best.label || (j != i && intersection_over_union(best, other) <= iou)) continue;
    sum.x0 += other.score * other.x0;
    sum.y0 += other.score * other.y0;
    sum.x1 += other.score * other.x1;
    sum.y1 += other.score * other.y1;
    weight += other.score;
    other.label = kTaken;
  }
  if (weight <= 0) return best;
  return {sum.x0 / weight, sum.y0 / weight, sum.x1 / weight, sum.y1 / weight, best.score, best.label};
}

}  // namespace

float intersection_over_union(const Box& a, const Box& b) noexcept {
  const float w = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const float h = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  if (w <= 0 || h <= 0) return 0;
  const float both = w * h;
  const float either = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - both;
  return either > 0 ? both / either : 0;
}

void suppress(std::vector<Box>& boxes, Suppression how, float iou, std::size_t most) noexcept {
  std::sort(boxes.begin(), boxes.end(), better);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < boxes.size() && kept < most; ++i) {
    if (boxes[i].label == kTaken) continue;
    Box chosen = boxes[i];
    if (how != Suppression::none) {
      const Box mean = gather(boxes, i, iou);
      if (how == Suppression::weighted) chosen = mean;
    }
    boxes[kept++] = chosen;
  }
  boxes.resize(kept);
}

}  // namespace rtmdl
