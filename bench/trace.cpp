// What watching costs: a record per job on the hot path, live statistics, and writing the trace of a million jobs as
// Perfetto's protobuf and as Chrome JSON.
#include "report/perfetto.h"
#include "runtime/dispatcher.h"
#include "runtime/live_statistics.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <random>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <time.h>

#include <fmt/format.h>

namespace {

using namespace rtmdl;

constexpr int kRecords = 2'000'000;

Duration thread_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1e-3;
}

double ns_each(Duration d, int n) { return static_cast<double>(d.count()) / n; }

JobRecord some_record(std::uint64_t job) {
  JobRecord r;
  r.task = static_cast<std::uint8_t>(job % 5);
  r.stages = 3;
  r.job = job;
  r.release = Time(Duration(static_cast<std::int64_t>(job) * 1000));
  r.finish = r.release + Duration(1'000'000 + static_cast<std::int64_t>(job * 7919 % 5'000'000));
  return r;
}

/// As the dispatcher publishes them. `beside`: a thread on another core takes them out meanwhile, as the collector
/// does; else this one does so in between.
double publish(bool beside) {
  Ring<JobRecord> ring(8192);
  LiveStatistics live(5);
  std::atomic<bool> done{false};
  const auto take = [&] {
    for (; JobRecord* r = ring.front(); ring.pop()) live.add(*r);
  };
  std::thread collector([&] {
    while (beside && !done.load(std::memory_order_acquire)) {
      take();
      std::this_thread::yield();
    }
  });
  const JobRecord current = some_record(1);
  Duration spent{};
  for (int sent = 0; sent < kRecords;) {
    const Duration before = thread_time();
    for (int n = 0; n < 4096; ++n) {
      JobRecord* place = ring.claim();
      if (!place) break;
      *place = current;
      place->finish = Time(Duration(sent++));
      ring.publish();
    }
    spent += thread_time() - before;
    if (beside) std::this_thread::yield();
    else take();
  }
  done.store(true, std::memory_order_release);
  collector.join();
  return ns_each(spent, kRecords);
}

void publishing() {
  fmt::print("{:<60} {:8.1f} ns   ({} bytes)\n", "a record into the ring, on the hot path", publish(false),
             sizeof(JobRecord));
  fmt::print("{:<60} {:8.1f} ns\n", "the same while another core takes records out", publish(true));
}

void statistics() {
  LiveStatistics live(5);
  std::vector<JobRecord> records;
  for (int i = 0; i < 4096; ++i) records.push_back(some_record(static_cast<std::uint64_t>(i)));
  Duration before = thread_time();
  for (int i = 0; i < kRecords; ++i) live.add(records[static_cast<std::size_t>(i) % records.size()]);
  fmt::print("{:<60} {:8.1f} ns\n", "a record into the live statistics, on the collector's thread",
             ns_each(thread_time() - before, kRecords));
  before = thread_time();
  std::int64_t seen = 0;
  for (int i = 0; i < 10'000; ++i) seen += live.snapshot(static_cast<std::size_t>(i % 5)).completed;
  fmt::print("{:<60} {:8.1f} ns\n", seen > 0 ? "a snapshot of one task" : "nothing was seen",
             ns_each(thread_time() - before, 10'000));
}

class EmptyBody final : public JobBody {
 public:
  int stages() const noexcept override { return 3; }
  std::int64_t begin(std::uint64_t) noexcept override { return 0; }
  bool stage(int) noexcept override { return true; }
  void warm_up(int) override {}
};

/// Processor time of a job of three empty stages, release to record, in rounds of both kinds by turns: the median of
/// the rounds' means.
void whole_jobs() {
  const std::vector<int> cores = available_cores();
  std::array<std::vector<double>, 2> us;
  for (int round = 0; round < 20; ++round) {
    for (const bool records : {false, true}) {
      EmptyBody body;
      DispatcherConfig d;
      d.realtime = realtime_permitted();
      d.scheduler.processors = {{d.realtime, 1}};
      d.processors = {{{cores.front()}}};
      d.record_capacity = records ? 8192 : 0;
      SchedulerTask task;
      task.period = task.deadline = std::chrono::milliseconds(1);
      task.priority = 1;
      task.stage_processors = {0, 0, 0};
      d.scheduler.tasks = {task};
      Dispatcher dispatcher(d, {&body});
      constexpr int kJobs = 1000;
      const Duration before = dispatcher.worked(0);
      for (int i = 0; i < kJobs; ++i) {
        dispatcher.release(0, MonotonicClock::now());
        while (dispatcher.pending() > 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
        while (dispatcher.records().front()) dispatcher.records().pop();
      }
      us[records].push_back(ns_each(dispatcher.worked(0) - before, kJobs) * 1e-3);
    }
  }
  for (std::vector<double>& v : us) std::sort(v.begin(), v.end());
  const auto line = [](const char* what, const std::vector<double>& v) {
    fmt::print("{:<60} {:8.2f} us   (middle half {:.2f} - {:.2f})\n", what, v[v.size() / 2], v[v.size() / 4],
               v[3 * v.size() / 4]);
  };
  line("a job of three empty stages, records lost (no ring)", us[0]);
  line("the same, recorded", us[1]);
}

RunOutcome long_run(std::size_t jobs) {
  RunOutcome out;
  out.start = Time(std::chrono::hours(100));
  out.processor_names = {"cpu", "gpu"};
  out.scheduler.processors = {{true, 1}, {false, 1}};
  out.scheduler.tasks.resize(5);
  for (SchedulerTask& t : out.scheduler.tasks) t.stage_processors = {0, 1, 0};
  out.report.policy = "bench";
  std::mt19937_64 random(1);
  Time cpu = out.start, gpu = out.start;
  for (std::size_t j = 0; j < jobs; ++j) {
    const auto some = [&](int us) {
      return std::chrono::microseconds(us) +
             Duration(static_cast<std::int64_t>(random() % static_cast<unsigned>(us * 500)));
    };
    JobRecord r;
    r.task = static_cast<std::uint8_t>(j % 5);
    r.job = j / 5;
    r.frame = static_cast<std::int64_t>(r.job % 512);
    r.release = out.start + std::chrono::microseconds(6000 * j);
    r.stages = 3;
    const auto stage = [&](std::size_t s, int processor, Time& free, Time ready, int us) {
      const Time start = std::max(free, ready);
      free = start + some(us);
      r.stage[s] = {start, free, static_cast<std::uint8_t>(processor), 1};
      return free;
    };
    r.finish = stage(2, 0, cpu, stage(1, 1, gpu, stage(0, 0, cpu, r.release, 300), 3000), 100);
    r.late = random() % 100 == 0;
    out.records.push_back(r);
  }
  for (int i = 0; i < 5; ++i) out.report.tasks.emplace_back().variant = "w0.5-int8";
  return out;
}

void writing(std::size_t jobs) {
  const RunOutcome out = long_run(jobs);
  std::vector<TaskInfo> tasks;
  for (const char* name : {"speech", "faces", "clothes", "lines", "text"})
    tasks.push_back({name, std::chrono::milliseconds(30), std::chrono::milliseconds(20), 0.01});
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "rtmdl_bench_trace";
  const auto line = [&](const char* what, const std::filesystem::path& path, const auto& write) {
    const double peak = peak_megabytes();
    const Duration before = thread_time();
    const TraceSummary summary = write();
    const double seconds = to_seconds(thread_time() - before);
    const double memory = peak_megabytes() - peak;
    const auto bytes = static_cast<double>(std::filesystem::file_size(path));
    fmt::print("{:<60} {:8.2f} s    {:.0f} MB, {:.0f} bytes and {:.2f} us a job, {} events; {:.0f} MB of memory\n",
               what, seconds, bytes * 1e-6, bytes / static_cast<double>(summary.jobs),
               seconds * 1e6 / static_cast<double>(summary.jobs), summary.events, memory);
  };
  const std::filesystem::path pftrace = folder / "run.pftrace", json = folder / "run.trace.json";
  line(fmt::format("{} jobs as Perfetto protobuf", jobs).c_str(), pftrace,
       [&] { return write_perfetto(pftrace, out, tasks); });
  line("the same as Chrome JSON, without its limit", json,
       [&] { return write_trace(json, out, tasks, {std::size_t{1} << 40}); });
  std::filesystem::remove_all(folder);
}

}  // namespace

int main() try {
  publishing();
  statistics();
  whole_jobs();
  writing(1'000'000);
} catch (const Error& e) {
  fmt::print(stderr, "bench_trace: {}\n", e.what());
  return static_cast<int>(e.code());
}
