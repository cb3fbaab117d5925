#pragma once
/// Drives the scheduler core with a virtual clock and sampled times.
///
/// Jobs are nominally released as Arrivals says, and really up to `jitter` later (never before the job ahead of it).
/// When a job completes in time, those of the tasks after it are released at once, with its nominal release, as many as
/// released_by() says. Deadlines and responses count from the nominal release. A stage takes a quantile of its
/// distribution (stage_draw.h) plus the dispatch cost of its processor, less where it runs beside idle processors and
/// the times alone are known (StageOption::alone), by as much as those that really run beside it allow (pressure()). A
/// core whose real-time threads have used their share of a second stands still until the next one begins
/// (PlanProcessor::realtime_share), as do all that a stall takes away (PlanProblem::stalls: at random moments, each
/// lasting as one that was seen). What the box lives on (PlanProblem::supply) is looked at every millisecond: stages
/// begin as EnergyRule says, and with nothing left all stand still until there is enough to begin one; jobs that are
/// not over a longest deadline after the end are dropped. Where jobs may be given lighter options the scheduler is told
/// what was drawn, every kEnergyLook, and keeps PlanProblem::power_limit. A job is sure of its answer as
/// TaskOption::leaves says. Of a job that is given up a stage between the first and the last ends kCancelDelay later
/// (inference can be cancelled, pre- and post-processing not). At one instant completions come before deadlines, these
/// before releases, these before changes of what runs; then lower slots and lower tasks first.

#include "planning/problem.h"
#include "scheduling/run_report.h"
#include "scheduling/transition.h"
#include "task/slowdown.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace rtmdl {

/// ONNX Runtime looks between nodes: 0.6 to 1.2 ms on average for ResNet-50 and DenseNet-121.
inline constexpr Duration kCancelDelay = std::chrono::milliseconds(1);

struct SimulationOptions {
  Policy policy = Policy::fixed_priority;
  Duration length = std::chrono::seconds(30);
  std::uint64_t seed = 1;  ///< the same seed gives the same releases and the same quantiles per job to every strategy
                           ///< (common random numbers)
  bool collect_responses = false;
  /// What the machine does to us counts: PlanProcessor::realtime_share, PlanProblem::stalls and supply.
  bool machine = true;
  std::uint64_t active = ~std::uint64_t{0};  ///< a bit per task: the others release nothing
  std::span<const std::int64_t> most_misses =
      {};  ///< per task; the simulation is given up when a task misses more. Empty: never
  /// Per task: options that its jobs may be given instead of the chosen one as load changes, modes 1, 2, … of the
  /// scheduler (planning/lighter.h). Empty: none.
  std::span<const std::vector<int>> lighter = {};
  std::span<const Slowdown> slowdowns = {};
  /// Changes of what runs, asked for as it goes on; `active` does not count then. Null: none.
  Transitions* transitions = nullptr;
};

struct TaskOutcome {
  std::int64_t released = 0, completed = 0, missed = 0, dropped = 0,
               failed =
                   0;  ///< released = completed + dropped + failed; jobs in progress at the end are run to their end
  std::int64_t abandoned = 0;                                        ///< of the dropped: in progress at their deadline
  std::array<std::int64_t, kMaxModes> completed_in{}, in_time_in{};  ///< of the completed: by mode; in time
  /// Of the completed, by mode: what leaving before or after they were sure did to the sum of their accuracies.
  std::array<double, kMaxModes> changed_in{}, changed_in_time_in{};
  std::int64_t switches = 0;  ///< changes of mode
  double joules = 0;          ///< that its stages took beyond what the box draws idle
  Duration worst_response{};
  std::vector<float> responses_ms;  ///< of completed jobs, if asked for
  [[nodiscard]] double miss_rate() const {
    return released ? static_cast<double>(missed) / static_cast<double>(released) : 0;
  }
};

struct SimulationOutcome {
  std::vector<TaskOutcome> tasks;
  std::vector<double> busy;                ///< share of time a processor's slots were in use
  double seconds = 0;                      ///< until the last job was over; the length at least
  double joules = 0;                       ///< that the box used, where its power is known
  std::optional<HarvestReport> harvest;    ///< of the supply, where it counts
  std::int64_t events = 0;                 ///< releases, stage completions and deadlines at which jobs are given up
  bool given_up = false;                   ///< the figures are those up to there
  [[nodiscard]] double miss_rate() const;  ///< over all jobs
};

/// Nominal releases in [0, length) of a task that is released by itself; `task` is its number.
[[nodiscard]] std::vector<Duration> release_times(const PlanProblem& problem, int task, Duration length,
                                                  std::uint64_t seed);
/// Jobs of each task with a nominal release in [0, length), those of tasks after others as if none of these missed.
[[nodiscard]] std::vector<std::int64_t> most_releases(const PlanProblem& problem, Duration length, std::uint64_t seed);

/// Something that happened in the simulation, for traces and replay tests.
struct SimulatedEvent {
  Time now{};
  Decision decision;
};

/// Reusable: keeps its memory, so that a search does not allocate per candidate. One thread at a time.
class Simulator {
 public:
  explicit Simulator(const PlanProblem& problem);  ///< keeps a reference
  ~Simulator();
  Simulator(const Simulator&) = delete;
  Simulator& operator=(const Simulator&) = delete;

  /// `choices[i]` for task i. Under a monotonic policy, priorities are assigned by it and those in `choices` are
  /// ignored.
  const SimulationOutcome& run(const Choices& choices, const SimulationOptions& options,
                               const std::function<void(const SimulatedEvent&)>& observer = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rtmdl
