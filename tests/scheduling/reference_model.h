#pragma once
/// The scheduler's rules written the slow and obvious way: a list of jobs that is searched anew for every question.

#include "scheduling/scheduler.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace rtmdl::test {

class ReferenceScheduler {
 public:
  enum class State { waiting, ready, running, preempted };
  struct Job {
    int task = 0;
    std::uint64_t number = 0;
    Time release{};
    int stage = 0;
    State state = State::waiting;
    bool begun = false, cancelled = false, overran = false;
    int mode = 0;         ///< once begun
    Duration patience{};  ///< once it overran
    int processor = 0, level = 0;
    std::vector<int> slots{};  ///< ascending
    Duration ran{};            ///< before it was last preempted
    Time since{};
    std::uint64_t place = 0;    ///< in the line, under FIFO
    std::uint64_t started = 0;  ///< counts starts: the latest on a slot is its top
  };

  explicit ReferenceScheduler(const SchedulerConfig& config)
      : config_(config), priorities_(assign_priorities(config.policy, config.tasks)), released_(config.tasks.size()) {
    for (const SchedulerTask& t : config.tasks) {
      std::vector<SchedulerMode> modes(1);
      modes[0].stage_processors = t.stage_processors;
      modes[0].stage_slots = t.stage_slots;
      modes[0].stage_times = t.stage_times;
      modes[0].stage_limits = t.stage_limits;
      modes[0].pressures = t.pressures;
      modes.insert(modes.end(), t.fallbacks.begin(), t.fallbacks.end());
      tasks_.push_back({std::move(modes), 0, {}, {}, 0});
    }
  }

  void release(int task, Time release, Time now, std::vector<Decision>& out) {
    std::vector<Job*> not_begun = jobs_of(task, [](const Job& j) { return !j.begun; });
    std::optional<std::uint64_t> place;
    const bool busy = !jobs_of(task, [](const Job& j) { return j.begun; }).empty();
    if (static_cast<int>(not_begun.size()) == config_.tasks[at(task)].queue) {
      const Job oldest = *not_begun.front();
      if (oldest.state == State::ready) place = oldest.place;
      out.push_back(decision(Decision::Kind::drop, oldest));
      std::erase_if(jobs_, [&](const Job& j) { return j.task == task && j.number == oldest.number; });
    }
    jobs_.push_back({.task = task, .number = released_[at(task)]++, .release = release});
    if (busy) return;
    if (has_no_mode(task)) return fail_waiting(task, now, out);
    make_ready(task, place);
    dispatch(first_processor(task), now, out);
  }

  void expire(int task, std::uint64_t number, Time now, std::vector<Decision>& out) {
    Job* job = in_progress(task);
    if (!job || config_.tasks[at(task)].late != Late::abort || job->number != number || job->cancelled) return;
    if (job->state != State::ready) {
      job->cancelled = true;
      out.push_back(decision(Decision::Kind::cancel, *job));
      return;
    }
    job->processor = processor_of(*job);
    const int waited_on = job->processor;
    end(Decision::Kind::abandon, *job, now, out);
    dispatch_both(waited_on, task, now, out);
  }

  void overrun(int task, Time now, std::vector<Decision>& out) {
    Job* job = in_progress(task);
    if (!job || job->state != State::running) return;
    const auto& limits = mode_of(*job).stage_limits;
    if (limits.empty() || limits[at(job->stage)] == Duration{}) return;
    const Duration limit = limits[at(job->stage)], ran = job->ran + (now - job->since);
    if (!job->overran && ran >= limit) {
      job->overran = job->cancelled = true;
      job->patience = ran + limit;
      out.push_back(decision(Decision::Kind::cancel, *job));
    } else if (job->overran && ran >= job->patience) {
      const int left = job->processor;
      out.push_back(decision(Decision::Kind::give_up, *job));
      note_freed(*job);
      tasks_[at(task)].blocked.insert(job->mode);
      end(Decision::Kind::fail, *job, now, out);
      dispatch_both(left, task, now, out);
    }
  }

  void restore(int task, int mode, std::vector<Decision>& out) {
    const bool had_none = has_no_mode(task);
    tasks_[at(task)].blocked.erase(mode);
    if (had_none && mode != tasks_[at(task)].mode) change_mode(task, mode, out);
  }

  void set_mode(int task, int mode, Time now, std::vector<Decision>& out) {
    Task& t = tasks_[at(task)];
    if (mode < 0 || mode >= static_cast<int>(t.modes.size()) || t.blocked.count(mode) != 0) return;
    if (in_progress(task)) {
      t.wanted = mode;
      return;
    }
    if (mode == t.mode) return;
    const int waited_on = first_processor(task);
    change_mode(task, mode, out);
    if (!jobs_of(task, [](const Job& j) { return j.state == State::ready; }).empty())
      dispatch_both(waited_on, task, now, out);
  }
  const std::set<int>& blocked(int task) const { return tasks_[at(task)].blocked; }

  void complete(int task, Time now, bool ok, std::vector<Decision>& out) {
    Job* job = in_progress(task);
    if (!job || job->state == State::ready) return;
    const int left = job->processor;
    note_freed(*job);
    const bool last = job->stage + 1 == static_cast<int>(mode_of(*job).stage_processors.size());
    const bool too_late = config_.tasks[at(task)].late == Late::abort && expired(*job, now);
    const bool given_up = job->cancelled || (ok && too_late);
    if (ok && last) {
      end(Decision::Kind::finish, *job, now, out);
    } else if (job->overran) {
      end(Decision::Kind::fail, *job, now, out);
    } else if (given_up) {
      end(Decision::Kind::abandon, *job, now, out);
    } else if (!ok) {
      end(Decision::Kind::fail, *job, now, out);
    } else {
      ++job->stage;
      job->state = State::ready;
      job->cancelled = false;
      job->place = line_++;
    }
    dispatch_both(left, task, now, out);
  }

  int pending(int task) const {
    return static_cast<int>(std::count_if(jobs_.begin(), jobs_.end(), [&](const Job& j) { return j.task == task; }));
  }
  const std::vector<Job>& jobs() const { return jobs_; }
  /// Tasks with a stage on a slot, running or standing still.
  std::vector<int> on_slots() const {
    std::vector<int> tasks;
    for (const Job& j : jobs_) {
      if (j.state == State::running || j.state == State::preempted) tasks.push_back(j.task);
    }
    return tasks;
  }
  std::vector<const Job*> ready_on(int processor) const {
    std::vector<const Job*> result;
    for (const Job& j : jobs_) {
      if (j.state == State::ready && processor_of(j) == processor) result.push_back(&j);
    }
    return result;
  }
  const Job* top(int processor, int slot) const {
    const Job* result = nullptr;
    for (const Job& j : jobs_) {
      const bool there = (j.state == State::running || j.state == State::preempted) && j.processor == processor &&
                         std::find(j.slots.begin(), j.slots.end(), slot) != j.slots.end();
      if (there && (!result || j.started > result->started)) result = &j;
    }
    return result;
  }
  bool strictly_better(const Job& a, const Job& b) const {
    return config_.policy != Policy::fifo && urgency(a) < urgency(b);
  }

  int processor_of(const Job& j) const { return mode_of(j).stage_processors[at(j.stage)]; }
  int width_of(const Job& j) const {
    const auto& slots = mode_of(j).stage_slots;
    return slots.empty() ? 1 : slots[at(j.stage)];
  }

 private:
  struct Task {
    std::vector<SchedulerMode> modes;
    int mode = 0;  ///< of the next job
    std::optional<int> wanted;
    std::set<int> blocked;
    int failures = 0;
  };

  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  const SchedulerMode& mode_of(const Job& j) const {
    const Task& t = tasks_[at(j.task)];
    return t.modes[at(j.begun ? j.mode : t.mode)];
  }
  int first_processor(int task) const {
    return tasks_[at(task)].modes[at(tasks_[at(task)].mode)].stage_processors.front();
  }
  bool has_no_mode(int task) const { return tasks_[at(task)].blocked.size() == tasks_[at(task)].modes.size(); }
  void change_mode(int task, int mode, std::vector<Decision>& out) {
    tasks_[at(task)].mode = mode;
    tasks_[at(task)].failures = 0;
    out.push_back({.kind = Decision::Kind::change_mode,
                   .mode = static_cast<std::uint8_t>(mode),
                   .task = static_cast<std::uint8_t>(task)});
  }
  void choose_mode(int task, Decision::Kind ended, std::vector<Decision>& out) {
    Task& t = tasks_[at(task)];
    if (ended == Decision::Kind::finish) t.failures = 0;
    if (ended == Decision::Kind::fail) ++t.failures;
    const std::optional<int> wanted = std::exchange(t.wanted, std::nullopt);
    if (wanted && *wanted != t.mode) return change_mode(task, *wanted, out);
    const int modes = static_cast<int>(t.modes.size());
    const int enough = config_.tasks[at(task)].failures_to_fall_back;
    const bool failing = enough > 0 && t.failures >= enough;
    const bool blocked = t.blocked.count(t.mode) != 0;
    for (int k = 1; k < modes && (blocked || failing); ++k) {
      if (!blocked && t.mode + k >= modes) return;
      const int next = (t.mode + k) % modes;
      if (t.blocked.count(next) == 0) return change_mode(task, next, out);
    }
  }
  void fail_waiting(int task, Time now, std::vector<Decision>& out) {
    for (const Job* j : jobs_of(task, [](const Job&) { return true; })) {
      out.push_back(decision(Decision::Kind::fail, *j));
      out.back().processor = static_cast<std::uint8_t>(first_processor(task));
      out.back().late = now > j->release + config_.tasks[at(task)].deadline;
    }
    std::erase_if(jobs_, [&](const Job& j) { return j.task == task; });
  }
  void note_freed(const Job& job) {
    ++ended_;
    for (const int s : job.slots) freed_[{job.processor, s}] = ended_;  // of those that are not free it is not asked
  }
  void dispatch_both(int left, int task, Time now, std::vector<Decision>& out) {
    const auto joined = jobs_of(task, [](const Job& j) { return j.state == State::ready; });
    const int next = joined.empty() ? left : processor_of(*joined.front());
    dispatch(left, now, out);
    if (next != left) dispatch(next, now, out);
  }
  std::int64_t urgency(const Job& j) const {
    if (config_.policy == Policy::edf)
      return (j.release + config_.tasks[at(j.task)].deadline).time_since_epoch().count();
    if (config_.policy == Policy::fifo) return static_cast<std::int64_t>(j.place);
    return priorities_[at(j.task)];
  }
  bool expired(const Job& j, Time now) const { return now >= j.release + config_.tasks[at(j.task)].deadline; }
  /// Of the job in progress.
  void end(Decision::Kind kind, const Job& job, Time now, std::vector<Decision>& out) {
    const int task = job.task;
    out.push_back(decision(kind, job));
    out.back().late = now > job.release + config_.tasks[at(task)].deadline;
    std::erase_if(jobs_, [&](const Job& j) { return j.task == task && j.begun; });
    choose_mode(task, kind, out);
    if (has_no_mode(task)) fail_waiting(task, now, out);
    else make_ready(task, {});
  }
  Job* in_progress(int task) {
    for (Job& j : jobs_) {
      if (j.task == task && j.begun) return &j;
    }
    return nullptr;
  }
  template <typename Which>
  std::vector<Job*> jobs_of(int task, Which which) {
    std::vector<Job*> result;
    for (Job& j : jobs_) {
      if (j.task == task && which(j)) result.push_back(&j);
    }
    return result;
  }
  void make_ready(int task, std::optional<std::uint64_t> place) {
    const auto waiting = jobs_of(task, [](const Job& j) { return !j.begun; });
    if (waiting.empty() || waiting.front()->state == State::ready) return;
    waiting.front()->state = State::ready;
    waiting.front()->place = place ? *place : line_++;
  }
  Decision decision(Decision::Kind kind, const Job& j) const {
    std::uint16_t slots = 0;
    for (const int s : j.slots) slots = static_cast<std::uint16_t>(slots | 1U << s);
    return {
        .kind = kind,
        .mode = static_cast<std::uint8_t>(j.begun ? j.mode : tasks_[at(j.task)].mode),
        .task = static_cast<std::uint8_t>(j.task),
        .stage = static_cast<std::uint8_t>(j.stage),
        .processor = static_cast<std::uint8_t>(kind == Decision::Kind::drop ? first_processor(j.task) : j.processor),
        .level = static_cast<std::uint8_t>(j.level),
        .slots = slots,
        .job = j.number,
        .release = j.release};
  }
  using Left = std::vector<std::pair<int, std::uint64_t>>;  ///< jobs that were found to have to wait
  Job* best(int processor, const Left& left) {
    Job* result = nullptr;
    for (Job& j : jobs_) {
      if (j.state != State::ready || processor_of(j) != processor) continue;
      if (std::find(left.begin(), left.end(), std::pair(j.task, j.number)) != left.end()) continue;
      if (!result || std::tuple(urgency(j), j.task) < std::tuple(urgency(*result), result->task)) result = &j;
    }
    return result;
  }
  void start(Job& j, std::vector<int> slots, Time now, std::vector<Decision>& out) {
    const int processor = processor_of(j);
    if (!j.begun) j.mode = tasks_[at(j.task)].mode;
    std::sort(slots.begin(), slots.end());
    j.level = 0;
    for (const int s : slots)
      if (const Job* below = top(processor, s)) j.level = std::max(j.level, below->level + 1);
    j.state = State::running;
    j.begun = true;
    j.processor = processor;
    j.slots = std::move(slots);
    j.started = ++starts_;
    j.ran = {};
    j.since = now;
    out.push_back(decision(Decision::Kind::start, j));
  }
  /// Drops jobs that would begin at or after their deadline, as long as one of them is the most urgent.
  Job* best_in_time(int processor, const Left& left, Time now, std::vector<Decision>& out) {
    while (Job* j = best(processor, left)) {
      if (j->begun || config_.tasks[at(j->task)].late == Late::finish || !expired(*j, now)) return j;
      const Job skipped = *j;
      out.push_back(decision(Decision::Kind::drop, skipped));
      std::erase_if(jobs_, [&](const Job& o) { return o.task == skipped.task && o.number == skipped.number; });
      make_ready(skipped.task, skipped.place);
    }
    return nullptr;
  }
  /// How far `joining`, and what runs there but on `taken`, bring `on` from its time alone to that beside.
  double pressure(const Job& on, const Job& joining, int processor, const std::vector<int>& taken) const {
    const std::vector<double>& by = mode_of(on).pressures;
    double sum = 0;
    for (const Job& j : jobs_) {
      const bool gives_way = std::any_of(j.slots.begin(), j.slots.end(), [&](int s) {
        return std::find(taken.begin(), taken.end(), s) != taken.end();
      });
      const bool there = j.state == State::running && j.processor == processor && !gives_way && &j != &on;
      if (!there && &j != &joining) continue;
      const int mode = j.begun ? j.mode : tasks_[at(j.task)].mode;
      sum += by.empty() || mode != 0 ? 1 : by[at(j.task)];
    }
    return std::min(sum, 1.0);
  }
  /// Every more urgent job that runs there and would be in time alone is so beside `joining`, which takes these slots.
  /// Where another made way for it, only jobs that know one from another are asked.
  bool in_time_beside(const Job& joining, int processor, const std::vector<int>& slots, bool joins, Time now) const {
    for (const Job& h : jobs_) {
      const std::vector<StageTime>& times = mode_of(h).stage_times;
      if (h.state != State::running || h.processor != processor || times.empty()) continue;
      if (urgency(h) > urgency(joining) || (!joins && mode_of(h).pressures.empty())) continue;
      const Duration spent = h.ran + (now - h.since);
      const StageTime& time = times[at(h.stage)];
      const double longer =
          static_cast<double>((time.beside - time.alone).count()) * pressure(h, joining, processor, slots);
      Duration alone = std::max(time.alone - spent, Duration{});
      Duration beside = std::max(time.alone + Duration(static_cast<std::int64_t>(longer)) - spent, Duration{});
      for (std::size_t s = at(h.stage) + 1; s < times.size(); ++s) {
        alone += times[s].alone;
        beside += times[s].alone;
      }
      const Time deadline = h.release + config_.tasks[at(h.task)].deadline;
      if (now + alone <= deadline && now + beside > deadline) return false;
    }
    return true;
  }
  void dispatch(int processor, Time now, std::vector<Decision>& out) {
    const SchedulerProcessor& on = config_.processors[at(processor)];
    Left left;
    while (Job* j = best_in_time(processor, left, now, out)) {
      // Slots in the order in which they are taken: free ones, then the least urgent top that gives way.
      std::vector<int> free, held;
      for (int s = 0; s < on.slots; ++s) (top(processor, s) ? held : free).push_back(s);
      std::stable_sort(free.begin(), free.end(), [&](int a, int b) {
        return freed_[{processor, a}] < freed_[{processor, b}];
      });
      std::stable_sort(held.begin(), held.end(), [&](int a, int b) {
        return std::tuple(urgency(*top(processor, a)), a) > std::tuple(urgency(*top(processor, b)), b);
      });
      std::erase_if(held, [&](int s) { return !on.preemptive || !strictly_better(*j, *top(processor, s)); });
      const std::size_t width = at(width_of(*j));
      std::vector<int> slots(free.begin(), free.begin() + static_cast<std::ptrdiff_t>(std::min(width, free.size())));
      bool joins = !slots.empty();
      for (std::size_t k = 0; slots.size() < width && k < held.size(); ++k) {
        joins |= top(processor, held[k])->state == State::preempted;  // stood still
        slots.push_back(held[k]);
      }
      const bool no_slot = slots.size() < width;
      if (no_slot || !in_time_beside(*j, processor, slots, joins, now)) {
        if (!on.preemptive || config_.policy == Policy::fifo || (no_slot && width == 1)) break;
        left.emplace_back(j->task, j->number);
        continue;
      }
      std::sort(slots.begin(), slots.end());
      for (const int s : slots) {
        Job* t = const_cast<Job*>(top(processor, s));
        if (!t) continue;
        if (t->state == State::running) {
          out.push_back(decision(Decision::Kind::preempt, *t));
          t->ran += now - t->since;
        }
        t->state = State::preempted;
      }
      start(*j, slots, now, out);
    }
    for (int s = 0; s < on.slots; ++s) {
      Job* t = const_cast<Job*>(top(processor, s));
      if (!t || t->state != State::preempted || t->slots.front() != s) continue;
      if (!std::all_of(t->slots.begin(), t->slots.end(), [&](int o) { return top(processor, o) == t; })) continue;
      t->state = State::running;
      t->since = now;
      out.push_back(decision(Decision::Kind::resume, *t));
    }
  }

  const SchedulerConfig config_;
  std::vector<int> priorities_;
  std::vector<std::uint64_t> released_;
  std::vector<Task> tasks_;
  std::vector<Job> jobs_;
  std::uint64_t line_ = 0, starts_ = 0, ended_ = 0;
  std::map<std::pair<int, int>, std::uint64_t> freed_;  ///< processor and slot -> when it was last left
};

}  // namespace rtmdl::test
