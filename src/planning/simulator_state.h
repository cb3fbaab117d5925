#pragma once
/// What Simulator is inside: its state, one event after the other (simulator_loop.cpp), and stages that advance at a
/// speed that changes (simulator_pace.cpp).

#include "planning/simulated_energy.h"
#include "planning/simulated_releases.h"
#include "planning/simulated_stalls.h"
#include "planning/simulated_transitions.h"
#include "planning/simulator.h"
#include "planning/stage_draw.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace rtmdl {

/// What a run asks of the loop. Most simulations are those of searches, and plain.
enum class SimulatorLoop : std::uint8_t {
  plain,  ///< stages begin and end, jobs are released
  full,  ///< also early exits, deadlines at which jobs are given up, tasks after others, slow-downs, transitions, power
  paced,  ///< also stages advance at a speed that changes (others begin or end, a core is stopped)
};

struct Simulator::State {
  static constexpr std::int64_t kNever = EventTimes::kNever;
  static constexpr std::int64_t kThrottlePeriod = 1'000'000'000;

  struct StageRun {
    const Duration* sorted = nullptr;
    std::uint64_t last = 0;           ///< index of the largest sample
    const Duration* alone = nullptr;  ///< null: as beside others
    std::uint64_t last_alone = 0;
    StageDraw draw{};
    double slot_watts = 0;  ///< of each of its slots, beyond idle
    bool can_be_cut = false;
  };

  struct TaskRun {
    std::int64_t remaining = 0;  ///< of a preempted stage; under contention: `work` below
    double work = 0;             ///< left of the stage in progress: nanoseconds beside busy neighbours
    double gain = 0;             ///< by how much it is faster with none: times/alone − 1
    std::int64_t most_misses = kNever;
    bool cancelled = false;            ///< the stage in progress ends before its time
    std::uint8_t mode = 0, stage = 0;  ///< in progress
    int ran = 0;                       ///< stages after the first that its job has begun
    std::uint64_t running = 0;         ///< job that it is of
    bool exits = false;                ///< some option that it may run has early exits
    std::vector<const TaskOption*> options = std::vector<const TaskOption*>(1);  ///< of each mode
    std::vector<std::array<StageRun, kMaxStages>> modes = std::vector<std::array<StageRun, kMaxStages>>(1);
  };

  /// What is on a slot; of a stage that takes several, on the first of them.
  struct SlotRun {
    std::int64_t since = 0;
    std::int16_t task = -1;
    std::int16_t width = 1;
    std::uint16_t slots = 1;   ///< a bit for each, from the processor's first on
    std::int64_t settled = 0;  ///< up to when the work done is counted, when paced
    double speed = 1;
    double watts = 0;  ///< of each slot, beyond idle
  };

  /// What the machine does to a slot.
  struct Core {
    std::int64_t budget = kNever, used = 0;  ///< of this second, by real-time threads
    bool throttled = false;
    std::int64_t stalled_until = 0;  ///< 0: is not
    [[nodiscard]] bool still() const noexcept { return throttled || stalled_until != 0; }
  };

  const PlanProblem& problem;
  SchedulerConfig config;
  Scheduler scheduler;
  Decisions decisions;
  SimulatedReleases releases;
  SimulatedTransitions transitions;
  SimulatedEnergy energy;
  std::vector<TaskRun> tasks;
  std::vector<int> first_slot;       ///< per processor
  std::vector<std::int64_t> finish;  ///< per slot, kNever when nothing runs on it
  std::vector<SlotRun> slots;
  std::vector<int> slot_processor;
  std::vector<std::int64_t> busy;      ///< per processor
  std::vector<std::int64_t> dispatch;  ///< per processor
  std::vector<Core> cores;             ///< per slot
  bool limited = false;                ///< one of them has a budget
  bool machine = false;                ///< budgets, stalls or the supply count
  SimulatedStalls stalls;
  std::int64_t window_end = 0;    ///< of the second that budgets are for
  std::int64_t counted = 0;       ///< budgets are used up to then
  bool packs = false;             ///< a processor has several slots
  bool neighbours_count = false;  ///< a chosen option knows its times alone
  std::vector<double> pressures;  ///< on each task by each, row by row; below 0: not known; empty: none is
  std::span<const Slowdown> slowdowns;
  struct Due {
    int task = 0;
    int jobs = 0;
    std::int64_t nominal = 0;
  };
  std::vector<std::vector<int>> followers;  ///< of each task: those that run after it
  std::vector<Due> due;                     ///< released now, the last of them first
  SimulatorLoop kind = SimulatorLoop::plain;
  std::uint64_t seed = 0;
  Duration length{};
  bool collect = false;  ///< responses
  SimulationOutcome outcome;

  State(const PlanProblem& p, SchedulerConfig c)
      : problem(p),
        config(std::move(c)),
        scheduler(config),
        releases(p),
        transitions(releases, scheduler),
        energy(p),
        tasks(p.tasks.size()),
        followers(p.tasks.size()) {
    outcome.tasks.resize(p.tasks.size());
  }
  void prepare(const Choices& choices, const SimulationOptions& options);
  void prepare_task(std::size_t task, const Choice& choice, const SimulationOptions& options);
  void clear_outcome(const SimulationOptions& options);
  [[nodiscard]] SimulatorLoop loop_for(const SimulationOptions& options) const;
  /// `Stages`: a SchedulerTask or a SchedulerMode.
  template <typename Stages>
  void set_mode(std::size_t task, std::size_t mode, const TaskOption& option, bool adapts, Stages& scheduled);
  void prepare_pressures(const Choices& choices, std::span<const std::vector<int>> lighter);
  void play(const std::function<void(const SimulatedEvent&)>& observer);
  template <SimulatorLoop as, bool observed>
  void loop(const std::function<void(const SimulatedEvent&)>& observer);
  template <SimulatorLoop as>
  void begin(const Decision& started, std::size_t slot, std::int64_t now) noexcept;
  void take_slots(const Decision& of, std::size_t slot, std::int64_t now) noexcept {
    slots[slot] = {.since = now,
                   .task = of.task,
                   .width = static_cast<std::int16_t>(std::popcount(of.slots)),
                   .slots = of.slots,
                   .settled = now,
                   .watts = tasks[of.task].modes[of.mode][of.stage].slot_watts};
  }
  template <SimulatorLoop as>
  void end_job(const Decision& finished, std::int64_t now);
  template <bool paced_>
  bool cut_short(int task, std::size_t slot, std::int64_t now) noexcept;
  bool stands_still(std::size_t slot) noexcept;
  void settle(std::size_t slot, std::int64_t now) noexcept;
  void pace(std::size_t slot, std::int64_t now, double others_busy) noexcept;
  void join(std::size_t slot, int& in_use) noexcept;
  void repace(std::int64_t now, int in_use) noexcept;
  [[nodiscard]] double others_busy(std::size_t slot, int in_use) const noexcept;
  /// Of the stage on the slot.
  template <typename Look>
  void for_each_core(std::size_t slot, const Look& look) noexcept {
    const auto first = static_cast<std::size_t>(first_slot[static_cast<std::size_t>(slot_processor[slot])]);
    for (unsigned rest = slots[slot].slots; rest != 0; rest &= rest - 1)
      look(cores[first + static_cast<std::size_t>(std::countr_zero(rest))]);
  }
  void follow(const Decision& finished);
  template <SimulatorLoop as>
  void vacate(std::size_t slot, std::int64_t now) noexcept;
  void count_draw(std::int64_t now) noexcept;
  void look_at_budget(std::int64_t now) noexcept;
  [[nodiscard]] bool any_pending() const noexcept;
  void drop_what_is_left() noexcept;
  [[nodiscard]] Answer answer_of(const TaskRun& t) const noexcept;
  void count_change(const TaskRun& t, const Decision& finished) noexcept;
  std::int64_t next_change() noexcept;
  void count_budgets(std::int64_t until) noexcept;
  void change_machine(std::int64_t now, int& in_use) noexcept;
};

}  // namespace rtmdl
