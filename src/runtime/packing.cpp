#include "runtime/packing.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <tuple>
#include <vector>

namespace rtmdl {
namespace {

constexpr double kAlone = 0.05;  ///< of its time, the most that others may be beside a stage that counts as alone

struct Interval {
  Time start{}, end{};
  std::tuple<int, int, int> stage;  // task, mode, stage
  Duration shared{};                // with others in progress
};

std::vector<Interval> intervals_on(std::span<const JobRecord> records, int processor) {
  std::vector<Interval> all;
  for (const JobRecord& r : records)
    for (int s = 0; s < r.stages; ++s) {
      const JobRecord::Stage& stage = r.stage[static_cast<std::size_t>(s)];
      if (stage.processor == processor && stage.end > stage.start)
        all.push_back({stage.start, stage.end, {r.task, r.mode, s}, {}});
    }
  return all;
}

struct Edge {
  Time when{};
  bool begins = false;
  std::size_t interval = 0;
};

std::vector<Edge> edges_of(const std::vector<Interval>& intervals) {
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    edges.push_back({intervals[i].start, true, i});
    edges.push_back({intervals[i].end, false, i});
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    return a.when != b.when ? a.when < b.when
                            : !a.begins && b.begins;  // what ends at a moment is not beside what begins
  });
  return edges;
}

}  // namespace

Packing packing_of(std::span<const JobRecord> records, int processor) {
  std::vector<Interval> intervals = intervals_on(records, processor);
  Duration any{}, sum{};
  std::vector<std::size_t> running;
  Time last{};
  for (const Edge& edge : edges_of(intervals)) {
    const Duration since = edge.when - last;
    if (!running.empty()) any += since;
    if (running.size() > 1)
      for (const std::size_t i : running) intervals[i].shared += since;
    last = edge.when;
    if (edge.begins) running.push_back(edge.interval);
    else std::erase(running, edge.interval);
  }
  struct Times {
    Duration alone{}, least = Duration::max();
    int samples = 0;
    [[nodiscard]] Duration expected() const { return samples > 0 ? alone / samples : least; }
  };
  std::map<std::tuple<int, int, int>, Times> times;
  for (const Interval& i : intervals) {
    const Duration took = i.end - i.start;
    sum += took;
    Times& t = times[i.stage];
    t.least = std::min(t.least, took);
    if (to_seconds(i.shared) > kAlone * to_seconds(took)) continue;
    t.alone += took;
    ++t.samples;
  }
  if (any == Duration{}) return {};
  Duration one_by_one{};
  for (const Interval& i : intervals) one_by_one += times[i.stage].expected();
  return {to_seconds(sum) / to_seconds(any), to_seconds(one_by_one) / to_seconds(any)};
}

}  // namespace rtmdl
