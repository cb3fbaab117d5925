#pragma once
/// Which variant each job runs, so that few are late and little accuracy is lost: how the scheduler core reacts to
/// load.
///
/// At every release the finish of every pending job is predicted from what waits, what is expected to be released until
/// then, and what stages take today (the profile's times × a factor per processor that follows them). If one would be
/// late, a job that has not begun gets a lighter variant: of those that suffice the one that costs least weighted
/// accuracy; while none does, the one that gains most for its cost. A job that cannot be saved costs others nothing and
/// takes its lightest variant. A task goes back to a heavier one at a release of its own, not sooner than a while after
/// it was made lighter (longer if it had only just gone back), if every pending job stays in time with a margin and its
/// processors can keep that up.
///
/// A job in progress that may leave stages out counts those as far as jobs usually run them. Whenever it has come to
/// where it may leave, the same question is asked, and that it leaves is one of the answers.
///
/// Energy sets a second bound (adaptation_energy.cpp): while a budget is nearly used up, or what is stored runs low,
/// tasks go back to lighter variants only, those that lose least weighted accuracy for what they save; step by step to
/// heavier ones again when there is plenty.
///
/// To lower job by job what costs least when a miss is predicted is Pantheon's idea (MobiSys 2024), there with exits of
/// one network and in EDF order. Here it starts from a joint plan and goes back to it.

#include "scheduling/energy_reserve.h"
#include "task/limits.h"

#include <rtmdl/time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rtmdl {

struct SchedulerConfig;
struct Terms;

/// A task with jobs that are not over.
struct PendingTask {
  int task = 0;
  std::int64_t key = 0;  ///< of its first job, the smaller the more urgent; under EDF deadlines count
  int waiting = 0;       ///< jobs that have not begun
  Time release{};        ///< nominal, of the first of them
  bool begun = false;    ///< a job is in progress; the rest is about it
  int mode = 0, stage = 0;
  bool running = false;  ///< its stage is on a slot
  Duration spent{};      ///< on that stage
  Time begun_release{};
};

/// Not thread-safe; noexcept and without allocation after reset().
class Adaptation {
 public:
  /// Takes what it needs of `config`, which was checked.
  void reset(const SchedulerConfig& config);
  /// Some task may change its variant.
  [[nodiscard]] bool active() const noexcept { return active_; }
  /// Of some stage it is known what it takes.
  [[nodiscard]] bool follows() const noexcept { return follows_; }

  /// What holds for the task from now on, and its rank under ranked policies.
  void set_terms(int task, std::int64_t rank, const Terms& terms) noexcept;

  /// A stage has ended and had run for so long.
  void observe(int task, int mode, int stage, Duration took) noexcept;
  /// How much longer stages take on a processor than in the profile, as of late.
  [[nodiscard]] double factor(int processor) const noexcept { return factors_[static_cast<std::size_t>(processor)]; }
  /// The same since reset(); 0: no stage has ended there (very short ones left out).
  [[nodiscard]] double mean_factor(int processor) const noexcept {
    const auto p = static_cast<std::size_t>(processor);
    return expected_[p] > 0 ? took_[p] / expected_[p] : 0;
  }

  /// The job of `task` with that nominal release, which is among the pending ones, was released; −1: a job in progress
  /// may leave now. `modes[i]`, what the next job of task i would run, is changed where need be; modes with a bit in
  /// `blocked[i]` are not taken. Returns a bit for each task whose job in progress is to leave when it may.
  /// O(jobs · tasks · stages), again for every change that it makes.
  std::uint64_t choose(int task, Time release, Time now, std::span<const PendingTask> pending,
                       std::span<std::uint8_t> modes, std::span<const std::uint16_t> blocked) noexcept;

  /// The box has drawn so many joules since the start; so many are stored. True: spend() is to be called.
  bool set_drawn(double joules, Time now) noexcept;
  bool set_stored(double joules, Time now) noexcept { return stored_.see(joules, now); }
  /// Which modes tasks go back to from now on, as far as energy goes; `modes` and `blocked` as in choose(). O(tasks ·
  /// modes), again for each of at most kMostSteps changes.
  void spend(Time now, std::span<std::uint8_t> modes, std::span<const std::uint16_t> blocked) noexcept;

 private:
  static constexpr std::int64_t kNone = INT64_MIN;
  // Times in nanoseconds, of the profile where not said otherwise; moments from now.
  struct Stage {
    int processor = 0;
    double mean = 0, likely = 0;
    double share = 1;       ///< of its processor's slots, that it takes
    double reach = 1;       ///< share of the jobs that run it
    double leave_loss = 0;  ///< of those that are not sure and leave after it
  };
  struct Mode {
    std::vector<Stage> stages;
    std::size_t optional_from = 0;              ///< stages that may be left out, but for the last; 0: none
    std::array<double, kMaxProcessors> load{};  ///< of a job: mean × share
    double likely = 0;                          ///< all stages
    double loss = 0;
    double joules = 0;  ///< of a job
    bool allowed = false;
  };
  struct Task {
    double period = 0, rate = 0, deadline = 0;
    double rank = 0;
    bool adapts = false;
    std::size_t home = 0;  ///< mode of the strategy
    std::size_t rest = 0;  ///< mode that it goes back to: home, or what energy leaves of it
    std::vector<Mode> modes;
    double next = 0;                                                    ///< release that is expected
    double patience = 0;                                                ///< how long a lighter variant is kept
    std::int64_t released = kNone, not_before = kNone, raised = kNone;  ///< on the clock
  };
  struct Job {
    int task = 0, stage = 0;
    bool begun = false;
    std::uint8_t mode = 0;  ///< of one that has begun
    bool running = false;
    int waiting = 0;
    double spent = 0, deadline = 0;
    double key = 0;
    bool lost = false;  ///< whatever is done
  };
  struct Late {
    bool any = false;
    std::size_t job = 0;
    double excess = 0;
  };
  void look(Time now, std::span<const PendingTask> pending) noexcept;
  void weigh() noexcept;
  bool lighten(Time now) noexcept;
  bool relieve(std::size_t k, double excess) noexcept;
  void take_lightest(std::size_t t) noexcept;
  [[nodiscard]] bool can_be_saved(std::size_t k) noexcept;
  void recover(int task, Time now) noexcept;
  [[nodiscard]] Late first_late(std::size_t k, double margin) const noexcept;
  [[nodiscard]] double finish(std::size_t k) const noexcept;
  [[nodiscard]] double blocking(std::size_t k, std::size_t processor) const noexcept;
  [[nodiscard]] double expected_ahead(std::size_t other, const Job& job, double end) const noexcept;
  [[nodiscard]] double expected_work(const Job& job, std::size_t processor, double end) const noexcept;
  [[nodiscard]] double slowed(const Mode& mode) const noexcept;
  [[nodiscard]] bool sustained(std::size_t task, std::size_t mode) const noexcept;
  void reset_energy(const SchedulerConfig& config) noexcept;
  bool save(double shortage) noexcept;
  bool use(double spare) noexcept;
  void go_back_to(std::size_t task, std::size_t mode, double more) noexcept;
  [[nodiscard]] double watts(std::size_t task, std::size_t mode) const noexcept;
  [[nodiscard]] bool may_rest(std::size_t task, std::size_t mode) const noexcept;
  [[nodiscard]] bool may_take(std::size_t task, std::size_t mode) const noexcept;
  [[nodiscard]] double part(const Job& job, const Mode& mode, std::size_t stage) const noexcept;
  [[nodiscard]] bool may_leave(const Job& job) const noexcept;
  [[nodiscard]] double leaving_gain(const Job& job, bool own,
                                    const std::array<bool, kMaxProcessors>& used) const noexcept;
  [[nodiscard]] double leave_loss(const Job& job) const noexcept;
  [[nodiscard]] const Mode& mode_of(const Job& job) const noexcept {
    const auto task = static_cast<std::size_t>(job.task);
    return tasks_[task].modes[job.begun ? job.mode : modes_[task]];
  }

  bool active_ = false, follows_ = false, ranked_ = false, by_deadline_ = false;
  std::size_t processors_ = 0;
  std::array<bool, kMaxProcessors> preemptive_{};
  std::array<double, kMaxProcessors> factors_{};
  std::array<double, kMaxProcessors> took_{},
      expected_{};  ///< all stages together, as they ended and as in the profile
  std::vector<Task> tasks_;
  double budget_watts_ = 0;
  EnergyReserve budget_, stored_;
  std::int64_t steady_until_ = kNone;  ///< on the clock: energy changes nothing until then
  // Of one look:
  std::vector<Job> jobs_;                                  ///< the most urgent first; jobs of a task that wait are one
  std::vector<std::array<double, kMaxProcessors>> ahead_;  ///< of each job: work of those before it
  std::array<std::array<double, kMaxTasks>, kMaxProcessors> each_{};  ///< load of the next job of each task
  std::span<std::uint8_t> modes_;
  std::uint64_t leaves_ = 0;  ///< a bit for each task: its job in progress is to leave
  std::span<const std::uint16_t> blocked_;
};

}  // namespace rtmdl
