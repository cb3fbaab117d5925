// What the runtime itself costs: processor time per job of three stages on two processors, the hand-off between them,
// and how late releases are, beside a bare semaphore hand-off and cyclictest (package rt-tests). All take turns, in
// several rounds, since the machine has better and worse moments; percentiles are of a round, and of those the median.
//
//   build/release/bench/bench_runtime_overhead [ROUNDS]
#include "base/thread_placement.h"
#include "runtime/deployment.h"
#include "runtime/dispatcher.h"
#include "runtime/releases.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <semaphore.h>
#include <time.h>

#include <fmt/format.h>

namespace {

using namespace rtmdl;

class EmptyBody final : public JobBody {
 public:
  explicit EmptyBody(std::vector<double>* lateness_us = nullptr) : lateness_us_(lateness_us) {}
  int stages() const noexcept override { return 3; }
  std::int64_t begin(std::uint64_t job) noexcept override {
    if (lateness_us_ && lateness_us_->size() < lateness_us_->capacity())
      lateness_us_->push_back(
          static_cast<double>((MonotonicClock::now() - (start + period * static_cast<std::int64_t>(job))).count()) *
          1e-3);
    return 0;
  }
  bool stage(int) noexcept override { return true; }
  void warm_up(int) override {}
  Time start{};
  Duration period{};

 private:
  std::vector<double>* lateness_us_;
};

double quantile(std::vector<double> v, double q) {
  if (v.empty()) return 0;
  std::sort(v.begin(), v.end());
  return v[static_cast<std::size_t>(
      std::clamp(std::ceil(q * static_cast<double>(v.size())) - 1, 0.0, static_cast<double>(v.size()) - 1))];
}

/// Percentiles of every round.
class Rounds {
 public:
  explicit Rounds(std::string what) : what_(std::move(what)) {}
  void add(const std::vector<double>& us) {
    if (us.empty()) return;
    for (std::size_t i = 0; i < kAt.size(); ++i) of_[i].push_back(quantile(us, kAt[i]));
    samples_ = us.size();
  }
  [[nodiscard]] bool empty() const { return samples_ == 0; }
  [[nodiscard]] double median(std::size_t i) const { return quantile(of_[i], 0.5); }
  void print() const {
    fmt::print(
        "{:<52} p50 {:7.2f}  p99 {:7.2f} ({:.2f} to {:.2f})  p99.9 {:7.2f} ({:.2f} to {:.2f}) us   ({} x {} samples)\n",
        what_, median(0), median(1), quantile(of_[1], 0), quantile(of_[1], 1), median(2), quantile(of_[2], 0),
        quantile(of_[2], 1), of_[0].size(), samples_);
  }

 private:
  static constexpr std::array<double, 3> kAt{0.5, 0.99, 0.999};
  std::string what_;
  std::array<std::vector<double>, 3> of_;
  std::size_t samples_ = 0;
};

Duration thread_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

DispatcherConfig config_on(std::vector<int> stage_processors, bool realtime) {
  DispatcherConfig d;
  d.realtime = realtime;
  const std::vector<int> cores = available_cores();
  d.scheduler.processors = {{realtime, 1}, {realtime, 1}};
  d.processors = {{{cores.front()}}, {{cores.back()}}};
  SchedulerTask task;
  task.period = task.deadline = std::chrono::milliseconds(1);
  task.priority = 1;
  task.stage_processors = std::move(stage_processors);
  d.scheduler.tasks = {task};
  return d;
}

void drain(Dispatcher& dispatcher) {
  while (dispatcher.records().front()) dispatcher.records().pop();
}

/// Processor time of all threads of ours for one job, release to record.
std::vector<double> cost_per_job(const std::vector<int>& stages, bool realtime) {
  EmptyBody body;
  Dispatcher dispatcher(config_on(stages, realtime), {&body});
  std::vector<double> us;
  for (int i = 0; i < 6000; ++i) {
    const Duration before = dispatcher.worked(0) + dispatcher.worked(1);
    const Duration mine = thread_time();
    dispatcher.release(0, MonotonicClock::now());
    const Duration released = thread_time() - mine;
    while (dispatcher.pending() > 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
    std::this_thread::sleep_for(std::chrono::microseconds(50));  // until the last worker sleeps again
    const Duration after = dispatcher.worked(0) + dispatcher.worked(1);
    if (i >= 1000) us.push_back(static_cast<double>((after - before + released).count()) * 1e-3);
    drain(dispatcher);
  }
  return us;
}

/// From the end of a stage on one processor to the start of the next on the other.
std::vector<double> hand_off(bool realtime) {
  EmptyBody body;
  Dispatcher dispatcher(config_on({0, 1, 0}, realtime), {&body});
  std::vector<double> us;
  for (int i = 0; i < 6000; ++i) {
    dispatcher.release(0, MonotonicClock::now());
    while (dispatcher.pending() > 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
    if (const JobRecord* r = dispatcher.records().front(); r && i >= 1000)
      us.push_back(static_cast<double>((r->stage[1].start - r->stage[0].end).count()) * 1e-3);
    drain(dispatcher);
  }
  return us;
}

/// The least that such a hand-off can cost: one thread posts a semaphore, the other, on another core, wakes.
std::vector<double> bare_hand_off(bool realtime) {
  const std::vector<int> cores = available_cores();
  sem_t go{}, done{};
  sem_init(&go, 0, 0);
  sem_init(&done, 0, 0);
  std::vector<double> us;
  Time posted{};
  std::thread waiter([&] {
    place_current_thread({{cores.back()}, realtime ? kFifoBase : 0});
    for (int i = 0; i < 6000; ++i) {
      while (sem_wait(&go) != 0) {
      }
      const Time now = MonotonicClock::now();
      if (i >= 1000) us.push_back(static_cast<double>((now - posted).count()) * 1e-3);
      sem_post(&done);
    }
  });
  std::thread poster([&] {
    place_current_thread({{cores.front()}, realtime ? kFifoBase : 0});
    for (int i = 0; i < 6000; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      posted = MonotonicClock::now();
      sem_post(&go);
      while (sem_wait(&done) != 0) {
      }
    }
  });
  poster.join();
  waiter.join();
  sem_destroy(&go);
  sem_destroy(&done);
  return us;
}

/// From the nominal release until the scheduler has it, and until the first stage starts.
struct Lateness {
  std::vector<double> released_us, started_us;
};

Lateness release_lateness(bool realtime, std::chrono::seconds length) {
  Lateness late;
  late.started_us.reserve(static_cast<std::size_t>(length / std::chrono::milliseconds(1)) + 16);
  EmptyBody body(&late.started_us);
  DispatcherConfig config = config_on({0, 0, 0}, realtime);
  config.event_capacity = 8 * late.started_us.capacity();
  Dispatcher dispatcher(config, {&body});
  body.period = std::chrono::milliseconds(1);
  body.start = MonotonicClock::now() + std::chrono::milliseconds(50);
  std::thread keeper([&] {
    for (int i = 0; i < static_cast<int>(length.count()) * 20; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      drain(dispatcher);
    }
  });
  play_releases(dispatcher, {{body.period, {}, {}}}, body.start, Duration(length), 1,
                {{available_cores().front()}, realtime ? kFifoRelease : 0}, {});
  keeper.join();
  dispatcher.stop();
  for (const SchedulerEvent& event : dispatcher.events())
    if (event.kind == SchedulerEvent::Kind::release)
      late.released_us.push_back(static_cast<double>((event.now - event.release).count()) * 1e-3);
  return late;
}

/// cyclictest's histogram, in microseconds.
std::vector<double> cyclictest(std::chrono::seconds length) {
  const std::string command = fmt::format("cyclictest -m -p {} -i 1000 -l {} -h 20000 -q -t 1 -a {} 2>/dev/null",
                                          kFifoRelease, length.count() * 1000, available_cores().front());
  FILE* pipe = popen(command.c_str(), "r");
  std::vector<double> us;
  if (pipe) {
    std::array<char, 256> line{};
    while (std::fgets(line.data(), line.size(), pipe)) {
      unsigned bin = 0, count = 0;
      if (line[0] != '#' && std::sscanf(line.data(), "%u %u", &bin, &count) == 2)
        us.insert(us.end(), count, static_cast<double>(bin));
    }
    pclose(pipe);
  }
  return us;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const bool realtime = realtime_permitted();
  const MemoryLock locked(realtime);  // as in a run, and as cyclictest does
  fmt::print("{}\n", realtime ? "SCHED_FIFO" : "no SCHED_FIFO: cooperative");
  Rounds one_core("the runtime's own processor time per job, one core");
  Rounds two_cores("the same, CPU -> accelerator -> CPU on two cores");
  Rounds bare("hand-off between cores, bare semaphore"), ours("hand-off between cores, ours");
  Rounds releases("from the nominal release until it is released"), starts("the same, to the first stage's start");
  Rounds timer("cyclictest, same core and priority (a timer only)");
  for (int i = 0; i < rounds; ++i) {
    one_core.add(cost_per_job({0, 0, 0}, realtime));
    two_cores.add(cost_per_job({0, 1, 0}, realtime));
    bare.add(bare_hand_off(realtime));
    ours.add(hand_off(realtime));
    const Lateness late = release_lateness(realtime, std::chrono::seconds(4));
    releases.add(late.released_us);
    starts.add(late.started_us);
    timer.add(cyclictest(std::chrono::seconds(4)));
  }
  for (const Rounds* all : {&one_core, &two_cores, &bare, &ours}) all->print();
  fmt::print("{:<52} p50 {:.2f}x  p99 {:.2f}x\n", "ratio", ours.median(0) / bare.median(0),
             ours.median(1) / bare.median(1));
  releases.print();
  starts.print();
  if (timer.empty())
    fmt::print("cyclictest is not there or may not use SCHED_FIFO: install rt-tests and run as root\n");
  else timer.print();
}
