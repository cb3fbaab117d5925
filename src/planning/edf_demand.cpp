#include "planning/edf_demand.h"

#include "base/units.h"
#include "planning/interference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace rtmdl {
namespace {

constexpr int kMostDemandSteps = 200'000;
constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max() / 8;

struct Stream {
  std::int64_t period = 0, deadline = 0, jitter = 0, time = 0;
  std::int64_t piece = 0;  ///< longest stage that cannot be stopped
  [[nodiscard]] std::int64_t lead() const { return deadline - jitter; }
};

Stream stream_of(const PlanTask& task, const TaskOption& option, const PlanProblem& problem, double factor) {
  Stream s{task.period.count(), task.deadline.count(), task.jitter.count()};
  const bool preemptive = problem.processors[static_cast<std::size_t>(option.stages.front().processor)].preemptive;
  for (const StageOption& stage : option.stages) {
    const std::int64_t time = longest_time(stage, dispatch_cost(problem, stage.processor), factor).count();
    s.time += time;
    if (!preemptive) s.piece = std::max(s.piece, time);
  }
  return s;
}

const TaskOption& chosen(const PlanProblem& problem, const Choices& choices, std::size_t i) {
  return problem.tasks[i].options[static_cast<std::size_t>(choices[i].option)];
}

std::vector<Stream> streams_on(const PlanProblem& problem, const Choices& choices, int processor, double factor) {
  std::vector<Stream> streams;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const TaskOption& option = chosen(problem, choices, i);
    if (option.stages.front().processor != processor) continue;
    const Stream s = stream_of(problem.tasks[i], option, problem, factor);
    if (s.time > 0) streams.push_back(s);
  }
  return streams;
}

std::int64_t demand(const std::vector<Stream>& streams, std::int64_t t) {
  std::int64_t sum = 0;
  for (const Stream& s : streams) {
    if (s.lead() <= t) sum += ((t - s.lead()) / s.period + 1) * s.time;
  }
  return sum;
}

/// The largest t' ≤ t at which the demand grows; -1 if there is none.
std::int64_t last_step(const std::vector<Stream>& streams, std::int64_t t) {
  std::int64_t last = -1;
  for (const Stream& s : streams) {
    if (s.lead() <= t) last = std::max(last, t - (t - s.lead()) % s.period);
  }
  return last;
}

/// No interval beyond this fails if no shorter one does; nothing if none is found.
std::optional<std::int64_t> horizon(const std::vector<Stream>& streams, std::int64_t piece) {
  double load = 0, excess = static_cast<double>(piece);
  Interference all;
  all.clear(1);
  for (const Stream& s : streams) {
    const double share = static_cast<double>(s.time) / static_cast<double>(s.period);
    load += share;
    excess += share * static_cast<double>(std::max<std::int64_t>(0, s.period - s.lead()));
    all.add(0, {.period = s.period, .time = s.time, .jitter = s.jitter});
  }
  all.allow(kMostDemandSteps);
  auto most = all.window(1, Interference::Window::to_completion, piece, 0, kFar);
  if (load < 1 - 1e-9) {
    const double linear = std::ceil(excess / (1 - load) * (1 + 1e-9));
    if (linear < static_cast<double>(most.value_or(kFar))) most = static_cast<std::int64_t>(linear);
  }
  return most;
}

EdfVerdict one_processor(const std::vector<Stream>& streams) {
  using Outcome = EdfVerdict::Outcome;
  double load = 0;
  std::int64_t piece = 0, first = kFar;
  std::vector<std::int64_t> borders;  // where B falls
  for (const Stream& s : streams) {
    if (s.lead() < s.time) {
      return {.outcome = Outcome::demand_exceeds,
              .interval = Duration(std::max<std::int64_t>(s.lead(), 0)),
              .demand = Duration(s.time)};
    }
    load += static_cast<double>(s.time) / static_cast<double>(s.period);
    first = std::min(first, s.lead());
    piece = std::max(piece, s.piece);
    if (s.piece > 0) borders.push_back(s.deadline);
  }
  if (load > 1 + 1e-12) {  // the demand outgrows any interval: one that shows it
    const Stream& longest =
        *std::max_element(streams.begin(), streams.end(), [](auto& a, auto& b) { return a.period < b.period; });
    for (std::int64_t t = std::max(longest.lead(), longest.period); t < kFar / 2; t *= 2) {
      const std::int64_t at = last_step(streams, t);
      if (demand(streams, at) > at)
        return {.outcome = Outcome::demand_exceeds, .interval = Duration(at), .demand = Duration(demand(streams, at))};
    }
    return {.outcome = Outcome::undecided};
  }
  const auto end = horizon(streams, piece);
  if (!end) return {.outcome = Outcome::undecided};
  borders.push_back(*end + 1);
  borders.push_back(first);
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  int steps = kMostDemandSteps;
  for (std::size_t k = 0; k + 1 < borders.size(); ++k) {
    const std::int64_t from = borders[k], to = std::min(borders[k + 1], *end + 1);
    if (from < first || from >= to) continue;
    std::int64_t blocking = 0;
    for (const Stream& s : streams) {
      if (s.deadline > from) blocking = std::max(blocking, s.piece);
    }
    for (std::int64_t t = std::max(last_step(streams, to - 1), from);;) {
      const std::int64_t need = demand(streams, t) + blocking;
      if (need > t) {
        return {.outcome = Outcome::demand_exceeds,
                .interval = Duration(t),
                .demand = Duration(need - blocking),
                .blocking = Duration(blocking)};
      }
      if (t == from) break;
      if (--steps < 0) return {.outcome = Outcome::undecided};
      t = std::max(need < t ? need : last_step(streams, t - 1), from);
    }
  }
  return {};
}

}  // namespace

Duration edf_demand(const PlanProblem& problem, const Choices& choices, int processor, Duration interval,
                    double execution_factor) {
  return Duration(demand(streams_on(problem, choices, processor, execution_factor), interval.count()));
}

EdfVerdict edf_schedulable(const PlanProblem& problem, const Choices& choices, double execution_factor) {
  using Outcome = EdfVerdict::Outcome;
  const auto none = [](std::string reason) {
    return EdfVerdict{.outcome = Outcome::not_applicable, .reason = std::move(reason)};
  };
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    const std::vector<StageOption>& stages = chosen(problem, choices, i).stages;
    const int processor = stages.front().processor;
    Duration shortest{};
    for (const StageOption& stage : stages) {
      if (stage.processor != processor)
        return none(fmt::format("{} goes over several processors: the demand of one says nothing about it", task.name));
      shortest += shortest_time(stage, execution_factor);
    }
    const PlanProcessor& on = problem.processors[static_cast<std::size_t>(processor)];
    if (on.slots != 1) return none(fmt::format("{} has {} slots: the criterion is for one", on.name, on.slots));
    if (task.deadline > task.queue * task.period + shortest)
      return none(fmt::format("{}: with a deadline of {} and a queue of {}, a job that would be in time may be dropped",
                              task.name, format_duration(task.deadline), task.queue));
  }
  for (std::size_t p = 0; p < problem.processors.size(); ++p) {
    const auto streams = streams_on(problem, choices, static_cast<int>(p), execution_factor);
    if (streams.empty()) continue;
    EdfVerdict verdict = one_processor(streams);
    if (verdict.outcome == Outcome::schedulable) continue;
    verdict.processor = static_cast<int>(p);
    const std::string& name = problem.processors[p].name;
    if (verdict.outcome == Outcome::undecided) {
      verdict.reason = fmt::format("{} is so full that the criterion has too many intervals to look at", name);
    } else {
      verdict.reason = fmt::format("within {} there may be {} of work on {} whose deadlines lie in it",
                                   format_duration(verdict.interval), format_duration(verdict.demand), name);
      if (verdict.blocking > Duration{})
        verdict.reason += fmt::format(", after {} that cannot be stopped", format_duration(verdict.blocking));
    }
    return verdict;
  }
  return {};
}

}  // namespace rtmdl
