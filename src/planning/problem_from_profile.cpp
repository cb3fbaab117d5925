#include "planning/problem_from_profile.h"

#include "base/units.h"
#include "planning/correlation.h"

#include <rtmdl/error.h>

#include <algorithm>

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

StageOption stage_on(int processor, const StageTimes& times) {
  StageOption stage;
  stage.processor = processor;
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

/// Stage times are in the order of the jobs, but of each stage what the machine disturbed was left out.
double correlation_of(const VariantProfile& v) {
  std::vector<std::vector<Duration>> stages;
  for (const StageTimes* times : stages_of(v)) {
    if (times->stalls.count > 0 || times->stalls.of != v.infer.stalls.of) return 0;
    stages.push_back(times->busy.empty() ? times->alone : times->busy);
  }
  return stage_correlation(stages);
}

TaskOption option(const VariantProfile& v, int processor, int host) {
  TaskOption o;
  o.variant = v.id;
  o.processor = v.processor;
  o.threads = v.threads;
  o.cuts = v.cuts;
  const std::vector<const StageTimes*> stages = stages_of(v);
  for (std::size_t s = 0; s < stages.size(); ++s)
    o.stages.push_back(stage_on(s == 0 || s + 1 == stages.size() ? host : processor, *stages[s]));
  o.correlation = correlation_of(v);
  o.accuracy = v.accuracy;
  o.accuracy_loss = v.accuracy_loss;
  o.bytes = v.bytes;
  o.content = v.content;
  o.memory = v.memory;
  o.source = v.source;
  return o;
}

/// Of the infer stage's processor. One that takes all of them has nothing beside it there.
void take_slots(TaskOption& o, int slots) {
  for (std::size_t s = 1; s + 1 < o.stages.size(); ++s) o.stages[s].slots = slots;
}

Duration alone_in_all(const TaskOption& o) {
  Duration sum{};
  for (const StageOption& stage : o.stages) sum += stage.times.quantile(0.5);
  return sum;
}

void require_a_deadline_that_can_be_met(const TaskSpec& task, const std::vector<TaskOption>& options) {
  const auto fastest = std::min_element(options.begin(), options.end(), [](const TaskOption& a, const TaskOption& b) {
    return alone_in_all(a) < alone_in_all(b);
  });
  const Duration least = alone_in_all(*fastest);
  if (least <= task.deadline) return;
  const ConfigNode deadline = task.where["deadline"];
  (deadline.present() ? deadline : task.where["period"])
      .fail(fmt::format("{} cannot be met by any variant even alone: the fastest, {} on {}, takes {} (p50, pre- and "
                        "post-processing included)",
                        format_duration(task.deadline), fastest->variant, fastest->processor, format_duration(least)));
}

PlanTask plan_task(const TaskFile& file, const TaskSpec& task, const TaskProfile& profile) {
  PlanTask out;
  out.name = task.name;
  out.period = task.period;
  out.deadline = task.deadline;
  out.jitter = task.jitter;
  out.offset = task.offset;
  out.miss_rate_limit = task.miss_rate;
  out.hard = task.hard;
  out.weight = task.accuracy.weight;
  out.queue = task.queue;
  out.late = task.late;
  out.accuracy_min = task.accuracy.min;
  for (const VariantProfile& v : profile.variants) {
    const int processor = file.processor_index(v.processor);
    if (processor < 0 || !task.may_run_on(v.processor) || !worthwhile(v, profile) || !shorter_than_fewer(v, profile))
      continue;
    const ProcessorSpec& on = file.processors[static_cast<std::size_t>(processor)];
    if (on.kernel == KernelOrder::deadline && v.threads > 1) continue;  // a reservation is one thread's
    const bool accurate = v.source || v.accuracy >= task.accuracy.min - kRounding;
    std::vector<TaskOption>& options = accurate ? out.options : out.refused;
    options.push_back(option(v, processor, file.host_processor()));
    if (on.device == "cpu") take_slots(options.back(), slots_of_threads(v.threads, on.slots, on.cores.size()));
  }
  if (out.options.empty())
    task.where.fail(
        "no profiled variant of this task reaches accuracy.min; accepted is a lower one, or a variant that does");
  require_a_deadline_that_can_be_met(task, out.options);
  return out;
}

}  // namespace

PlanProblem make_problem(const TaskFile& file, const std::vector<TaskProfile>& profile, Duration dispatch) {
  PlanProblem problem;
  for (const ProcessorSpec& p : file.processors) problem.processors.push_back({p.name, p.preemptive, p.slots});
  for (const TaskSpec& task : file.tasks) {
    const auto found =
        std::find_if(profile.begin(), profile.end(), [&](const TaskProfile& p) { return p.name == task.name; });
    if (found == profile.end()) task.where.fail("this task is not profiled; run `rtmdl profile`");
    problem.tasks.push_back(plan_task(file, task, *found));
  }
  problem.storage = file.storage;
  problem.memory = file.memory;
  problem.dispatch = dispatch;
  return problem;
}

}  // namespace rtmdl
