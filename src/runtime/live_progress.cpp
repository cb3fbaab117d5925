#include "runtime/live_progress.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// Two digits or so: "0.4", "12", "123".
std::string brief(double x) {
  return x < 9.95 ? fmt::format("{:.2g}", std::round(x * 10) / 10) : fmt::format("{:.0f}", x);
}

}  // namespace

std::string live_text(const LiveStatistics& statistics, const std::vector<LiveTask>& tasks) {
  std::vector<std::tuple<double, std::size_t, std::string>> parts;  // by excess over the limit, falling
  for (std::size_t i = 0; i < std::min(tasks.size(), statistics.tasks()); ++i) {
    const LiveSnapshot s = statistics.snapshot(i);
    if (s.over() == 0) continue;
    std::string text =
        fmt::format("{} {}/{:.3g} %", tasks[i].name, brief(100 * s.miss_rate()), 100 * tasks[i].miss_rate_limit);
    if (s.completed > 0) text += fmt::format(" {} ms", brief(to_ms(s.p99)));
    parts.emplace_back(tasks[i].miss_rate_limit - s.miss_rate(), i, std::move(text));
  }
  std::sort(parts.begin(), parts.end());
  std::string line;
  for (const auto& [room, task, text] : parts) line += (line.empty() ? "" : ", ") + text;
  return line;
}

Context with_live_text(const Context& context, const LiveStatistics& statistics, std::vector<LiveTask> tasks) {
  Context live = context;
  if (context.progress)
    live.progress = [&context, &statistics, tasks = std::move(tasks)](const std::string& what, double fraction) {
      const std::string text = live_text(statistics, tasks);
      context.report(text.empty() ? what : what + ", " + text, fraction);
    };
  return live;
}

}  // namespace rtmdl
