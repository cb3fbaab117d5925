#pragma once
/// What the planner and the simulator work on: plain values, made from the task file and the profile store (see
/// problem_from_profile.h), or by a test. No files, no engines.

#include <rtmdl/time.h>
#include "energy/energy_store.h"
#include "scheduling/scheduler.h"
#include "task/arrival_spec.h"
#include "task/fallback_spec.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Options, processors and tasks are numbered by int.
[[nodiscard]] constexpr std::size_t index(int i) { return static_cast<std::size_t>(i); }

/// Measured times of a stage: the samples themselves, sorted; drawn from as they are (an empirical distribution).
struct TimeDistribution {
  std::vector<Duration> sorted;  ///< ascending; empty means the stage takes no time
  [[nodiscard]] Duration min() const { return sorted.empty() ? Duration{} : sorted.front(); }
  [[nodiscard]] Duration max() const { return sorted.empty() ? Duration{} : sorted.back(); }
  [[nodiscard]] Duration quantile(double q) const;  ///< q in 0..1, nearest rank
  [[nodiscard]] Duration mean() const;
};

/// One stage of a way to run a task.
struct StageOption {
  int processor = 0;
  TimeDistribution times;  ///< beside busy neighbours: no pair is slower
  /// With nothing else running, at the same quantiles; empty: as `times`. Beside others the stage advances
  /// (1 − x)·times/alone + x times as fast as under load, where x is the sum of their pressure(), at most 1; of those
  /// that are not known the share of the box's other slots that they take.
  TimeDistribution alone{};
  /// What proofs take it to last at most, dispatch included (execution_bound.h); zero: max × kExecutionFactor +
  /// dispatch.
  Duration longest{};
  Duration shortest{};  ///< what they take it to last at least; zero: min / kExecutionFactor
  int slots = 1;  ///< of its processor, that it takes at once: its packing class, from beside others to all for itself
  double reach = 1;               ///< share of the jobs that run it
  std::optional<double> watts{};  ///< metered: that it draws beyond idle while it runs
};

/// What the scheduler is told to expect of a stage, dispatch included: nearly all are shorter.
[[nodiscard]] StageTime expected_time(const StageOption& stage, Duration dispatch);

/// What it is told to expect of it where jobs may change their variants.
[[nodiscard]] StageLoad expected_load(const StageOption& stage, Duration dispatch);

/// Time of a stage as a load on its processor: on all slots that it takes, on average over all jobs.
[[nodiscard]] inline double load_seconds(const StageOption& stage, Duration dispatch) {
  return to_seconds(stage.times.mean() + dispatch) * stage.slots * stage.reach;
}

/// How far inference of some ways to run a task slows that of others down, as measured. Rows and columns are kinds
/// (TaskOption::kind).
struct SlowDowns {
  std::vector<double> demand;  ///< by kind: share of its processor that it uses
  std::vector<double> factor;  ///< time of the row's beside the column's / its time alone; 0: not measured
  [[nodiscard]] std::size_t kinds() const { return demand.size(); }
};

/// One way to run a task: a variant, on a processor or split over two, with a number of threads.
struct TaskOption {
  std::string variant;    ///< id, of this task: another task's "source" is another one
  std::string processor;  ///< of the infer stage, by name; where its segments run on several: place_name() of these
  int threads = 1;
  std::vector<int> cuts;            ///< of the model, where a segment begins (LoadRequest); each is a stage of its own
  std::vector<StageOption> stages;  ///< pre, infer (one or more segments), post
  /// Of a job's stage times, 0..1: two stages take the same quantile with the square of this probability
  /// (stage_draw.h).
  double correlation = 0;
  double accuracy = 1;
  double accuracy_loss = 0;  ///< (ACC_max − ACC) / ACC_max
  std::int64_t bytes = 0;    ///< on disk
  std::string content;  ///< hash of the model; tasks that choose the same one share its bytes. Empty: it is shared with
                        ///< no other task
  std::int64_t memory = 0;  ///< resident, when loaded
  double joules = 0;        ///< that a job takes beyond what the box draws idle, on average (energy.h)
  bool source = false;      ///< the unscaled model
  /// It takes all slots of the infer stage's processor, though it needs fewer, so that nothing runs beside it there.
  bool alone = false;
  int kind = -1;         ///< of SlowDowns, that was measured for this one; −1: none
  double demand = 1;     ///< share of its processor that inference uses
  double slow_down = 1;  ///< of inference, from `alone` to `times` of its stages
  // Early exits (set_exits): each infer stage is a unit, after which jobs may leave.
  int optional_from = 0;  ///< stages from here on may be left out, but for the last; 0: there are no exits
  std::vector<std::uint8_t>
      leaves{};  ///< units that jobs run until they are sure, one per frame of the stream, in order
  std::vector<double> unit_accuracy{};  ///< if all jobs left after that unit, sure or not
};

/// Accuracy of the source model, which the option's loss is against; 0: it does not say.
[[nodiscard]] inline double source_accuracy(const TaskOption& option) {
  return option.accuracy_loss < 1 ? option.accuracy / (1 - option.accuracy_loss) : 0;
}

/// Pieces of the infer stage.
[[nodiscard]] inline int segments_of(const TaskOption& option) { return static_cast<int>(option.cuts.size()) + 1; }

/// Gives an option, which has a stage for each unit, its exits; sets StageOption::reach. `accuracy` is what jobs have
/// that leave when they are sure.
void set_exits(TaskOption& option, std::vector<std::uint8_t> leaves, std::vector<double> unit_accuracy);
/// Units that a job runs until it is sure; all, where it never is.
[[nodiscard]] int units_until_sure(const TaskOption& option, std::uint64_t job);
/// Whether a job that leaves when it is sure does not run the stage.
[[nodiscard]] inline bool leaves_out(const TaskOption& option, int stage, std::uint64_t job) {
  return option.optional_from > 0 && stage >= option.optional_from && stage <= segments_of(option) &&
         stage > units_until_sure(option, job);
}
/// By how much the accuracy of jobs is higher (lower: negative) that run so many units, but are sure after so many
/// (all: never), than if they had left when they were sure.
[[nodiscard]] double accuracy_change(const TaskOption& option, int ran, int until_sure);

struct PlanTask {
  std::string name;
  /// `period`: the shortest interval between releases, which proofs count on. Of a task that runs after another one
  /// proofs take `period` and `jitter` as well; nothing else does.
  Duration period{}, deadline{}, jitter{}, offset{};
  double miss_rate_limit = 0.01;  ///< ζ
  bool hard = false;
  double weight = 1;
  int queue = 1;
  Late late = Late::finish;
  std::vector<TaskOption> options;  ///< at least one; options below accuracy.min are not in here
  double accuracy_min = 0;
  std::vector<TaskOption> refused;  ///< by accuracy.min: what a lower one would admit
  ArrivalSpec arrivals{};
  Duration interval{};  ///< between releases, on average; zero: the period
  AfterSpec after{};
  std::vector<std::uint8_t> detections{};  ///< that each frame of its stream gives, in order; empty: not known
  FallbackSpec fallback{.after = 0};       ///< of runs, not of simulations: it takes memory
};

/// Between releases, on average: what load is counted with.
[[nodiscard]] inline Duration mean_interval(const PlanTask& task) {
  return task.interval > Duration{} ? task.interval : task.period;
}
/// Jobs of a task that runs after `parent` which the parent's job releases if it is in time. Where its detections are
/// not known: as many as can be.
[[nodiscard]] int released_by(const PlanTask& parent, std::uint64_t job, const AfterSpec& after);

struct PlanProcessor {
  std::string name;
  bool preemptive = true;
  int slots = 1;
  Duration dispatch{};  ///< cost of starting a stage here, besides the problem's
  /// Of every second, what the kernel gives to real-time threads (sched_rt_runtime_us); then it stops them on that
  /// core. Counts in proofs and predictions; not in the simulations of a search.
  double realtime_share = 1;
  /// Of stage times here, 0..1: with this probability a stage takes the quantile of the moment that its job is released
  /// in (stage_draw.h), else its job's or one of its own. How far slow moments of the machine outlast a job.
  double correlation = 0;
  std::optional<ProcessorPower> power{};
  bool accelerator = false;  ///< it may be lost
};

/// Moments in which the machine itself stood still (a hypervisor took its cores away), as runs saw them. Counts in
/// predictions; not in the simulations of a search, because no strategy avoids them.
struct StallModel {
  double per_second = 0;
  std::vector<std::vector<Duration>> lasting;  ///< of each that was seen: how long it took every processor away
};

struct PlanProblem {
  std::vector<PlanProcessor> processors;
  std::vector<PlanTask> tasks;
  std::optional<std::int64_t> storage;  ///< bound over the chosen variants, bytes
  std::optional<std::int64_t> memory;
  Duration dispatch{};  ///< cost of starting a stage, measured; added to each
  StallModel stalls{};
  std::string execution_bound{};  ///< one sentence on where `longest` comes from; empty: max × kExecutionFactor
  SlowDowns slow_downs{};
  std::optional<double> power_limit{};  ///< watts, on average; then the power of every processor is known
  /// What the box lives on. Counts in predictions; not in the simulations of a search.
  std::optional<EnergySupply> supply{};
};

/// Time of inference beside the other / its time alone; nothing: not known.
[[nodiscard]] std::optional<double> slow_down(const PlanProblem& problem, const TaskOption& slowed,
                                              const TaskOption& by);
/// How far `by` brings `slowed` from its times alone to those beside busy neighbours, 0 to 1; nothing: not known.
[[nodiscard]] std::optional<double> pressure(const PlanProblem& problem, const TaskOption& slowed,
                                             const TaskOption& by);

/// Sets what proofs take of tasks that run after others. Such a task has up to n jobs for each of the first task of its
/// chain, which has the period T, at any moment until the deadline D of the task before it (which releases none when it
/// is late). As a stream of its own: a job every T/n, up to D + T − T/n later than nominal.
void set_follower_streams(PlanProblem& problem);

/// What starting a stage costs on a processor.
[[nodiscard]] inline Duration dispatch_cost(const PlanProblem& problem, int processor) {
  return problem.dispatch + problem.processors[static_cast<std::size_t>(processor)].dispatch;
}

/// A job that is given up shows nothing of how long it would have taken: what is measured is played without that.
[[nodiscard]] constexpr Late measured_with(Late late) { return late == Late::abort ? Late::skip : late; }

/// Whether its segments run on several processors.
[[nodiscard]] bool is_split(const TaskOption& option);
/// Of all stages that its jobs run together, on average.
[[nodiscard]] Duration mean_time(const TaskOption& option);
/// That the stage takes which takes most.
[[nodiscard]] int slots_of(const TaskOption& option);

/// Share of one processor that the option's stages take together, on average; 0.5 is half a core.
[[nodiscard]] double utilisation(const PlanTask& task, const TaskOption& option);

/// Strategies that there are: options of every task × priority orders. May exceed 2^53, hence a double.
[[nodiscard]] double space_of(const PlanProblem& problem);

/// One choice per task.
struct Choice {
  int option = 0;
  int priority = 0;  ///< 1..n, 1 the most urgent
  bool operator==(const Choice&) const = default;
};
using Choices = std::vector<Choice>;

}  // namespace rtmdl
