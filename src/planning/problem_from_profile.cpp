#include "planning/problem_from_profile.h"

#include "base/units.h"
#include "planning/correlation.h"
#include "planning/energy.h"
#include "planning/measured_pairs.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr double kRounding = 1e-9;   // 95 of 100 inputs are 95 %, however the figures were rounded
constexpr double kWorthwhile = 1.3;  // times faster than one thread, or the cores serve better one by one

constexpr double kShorter = 1.1;  // times, of the longest segment, or fewer segments do as well

Duration median(const StageTimes& times) { return summary(times).p50; }

/// Whether a number of threads is worth planning with.
bool worthwhile(const VariantProfile& v, const TaskProfile& profile) {
  if (v.threads == 1) return true;
  const auto single = std::find_if(profile.variants.begin(), profile.variants.end(), [&](const VariantProfile& other) {
    return other.id == v.id && other.processor == v.processor && other.threads == 1 &&
           other.cuts.size() == v.cuts.size();
  });
  return single == profile.variants.end() || static_cast<double>(median(single->infer).count()) >=
                                                 kWorthwhile * static_cast<double>(median(v.infer).count());
}

/// What a job that comes while another one runs waits for at most.
Duration longest_segment(const VariantProfile& v) {
  Duration longest = v.segment_times.empty() ? median(v.infer) : Duration{};
  for (const StageTimes& segment : v.segment_times) longest = std::max(longest, median(segment));
  return longest;
}

/// Whether a number of segments is worth planning with: more of them cost time, so they have to be shorter.
bool shorter_than_fewer(const VariantProfile& v, const TaskProfile& profile) {
  return std::none_of(profile.variants.begin(), profile.variants.end(), [&](const VariantProfile& other) {
    return other.id == v.id && other.processor == v.processor && other.threads == v.threads &&
           other.cuts.size() < v.cuts.size() &&
           kShorter * static_cast<double>(longest_segment(v).count()) >
               static_cast<double>(longest_segment(other).count());
  });
}

/// Whether a split leaves each of its processors less to do than the whole model would there, and no other place to
/// split at leaves both less.
bool spares_both(const VariantProfile& v, const TaskProfile& profile) {
  if (v.split.empty()) return true;
  const auto takes_more = [&](std::size_t part, const StageTimes& times) {
    return median(v.segment_times[part]) > median(times);
  };
  return std::none_of(profile.variants.begin(), profile.variants.end(), [&](const VariantProfile& other) {
    if (other.id != v.id) return false;
    if (other.split == v.split)
      return other.threads == v.threads && takes_more(0, other.segment_times[0]) &&
             takes_more(1, other.segment_times[1]);
    for (std::size_t part = 0; part < v.split.size(); ++part)
      if (other.cuts.empty() && other.processor == v.split[part] && other.threads <= v.threads &&
          takes_more(part, other.infer))
        return true;
    return false;
  });
}

/// The processors that run its segments: of each, or the one of all.
std::vector<std::string> processor_names(const VariantProfile& v) {
  return v.split.empty() ? std::vector<std::string>{v.processor} : v.split;
}

/// None if one of them is not in the file.
std::vector<const ProcessorSpec*> processor_specs(const TaskFile& file, const VariantProfile& v) {
  std::vector<const ProcessorSpec*> processors;
  for (const std::string& name : processor_names(v)) {
    const int p = file.processor_index(name);
    if (p < 0) return {};
    processors.push_back(&file.processors[static_cast<std::size_t>(p)]);
  }
  return processors;
}

bool allowed(const TaskSpec& task, const VariantProfile& v) {
  const std::vector<std::string> places = processor_names(v);
  return (task.split || v.split.empty()) &&
         std::all_of(places.begin(), places.end(), [&](const std::string& p) { return task.may_run_on(p); });
}

StageOption stage_on(int processor, const StageTimes& times) {
  StageOption stage;
  stage.processor = processor;
  if (times.watts > 0) stage.watts = times.watts;
  stage.times.sorted = planning_times(times);
  if (times.busy.empty()) return stage;  // planned with the times alone
  stage.alone.sorted = times.alone;
  std::sort(stage.alone.sorted.begin(), stage.alone.sorted.end());
  return stage;
}

/// pre, infer or its segments, post.
std::vector<const StageTimes*> stages_of(const VariantProfile& v) {
  std::vector<const StageTimes*> stages{&v.pre};
  for (const StageTimes& segment : v.segment_times) stages.push_back(&segment);
  if (v.segment_times.empty()) stages.push_back(&v.infer);
  stages.push_back(&v.post);
  return stages;
}

/// Stage times are in the order of the jobs, but of each stage what the machine disturbed was left out, and parts of a
/// split model were measured apart.
double correlation_of(const VariantProfile& v) {
  if (!v.split.empty()) return 0;
  std::vector<std::vector<Duration>> stages;
  for (const StageTimes* times : stages_of(v)) {
    if (times->stalls.count > 0 || times->stalls.of != v.infer.stalls.of) return 0;
    stages.push_back(times->busy.empty() ? times->alone : times->busy);
  }
  return stage_correlation(stages);
}

/// `on`: the processor of each segment. A stage that takes all slots of its own has nothing beside it there.
TaskOption option(const TaskFile& file, const VariantProfile& v, const std::vector<const ProcessorSpec*>& on) {
  const int host = file.host_processor();
  TaskOption o;
  o.variant = v.id;
  o.processor = v.processor;
  o.threads = v.threads;
  o.cuts = v.cuts;
  const std::vector<const StageTimes*> stages = stages_of(v);
  o.stages.push_back(stage_on(host, *stages.front()));
  for (std::size_t s = 1; s + 1 < stages.size(); ++s) {
    const ProcessorSpec& p = *on[std::min(s - 1, on.size() - 1)];
    o.stages.push_back(stage_on(file.processor_index(p.name), *stages[s]));
    if (p.device == "cpu") o.stages.back().slots = slots_of_threads(threads_on(p, v.threads), p.slots, p.cores.size());
  }
  o.stages.push_back(stage_on(host, *stages.back()));
  o.correlation = correlation_of(v);
  o.accuracy = v.accuracy;
  o.accuracy_loss = v.accuracy_loss;
  o.bytes = v.bytes;
  o.content = v.content;
  o.memory = v.memory;
  o.source = v.source;
  o.demand = v.demand;
  o.slow_down = std::max(1.0, v.interference);
  if (!v.exits.none()) set_exits(o, v.exits.units, v.exits.unit_accuracy());
  return o;
}

/// Of the infer stage's processor. One that takes all of them has nothing beside it there.
void take_slots(TaskOption& o, int slots) {
  for (std::size_t s = 1; s + 1 < o.stages.size(); ++s) o.stages[s].slots = slots;
}

/// The same with its processor for itself, where that has room for others. On a box of one processor nothing at all is
/// beside it then.
std::optional<TaskOption> alone_there(TaskOption o, const ProcessorSpec& on, bool only_processor) {
  if (slots_of(o) >= on.slots) return std::nullopt;
  o.alone = true;
  take_slots(o, on.slots);
  if (!only_processor) return o;
  for (std::size_t s = 1; s + 1 < o.stages.size(); ++s)
    if (!o.stages[s].alone.sorted.empty()) o.stages[s].times = std::move(o.stages[s].alone), o.stages[s].alone = {};
  o.slow_down = 1;
  return o;
}

Duration alone_in_all(const TaskOption& o) {
  Duration sum{};
  for (const StageOption& stage : o.stages) sum += stage.times.quantile(0.5);
  return sum;
}

/// Options that keep their processor for themselves and are hardly faster for it, or that more threads fill as well.
void drop_needless_alone(std::vector<TaskOption>& options) {
  const auto needless = [&](const TaskOption& alone) {
    return alone.alone && std::any_of(options.begin(), options.end(), [&](const TaskOption& o) {
             const bool same = o.variant == alone.variant && o.processor == alone.processor && o.cuts == alone.cuts;
             if (!same || o.alone) return false;
             const bool hardly = to_seconds(alone_in_all(o)) < kWorthwhile * to_seconds(alone_in_all(alone));
             return o.threads == alone.threads ? hardly : slots_of(o) == slots_of(alone);
           });
  };
  std::vector<TaskOption> kept;
  for (const TaskOption& o : options)
    if (!needless(o)) kept.push_back(o);
  options = std::move(kept);
}

/// `before`: what the tasks before it take. Returns that and what it takes itself.
Duration require_a_deadline_that_can_be_met(const TaskSpec& task, const std::vector<TaskOption>& options,
                                            Duration before) {
  const auto fastest = std::min_element(options.begin(), options.end(), [](const TaskOption& a, const TaskOption& b) {
    return alone_in_all(a) < alone_in_all(b);
  });
  const Duration least = before + alone_in_all(*fastest);
  if (least <= task.deadline) return least;
  const ConfigNode deadline = task.where["deadline"];
  (deadline.present() ? deadline : task.where["period"])
      .fail(fmt::format("{} cannot be met by any variant even alone: the fastest, {} on {}, takes {} (p50, pre- and "
                        "post-processing{} included)",
                        format_duration(task.deadline), fastest->variant, fastest->processor, format_duration(least),
                        before > Duration{} ? " and the tasks before it" : ""));
}

PlanTask plan_task(const TaskFile& file, const TaskSpec& task, const TaskProfile& profile) {
  PlanTask out;
  out.name = task.name;
  out.period = task.period;
  out.deadline = task.deadline;
  out.jitter = task.jitter;
  out.offset = task.offset;
  out.arrivals = task.arrivals;
  out.after = task.after;
  out.detections = profile.detections;
  out.miss_rate_limit = task.miss_rate;
  out.hard = task.hard;
  out.weight = task.accuracy.weight;
  out.queue = task.queue;
  out.late = task.late;
  out.fallback = task.fallback;
  out.accuracy_min = task.accuracy.min;
  for (const VariantProfile& v : profile.variants) {
    const std::vector<const ProcessorSpec*> on = processor_specs(file, v);
    if (on.empty() || !allowed(task, v) || !worthwhile(v, profile) || !shorter_than_fewer(v, profile) ||
        !spares_both(v, profile))
      continue;
    const bool reserved =
        std::any_of(on.begin(), on.end(), [](const ProcessorSpec* p) { return p->kernel == KernelOrder::deadline; });
    if (reserved && v.threads > 1) continue;  // a reservation is one thread's
    const bool accurate = v.source || v.accuracy >= task.accuracy.min - kRounding;
    std::vector<TaskOption>& options = accurate ? out.options : out.refused;
    options.push_back(option(file, v, on));
    if (!v.split.empty()) continue;
    if (auto alone = alone_there(options.back(), *on.front(), file.processors.size() == 1))
      options.push_back(std::move(*alone));
  }
  if (out.options.empty())
    task.where.fail(
        "no profiled variant of this task reaches accuracy.min; accepted is a lower one, or a variant that does");
  return out;
}

}  // namespace

std::vector<Duration> mean_intervals(const TaskFile& file, const std::vector<TaskProfile>& profile) {
  constexpr double kFewest = 0.01;  // jobs for each of the other task
  std::vector<Duration> intervals;
  for (const TaskSpec& task : file.tasks) {
    const AfterSpec& after = task.after;
    if (after.task < 0) {
      intervals.push_back(mean_interval(task.arrivals, task.period));
      continue;
    }
    PlanTask before;
    for (const TaskProfile& p : profile)
      if (p.name == file.tasks[index(after.task)].name) before.detections = p.detections;
    const std::size_t frames = std::max<std::size_t>(before.detections.size(), 1);
    double jobs = 0;
    for (std::size_t k = 0; k < frames; ++k) jobs += released_by(before, k, after);
    jobs = std::max(jobs / static_cast<double>(frames), kFewest);
    intervals.push_back(from_seconds(to_seconds(intervals[index(after.task)]) / jobs));
  }
  return intervals;
}

PlanProblem make_problem(const TaskFile& file, const std::vector<TaskProfile>& profile, Duration dispatch) {
  PlanProblem problem;
  for (const ProcessorSpec& p : file.processors) {
    problem.processors.push_back({p.name, p.preemptive, p.slots});
    problem.processors.back().power = p.power;
    problem.processors.back().accelerator = p.device != "cpu";
  }
  const std::vector<Duration> intervals = mean_intervals(file, profile);
  std::vector<Duration> least;  // that a task and those before it take
  for (const TaskSpec& task : file.tasks) {
    const auto found =
        std::find_if(profile.begin(), profile.end(), [&](const TaskProfile& p) { return p.name == task.name; });
    if (found == profile.end()) task.where.fail("this task is not profiled; run `rtmdl profile`");
    PlanTask& out = problem.tasks.emplace_back(plan_task(file, task, *found));
    const bool periodic = task.after.task < 0 && task.arrivals.kind == ArrivalSpec::Kind::periodic;
    if (!periodic) out.interval = intervals[problem.tasks.size() - 1];
    const Duration before = task.after.task < 0 ? Duration{} : least[index(task.after.task)];
    least.push_back(require_a_deadline_that_can_be_met(task, out.options, before));
  }
  take_pairs(problem, profile);
  for (PlanTask& task : problem.tasks) {
    drop_needless_alone(task.options);
    drop_needless_alone(task.refused);
  }
  set_follower_streams(problem);
  problem.storage = file.storage;
  problem.memory = file.memory;
  problem.dispatch = dispatch;
  problem.power_limit = file.energy.watts;
  if (file.energy.harvest) problem.supply = make_supply(*file.energy.harvest);
  set_joules(problem);
  return problem;
}

}  // namespace rtmdl
