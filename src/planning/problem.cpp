#include "planning/problem.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {

Duration TimeDistribution::quantile(double q) const {
  if (sorted.empty()) return Duration{};
  const double rank = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(sorted.size()));
  return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

Duration TimeDistribution::mean() const {
  if (sorted.empty()) return Duration{};
  double sum = 0;
  for (const Duration d : sorted) sum += static_cast<double>(d.count());
  return Duration(std::llround(sum / static_cast<double>(sorted.size())));
}

double space_of(const PlanProblem& problem) {
  double space = 1;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    space *= static_cast<double>(problem.tasks[i].options.size()) * static_cast<double>(i + 1);
  }
  return space;
}

double utilisation(const PlanTask& task, const TaskOption& option) {
  double sum = 0;
  for (const StageOption& stage : option.stages) sum += to_seconds(stage.times.mean());
  return sum / to_seconds(task.period);
}

}  // namespace rtmdl
