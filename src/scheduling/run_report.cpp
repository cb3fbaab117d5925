#include "scheduling/run_report.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {

ResponseTimes response_times(std::vector<float>& responses_ms) {
  if (responses_ms.empty()) return {};
  std::sort(responses_ms.begin(), responses_ms.end());
  const auto rank = [&](double q) {
    const auto n = static_cast<double>(responses_ms.size());
    const auto i = static_cast<std::size_t>(std::clamp(std::ceil(q * n) - 1, 0.0, n - 1));
    return static_cast<double>(responses_ms[i]);
  };
  return {rank(0.5), rank(0.99), static_cast<double>(responses_ms.back())};
}

double over_budget(const EnergyReport& energy) {
  return energy.limit && *energy.limit > 0 ? energy.watts / *energy.limit - 1 : 0;
}

void sum_up(RunReport& report, const std::vector<double>& weights) {
  report.released = report.missed = 0;
  report.accuracy_loss = 0;
  for (std::size_t i = 0; i < report.tasks.size(); ++i) {
    TaskReport& task = report.tasks[i];
    task.miss_rate = task.released ? static_cast<double>(task.missed) / static_cast<double>(task.released) : 0;
    report.released += task.released;
    report.missed += task.missed;
    report.accuracy_loss += weights[i] * task.accuracy_loss;
  }
  report.miss_rate = report.released ? static_cast<double>(report.missed) / static_cast<double>(report.released) : 0;
}

}  // namespace rtmdl
