#include "runtime/dispatcher.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>

#include <sched.h>
#include <semaphore.h>
#include <time.h>

namespace rtmdl {
namespace {

/// A lock that lends its holder the priority of whoever waits for it.
class Locked {
 public:
  explicit Locked(pthread_mutex_t& mutex) noexcept : mutex_(mutex) { pthread_mutex_lock(&mutex_); }
  ~Locked() { pthread_mutex_unlock(&mutex_); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

constexpr std::size_t kMostStarts = 2 * kMaxSlots;  ///< of one event: it dispatches on two processors

bool is_fixed_priority(Policy policy) {
  return policy != Policy::edf && policy != Policy::fifo && policy != Policy::custom;
}

}  // namespace

struct Dispatcher::Worker {
  Worker(int t, int p) : task(t), processor(p) {
    sem_init(&signal, 0, 0);
    sem_init(&ready, 0, 0);
  }
  ~Worker() {
    sem_destroy(&signal);
    sem_destroy(&ready);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const int task, processor;
  int stage = 0;            ///< to run; written under the lock before `signal`
  int level = -1;           ///< that its kernel priority stands for (EDF, FIFO)
  std::uint16_t slots = 0;  ///< on whose cores it runs; 0: on all of its processor's
  ThreadPlacement placement;
  sem_t signal{}, ready{};
  clockid_t clock{};
  std::exception_ptr failure;
  std::atomic<bool> stopping{false};
  std::thread thread;
};

Dispatcher::Dispatcher(const DispatcherConfig& config, std::vector<JobBody*> bodies)
    : config_(config), bodies_(std::move(bodies)), scheduler_(config.scheduler), records_(config.record_capacity) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&lock_, &attributes);
  pthread_mutexattr_destroy(&attributes);

  const auto& tasks = config_.scheduler.tasks;
  current_.resize(tasks.size());
  counts_.resize(tasks.size());
  worker_of_.assign(tasks.size(), std::vector<Worker*>(config_.processors.size(), nullptr));
  events_.reserve(config_.event_capacity);
  for (std::size_t t = 0; t < tasks.size(); ++t)
    results_.push_back(
        std::make_unique<Ring<Result>>(config_.result_capacity.empty() ? 16 : config_.result_capacity[t]));
  wake_.reserve(kMostStarts);
  try {
    for (std::size_t t = 0; t < tasks.size(); ++t)
      if (bodies_[t]) start_workers(t);
  } catch (...) {
    for (std::size_t t = 0; t < tasks.size(); ++t) end_workers(t);
    pthread_mutex_destroy(&lock_);
    throw;
  }
}

Dispatcher::~Dispatcher() {
  for (std::size_t t = 0; t < bodies_.size(); ++t) end_workers(t);
  pthread_mutex_destroy(&lock_);
}

void Dispatcher::start_workers(std::size_t task) {
  const auto& tasks = config_.scheduler.tasks;
  const int priority = assign_priorities(config_.scheduler.policy, tasks)[task];
  std::vector<std::unique_ptr<Worker>> started;
  std::vector<Worker*> of(config_.processors.size(), nullptr);
  for (const int p : tasks[task].stage_processors) {
    Worker*& worker = of[static_cast<std::size_t>(p)];
    if (worker) continue;
    started.push_back(std::make_unique<Worker>(static_cast<int>(task), p));
    worker = started.back().get();
    worker->placement.cores = config_.processors[static_cast<std::size_t>(p)].cores;
    if (config_.realtime)
      worker->placement.fifo_priority = is_fixed_priority(config_.scheduler.policy)
                                            ? kFifoBase + static_cast<int>(tasks.size()) - priority
                                            : kFifoBase;
  }
  {
    const Locked locked(lock_);
    worker_of_[task] = std::move(of);
    for (auto& worker : started) workers_.push_back(std::move(worker));
  }
  // One after the other: a warm-up is long, and its memory is locked as it is touched.
  for (Worker* worker : worker_of_[task]) {
    if (!worker) continue;
    worker->thread = std::thread([this, worker, body = bodies_[task]] { work(*worker, *body); });
    while (sem_wait(&worker->ready) != 0) {
    }
    if (worker->failure) std::rethrow_exception(worker->failure);
  }
}

void Dispatcher::end_workers(std::size_t task) noexcept {
  std::vector<std::unique_ptr<Worker>> ended;
  {
    const Locked locked(lock_);
    for (auto& worker : workers_)
      if (worker->task == static_cast<int>(task)) ended.push_back(std::move(worker));
    std::erase(workers_, nullptr);
    std::fill(worker_of_[task].begin(), worker_of_[task].end(), nullptr);
  }
  for (auto& worker : ended) {
    worker->stopping = true;
    sem_post(&worker->signal);
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void Dispatcher::attach(int task, JobBody& body) {
  const auto t = static_cast<std::size_t>(task);
  bodies_[t] = &body;
  try {
    start_workers(t);
  } catch (...) {
    end_workers(t);
    bodies_[t] = nullptr;
    throw;
  }
}

void Dispatcher::detach(int task, Duration patience) {
  constexpr auto kLook = std::chrono::milliseconds(1);
  const auto t = static_cast<std::size_t>(task);
  drop_waiting(task);
  const Time end = MonotonicClock::now() + patience;
  while (pending(task) > 0) {
    if (MonotonicClock::now() > end) {
      const Locked locked(lock_);
      bodies_[t]->cancel(current_[t].job);
    }
    std::this_thread::sleep_for(kLook);
  }
  end_workers(t);
  const Locked locked(lock_);
  bodies_[t] = nullptr;
}

void Dispatcher::work(Worker& worker, JobBody& body) {
  place_current_thread(worker.placement);
  pthread_getcpuclockid(pthread_self(), &worker.clock);
  const auto& processors = config_.scheduler.tasks[static_cast<std::size_t>(worker.task)].stage_processors;
  try {
    for (int s = 0; s < body.stages(); ++s)
      if (processors[static_cast<std::size_t>(s)] == worker.processor) body.warm_up(s);
  } catch (...) {
    worker.failure = std::current_exception();
  }
  sem_post(&worker.ready);
  if (worker.failure) return;

  while (true) {
    while (sem_wait(&worker.signal) != 0) {
    }
    if (worker.stopping.load(std::memory_order_relaxed)) return;
    bool again = true;
    while (again) {
      JobRecord& job = current_[static_cast<std::size_t>(worker.task)];
      const int stage = worker.stage;
      JobRecord::Stage& record = job.stage[static_cast<std::size_t>(std::min(stage, kRecordedStages - 1))];
      record.start = MonotonicClock::now();
      if (stage == 0) job.frame = body.begin(job.job);
      const bool ok = body.stage(stage);
      record.end = MonotonicClock::now();

      std::array<Worker*, kMostStarts> wake{};
      std::size_t count = 0;
      again = false;
      {
        const Locked locked(lock_);
        const Time now = MonotonicClock::now();  // events come in the order of their times
        decisions_.clear();
        log({ok ? SchedulerEvent::Kind::complete : SchedulerEvent::Kind::failed, static_cast<std::uint8_t>(worker.task),
             job.release, now, job.job});
        scheduler_.complete(worker.task, now, ok, decisions_);
        apply(decisions_, now);
        for (Worker* w : wake_) {
          if (w == &worker) again = true;  // the next stage, or the next job, is this thread's own: no hand-off
          else wake[count++] = w;
        }
      }
      for (std::size_t i = 0; i < count; ++i) sem_post(&wake[i]->signal);
    }
  }
}

/// Of another thread than the workers'.
template <typename Event>
void Dispatcher::take(const Event& event) noexcept {
  std::array<Worker*, kMostStarts> wake{};
  std::size_t count = 0;
  {
    const Locked locked(lock_);
    const Time now = MonotonicClock::now();
    decisions_.clear();
    event(now);
    apply(decisions_, now);
    for (Worker* w : wake_) wake[count++] = w;
  }
  for (std::size_t i = 0; i < count; ++i) sem_post(&wake[i]->signal);
}

void Dispatcher::release(int task, Time release) noexcept {
  take([&](Time now) {
    const auto job = static_cast<std::uint64_t>(counts_[static_cast<std::size_t>(task)].released++);
    log({SchedulerEvent::Kind::release, static_cast<std::uint8_t>(task), release, now, job});
    scheduler_.release(task, release, now, decisions_);
  });
}

void Dispatcher::expire(int task, std::uint64_t job) noexcept {
  take([&](Time now) {
    log({SchedulerEvent::Kind::expire, static_cast<std::uint8_t>(task), {}, now, job});
    scheduler_.expire(task, job, now, decisions_);
  });
}

void Dispatcher::apply(const Decisions& decisions, Time now) noexcept {
  wake_.clear();
  for (const Decision& d : decisions.items()) {
    switch (d.kind) {
      case Decision::Kind::start: {
        JobRecord& record = current_[d.task];
        if (d.stage == 0) {
          record = JobRecord{};
          record.task = d.task;
          record.job = d.job;
          record.release = d.release;
        }
        const int recorded = std::min<int>(d.stage, kRecordedStages - 1);
        record.stages = static_cast<std::uint8_t>(recorded + 1);
        record.stage[static_cast<std::size_t>(recorded)].processor = d.processor;
        record.stage[static_cast<std::size_t>(recorded)].slots = d.slots;
        Worker* worker = worker_of_[d.task][d.processor];
        worker->stage = d.stage;
        set_level(*worker, d.level);
        set_slots(*worker, d.slots);
        wake_.push_back(worker);
        break;
      }
      case Decision::Kind::preempt:
      case Decision::Kind::resume: break;  // the kernel's: the started thread has the higher priority
      case Decision::Kind::cancel: bodies_[d.task]->cancel(d.job); break;
      case Decision::Kind::finish:
      case Decision::Kind::fail:
      case Decision::Kind::drop:
      case Decision::Kind::abandon: over(d, now); break;
    }
  }
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
  JobRecord* record = records_.claim();
  if (!record) {
    lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (d.kind == Decision::Kind::drop) {
    *record = JobRecord{};
    record->task = d.task;
    record->job = d.job;
    record->release = d.release;
    record->fate = JobFate::dropped;
  } else {
    *record = current_[d.task];
    record->fate = d.kind == Decision::Kind::finish ? JobFate::completed
                   : d.kind == Decision::Kind::fail ? JobFate::failed
                                                    : JobFate::dropped;
    record->late = d.late && record->fate == JobFate::completed;
  }
  record->finish = now;
  Result* result = record->fate == JobFate::completed ? bodies_[d.task]->result() : nullptr;
  Result* place = result ? results_[d.task]->claim() : nullptr;
  if (place) {
    std::swap(*place, *result);
    results_[d.task]->publish();
    record->has_result = true;
  }
  records_.publish();
  if (config_.published) config_.published->post();
}

JobCounts Dispatcher::counts(int task) noexcept {
  const Locked locked(lock_);
  return counts_[static_cast<std::size_t>(task)];
}

void Dispatcher::cancel() noexcept {
  const Locked locked(lock_);
  for (std::size_t t = 0; t < bodies_.size(); ++t)
    if (scheduler_.pending(static_cast<int>(t)) > 0) bodies_[t]->cancel(current_[t].job);
}

void Dispatcher::set_level(Worker& worker, int level) noexcept {
  if (!config_.realtime || is_fixed_priority(config_.scheduler.policy) || worker.level == level) return;
  sched_param param{};
  param.sched_priority = kFifoBase + level;
  if (pthread_setschedparam(worker.thread.native_handle(), SCHED_FIFO, &param) == 0) worker.level = level;
}

void Dispatcher::set_slots(Worker& worker, std::uint16_t slots) noexcept {
  const auto processor = static_cast<std::size_t>(worker.processor);
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
  const Locked locked(lock_);
  const Time now = MonotonicClock::now();
  decisions_.clear();
  scheduler_.drop_waiting(now, decisions_, task);
  apply(decisions_, now);
}

Duration Dispatcher::worked(int processor) noexcept {
  const Locked locked(lock_);
  Duration sum{};
  for (const auto& worker : workers_) {
    timespec t{};
    if (worker->processor == processor && clock_gettime(worker->clock, &t) == 0)
      sum += std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
  }
  return sum;
}

}  // namespace rtmdl
