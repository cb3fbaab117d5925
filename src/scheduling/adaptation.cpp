#include "scheduling/adaptation.h"

#include "scheduling/scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace rtmdl {
namespace {

constexpr double kForever = 1e18;
constexpr double kHorizon = 10e9;  ///< no finish is followed further
constexpr double kAnyCost = 1e-9;  ///< of variants that cost nothing
constexpr int kMostChanges = 32;   ///< of one look
constexpr double kMs = 1e6;

/// Of the factors: a stage counts as its share of this much work, and no stage moves them further than that.
constexpr double kMemory = 50 * kMs, kMostWeight = 0.25, kMostGrowth = 1.5;
constexpr double kTold = 0.2 * kMs;  ///< shorter ones tell more of waking up than of the processor
constexpr double kLeastFactor = 0.5, kMostFactor = 8;

constexpr double kLeastReach = 1e-3;
constexpr double kLeastLeft = 0.1;  ///< of a stage's mean, that is expected of it however long it has run
constexpr int kMostRounds = 8;      ///< of the recursion for a finish

/// A lighter variant is kept for so many periods, within these bounds.
constexpr double kPeriodsKept = 4, kLeastKept = 100 * kMs, kMostKept = 500 * kMs;
constexpr double kSoon = 1000 * kMs;  ///< lighter again so soon after it was heavier: it is kept for twice as long
constexpr double kMargin = 0.05;      ///< of deadlines, for heavier variants
/// What a processor may be loaded with for good, or this much more than the plan does.
constexpr double kSustained = 0.9, kOverPlan = 1.1;

double shortest_kept(double period) { return std::clamp(kPeriodsKept * period, kLeastKept, kMostKept); }

double until(std::int64_t when, Time now) { return static_cast<double>(when - now.time_since_epoch().count()); }

}  // namespace

void Adaptation::reset(const SchedulerConfig& config) {
  ranked_ = is_fixed_priority(config.policy);
  by_deadline_ = config.policy == Policy::edf;
  processors_ = config.processors.size();
  factors_.fill(1);
  took_.fill(0);
  expected_.fill(0);
  for (std::size_t p = 0; p < processors_; ++p) preemptive_[p] = config.processors[p].preemptive;
  active_ = follows_ = false;
  const std::vector<int> priorities = assign_priorities(config.policy, config.tasks);
  tasks_.assign(config.tasks.size(), {});
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const SchedulerTask& from = config.tasks[i];
    Task& to = tasks_[i];
    const auto take = [&](const auto& mode, std::optional<double> loss) {
      Mode& m = to.modes.emplace_back();
      m.allowed = loss.has_value();
      m.loss = loss.value_or(0);
      m.joules = mode.joules;
      for (std::size_t s = 0; s < mode.stage_loads.size(); ++s) {
        const int processor = mode.stage_processors[s];
        const double slots = config.processors[static_cast<std::size_t>(processor)].slots;
        const double width = mode.stage_slots.empty() ? 1 : mode.stage_slots[s];
        const double mean = static_cast<double>(mode.stage_loads[s].mean.count());
        Stage& stage = m.stages.emplace_back();
        stage = {processor, mean, static_cast<double>(mode.stage_loads[s].likely.count()), width / slots};
        if (!mode.reaches.empty()) stage.reach = std::max(mode.reaches[s], kLeastReach);
        if (!mode.leave_losses.empty()) stage.leave_loss = mode.leave_losses[s];
        m.load[static_cast<std::size_t>(processor)] += mean * stage.reach * width / slots;
        m.likely += stage.likely * stage.reach;
      }
      m.optional_from = m.stages.empty() ? 0 : static_cast<std::size_t>(mode.optional_from);
      active_ |= m.optional_from > 0 && !mode.leave_losses.empty();
    };
    take(from, 0.0);
    for (const SchedulerMode& mode : from.fallbacks) {
      take(mode, mode.loss);
      to.adapts |= mode.loss.has_value();
    }
    active_ |= to.adapts;
    follows_ |= !from.stage_loads.empty();
    set_terms(static_cast<int>(i), priorities[i], {priorities[i], 0, from.period, from.deadline, from.present});
  }
  reset_energy(config);
  jobs_.reserve(2 * tasks_.size());
  ahead_.resize(2 * tasks_.size());
}

void Adaptation::set_terms(int task, std::int64_t rank, const Terms& terms) noexcept {
  Task& t = tasks_[static_cast<std::size_t>(task)];
  t.rank = static_cast<double>(rank);
  t.home = t.rest = static_cast<std::size_t>(terms.mode);
  t.period = static_cast<double>(terms.period.count());
  t.rate = terms.present && t.period > 0 ? 1 / t.period : 0;
  t.deadline = static_cast<double>(terms.deadline.count());
  t.patience = shortest_kept(t.period);
  if (!terms.present) t.released = kNone;
}

void Adaptation::observe(int task, int mode, int stage, Duration took) noexcept {
  const Mode& m = tasks_[static_cast<std::size_t>(task)].modes[static_cast<std::size_t>(mode)];
  if (static_cast<std::size_t>(stage) >= m.stages.size()) return;
  const Stage& s = m.stages[static_cast<std::size_t>(stage)];
  if (s.mean < kTold) return;
  took_[static_cast<std::size_t>(s.processor)] += static_cast<double>(took.count());
  expected_[static_cast<std::size_t>(s.processor)] += s.mean;
  double& factor = factors_[static_cast<std::size_t>(s.processor)];
  const double seen = std::min(static_cast<double>(took.count()) / s.mean, kMostGrowth * factor);
  factor += std::min(kMostWeight, s.mean / kMemory) * (seen - factor);
  factor = std::clamp(factor, kLeastFactor, kMostFactor);
}

std::uint64_t Adaptation::choose(int task, Time release, Time now, std::span<const PendingTask> pending,
                                 std::span<std::uint8_t> modes, std::span<const std::uint16_t> blocked) noexcept {
  if (task >= 0) tasks_[static_cast<std::size_t>(task)].released = release.time_since_epoch().count();
  modes_ = modes;
  blocked_ = blocked;
  leaves_ = 0;
  look(now, pending);
  if (!lighten(now) && task >= 0) recover(task, now);
  return leaves_;
}

/// Of jobs like this one, the share that run the stage.
double Adaptation::part(const Job& job, const Mode& mode, std::size_t stage) const noexcept {
  const auto at = static_cast<std::size_t>(job.stage);
  const bool optional = mode.optional_from > 0 && stage >= mode.optional_from && stage + 1 < mode.stages.size();
  if (!optional || (job.running && stage == at)) return 1;
  if (job.begun && (leaves_ >> job.task & 1) != 0) return 0;
  return std::min(mode.stages[stage].reach / (job.begun ? mode.stages[at].reach : 1), 1.0);
}

/// Whether it has begun, and stages that it can still leave out are ahead of it.
bool Adaptation::may_leave(const Job& job) const noexcept {
  const Mode& mode = mode_of(job);
  const auto first = static_cast<std::size_t>(job.stage) + (job.running ? 1 : 0);
  return job.begun && mode.optional_from > 0 && std::max(first, mode.optional_from) + 1 < mode.stages.size();
}

/// Time on the processors in use, or of its own (`own`), that a job in progress gives back by leaving.
double Adaptation::leaving_gain(const Job& job, bool own, const std::array<bool, kMaxProcessors>& used) const noexcept {
  const Mode& mode = mode_of(job);
  double gain = 0;
  for (auto s = std::max(static_cast<std::size_t>(job.stage) + (job.running ? 1 : 0), mode.optional_from);
       s + 1 < mode.stages.size(); ++s) {
    const Stage& stage = mode.stages[s];
    const auto p = static_cast<std::size_t>(stage.processor);
    if (own) gain += stage.likely * factors_[p] * part(job, mode, s);
    else if (used[p]) gain += stage.mean * stage.share * factors_[p] * part(job, mode, s);
  }
  return gain;
}

double Adaptation::leave_loss(const Job& job) const noexcept {
  const Mode& mode = mode_of(job);
  const auto after = static_cast<std::size_t>(job.stage) - (job.running || job.stage == 0 ? 0 : 1);
  return mode.stages[std::max(after, mode.optional_from - 1)].leave_loss;
}

/// The jobs, the most urgent first, and when others are expected.
void Adaptation::look(Time now, std::span<const PendingTask> pending) noexcept {
  for (Task& t : tasks_) {
    const double next = t.released == kNone ? kForever : until(t.released, now) + t.period;
    t.next = next < -t.period ? kForever : std::max(next, 0.0);  // it does not come, or would have
  }
  jobs_.clear();
  const auto insert = [&](Job job, std::int64_t key, Time release) {
    job.deadline = until(release.time_since_epoch().count(), now) + tasks_[static_cast<std::size_t>(job.task)].deadline;
    job.key = by_deadline_ ? job.deadline
              : ranked_    ? tasks_[static_cast<std::size_t>(job.task)].rank
                           : static_cast<double>(key);
    auto place = jobs_.end();
    while (place != jobs_.begin() && (place - 1)->key > job.key) --place;
    jobs_.insert(place, job);  // there is room
  };
  for (const PendingTask& p : pending) {
    if (p.begun)
      insert({.task = p.task,
              .stage = p.stage,
              .begun = true,
              .mode = static_cast<std::uint8_t>(p.mode),
              .running = p.running,
              .spent = static_cast<double>(p.spent.count())},
             p.key, p.begun_release);
    if (p.waiting > 0) insert({.task = p.task, .waiting = p.waiting}, p.key, p.release);
  }
}

/// What is ahead of each job on each processor, and what a job that is expected would add.
void Adaptation::weigh() noexcept {
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    const Mode& mode = tasks_[t].modes[modes_[t]];
    for (std::size_t p = 0; p < processors_; ++p) each_[p][t] = mode.load[p] * factors_[p];
  }
  std::array<double, kMaxProcessors> sum{};
  for (std::size_t k = 0; k < jobs_.size(); ++k) {
    ahead_[k] = sum;
    const Job& job = jobs_[k];
    const Mode& mode = mode_of(job);
    if (!job.begun) {
      for (std::size_t p = 0; p < processors_; ++p) sum[p] += job.waiting * mode.load[p] * factors_[p];
      continue;
    }
    for (std::size_t s = static_cast<std::size_t>(job.stage); s < mode.stages.size(); ++s) {
      const Stage& stage = mode.stages[s];
      const auto p = static_cast<std::size_t>(stage.processor);
      const double spent = s == static_cast<std::size_t>(job.stage) ? job.spent : 0;
      sum[p] += std::max(stage.mean * factors_[p] - spent, kLeastLeft * stage.mean) * stage.share * part(job, mode, s);
    }
  }
}

/// Jobs of another task that are expected within [0, end) and go before `job`.
double Adaptation::expected_ahead(std::size_t other, const Job& job, double end) const noexcept {
  const Task& t = tasks_[other];
  if (static_cast<int>(other) == job.task) return 0;
  if (ranked_) {
    if (t.rank >= job.key) return 0;
  } else if (by_deadline_) {
    end = std::min(end, job.deadline - t.deadline);
  } else {
    return 0;
  }
  const double span = end - t.next;
  return span <= 0 ? 0 : static_cast<double>(static_cast<std::int64_t>(span * t.rate) + 1);
}

double Adaptation::expected_work(const Job& job, std::size_t processor, double end) const noexcept {
  if (end <= 0) return 0;
  double work = 0;
  for (std::size_t other = 0; other < tasks_.size(); ++other)
    if (const double each = each_[processor][other]; each > 0) work += expected_ahead(other, job, end) * each;
  return work;
}

/// When job k is expected to end, from now.
double Adaptation::finish(std::size_t k) const noexcept {
  const Job& job = jobs_[k];
  const Mode& mode = mode_of(job);
  double at = 0;
  for (std::size_t s = static_cast<std::size_t>(job.stage); s < mode.stages.size(); ++s) {
    const Stage& stage = mode.stages[s];
    const auto p = static_cast<std::size_t>(stage.processor);
    const bool first = s == static_cast<std::size_t>(job.stage);
    double own = stage.likely * factors_[p];
    if (first) own = std::max(own - job.spent, kLeastLeft * stage.mean);
    const double runs = part(job, mode, s);
    if (runs <= 0) continue;
    own *= runs;
    double before = ahead_[k][p];
    if (first && !preemptive_[p] && !job.running) before += blocking(k, p);
    // What is ahead and comes until then, less what the processor does of it meanwhile; then what comes later.
    const double earlier = expected_work(job, p, at);
    const double least = std::max(at, before + earlier) + own;
    double end = least;
    for (int round = 0; round < kMostRounds; ++round) {
      const double next = least + expected_work(job, p, end) - earlier;
      if (next <= end) break;
      end = next;
      if (end > kHorizon) break;
    }
    at = end;
  }
  return at;
}

/// Of less urgent stages in progress, where they cannot be preempted.
double Adaptation::blocking(std::size_t k, std::size_t processor) const noexcept {
  double longest = 0;
  for (std::size_t other = k + 1; other < jobs_.size(); ++other) {
    const Job& job = jobs_[other];
    if (!job.running) continue;
    const Stage& stage = mode_of(job).stages[static_cast<std::size_t>(job.stage)];
    if (static_cast<std::size_t>(stage.processor) != processor) continue;
    const double left = std::max(stage.mean * factors_[processor] - job.spent, kLeastLeft * stage.mean);
    longest = std::max(longest, left * stage.share);
  }
  return longest;
}

/// From job k on, the most urgent that is expected to be later than its deadline less that share of it.
Adaptation::Late Adaptation::first_late(std::size_t k, double margin) const noexcept {
  for (; k < jobs_.size(); ++k) {
    const Job& job = jobs_[k];
    if (job.lost) continue;
    const double end = finish(k);
    if (end > job.deadline - margin * tasks_[static_cast<std::size_t>(job.task)].deadline)
      return {true, k, end - job.deadline};
  }
  return {};
}

double Adaptation::slowed(const Mode& mode) const noexcept {
  double sum = 0;
  for (const Stage& stage : mode.stages) sum += stage.likely * factors_[static_cast<std::size_t>(stage.processor)];
  return sum;
}

bool Adaptation::may_take(std::size_t task, std::size_t mode) const noexcept {
  return tasks_[task].modes[mode].allowed && (blocked_[task] >> mode & 1) == 0;
}

/// Makes one task lighter, so that job k ends earlier: by `excess`, if there is one that does. False: none helps.
bool Adaptation::relieve(std::size_t k, double excess) noexcept {
  const Job& job = jobs_[k];
  std::array<bool, kMaxProcessors> used{};
  const Mode& runs = mode_of(job);
  for (std::size_t s = static_cast<std::size_t>(job.stage); s < runs.stages.size(); ++s)
    used[static_cast<std::size_t>(runs.stages[s].processor)] = true;

  std::size_t best = tasks_.size();
  std::uint8_t best_mode = 0;
  bool best_leaves = false;
  double least_cost = std::numeric_limits<double>::infinity(), most_worth = 0;
  /// What suffices, for the least; while nothing does, what gives most for its cost.
  const auto weigh_up = [&](double gain, double cost, std::size_t task, std::size_t mode, bool leaves) {
    const bool enough = gain >= excess;
    const double worth = gain / (cost + kAnyCost);
    if (enough ? cost >= least_cost : !std::isinf(least_cost) || worth <= most_worth) return;
    best = task;
    best_mode = static_cast<std::uint8_t>(mode);
    best_leaves = leaves;
    if (enough) least_cost = cost;
    most_worth = worth;
  };
  for (std::size_t other = 0; other <= k; ++other) {
    const Job& ahead = jobs_[other];
    if (!may_leave(ahead) || (leaves_ >> ahead.task & 1) != 0) continue;
    const double gain = leaving_gain(ahead, other == k, used);
    if (gain > 0) weigh_up(gain, leave_loss(ahead), static_cast<std::size_t>(ahead.task), 0, true);
  }
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    const Task& task = tasks_[t];
    if (!task.adapts || !task.modes[modes_[t]].allowed) continue;
    const bool own = static_cast<int>(t) == job.task;
    if (own && job.begun) continue;
    double jobs = own ? 1 : expected_ahead(t, job, excess + job.deadline);
    for (std::size_t other = 0; other < k && !own; ++other)
      if (jobs_[other].task == static_cast<int>(t)) jobs += jobs_[other].waiting;
    if (jobs <= 0) continue;
    const Mode& now = task.modes[modes_[t]];
    for (std::size_t m = 0; m < task.modes.size(); ++m) {
      if (m == modes_[t] || !may_take(t, m) || task.modes[m].loss < now.loss) continue;
      double gain = 0;
      if (own) {
        gain = slowed(now) - slowed(task.modes[m]);
      } else {
        for (std::size_t p = 0; p < processors_; ++p)
          if (used[p]) gain += jobs * (now.load[p] - task.modes[m].load[p]) * factors_[p];
      }
      if (gain > 0) weigh_up(gain, jobs * (task.modes[m].loss - now.loss), t, m, false);
    }
  }
  if (best == tasks_.size()) return false;
  if (best_leaves) leaves_ |= std::uint64_t{1} << best;
  else modes_[best] = best_mode;
  return true;
}

void Adaptation::take_lightest(std::size_t t) noexcept {
  const Task& task = tasks_[t];
  if (!task.adapts || !task.modes[modes_[t]].allowed) return;
  for (std::size_t m = 0; m < task.modes.size(); ++m)
    if (may_take(t, m) && task.modes[m].likely < task.modes[modes_[t]].likely) modes_[t] = static_cast<std::uint8_t>(m);
}

/// Whether job k would be in time if all that may be lighter were as light as can be. Leaves the modes like that.
bool Adaptation::can_be_saved(std::size_t k) noexcept {
  if (jobs_[k].deadline <= 0) return false;
  for (std::size_t t = 0; t < tasks_.size(); ++t) take_lightest(t);
  leaves_ = ~std::uint64_t{0};
  weigh();
  return finish(k) <= jobs_[k].deadline;
}

/// Until no job is late that can be saved. Whether any was expected to be.
bool Adaptation::lighten(Time now) noexcept {
  std::array<std::uint8_t, kMaxTasks> first{}, before{};  // modes as they were; before the job that is to be saved
  std::uint64_t left = 0;                                 // leaves_ likewise
  std::copy(modes_.begin(), modes_.end(), first.begin());
  bool any = false;
  std::size_t saving = 0;
  for (int changes = 0; changes < kMostChanges; ++changes) {
    weigh();
    const Late late = first_late(saving, 0);
    if (!late.any) break;
    const bool another = !any || late.job != saving;
    any = true;
    saving = late.job;
    bool hopeless = false;
    if (another) {
      std::copy(modes_.begin(), modes_.end(), before.begin());
      left = leaves_;
      hopeless = !can_be_saved(saving);
      std::copy_n(before.begin(), modes_.size(), modes_.begin());
      leaves_ = left;
      weigh();
    }
    if (!hopeless && relieve(saving, late.excess)) continue;
    std::copy_n(before.begin(), modes_.size(), modes_.begin());
    leaves_ = left;
    Job& job = jobs_[saving];
    if (!job.begun) take_lightest(static_cast<std::size_t>(job.task));
    else leaves_ |= std::uint64_t{1} << job.task;
    job.lost = true;
  }
  for (std::size_t t = 0; any && t < tasks_.size(); ++t) {
    Task& task = tasks_[t];
    if (modes_[t] == first[t]) continue;
    const bool soon = task.raised != kNone && -until(task.raised, now) < kSoon;
    task.patience = soon ? std::min(2 * task.patience, kMostKept) : shortest_kept(task.period);
    task.not_before = now.time_since_epoch().count() + static_cast<std::int64_t>(task.patience);
  }
  return any;
}

/// Whether the task's processors can keep up with it in that mode.
bool Adaptation::sustained(std::size_t task, std::size_t mode) const noexcept {
  for (std::size_t p = 0; p < processors_; ++p) {
    if (tasks_[task].modes[mode].load[p] <= 0) continue;
    double load = 0, planned = 0;  // planned: at the profile's speed
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      load += tasks_[t].modes[t == task ? mode : modes_[t]].load[p] * tasks_[t].rate;
      planned += tasks_[t].modes[tasks_[t].home].load[p] * tasks_[t].rate;
    }
    if (load * factors_[p] > std::max(kSustained, kOverPlan * planned)) return false;
  }
  return true;
}

/// Back to the variant that it rests in if that can be, else to the next heavier.
void Adaptation::recover(int task, Time now) noexcept {
  const auto t = static_cast<std::size_t>(task);
  Task& of = tasks_[t];
  const std::uint8_t kept = modes_[t];
  if (!of.adapts || kept == of.rest || !of.modes[kept].allowed || now.time_since_epoch().count() < of.not_before)
    return;
  std::uint8_t heavier = kept;
  for (std::size_t m = 0; m < of.modes.size(); ++m) {
    if (!may_take(t, m) || of.modes[m].loss >= of.modes[kept].loss || of.modes[m].loss < of.modes[of.rest].loss)
      continue;
    if (heavier == kept || of.modes[m].loss > of.modes[heavier].loss) heavier = static_cast<std::uint8_t>(m);
  }
  if (heavier == kept) return;
  for (const std::uint8_t mode : {static_cast<std::uint8_t>(of.rest), heavier}) {
    if (!may_take(t, mode) || !sustained(t, mode)) continue;
    modes_[t] = mode;
    weigh();
    if (!first_late(0, kMargin).any) {
      of.raised = now.time_since_epoch().count();
      return;
    }
    modes_[t] = kept;
  }
}

}  // namespace rtmdl
