#include "report/nesting.h"

#include <algorithm>
#include <tuple>

namespace rtmdl {

void make_nested(std::vector<Span>& spans) {
  for (Span& s : spans) s.end = std::max(s.start, s.end);
  std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) {
    return std::tie(a.start, b.end, a.job, a.stage) < std::tie(b.start, a.end, b.job, b.stage);
  });
  std::vector<Span*> open;  // each contains the next
  for (Span& s : spans) {
    while (!open.empty() && open.back()->end <= s.start) open.pop_back();
    while (!open.empty() && open.back()->end < s.end) {
      Span& outer = *open.back();
      if (outer.end - s.start > s.end - outer.end) {
        s.end = outer.end;
        s.clamped = true;
      } else {
        outer.end = s.start;
        outer.clamped = true;
        open.pop_back();
      }
    }
    open.push_back(&s);
  }
}

std::vector<std::size_t> assign_lanes(const std::vector<Span>& spans) {
  std::vector<std::size_t> lanes;
  lanes.reserve(spans.size());
  std::vector<Time> free_from;
  for (const Span& s : spans) {
    auto lane = std::find_if(free_from.begin(), free_from.end(), [&](Time t) { return t <= s.start; });
    if (lane == free_from.end()) lane = free_from.insert(lane, s.start);
    *lane = std::max(s.start, s.end);
    lanes.push_back(static_cast<std::size_t>(lane - free_from.begin()));
  }
  return lanes;
}

}  // namespace rtmdl
