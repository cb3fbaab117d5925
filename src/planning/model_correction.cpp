#include "planning/model_correction.h"

#include "planning/energy.h"
#include "planning/response_time.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rtmdl {
namespace {

constexpr double kLeastFactor = 0.1, kMostFactor = 10;  ///< beyond that, something else is wrong
constexpr double kPriorJobs = 10;  ///< that the processor's factor counts for beside an option's own jobs

Duration quantile(std::vector<Duration> times, double q) {
  if (times.empty()) return {};
  const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(times.size() - 1));
  std::nth_element(times.begin(), times.begin() + at, times.end());
  return times[static_cast<std::size_t>(at)];
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// Without the longest 1 %, or the longest one.
Duration trimmed_mean(std::vector<Duration> times) {
  std::sort(times.begin(), times.end());
  if (times.size() > 1) times.resize(times.size() - std::max<std::size_t>(1, times.size() / 100));
  return times.empty() ? Duration{} : TimeDistribution{times}.mean();
}

/// A factor and the time that it rests on.
struct Weighted {
  double factor = 1, weight = 0;
};

double weighted_median(std::vector<Weighted> values) {
  std::sort(values.begin(), values.end(), [](const Weighted& a, const Weighted& b) { return a.factor < b.factor; });
  double all = 0, below = 0;
  for (const Weighted& v : values) all += v.weight;
  for (const Weighted& v : values)
    if ((below += v.weight) >= all / 2) return v.factor;
  return 1;
}

bool usable(double factor) { return std::isfinite(factor) && factor > 0; }
double bounded(double factor) { return usable(factor) ? std::clamp(factor, kLeastFactor, kMostFactor) : 1; }

Duration scaled(Duration d, double factor) { return Duration(std::llround(static_cast<double>(d.count()) * factor)); }

void scale(StageOption& stage, double factor) {
  for (Duration& d : stage.times.sorted) d = scaled(d, factor);
  for (Duration& d : stage.alone.sorted) d = scaled(d, factor);
  stage.longest = std::max(stage.longest, scaled(stage.longest, factor));
}

bool names(const OptionTimes& times, const PlanTask& task, const TaskOption& option) {
  return times.task == task.name && times.variant == option.variant && times.processor == option.processor &&
         times.threads == option.threads && times.stages.size() == option.stages.size() && times.alone == option.alone;
}

const OptionTimes* find(const std::vector<OptionTimes>& all, const PlanTask& task, const TaskOption& option) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const OptionTimes& t) { return names(t, task, option); });
  return found == all.end() ? nullptr : &*found;
}

/// Measured / profiled, by medians; 0 where one of them says nothing.
double ratio(const StageOption& profiled, const std::vector<Duration>& measured) {
  const Duration expected = profiled.times.quantile(0.5), seen = quantile(measured, 0.5);
  if (expected <= Duration::zero() || seen <= Duration::zero()) return 0;
  return static_cast<double>(seen.count()) / static_cast<double>(expected.count());
}

bool plausible(const OptionTimes& times) {
  if (times.jobs() == 0) return false;
  for (const auto& stage : times.stages) {
    if (stage.size() != times.jobs()) return false;
    if (std::any_of(stage.begin(), stage.end(), [](Duration d) { return d < Duration::zero(); })) return false;
  }
  return true;
}

enum class StageKind { pre, infer, post };
StageKind kind_of(std::size_t stage, const TaskOption& option) {
  return stage == 0 ? StageKind::pre : stage + 1 == option.stages.size() ? StageKind::post : StageKind::infer;
}

/// What the stages of a task showed, per processor: of pre- and post-processing on the host apart from inference, of
/// which each segment counts.
struct Seen {
  StageKind kind = StageKind::pre;
  int processor = 0;
  double factor = 1;
};

std::vector<Seen> seen_of(const PlanTask& task, const ModelCorrection& correction) {
  std::vector<Seen> seen;
  for (const TaskOption& option : task.options) {
    const OptionTimes* times = find(correction.options, task, option);
    if (!times || !plausible(*times)) continue;
    for (std::size_t s = 0; s < option.stages.size(); ++s)
      if (const double f = ratio(option.stages[s], times->stages[s]); usable(f))
        seen.push_back({kind_of(s, option), option.stages[s].processor, bounded(f)});
  }
  return seen;
}

class Correcting {
 public:
  Correcting(PlanProblem& problem, const ModelCorrection& correction) : problem_(problem), correction_(correction) {
    for (const PlanProcessor& p : problem.processors) {
      const auto found = std::find_if(correction.processors.begin(), correction.processors.end(),
                                      [&](const ProcessorCorrection& c) { return c.name == p.name; });
      const bool there = found != correction.processors.end();
      factors_.push_back(there && found->stages > 0 ? bounded(found->factor) : 1);
      processors_.push_back(there ? &*found : nullptr);
    }
  }

  void run() {
    for (PlanTask& task : problem_.tasks) {
      const std::vector<Seen> seen = seen_of(task, correction_);
      for (TaskOption& option : task.options) correct(task, option, seen);
    }
    dispatch();
    for (std::size_t p = 0; p < processors_.size(); ++p)
      if (const ProcessorCorrection* c = processors_[p]; c && c->moments.pairs > 0)
        problem_.processors[p].correlation = c->moments.correlation();
    if (const StallTimes& s = correction_.stalls; usable(s.seconds) && usable(s.count) && !s.lasting.empty())
      problem_.stalls = {s.count / s.seconds, s.lasting};
  }

 private:
  void correct(const PlanTask& task, TaskOption& option, const std::vector<Seen>& seen) {
    const OptionTimes* times = find(correction_.options, task, option);
    if (!times || !plausible(*times)) {
      for (std::size_t s = 0; s < option.stages.size(); ++s) scale(option.stages[s], unseen_factor(option, s, seen));
      return;
    }
    const bool own = times->jobs() >= kOwnTimes;
    for (std::size_t s = 0; s < option.stages.size(); ++s) {
      StageOption& stage = option.stages[s];
      if (own) replace(stage, times->stages[s]);
      else scale(stage, shrunk(ratio(stage, times->stages[s]), times->jobs(), factor_of(stage)));
    }
    if (own) option.correlation = stage_correlation(times->stages);
  }

  static void replace(StageOption& stage, const std::vector<Duration>& measured) {
    const Duration before = stage.times.max();
    stage.times.sorted = measured;
    std::sort(stage.times.sorted.begin(), stage.times.sorted.end());
    stage.alone.sorted.clear();
    // What was seen once may happen again, whatever this run saw.
    if (stage.longest > Duration::zero()) stage.longest = std::max(stage.longest, stage.times.max());
    else if (stage.times.max() < before) stage.longest = scaled(before, kExecutionFactor);
  }

  [[nodiscard]] double factor_of(const StageOption& stage) const {
    return factors_[static_cast<std::size_t>(stage.processor)];
  }

  static double shrunk(double own, std::size_t jobs, double prior) {
    if (!usable(own)) return prior;
    const double n = static_cast<double>(jobs);
    return bounded(std::exp((n * std::log(own) + kPriorJobs * std::log(prior)) / (n + kPriorJobs)));
  }

  /// Of a stage that never ran. Pre- and post-processing hardly depend on the variant: what the task's others showed
  /// holds. Of inference half of it (in logarithms), for other variants use other kernels.
  [[nodiscard]] double unseen_factor(const TaskOption& option, std::size_t s, const std::vector<Seen>& seen) const {
    const StageOption& stage = option.stages[s];
    std::vector<double> alike;
    for (const Seen& other : seen)
      if (other.kind == kind_of(s, option) && other.processor == stage.processor) alike.push_back(other.factor);
    if (alike.empty()) return factor_of(stage);
    return kind_of(s, option) != StageKind::infer ? median(alike) : std::sqrt(median(alike) * factor_of(stage));
  }

  /// The least of the processors' for all, the rest on each processor itself.
  void dispatch() {
    Duration least = Duration::max();
    for (const ProcessorCorrection* c : processors_)
      if (c && c->dispatches > 0 && c->dispatch >= Duration::zero()) least = std::min(least, c->dispatch);
    if (least == Duration::max()) return;
    problem_.dispatch = least;
    for (std::size_t p = 0; p < processors_.size(); ++p) {
      const ProcessorCorrection* c = processors_[p];
      problem_.processors[p].dispatch =
          c && c->dispatches > 0 ? std::max(Duration::zero(), c->dispatch - least) : Duration::zero();
    }
  }

  PlanProblem& problem_;
  const ModelCorrection& correction_;
  std::vector<double> factors_;  // per processor
  std::vector<const ProcessorCorrection*> processors_;
};

template <typename T>
void keep_newest(std::vector<T>& values, std::size_t most) {
  if (values.size() > most) values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(most));
}

void keep_newest(OptionTimes& times) {
  for (auto& stage : times.stages) keep_newest(stage, kMostCorrected);
}

bool same_option(const OptionTimes& a, const OptionTimes& b) {
  return a.task == b.task && a.variant == b.variant && a.processor == b.processor && a.threads == b.threads &&
         a.stages.size() == b.stages.size() && a.alone == b.alone;
}

void add_times(std::vector<OptionTimes>& to, const OptionTimes& more) {
  const auto found = std::find_if(to.begin(), to.end(), [&](const OptionTimes& t) { return same_option(t, more); });
  if (found == to.end()) {
    to.push_back(more);
    return;
  }
  for (std::size_t s = 0; s < more.stages.size(); ++s)
    found->stages[s].insert(found->stages[s].end(), more.stages[s].begin(), more.stages[s].end());
}

}  // namespace

StallTimes& StallTimes::operator+=(const StallTimes& later) {
  seconds += later.seconds;
  count += later.count;
  if (seconds > kStallMemory) {
    count *= kStallMemory / seconds;
    seconds = kStallMemory;
  }
  lasting.insert(lasting.end(), later.lasting.begin(), later.lasting.end());
  keep_newest(lasting, kMostStalls);
  return *this;
}

void append(Observation& to, const Observation& more) {
  for (const OptionTimes& times : more.options) add_times(to.options, times);
  if (to.dispatch.size() < more.dispatch.size()) to.dispatch.resize(more.dispatch.size());
  for (std::size_t p = 0; p < more.dispatch.size(); ++p)
    to.dispatch[p].insert(to.dispatch[p].end(), more.dispatch[p].begin(), more.dispatch[p].end());
  if (to.moments.size() < more.moments.size()) to.moments.resize(more.moments.size());
  for (std::size_t p = 0; p < more.moments.size(); ++p) to.moments[p] += more.moments[p];
  to.stalls += more.stalls;
  to.lateness.insert(to.lateness.end(), more.lateness.begin(), more.lateness.end());
}

ModelCorrection correction_from(const PlanProblem& profiled, const Observation& observed) {
  ModelCorrection correction;
  std::vector<std::vector<Weighted>> factors(profiled.processors.size());
  for (const PlanTask& task : profiled.tasks) {
    for (const TaskOption& option : task.options) {
      const OptionTimes* times = find(observed.options, task, option);
      if (!times || !plausible(*times)) continue;
      correction.options.push_back(*times);
      keep_newest(correction.options.back());
      for (std::size_t s = 0; s < option.stages.size(); ++s) {
        const double f = ratio(option.stages[s], times->stages[s]);
        if (usable(f))
          factors[static_cast<std::size_t>(option.stages[s].processor)].push_back(
              {f, to_ms(option.stages[s].times.quantile(0.5))});
      }
    }
  }
  for (std::size_t p = 0; p < profiled.processors.size(); ++p) {
    ProcessorCorrection c;
    c.name = profiled.processors[p].name;
    if (!factors[p].empty()) c.factor = bounded(weighted_median(factors[p]));
    c.stages = static_cast<int>(factors[p].size());
    if (p < observed.dispatch.size() && !observed.dispatch[p].empty()) {
      c.dispatch = std::max(Duration::zero(), trimmed_mean(observed.dispatch[p]));
      c.dispatch_p90 = std::max(Duration::zero(), quantile(observed.dispatch[p], 0.9));
      c.dispatches = static_cast<int>(observed.dispatch[p].size());
    }
    if (p < observed.moments.size()) c.moments = observed.moments[p];
    correction.processors.push_back(c);
  }
  correction.stalls = observed.stalls;
  return correction;
}

ModelCorrection merged(const ModelCorrection& older, const ModelCorrection& newer) {
  ModelCorrection both;
  for (const OptionTimes& times : older.options) {
    const auto fresh = std::find_if(newer.options.begin(), newer.options.end(),
                                    [&](const OptionTimes& t) { return same_option(t, times); });
    if (fresh == newer.options.end() || fresh->jobs() < kOwnTimes) both.options.push_back(times);
  }
  for (const OptionTimes& times : newer.options) add_times(both.options, times);
  for (OptionTimes& times : both.options) keep_newest(times);
  both.stalls = older.stalls;
  both.stalls += newer.stalls;
  both.processors = newer.processors;
  for (const ProcessorCorrection& old : older.processors) {
    const auto fresh = std::find_if(both.processors.begin(), both.processors.end(),
                                    [&](const ProcessorCorrection& c) { return c.name == old.name; });
    if (fresh == both.processors.end()) {
      both.processors.push_back(old);
      continue;
    }
    if (fresh->stages == 0) fresh->factor = old.factor, fresh->stages = old.stages;
    if (fresh->dispatches == 0) {
      fresh->dispatch = old.dispatch;
      fresh->dispatch_p90 = old.dispatch_p90;
      fresh->dispatches = old.dispatches;
    }
    if (!fresh->moments.enough()) fresh->moments += old.moments;
  }
  return both;
}

void apply(PlanProblem& problem, const ModelCorrection& correction) {
  if (correction.empty()) return;
  Correcting(problem, correction).run();
  set_joules(problem);
}

}  // namespace rtmdl
