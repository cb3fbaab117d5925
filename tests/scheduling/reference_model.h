#pragma once
/// The scheduler's rules written the slow and obvious way: a list of jobs that is searched anew for every question.

#include <rtmdl/scheduler.h>

#include <algorithm>
#include <optional>
#include <tuple>
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
    bool begun = false, cancelled = false;
    int processor = 0, slot = 0, level = 0;
    std::uint64_t place = 0;    ///< in the line, under FIFO
    std::uint64_t started = 0;  ///< counts starts: the latest on a slot is its top
  };

  explicit ReferenceScheduler(const SchedulerConfig& config)
      : config_(config), priorities_(assign_priorities(config.policy, config.tasks)), released_(config.tasks.size()) {}

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
    make_ready(task, place);
    dispatch(processor_of(task, 0), now, out);
  }

  void expire(int task, std::uint64_t number, Time now, std::vector<Decision>& out) {
    Job* job = in_progress(task);
    if (!job || config_.tasks[at(task)].late != Late::abort || job->number != number || job->cancelled) return;
    if (job->state != State::ready) {
      job->cancelled = true;
      out.push_back(decision(Decision::Kind::cancel, *job));
      return;
    }
    const int waited_on = processor_of(task, job->stage);
    end(Decision::Kind::abandon, *job, now, out);
    out.back().processor = static_cast<std::uint8_t>(waited_on);
    if (!jobs_of(task, [](const Job& j) { return j.state == State::ready; }).empty())
      dispatch(processor_of(task, 0), now, out);
  }

  void complete(int task, Time now, bool ok, std::vector<Decision>& out) {
    Job* job = in_progress(task);
    if (!job || job->state == State::ready) return;
    const int left = job->processor;
    const bool last = job->stage + 1 == static_cast<int>(config_.tasks[at(task)].stage_processors.size());
    const bool too_late = config_.tasks[at(task)].late == Late::abort && expired(*job, now);
    const bool given_up = job->cancelled || (ok && too_late);
    if (ok && last) {
      end(Decision::Kind::finish, *job, now, out);
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
    const auto joined = jobs_of(task, [](const Job& j) { return j.state == State::ready; });
    const int next = joined.empty() ? left : processor_of(task, joined.front()->stage);
    dispatch(left, now, out);
    if (next != left) dispatch(next, now, out);
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
      if (j.state == State::ready && processor_of(j.task, j.stage) == processor) result.push_back(&j);
    }
    return result;
  }
  const Job* top(int processor, int slot) const {
    const Job* result = nullptr;
    for (const Job& j : jobs_) {
      const bool there =
          (j.state == State::running || j.state == State::preempted) && j.processor == processor && j.slot == slot;
      if (there && (!result || j.started > result->started)) result = &j;
    }
    return result;
  }
  bool strictly_better(const Job& a, const Job& b) const {
    return config_.policy != Policy::fifo && urgency(a) < urgency(b);
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  int processor_of(int task, int stage) const { return config_.tasks[at(task)].stage_processors[at(stage)]; }
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
    make_ready(task, {});
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
    return {
        .kind = kind,
        .task = static_cast<std::uint8_t>(j.task),
        .stage = static_cast<std::uint8_t>(j.stage),
        .processor = static_cast<std::uint8_t>(kind == Decision::Kind::drop ? processor_of(j.task, 0) : j.processor),
        .slot = static_cast<std::uint8_t>(j.slot),
        .level = static_cast<std::uint8_t>(j.level),
        .job = j.number,
        .release = j.release};
  }
  Job* best(int processor) {
    Job* result = nullptr;
    for (Job& j : jobs_) {
      if (j.state != State::ready || processor_of(j.task, j.stage) != processor) continue;
      if (!result || std::tuple(urgency(j), j.task) < std::tuple(urgency(*result), result->task)) result = &j;
    }
    return result;
  }
  void start(Job& j, int slot, std::vector<Decision>& out) {
    const int processor = processor_of(j.task, j.stage);
    const Job* below = top(processor, slot);
    j.level = below ? below->level + 1 : 0;
    j.state = State::running;
    j.begun = true;
    j.processor = processor;
    j.slot = slot;
    j.started = ++starts_;
    out.push_back(decision(Decision::Kind::start, j));
  }
  /// Drops jobs that would begin at or after their deadline, as long as one of them is the most urgent.
  Job* best_in_time(int processor, Time now, std::vector<Decision>& out) {
    while (Job* j = best(processor)) {
      if (j->begun || config_.tasks[at(j->task)].late == Late::finish || !expired(*j, now)) return j;
      const Job skipped = *j;
      out.push_back(decision(Decision::Kind::drop, skipped));
      std::erase_if(jobs_, [&](const Job& o) { return o.task == skipped.task && o.number == skipped.number; });
      make_ready(skipped.task, skipped.place);
    }
    return nullptr;
  }
  void dispatch(int processor, Time now, std::vector<Decision>& out) {
    const int slots = config_.processors[at(processor)].slots;
    for (int s = 0; s < slots; ++s) {
      if (top(processor, s)) continue;
      if (Job* j = best_in_time(processor, now, out)) start(*j, s, out);
    }
    (void)best_in_time(processor, now, out);
    while (config_.processors[at(processor)].preemptive && best(processor)) {
      Job* worst = nullptr;
      for (int s = 0; s < slots; ++s) {
        Job* t = const_cast<Job*>(top(processor, s));
        if (t && (!worst || urgency(*t) >= urgency(*worst))) worst = t;
      }
      if (!worst || !strictly_better(*best(processor), *worst)) break;
      if (worst->state == State::running) out.push_back(decision(Decision::Kind::preempt, *worst));
      worst->state = State::preempted;
      start(*best(processor), worst->slot, out);
    }
    for (int s = 0; s < slots; ++s) {
      Job* t = const_cast<Job*>(top(processor, s));
      if (!t || t->state != State::preempted) continue;
      t->state = State::running;
      out.push_back(decision(Decision::Kind::resume, *t));
    }
  }

  const SchedulerConfig config_;
  std::vector<int> priorities_;
  std::vector<std::uint64_t> released_;
  std::vector<Job> jobs_;
  std::uint64_t line_ = 0, starts_ = 0;
};

}  // namespace rtmdl::test
