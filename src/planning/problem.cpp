#include "planning/problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

StageTime expected_time(const StageOption& stage, Duration dispatch) {
  constexpr double kNearlyAll = 0.99;
  const Duration beside = stage.times.quantile(kNearlyAll);
  const Duration alone = stage.alone.sorted.empty() ? beside : std::min(beside, stage.alone.quantile(kNearlyAll));
  return {alone + dispatch, beside + dispatch};
}

StageLoad expected_load(const StageOption& stage, Duration dispatch) {
  constexpr double kMost = 0.9;
  return {stage.times.mean() + dispatch, stage.times.quantile(kMost) + dispatch};
}

std::optional<double> slow_down(const PlanProblem& problem, const TaskOption& slowed, const TaskOption& by) {
  const SlowDowns& pairs = problem.slow_downs;
  if (slowed.kind < 0 || by.kind < 0) return std::nullopt;
  const double factor = pairs.factor[index(slowed.kind) * pairs.kinds() + index(by.kind)];
  if (factor <= 0) return std::nullopt;
  return 1 + std::max(factor - 1, 0.0) * by.demand / pairs.demand[index(by.kind)];
}

std::optional<double> pressure(const PlanProblem& problem, const TaskOption& slowed, const TaskOption& by) {
  constexpr double kBlur = 0.05;  // slow-downs that differ by less are the same
  const std::optional<double> factor = slow_down(problem, slowed, by);
  if (!factor) return std::nullopt;
  return std::min((*factor - 1 + kBlur) / (slowed.slow_down - 1 + kBlur), 1.0);
}

bool is_split(const TaskOption& option) {
  for (std::size_t s = 2; s + 1 < option.stages.size(); ++s)
    if (option.stages[s].processor != option.stages[1].processor) return true;
  return false;
}

Duration mean_time(const TaskOption& option) {
  Duration sum{};
  for (const StageOption& stage : option.stages)
    sum += stage.reach == 1 ? stage.times.mean() : from_seconds(to_seconds(stage.times.mean()) * stage.reach);
  return sum;
}

void set_exits(TaskOption& option, std::vector<std::uint8_t> leaves, std::vector<double> unit_accuracy) {
  option.optional_from = 2;
  option.leaves = std::move(leaves);
  option.unit_accuracy = std::move(unit_accuracy);
  for (std::size_t s = 2; s + 1 < option.stages.size() && !option.leaves.empty(); ++s) {
    const auto run =
        std::count_if(option.leaves.begin(), option.leaves.end(), [&](std::uint8_t units) { return units >= s; });
    option.stages[s].reach = static_cast<double>(run) / static_cast<double>(option.leaves.size());
  }
}

int units_until_sure(const TaskOption& option, std::uint64_t job) {
  const int all = segments_of(option);
  return option.leaves.empty() ? all : std::min<int>(all, option.leaves[job % option.leaves.size()]);
}

double accuracy_change(const TaskOption& option, int ran, int until_sure) {
  const int all = segments_of(option);
  if (option.unit_accuracy.size() != index(all) || ran == until_sure) return 0;
  const auto share = [&](int units) {
    return units < all ? option.stages[index(units) + 1].reach : 0;
  };  // not sure yet
  // Who is sure and runs on gains only at the end; who leaves before loses what those that are not sure yet have.
  if (ran > until_sure) {
    const double sure = 1 - share(all - 1);
    return ran == all && sure > 0 ? (option.unit_accuracy.back() - option.accuracy) / sure : 0;
  }
  const double not_sure = share(ran);
  return not_sure > 0 ? std::min((option.unit_accuracy[index(ran) - 1] - option.accuracy) / not_sure, 0.0) : 0;
}

int slots_of(const TaskOption& option) {
  int most = 1;
  for (const StageOption& stage : option.stages) most = std::max(most, stage.slots);
  return most;
}

int released_by(const PlanTask& parent, std::uint64_t job, const AfterSpec& after) {
  if (!after.per_detection) return 1;
  if (parent.detections.empty()) return after.most;
  return std::min<int>(after.most, parent.detections[job % parent.detections.size()]);
}

void set_follower_streams(PlanProblem& problem) {
  for (PlanTask& task : problem.tasks) {
    if (task.after.task < 0) continue;
    std::int64_t jobs = task.after.most;
    const PlanTask* first = &problem.tasks[index(task.after.task)];
    for (; first->after.task >= 0; first = &problem.tasks[index(first->after.task)]) jobs *= first->after.most;
    task.period = std::max(first->period / jobs, Duration(1));
    task.jitter = problem.tasks[index(task.after.task)].deadline + first->period - task.period;
  }
}

double space_of(const PlanProblem& problem) {
  double space = 1;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    space *= static_cast<double>(problem.tasks[i].options.size()) * static_cast<double>(i + 1);
  }
  return space;
}

double utilisation(const PlanTask& task, const TaskOption& option) {
  return to_seconds(mean_time(option)) / to_seconds(mean_interval(task));
}

}  // namespace rtmdl
