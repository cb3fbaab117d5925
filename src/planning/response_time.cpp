#include "planning/response_time.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

constexpr int kMostSteps = 10'000;  ///< of an iteration; one that takes more counts as unproven

/// A stage of a task whose analysis is done, as those below it see it.
struct Interferer {
  int processor = 0;
  std::int64_t period = 0, jitter = 0, time = 0;
  bool first = true;  ///< of its job
  std::int64_t backlog = 0;

  /// Most that may arrive in a window. At its very end a release comes after what completes there and no longer
  /// matters; a later stage arrives by a completion itself, and that may come first.
  std::int64_t arrivals(std::int64_t window) const {
    return (window + jitter + (first ? period - 1 : period)) / period + backlog;
  }
};

class Analysis {
 public:
  Analysis(const PlanProblem& problem, const Choices& choices, double factor)
      : problem_(problem), choices_(choices), factor_(factor) {}

  std::vector<std::optional<Duration>> run() {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      if (choices_[i].priority > 0) order.push_back(i);
    }
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return choices_[a].priority < choices_[b].priority; });
    std::vector<std::optional<Duration>> bounds(choices_.size());
    for (const std::size_t i : order) bounds[i] = bound(i);
    return bounds;
  }

 private:
  const TaskOption& option(std::size_t i) const {
    return problem_.tasks[i].options[static_cast<std::size_t>(choices_[i].option)];
  }
  std::int64_t longest(const StageOption& stage) const {
    const double observed = static_cast<double>(stage.times.max().count());
    return static_cast<std::int64_t>(std::ceil(observed * factor_)) + dispatch_cost(problem_, stage.processor).count();
  }
  std::int64_t shortest(const StageOption& stage) const {
    return static_cast<std::int64_t>(static_cast<double>(stage.times.min().count()) / factor_);
  }

  std::int64_t blocking(std::size_t i, int processor) const {
    if (problem_.processors[static_cast<std::size_t>(processor)].preemptive) return 0;
    std::int64_t most = 0;
    for (std::size_t j = 0; j < choices_.size(); ++j) {
      if (choices_[j].priority < choices_[i].priority) continue;  // also those left out, at 0
      for (const StageOption& stage : option(j).stages) {
        if (stage.processor == processor) most = std::max(most, longest(stage));
      }
    }
    return most;
  }

  /// Least fixed point, or nothing when it lies beyond `limit`. The iteration starts at a lower bound: arrivals of w /
  /// T or more need w >= own / (1 - utilisation). From `own` it would take ever more steps the fuller the processor is.
  std::optional<std::int64_t> window(int processor, std::int64_t own, std::int64_t limit) const {
    double room = 1;
    for (const Interferer& h : higher_) {
      if (h.processor == processor) room -= static_cast<double>(h.time) / static_cast<double>(h.period);
    }
    const double least = static_cast<double>(own) / std::max(room, 1e-6) * (1 - 1e-6);
    if (least > static_cast<double>(limit)) return std::nullopt;
    std::int64_t w = std::max({own, static_cast<std::int64_t>(least), std::int64_t{1}});
    for (int step = 0; step < kMostSteps && w <= limit; ++step) {
      std::int64_t demand = own;
      for (const Interferer& h : higher_) {
        if (h.processor != processor || h.time == 0) continue;
        const std::int64_t arrivals = h.arrivals(w);
        if (arrivals > (limit - demand) / h.time) return std::nullopt;  // before the product can overflow
        demand += arrivals * h.time;
      }
      if (demand <= w) return demand;
      w = demand;
    }
    return std::nullopt;
  }

  std::optional<Duration> bound(std::size_t i) {
    const PlanTask& task = problem_.tasks[i];
    const auto& stages = option(i).stages;
    std::int64_t response = task.jitter.count();  // of the stages so far
    std::int64_t least = 0;
    std::vector<Interferer> own;
    bool bounded = true;
    for (const StageOption& stage : stages) {
      own.push_back({stage.processor, task.period.count(), response - least, longest(stage), own.empty()});
      const auto w =
          window(stage.processor, longest(stage) + blocking(i, stage.processor), task.period.count() - response);
      bounded = w.has_value();
      if (!bounded) break;
      response += *w;
      least += shortest(stage);
    }
    if (!bounded) {
      own.clear();
      for (const StageOption& stage : stages) {
        own.push_back(
            {stage.processor, task.period.count(), task.jitter.count(), longest(stage), true, task.queue + 1});
      }
    }
    higher_.insert(higher_.end(), own.begin(), own.end());
    if (!bounded) return std::nullopt;
    return Duration(response);
  }

  const PlanProblem& problem_;
  const Choices& choices_;
  double factor_;
  std::vector<Interferer> higher_;
};

}  // namespace

std::vector<std::optional<Duration>> response_bounds(const PlanProblem& problem, const Choices& choices,
                                                     double execution_factor) {
  return Analysis(problem, choices, execution_factor).run();
}

}  // namespace rtmdl
