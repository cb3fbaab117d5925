#include "planning/no_lighter.h"

#include <algorithm>

namespace rtmdl {
namespace {

/// Whether no quantile of `a` is below that of `b`.
bool never_shorter(const TimeDistribution& a, const TimeDistribution& b) {
  if (b.sorted.empty()) return true;
  if (a.sorted.empty()) return b.max() <= Duration{};
  const auto at = [](const TimeDistribution& t, double q) {
    const double position = q * static_cast<double>(t.sorted.size() - 1);
    const std::size_t below = static_cast<std::size_t>(position);
    const double low = static_cast<double>(t.sorted[below].count());
    const double high = static_cast<double>(t.sorted[std::min(below + 1, t.sorted.size() - 1)].count());
    return low + (high - low) * (position - static_cast<double>(below));
  };
  for (const TimeDistribution* grid : {&a, &b}) {
    const std::size_t last = grid->sorted.size() - 1;
    for (std::size_t k = 0; k <= last; ++k) {
      const double q = last == 0 ? 0.5 : static_cast<double>(k) / static_cast<double>(last);
      if (at(a, q) < at(b, q) - 0.5) return false;
    }
  }
  return true;
}

}  // namespace

bool no_lighter(const TaskOption& a, const TaskOption& b) {
  if (a.stages.size() != b.stages.size() || a.correlation != b.correlation) return false;
  for (std::size_t s = 0; s < a.stages.size(); ++s) {
    if (a.stages[s].processor != b.stages[s].processor || a.stages[s].slots != b.stages[s].slots) return false;
    if (a.stages[s].longest < b.stages[s].longest) return false;
    if (!never_shorter(a.stages[s].times, b.stages[s].times)) return false;
  }
  return true;
}

}  // namespace rtmdl
