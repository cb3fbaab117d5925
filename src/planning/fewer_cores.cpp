#include "planning/fewer_cores.h"

#include "planning/energy.h"

#include <rtmdl/error.h>

#include <algorithm>

#include <fmt/format.h>

namespace rtmdl {
namespace {

int cores_named(const std::vector<ProcessorSpec>& processors) {
  std::size_t named = 0;
  for (const ProcessorSpec& p : processors) named += p.cores.size();
  return static_cast<int>(named);
}

/// Where the stages of each processor go, and what is left of it.
struct Remaining {
  std::vector<int> place;          ///< by old processor: the new one
  std::vector<std::size_t> cores;  ///< by old processor; of accelerators 0
  std::vector<bool> merged;        ///< by old processor
  std::vector<PlanProcessor> made;
};

Remaining remaining_of(const PlanProblem& problem, const std::vector<ProcessorSpec>& processors, std::size_t cores) {
  Remaining r;
  const std::size_t count = processors.size();
  r.place.assign(count, -1);
  r.cores.assign(count, 0);
  r.merged.assign(count, false);
  int last = 0;
  for (std::size_t p = 0; p < count; ++p) {
    PlanProcessor kept = problem.processors[p];
    const std::size_t own = processors[p].cores.size();
    if (own > 0) {
      r.cores[p] = std::min(own, cores);
      cores -= r.cores[p];
      r.merged[p] = r.cores[p] == 0;
      if (r.merged[p]) continue;
      if (r.cores[p] < own) kept.slots = std::min(kept.slots, static_cast<int>(r.cores[p]));
      last = static_cast<int>(r.made.size());
    }
    r.place[p] = static_cast<int>(r.made.size());
    r.made.push_back(kept);
  }
  for (std::size_t p = 0; p < count; ++p)
    if (r.merged[p]) r.place[p] = last;
  return r;
}

std::vector<TaskOption> moved(const std::vector<TaskOption>& options, const PlanProblem& problem,
                              const std::vector<ProcessorSpec>& processors, const Remaining& r) {
  const auto old_place = [&](const TaskOption& o) {
    for (std::size_t p = 0; p < problem.processors.size(); ++p)
      if (problem.processors[p].name == o.processor) return p;
    return problem.processors.size();
  };
  const auto keeps_cores = [&](const TaskOption& o) {
    return std::all_of(o.stages.begin() + 1, o.stages.end() - 1, [&](const StageOption& stage) {
      const auto p = static_cast<std::size_t>(stage.processor);
      return r.cores[p] == processors[p].cores.size();
    });
  };
  std::vector<TaskOption> result;
  for (const bool merged : {false, true}) {  // what was measured on a processor goes before what is moved there
    for (const TaskOption& option : options) {
      const std::size_t from = old_place(option);
      TaskOption o = option;
      bool fits = !is_split(option) || keeps_cores(option);
      if (from < r.place.size()) {
        if (r.merged[from] != merged) continue;
        const std::size_t to = static_cast<std::size_t>(r.place[from]);
        o.processor = r.made[to].name;
        if (o.threads > 1 && !processors[from].cores.empty()) {
          std::size_t cores = 0;  // of the processor that it runs on now
          for (std::size_t p = 0; p < r.place.size(); ++p)
            if (!r.merged[p] && r.place[p] == r.place[from]) cores = r.cores[p];
          fits = static_cast<std::size_t>(o.threads) <= cores;
          for (std::size_t s = 1; s + 1 < o.stages.size() && fits; ++s)
            o.stages[s].slots = slots_of_threads(o.threads, r.made[to].slots, cores);
        }
        for (std::size_t s = 1; s + 1 < o.stages.size() && o.alone; ++s) o.stages[s].slots = r.made[to].slots;
      } else if (merged) {
        continue;
      }
      const bool same_as_packed = o.alone && slots_of(o) == 1;
      const bool twice = merged && std::any_of(result.begin(), result.end(), [&](const TaskOption& other) {
                           return other.variant == o.variant && other.processor == o.processor &&
                                  other.threads == o.threads && other.cuts == o.cuts && other.alone == o.alone;
                         });
      if (!fits || twice || same_as_packed) continue;
      for (StageOption& stage : o.stages) stage.processor = r.place[static_cast<std::size_t>(stage.processor)];
      result.push_back(std::move(o));
    }
  }
  return result;
}

}  // namespace

void require_cores(const std::vector<ProcessorSpec>& processors, int cores) {
  const int named = cores_named(processors);
  if (cores >= 1 && cores <= named) return;
  bad_input(fmt::format("{} is out of range: the processors of the task file have {} core{}, so 1 to {} is accepted",
                        cores, named, named == 1 ? "" : "s", named));
}

PlanProblem with_cores(const PlanProblem& problem, const std::vector<ProcessorSpec>& processors, int cores) {
  require_cores(processors, cores);
  if (cores == cores_named(processors)) return problem;
  const Remaining r = remaining_of(problem, processors, static_cast<std::size_t>(cores));
  PlanProblem result = problem;
  result.processors = r.made;
  for (std::vector<Duration>& stall : result.stalls.lasting) {
    std::vector<Duration> kept(r.made.size());
    for (std::size_t p = 0; p < stall.size() && p < r.place.size(); ++p)
      if (!r.merged[p]) kept[static_cast<std::size_t>(r.place[p])] = stall[p];
    stall = std::move(kept);
  }
  for (PlanTask& task : result.tasks) {
    task.options = moved(task.options, problem, processors, r);
    task.refused = moved(task.refused, problem, processors, r);
    if (task.options.empty())
      bad_input(fmt::format("{} core{}: task {} was profiled with more threads only", cores, cores == 1 ? "" : "s",
                            task.name));
  }
  set_joules(result);
  return result;
}

}  // namespace rtmdl
