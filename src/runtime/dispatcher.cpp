#include "runtime/dispatcher.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>
#include <utility>

#include <sched.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

namespace rtmdl {
namespace {

using Locked = std::lock_guard<PriorityMutex>;

constexpr int kLeadShare = 64;  ///< of a processor's reservations: the shortest period divided by this
constexpr Duration kLeastReservation = std::chrono::microseconds(2);  ///< a little more than the kernel's

/// Of one event and the releases that follow from it: no task's stage ends in them.
constexpr std::size_t kMostStarts = kMaxTasks;

/// Of the watchdog's looks: a fraction of the shortest limit.
constexpr Duration kWatchLeast = std::chrono::milliseconds(1), kWatchMost = std::chrono::milliseconds(10);

/// What a task runs in a mode.
const std::vector<int>& stages_of(const SchedulerTask& task, std::size_t mode) {
  return mode == 0 ? task.stage_processors : task.fallbacks[mode - 1].stage_processors;
}

Duration watch_period(const SchedulerConfig& config) {
  Duration least{};
  const auto look = [&](const std::vector<Duration>& limits) {
    for (const Duration limit : limits)
      if (limit > Duration{} && (least == Duration{} || limit < least)) least = limit;
  };
  for (const SchedulerTask& task : config.tasks) {
    look(task.stage_limits);
    for (const SchedulerMode& mode : task.fallbacks) look(mode.stage_limits);
  }
  return least == Duration{} ? least : std::clamp(least / 8, kWatchLeast, kWatchMost);
}

std::vector<std::vector<JobBody*>> by_task(const SchedulerConfig& config, const std::vector<JobBody*>& bodies) {
  std::vector<std::vector<JobBody*>> modes;
  auto next = bodies.begin();
  for (const SchedulerTask& task : config.tasks) {
    const auto end = next + static_cast<std::ptrdiff_t>(task.fallbacks.size()) + 1;
    modes.emplace_back(next, end);
    next = end;
  }
  return modes;
}

/// Processor time of a thread so far; zero if it is gone.
Duration processor_time(clockid_t clock) noexcept {
  timespec t{};
  if (clock_gettime(clock, &t) != 0) return {};
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

/// Where what users wrote meets the runtime: nothing it throws goes further.
bool run_stage(JobBody& body, int stage, std::uint64_t job, std::int64_t& frame) noexcept {
  try {
    if (stage == 0) frame = body.begin(job);
    return body.stage(stage);
  } catch (...) {
    return false;
  }
}

}  // namespace

void replay(const SchedulerEvent& e, Scheduler& scheduler, Decisions& out) noexcept {
  switch (e.kind) {
    case SchedulerEvent::Kind::release: return scheduler.release(e.task, e.release, e.now, out, e.coming);
    case SchedulerEvent::Kind::complete: return scheduler.complete(e.task, e.now, true, out, e.answer);
    case SchedulerEvent::Kind::failed: return scheduler.complete(e.task, e.now, false, out);
    case SchedulerEvent::Kind::expire: return scheduler.expire(e.task, e.job, e.now, out);
    case SchedulerEvent::Kind::overrun: return scheduler.overrun(e.task, e.now, out);
    case SchedulerEvent::Kind::restore: return scheduler.restore(e.task, e.mode, e.now, out);
    case SchedulerEvent::Kind::set_mode: return scheduler.set_mode(e.task, e.mode, e.now, out);
    case SchedulerEvent::Kind::propose: return scheduler.propose(e.task, e.terms);
    case SchedulerEvent::Kind::adopt: return static_cast<void>(scheduler.adopt(e.now, out, e.between_jobs));
    case SchedulerEvent::Kind::set_energy: return scheduler.set_energy(e.joules, e.now, out);
    case SchedulerEvent::Kind::set_drawn: return scheduler.set_drawn(e.joules, e.now, out);
  }
}

struct Dispatcher::Worker {
  Worker(int t, int m, int p) : task(t), mode(m), processor(p) {
    sem_init(&signal, 0, 0);
    sem_init(&ready, 0, 0);
  }
  ~Worker() {
    sem_destroy(&signal);
    sem_destroy(&ready);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const int task, mode, processor;
  int stage = 0;          ///< to run; written under the lock before `signal`
  std::uint64_t job = 0;  ///< likewise
  bool lost = false;      ///< its stage was given up and has not ended since; under the lock
  /// A thread that is inside when the dispatcher ends is left to itself, and owns this object: it touches nothing else.
  enum class Place : std::uint8_t { outside, inside, orphaned };
  std::atomic<Place> place{Place::outside};
  int level = -1;           ///< that its kernel priority stands for (EDF, FIFO)
  std::uint16_t slots = 0;  ///< on whose cores it runs; 0: on all of its processor's
  ThreadPlacement placement;
  pid_t id = 0;             ///< of the thread
  bool reserved = false;    ///< it runs under SCHED_DEADLINE; under the lock, as the next four
  Reservation reservation;  ///< that it has or may get
  Duration lead{};          ///< of the reservation (reservation_of)
  Duration seen{};          ///< processor time of the thread when its last stage ended
  Duration spent{};         ///< of it, by the job `charged`
  std::uint64_t charged = ~std::uint64_t{0};
  sem_t signal{}, ready{};
  clockid_t clock{};
  std::exception_ptr failure;
  std::atomic<bool> stopping{false};
  std::thread thread;
};

Dispatcher::Dispatcher(const DispatcherConfig& config, const std::vector<JobBody*>& bodies)
    : config_(config),
      bodies_(by_task(config.scheduler, bodies)),
      scheduler_(config.scheduler),
      records_(config.record_capacity) {
  const auto& tasks = config_.scheduler.tasks;
  current_.resize(tasks.size());
  counts_.resize(tasks.size());
  modes_.resize(tasks.size());
  draws_.resize(tasks.size());
  worker_of_.resize(tasks.size());
  reserved_.resize(config_.processors.size());
  events_.reserve(config_.event_capacity);
  changes_.reserve(kMostChanges);
  for (std::size_t t = 0; t < tasks.size(); ++t)
    results_.push_back(
        std::make_unique<Ring<Result>>(config_.result_capacity.empty() ? 16 : config_.result_capacity[t]));
  wake_.reserve(kMostStarts);
  followers_.resize(tasks.size());
  std::size_t most_due = 0;
  for (std::size_t t = 0; t < config_.after.size(); ++t) {
    if (config_.after[t].task < 0) continue;
    followers_[static_cast<std::size_t>(config_.after[t].task)].push_back(static_cast<int>(t));
    most_due += static_cast<std::size_t>(config_.after[t].most);
  }
  due_.reserve(most_due);
  watch_period_ = watch_period(config_.scheduler);
  try {
    for (std::size_t t = 0; t < tasks.size(); ++t)
      if (bodies_[t].front()) start_workers(t);
    if (watch_period_ > Duration{}) watchdog_ = std::thread([this] { watch(); });
  } catch (...) {
    for (std::size_t t = 0; t < tasks.size(); ++t) end_workers(t);
    throw;
  }
}

Dispatcher::~Dispatcher() { static_cast<void>(stop()); }

std::vector<JobBody*> Dispatcher::stop() {
  stopping_ = true;
  if (watchdog_.joinable()) watchdog_.join();
  std::vector<JobBody*> stuck;
  for (std::size_t t = 0; t < bodies_.size(); ++t)
    for (JobBody* body : end_workers(t)) stuck.push_back(body);
  return stuck;
}

void Dispatcher::start_workers(std::size_t task) {
  const auto& tasks = config_.scheduler.tasks;
  const int priority = assign_priorities(config_.scheduler.policy, tasks)[task];
  std::vector<std::unique_ptr<Worker>> started;
  std::vector<std::vector<Worker*>> of(tasks[task].fallbacks.size() + 1,
                                       std::vector<Worker*>(config_.processors.size(), nullptr));
  for (std::size_t m = 0; m < of.size(); ++m)
    for (const int p : stages_of(tasks[task], m)) {
      Worker*& worker = of[m][static_cast<std::size_t>(p)];
      if (worker) continue;
      started.push_back(std::make_unique<Worker>(static_cast<int>(task), static_cast<int>(m), p));
      worker = started.back().get();
      worker->placement.cores = config_.processors[static_cast<std::size_t>(p)].cores;
      if (config_.realtime)
        worker->placement.fifo_priority = is_fixed_priority(config_.scheduler.policy)
                                              ? kFifoBase + static_cast<int>(tasks.size()) - priority
                                              : kFifoBase;
    }
  std::vector<Worker*> all;
  {
    const Locked locked(lock_);
    worker_of_[task] = std::move(of);
    for (auto& worker : started) {
      all.push_back(worker.get());
      workers_.push_back(std::move(worker));
    }
  }
  // One after the other: a warm-up is long, and its memory is locked as it is touched.
  for (Worker* worker : all) {
    JobBody* const body = bodies_[task][static_cast<std::size_t>(worker->mode)];
    worker->thread = std::thread([this, worker, body] { work(*worker, *body); });
    while (sem_wait(&worker->ready) != 0) {
    }
    if (worker->failure) std::rethrow_exception(worker->failure);
  }
}

std::vector<JobBody*> Dispatcher::end_workers(std::size_t task) {
  std::vector<std::unique_ptr<Worker>> ended;
  {
    const Locked locked(lock_);
    for (auto& worker : workers_)
      if (worker->task == static_cast<int>(task)) {
        give_back(*worker);
        ended.push_back(std::move(worker));
      }
    std::erase(workers_, nullptr);
    worker_of_[task].clear();
  }
  const auto is_lost = [&](const Worker& worker) {
    const Locked locked(lock_);
    return worker.lost;
  };
  std::vector<JobBody*> stuck;
  const Time patience = MonotonicClock::now() + kStuckPatience;
  for (auto& worker : ended) {
    worker->stopping = true;
    sem_post(&worker->signal);
    while (is_lost(*worker) && MonotonicClock::now() < patience)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto mode = static_cast<std::size_t>(worker->mode);
    std::thread thread = std::move(worker->thread);
    auto inside = Worker::Place::inside;
    if (is_lost(*worker) && worker->place.compare_exchange_strong(inside, Worker::Place::orphaned)) {
      static_cast<void>(worker.release());  // the thread's now
      thread.detach();
      stuck.push_back(bodies_[task][mode]);
    } else if (thread.joinable()) {
      thread.join();
    }
  }
  return stuck;
}

/// What its stages take of its processor at most.
Duration Dispatcher::bound_of(const Worker& worker) const {
  const auto t = static_cast<std::size_t>(worker.task), m = static_cast<std::size_t>(worker.mode);
  const std::vector<int>& stages = stages_of(config_.scheduler.tasks[t], m);
  Duration bound{};
  for (std::size_t s = 0; s < stages.size(); ++s)
    if (stages[s] == worker.processor) bound += config_.stage_bounds[t][m][s];
  return bound;
}

Reserving Dispatcher::reserve(int processor, const std::function<bool(pid_t)>& join) {
  std::vector<Worker*> all;
  Duration shortest = Duration::max();
  const auto interval_of = [&](const Worker& w) {
    const auto t = static_cast<std::size_t>(w.task);
    return config_.least_intervals.empty() ? config_.scheduler.tasks[t].period : config_.least_intervals[t];
  };
  for (const auto& worker : workers_)
    if (worker->processor == processor) {
      all.push_back(worker.get());
      shortest = std::min(shortest, interval_of(*worker));
    }
  Reserving result;
  for (Worker* worker : all) {
    const SchedulerTask& task = config_.scheduler.tasks[static_cast<std::size_t>(worker->task)];
    worker->lead = shortest / kLeadShare;
    worker->reservation = reservation_of(bound_of(*worker), task.deadline, interval_of(*worker), worker->lead);
    const bool planned = worker->mode == 0;
    if (planned) result.cores += worker->reservation.share();
    if (result.error != 0) continue;
    if (!join(worker->id)) result.error = errno;
    else result.error = bind_thread(worker->thread.native_handle(), worker->placement.cores);
    if (planned && result.error == 0) result.error = make_reserved(*worker, worker->reservation);
  }
  const Locked locked(lock_);
  reserved_[static_cast<std::size_t>(processor)] = result.error == 0;
  for (Worker* worker : all)
    if (result.error != 0) give_back(*worker);
  return result;
}

void Dispatcher::attach(int task, const std::vector<JobBody*>& bodies) {
  const auto t = static_cast<std::size_t>(task);
  bodies_[t] = bodies;
  try {
    start_workers(t);
  } catch (...) {
    end_workers(t);
    std::ranges::fill(bodies_[t], nullptr);
    throw;
  }
  set_mode(task, 0);
}

std::vector<JobBody*> Dispatcher::detach(int task, Duration patience) {
  constexpr auto kLook = std::chrono::milliseconds(1);
  const auto t = static_cast<std::size_t>(task);
  drop_waiting(task);
  const Time end = MonotonicClock::now() + patience;
  while (pending(task) > 0) {
    if (MonotonicClock::now() > end) {
      const Locked locked(lock_);
      bodies_[t][current_[t].mode]->cancel(current_[t].job);
    }
    std::this_thread::sleep_for(kLook);
  }
  std::vector<JobBody*> stuck = end_workers(t);
  for (std::size_t m = 0; m < bodies_[t].size(); ++m)  // the next body's threads are not stuck
    take([&](Time now) { restore(task, static_cast<int>(m), now); });
  const Locked locked(lock_);
  std::ranges::fill(bodies_[t], nullptr);
  return stuck;
}

void Dispatcher::work(Worker& worker, JobBody& body) {
  place_current_thread({worker.placement.cores, 0});  // a warm-up is not to delay other tasks' jobs
  pthread_getcpuclockid(pthread_self(), &worker.clock);
  worker.id = gettid();
  const auto& processors =
      stages_of(config_.scheduler.tasks[static_cast<std::size_t>(worker.task)], static_cast<std::size_t>(worker.mode));
  try {
    for (int s = 0; s < body.stages(); ++s)
      if (processors[static_cast<std::size_t>(s)] == worker.processor) body.warm_up(s);
  } catch (...) {
    worker.failure = std::current_exception();
  }
  if (!worker.failure) place_current_thread(worker.placement);
  sem_post(&worker.ready);
  if (worker.failure) return;

  while (true) {
    while (sem_wait(&worker.signal) != 0) {
    }
    if (worker.stopping.load(std::memory_order_relaxed)) return;
    bool again = true;
    while (again) {
      const int stage = worker.stage;
      std::int64_t frame = -1;
      worker.place.store(Worker::Place::inside, std::memory_order_relaxed);
      const Time start = MonotonicClock::now();
      const bool ok = run_stage(body, stage, worker.job, frame);
      const Answer answer = ok ? body.answer() : Answer{};
      const Time end = MonotonicClock::now();
      auto inside = Worker::Place::inside;
      if (!worker.place.compare_exchange_strong(inside, Worker::Place::outside)) {
        delete &worker;
        return;
      }

      std::array<Worker*, kMostStarts> wake{};
      std::size_t count = 0;
      bool published = false;
      again = false;
      {
        const Locked locked(lock_);
        const Time now = MonotonicClock::now();  // events come in the order of their times
        decisions_.clear();
        charge(worker);
        if (worker.lost) {
          come_back(worker, now);
        } else {
          JobRecord& job = current_[static_cast<std::size_t>(worker.task)];
          JobRecord::Stage& record = job.stage[static_cast<std::size_t>(std::min(stage, kRecordedStages - 1))];
          record.start = start;
          record.end = end;
          if (stage == 0) job.frame = frame;
          log({.kind = ok ? SchedulerEvent::Kind::complete : SchedulerEvent::Kind::failed,
               .task = static_cast<std::uint8_t>(worker.task),
               .release = job.release,
               .now = now,
               .job = job.job,
               .answer = answer});
          cause_ = ModeChange::Cause::failures;
          end_drawing(static_cast<std::size_t>(worker.task), now);
          scheduler_.complete(worker.task, now, ok, decisions_, answer);
        }
        apply(decisions_, now);
        for (Worker* w : wake_) {
          if (w == &worker) again = true;  // the next stage, or the next job, is this thread's own: no hand-off
          else wake[count++] = w;
        }
        published = std::exchange(published_, false);
      }
      for (std::size_t i = 0; i < count; ++i) sem_post(&wake[i]->signal);
      tell_collector(published);
    }
  }
}

/// From a stage that was given up, under the lock.
void Dispatcher::come_back(Worker& worker, Time now) noexcept {
  worker.lost = false;
  if (config_.realtime) place_current_thread(worker.placement);  // a reservation comes with its next job
  worker.level = -1;
  worker.slots = 0;
  restore(worker.task, worker.mode, now);
}

void Dispatcher::restore(int task, int mode, Time now) noexcept {
  cause_ = ModeChange::Cause::returned;
  log({.kind = SchedulerEvent::Kind::restore,
       .task = static_cast<std::uint8_t>(task),
       .mode = static_cast<std::uint8_t>(mode),
       .now = now});
  scheduler_.restore(task, mode, now, decisions_);
}

void Dispatcher::watch() {
  place_current_thread({config_.watchdog_cores, config_.realtime ? kFifoWatchdog : 0});
  while (!stopping_.load(std::memory_order_relaxed)) {
    std::this_thread::sleep_for(watch_period_);
    for (std::size_t t = 0; t < modes_.size(); ++t)
      take([&](Time now) {
        cause_ = ModeChange::Cause::stuck;
        scheduler_.overrun(static_cast<int>(t), now, decisions_);
        if (!decisions_.items().empty())
          log({.kind = SchedulerEvent::Kind::overrun, .task = static_cast<std::uint8_t>(t), .now = now});
      });
  }
}

/// Of another thread than the workers'.
template <typename Event>
void Dispatcher::take(const Event& event) noexcept {
  std::array<Worker*, kMostStarts> wake{};
  std::size_t count = 0;
  bool published = false;
  {
    const Locked locked(lock_);
    const Time now = MonotonicClock::now();
    decisions_.clear();
    event(now);
    apply(decisions_, now);
    for (Worker* w : wake_) wake[count++] = w;
    published = std::exchange(published_, false);
  }
  for (std::size_t i = 0; i < count; ++i) sem_post(&wake[i]->signal);
  tell_collector(published);
}

void Dispatcher::release(int task, Time release) noexcept {
  take([&](Time now) {
    const auto job = static_cast<std::uint64_t>(counts_[static_cast<std::size_t>(task)].released++);
    log({.kind = SchedulerEvent::Kind::release,
         .task = static_cast<std::uint8_t>(task),
         .release = release,
         .now = now,
         .job = job});
    cause_ = ModeChange::Cause::load;
    scheduler_.release(task, release, now, decisions_);
  });
}

void Dispatcher::expire(int task, std::uint64_t job) noexcept {
  take([&](Time now) {
    cause_ = ModeChange::Cause::failures;
    log({.kind = SchedulerEvent::Kind::expire, .task = static_cast<std::uint8_t>(task), .now = now, .job = job});
    scheduler_.expire(task, job, now, decisions_);
  });
}

void Dispatcher::set_mode(int task, int mode) noexcept {
  take([&](Time now) {
    cause_ = ModeChange::Cause::asked;
    log({.kind = SchedulerEvent::Kind::set_mode,
         .task = static_cast<std::uint8_t>(task),
         .mode = static_cast<std::uint8_t>(mode),
         .now = now});
    scheduler_.set_mode(task, mode, now, decisions_);
  });
}

bool Dispatcher::adopt(std::span<const Terms> terms, bool between_jobs) noexcept {
  bool adopted = false;
  take([&](Time now) {
    for (std::size_t t = 0; between_jobs && t < bodies_.size(); ++t)
      if (scheduler_.pending(static_cast<int>(t)) > 0) return;
    cause_ = ModeChange::Cause::load;
    for (std::size_t t = 0; t < bodies_.size(); ++t) {
      log({.kind = SchedulerEvent::Kind::propose, .task = static_cast<std::uint8_t>(t), .now = now, .terms = terms[t]});
      scheduler_.propose(static_cast<int>(t), terms[t]);
    }
    log({.kind = SchedulerEvent::Kind::adopt, .now = now, .between_jobs = between_jobs});
    adopted = scheduler_.adopt(now, decisions_, between_jobs);
    if (!adopted || !config_.realtime || !is_fixed_priority(config_.scheduler.policy)) return;
    for (const auto& worker : workers_) {
      const int priority =
          kFifoBase + static_cast<int>(bodies_.size()) - terms[static_cast<std::size_t>(worker->task)].priority;
      if (std::exchange(worker->placement.fifo_priority, priority) == priority || worker->lost) continue;
      sched_param param{};
      param.sched_priority = priority;
      pthread_setschedparam(worker->thread.native_handle(), SCHED_FIFO, &param);
    }
  });
  return adopted;
}

Terms Dispatcher::terms(int task) noexcept {
  const Locked locked(lock_);
  return scheduler_.terms(task);
}

void Dispatcher::set_energy(double joules) noexcept {
  take([&](Time now) {
    cause_ = ModeChange::Cause::load;
    log({.kind = SchedulerEvent::Kind::set_energy, .now = now, .joules = joules});
    scheduler_.set_energy(joules, now, decisions_);
  });
}

void Dispatcher::set_drawn(double joules) noexcept {
  take([&](Time now) {
    cause_ = ModeChange::Cause::load;
    log({.kind = SchedulerEvent::Kind::set_drawn, .now = now, .joules = joules});
    scheduler_.set_drawn(joules, now, decisions_);
  });
}

double Dispatcher::slowdown(int processor) noexcept {
  const Locked locked(lock_);
  return scheduler_.slowdown(processor);
}

void Dispatcher::apply(const Decisions& decisions, Time now) noexcept {
  wake_.clear();
  carry_out(decisions, now);
  for (const Due& due : due_) {
    log({.kind = SchedulerEvent::Kind::release,
         .task = static_cast<std::uint8_t>(due.task),
         .release = due.release,
         .now = now,
         .job = due.job,
         .coming = due.coming});
    cause_ = ModeChange::Cause::load;
    decisions_.clear();
    scheduler_.release(due.task, due.release, now, decisions_, due.coming);
    carry_out(decisions_, now);
  }
  due_.clear();
}

/// Jobs of the tasks after one that was in time.
void Dispatcher::follow(const Decision& finished) noexcept {
  JobBody& body = *bodies_[finished.task][finished.mode];
  const Frame* const frame = body.frame();
  for (const int task : followers_[finished.task]) {
    const auto t = static_cast<std::size_t>(task);
    if (!bodies_[t].front()) continue;
    const AfterSpec& after = config_.after[t];
    const Result* const result = after.per_detection ? body.result() : nullptr;
    const std::size_t found = !after.per_detection ? 1 : result ? result->boxes.size() : 0;
    for (std::size_t k = 0; k < std::min(found, static_cast<std::size_t>(after.most)); ++k) {
      const auto job = static_cast<std::uint64_t>(counts_[t].released);
      if (frame && !bodies_[t].front()->hand_over(job, *frame, result ? &result->boxes[k] : nullptr)) continue;
      ++counts_[t].released;
      due_.push_back({task, job, finished.release});
    }
    std::uint8_t coming = 0;
    for (auto due = due_.rbegin(); due != due_.rend() && due->task == task; ++due) due->coming = coming++;
  }
}

void Dispatcher::carry_out(const Decisions& decisions, Time now) noexcept {
  for (const Decision& d : decisions.items()) {
    switch (d.kind) {
      case Decision::Kind::start: {
        JobRecord& record = current_[d.task];
        if (d.stage == 0) {
          record = JobRecord{};
          record.task = d.task;
          record.mode = d.mode;
          record.job = d.job;
          record.release = d.release;
        }
        const int recorded = std::min<int>(d.stage, kRecordedStages - 1);
        record.stages = static_cast<std::uint8_t>(recorded + 1);
        record.stage[static_cast<std::size_t>(recorded)].processor = d.processor;
        record.stage[static_cast<std::size_t>(recorded)].slots = d.slots;
        record.stage[static_cast<std::size_t>(recorded)].start = now;  // until its worker says
        Worker* worker = worker_of_[d.task][d.mode][d.processor];
        worker->stage = d.stage;
        worker->job = d.job;
        if (reserved_[d.processor]) set_due(*worker, d.release + config_.scheduler.tasks[d.task].deadline, now);
        else set_level(*worker, d.level);
        set_slots(*worker, d.slots);
        begin_drawing(d, now);
        wake_.push_back(worker);
        break;
      }
      // Both are carried out by the kernel: the started thread has the higher priority.
      case Decision::Kind::preempt: end_drawing(d.task, now); break;
      case Decision::Kind::resume: begin_drawing(d, now); break;
      case Decision::Kind::cancel:
        if (cause_ == ModeChange::Cause::stuck) ++counts_[d.task].overran;
        bodies_[d.task][d.mode]->cancel(d.job);
        break;
      case Decision::Kind::give_up: give_up(d, now); break;
      case Decision::Kind::change_mode: {
        ++counts_[d.task].switches;
        const int from = std::exchange(modes_[d.task], d.mode);
        const JobRecord& last = current_[d.task];
        // One that was asked for during a job is carried out at its end.
        const bool listed = d.failing || cause_ == ModeChange::Cause::asked;
        if (listed && changes_.size() < changes_.capacity())
          changes_.push_back({now, cause_, d.task, static_cast<std::uint8_t>(from), d.mode,
                              static_cast<std::uint8_t>(std::max<int>(last.stages, 1) - 1), last.job});
        break;
      }
      case Decision::Kind::finish:
        if (!d.late) follow(d);
        [[fallthrough]];
      case Decision::Kind::fail:
      case Decision::Kind::drop:
      case Decision::Kind::abandon: over(d, now); break;
    }
  }
}

/// Its thread, wherever it is, shall not keep others from running.
void Dispatcher::give_up(const Decision& d, Time now) noexcept {
  ++counts_[d.task].stuck;
  end_drawing(d.task, now);
  Worker& worker = *worker_of_[d.task][d.mode][d.processor];
  worker.lost = true;
  give_back(worker);
  const sched_param none{};
  if (config_.realtime) pthread_setschedparam(worker.thread.native_handle(), SCHED_OTHER, &none);
  JobRecord& record = current_[d.task];
  record.given_up = true;
  record.stage[static_cast<std::size_t>(std::min<int>(d.stage, kRecordedStages - 1))].end = now;
}

void Dispatcher::over(const Decision& d, Time now) noexcept {
  JobCounts& counts = counts_[d.task];
  if (d.kind == Decision::Kind::drop) ++counts.dropped;
  if (d.kind == Decision::Kind::abandon) ++counts.dropped, ++counts.abandoned;
  if (d.kind == Decision::Kind::fail) ++counts.failed;
  if (d.kind == Decision::Kind::finish) {
    ++counts.completed;
    if (d.late) ++counts.late;
  }
  if (!config_.after.empty() && config_.after[d.task].task >= 0) bodies_[d.task].front()->job_over(d.job);
  JobRecord* record = records_.claim();
  if (!record) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (d.slots == 0) {  // it had not begun
    *record = JobRecord{};
    record->task = d.task;
    record->mode = d.mode;
    record->job = d.job;
    record->release = d.release;
    record->fate = d.kind == Decision::Kind::fail ? JobFate::failed : JobFate::dropped;
  } else {
    *record = current_[d.task];
    record->fate = d.kind == Decision::Kind::finish ? JobFate::completed
                   : d.kind == Decision::Kind::fail ? JobFate::failed
                                                    : JobFate::dropped;
    record->late = d.late && record->fate == JobFate::completed;
  }
  record->finish = now;
  Result* result = record->fate == JobFate::completed ? bodies_[d.task][d.mode]->result() : nullptr;
  Result* place = result ? results_[d.task]->claim() : nullptr;
  if (place) {
    std::swap(*place, *result);
    results_[d.task]->publish();
    record->has_result = true;
  }
  records_.publish();
  published_ = true;
}

JobCounts Dispatcher::counts(int task) noexcept {
  const Locked locked(lock_);
  return counts_[static_cast<std::size_t>(task)];
}

void Dispatcher::cancel() noexcept {
  const Locked locked(lock_);
  for (std::size_t t = 0; t < bodies_.size(); ++t)
    if (scheduler_.pending(static_cast<int>(t)) > 0) bodies_[t][current_[t].mode]->cancel(current_[t].job);
}

void Dispatcher::set_level(Worker& worker, int level) noexcept {
  if (!config_.realtime || is_fixed_priority(config_.scheduler.policy) || worker.level == level) return;
  sched_param param{};
  param.sched_priority = kFifoBase + level;
  if (pthread_setschedparam(worker.thread.native_handle(), SCHED_FIFO, &param) == 0) worker.level = level;
}

/// The kernel keeps what a thread leaves until its period is over, and books it to whatever domain its core is in by
/// then: so it leaves next to nothing.
void Dispatcher::give_back(Worker& worker) noexcept {
  if (!std::exchange(worker.reserved, false)) return;
  rtmdl::reserve(worker.id, {kLeastReservation, worker.reservation.period, worker.reservation.period});
  sched_param param{};
  param.sched_priority = kFifoBase;
  pthread_setschedparam(worker.thread.native_handle(), SCHED_FIFO, &param);
}

int Dispatcher::make_reserved(Worker& worker, const Reservation& reservation) noexcept {
  const int refused = rtmdl::reserve(worker.id, reservation);
  if (refused == 0 && !std::exchange(worker.reserved, true)) worker.seen = processor_time(worker.clock);
  return refused;
}

/// For the wake-up that follows. A worker without reservation takes its task's over.
void Dispatcher::set_due(Worker& worker, Time due, Time now) noexcept {
  if (!worker.reserved)
    for (const auto& of_mode : worker_of_[static_cast<std::size_t>(worker.task)])
      if (Worker* other = of_mode[static_cast<std::size_t>(worker.processor)]) give_back(*other);
  make_reserved(worker, due_in(worker.reservation, due - now - worker.lead));
}

/// Counts how often the stage that ended used up what its job may use. The kernel tells that by a signal, but only at
/// its next tick while the thread runs, and so not each time.
void Dispatcher::charge(Worker& worker) noexcept {
  if (!worker.reserved) return;
  if (std::exchange(worker.charged, worker.job) != worker.job) worker.spent = {};
  const Duration now = processor_time(worker.clock);
  const std::int64_t before = exhausted(worker.reservation, worker.spent);
  worker.spent += now - std::exchange(worker.seen, now);
  counts_[static_cast<std::size_t>(worker.task)].throttled += exhausted(worker.reservation, worker.spent) - before;
}

void Dispatcher::begin_drawing(const Decision& begins, Time now) noexcept {
  if (config_.stage_watts.empty()) return;
  const std::vector<double>& watts = config_.stage_watts[begins.task][begins.mode];
  draws_[begins.task].since = now;
  draws_[begins.task].watts = begins.stage < watts.size() ? watts[begins.stage] : 0;
}

void Dispatcher::end_drawing(std::size_t task, Time now) noexcept {
  Draw& d = draws_[task];
  d.joules += to_seconds(now - d.since) * std::exchange(d.watts, 0);
}

double Dispatcher::joules(int task) noexcept {
  const Locked locked(lock_);
  const Draw& d = draws_[static_cast<std::size_t>(task)];
  return d.joules + (d.watts > 0 ? to_seconds(MonotonicClock::now() - d.since) * d.watts : 0);
}

void Dispatcher::set_slots(Worker& worker, std::uint16_t slots) noexcept {
  const auto processor = static_cast<std::size_t>(worker.processor);
  if (worker.reserved || reserved_[processor]) return;  // it may run on every core of its processor
  const std::vector<int>& cores = config_.processors[processor].cores;
  const int count = config_.scheduler.processors[processor].slots;
  if (count == 1 || cores.size() != static_cast<std::size_t>(count) || worker.slots == slots) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (unsigned rest = slots; rest != 0; rest &= rest - 1)
    CPU_SET(static_cast<std::size_t>(cores[static_cast<std::size_t>(std::countr_zero(rest))]), &set);
  if (pthread_setaffinity_np(worker.thread.native_handle(), sizeof set, &set) == 0) worker.slots = slots;
}

void Dispatcher::log(const SchedulerEvent& event) noexcept {
  if (events_.size() < events_.capacity()) events_.push_back(event);
}

int Dispatcher::pending() noexcept {
  const Locked locked(lock_);
  int jobs = 0;
  for (std::size_t t = 0; t < bodies_.size(); ++t) jobs += scheduler_.pending(static_cast<int>(t));
  return jobs;
}

int Dispatcher::pending(int task) noexcept {
  const Locked locked(lock_);
  return scheduler_.pending(task);
}

void Dispatcher::drop_waiting() noexcept {
  for (std::size_t t = 0; t < bodies_.size(); ++t) drop_waiting(static_cast<int>(t));
}

void Dispatcher::drop_waiting(int task) noexcept {
  take([&](Time now) { scheduler_.drop_waiting(now, decisions_, task); });
}

double Dispatcher::mean_slowdown(int processor) noexcept {
  const Locked locked(lock_);
  return scheduler_.mean_slowdown(processor);
}

Duration Dispatcher::worked(int processor) noexcept {
  const Locked locked(lock_);
  Duration sum{};
  for (const auto& worker : workers_)
    if (worker->processor == processor) sum += processor_time(worker->clock);
  return sum;
}

}  // namespace rtmdl
