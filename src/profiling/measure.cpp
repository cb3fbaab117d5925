#include "profiling/measure.h"

#include "base/core_speed.h"
#include "profiling/machine.h"
#include "profiling/stalls.h"

#include <rtmdl/error.h>

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr int kWarmUpJobs = 3;
constexpr Duration kStealWindow = std::chrono::milliseconds(20);  // the counters tick every 10 ms
constexpr Duration kLeastPause = std::chrono::microseconds(100);
constexpr int kBlocks = 6;  // of a measurement: alone and busy take turns, so that drift hits both

enum Stage { kPre, kInfer, kPost, kStages };  // segments of infer, where there are some, follow
constexpr std::array<const char*, kStages> kStageNames{"pre-processing: the frame does not fit the model's input",
                                                       "inference failed",
                                                       "post-processing: the outputs do not fit `post`, or hold NaN"};

Duration cpu_time(clockid_t clock) noexcept {
  timespec t{};
  clock_gettime(clock, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

Duration median_of(std::vector<Duration> times) {
  if (times.empty()) return {};
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>((times.size() - 1) / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

/// Walks over more memory than this core's own caches hold.
class CacheEmptier {
 public:
  CacheEmptier() {
    const long private_bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    memory_.resize(std::clamp<std::size_t>(private_bytes > 0 ? 4 * static_cast<std::size_t>(private_bytes) : 0,
                                           4u << 20, 16u << 20));
  }
  void empty() noexcept {
    for (std::size_t i = 0; i < memory_.size(); i += 64) memory_[i] = static_cast<unsigned char>(memory_[i] + 1);
  }

 private:
  std::vector<unsigned char> memory_;
};

class Measurement {
 public:
  Measurement(Pipeline& pipeline, std::span<const Frame> frames, const Bench& bench, Neighbour* neighbour,
              const MeasureLimits& limits, const Context& context)
      : pipeline_(pipeline),
        frames_(frames),
        bench_(bench),
        neighbour_(neighbour),
        limits_(limits),
        context_(context),
        cores_(bench.infer_cores),
        segments_(pipeline.segments() > 1 ? static_cast<std::size_t>(pipeline.segments()) : 0),
        alone_runs_(kStages + segments_),
        busy_runs_(kStages + segments_) {
    cores_.insert(cores_.end(), bench.host_cores.begin(), bench.host_cores.end());
    std::sort(cores_.begin(), cores_.end());
    cores_.erase(std::unique(cores_.begin(), cores_.end()), cores_.end());
    pipeline.prepare(result_);
  }

  PipelineTimes run() {
    warm_up();
    spent_alone_ = cpu_alone_ = Duration::zero();
    start_ = block_start_ = window_start_ = MonotonicClock::now();
    stolen_ = stolen_ticks(cores_);
    while (wants_more()) {
      if (MonotonicClock::now() - block_start_ >= limits_.length / kBlocks) begin_block();
      if (busy_) caches_.empty();
      job(busy_ ? busy_runs_ : alone_runs_);
      close_window(false);
      pause();
    }
    close_window(true);
    if (neighbour_) neighbour_->stop();
    PipelineTimes times{stage_times(kPre), stage_times(kInfer), stage_times(kPost), {}};
    if (spent_alone_ > Duration::zero()) times.infer.cores_used = to_seconds(cpu_alone_) / to_seconds(spent_alone_);
    for (std::size_t k = 0; k < segments_; ++k) times.segments.push_back(stage_times(kStages + k));
    return times;
  }

 private:
  using Runs = std::vector<std::vector<TimedRun>>;  // by stage

  void warm_up() {
    const Time until = MonotonicClock::now() + limits_.warm_up;
    Runs discarded(kStages + segments_);
    for (int i = 0; i < kWarmUpJobs || (MonotonicClock::now() < until && i < limits_.max); ++i) job(discarded);
  }

  [[nodiscard]] int taken() const { return static_cast<int>(alone_runs_[kInfer].size() + busy_runs_[kInfer].size()); }

  [[nodiscard]] bool wants_more() const {
    if (context_.stopping() || taken() >= limits_.max) return false;
    const Duration spent = MonotonicClock::now() - start_;
    const int planned_with = static_cast<int>(busy_runs_[kInfer].size());
    if (planned_with < limits_.min || spent < limits_.length) return true;
    return planned_with < limits_.wanted && spent < 2 * limits_.length;
  }

  void begin_block() {
    const auto share = static_cast<std::size_t>(limits_.busy_per_alone);
    const bool busy = busy_runs_[kInfer].size() < share * alone_runs_[kInfer].size();
    if (neighbour_ && busy != busy_) busy ? neighbour_->start() : neighbour_->stop();
    busy_ = busy;
    block_start_ = MonotonicClock::now();
  }

  void job(Runs& runs) {
    const Frame& frame = frames_[next_++ % frames_.size()];
    job_time_ = Duration::zero();
    timed(runs, kPre, bench_.host_cores, true, [&] { return pipeline_.pre(frame); });
    const Duration cpu = cpu_time(CLOCK_PROCESS_CPUTIME_ID);
    const Time start = MonotonicClock::now();
    infer(runs);
    if (!busy_) {
      spent_alone_ += MonotonicClock::now() - start;
      cpu_alone_ += cpu_time(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    }
    timed(runs, kPost, bench_.host_cores, true, [&] { return pipeline_.post(result_); });
  }

  void infer(Runs& runs) {
    if (segments_ == 0) {
      timed(runs, kInfer, bench_.infer_cores, bench_.cpu_clock, [&] { return pipeline_.infer(); });
      return;
    }
    TimedRun all;
    for (std::size_t k = 0; k < segments_; ++k) {
      timed(runs, kStages + k, bench_.infer_cores, bench_.cpu_clock,
            [&] { return pipeline_.infer(static_cast<int>(k)); });
      const TimedRun& run = runs[kStages + k].back();
      all.wall += run.wall;
      all.cpu += run.cpu;
      all.stolen |= run.stolen;
    }
    runs[kInfer].push_back(all);
  }

  template <typename Work>
  void timed(Runs& runs, std::size_t stage, const std::vector<int>& cores, bool cpu_clock, const Work& work) {
    move_to(cores);
    CoreSpeed& speed = &cores == &bench_.host_cores ? host_speed_ : infer_speed_;
    const bool slow_before = speed.now() < 1;
    const Duration cpu = cpu_time(CLOCK_THREAD_CPUTIME_ID);
    const Time start = MonotonicClock::now();
    const bool done = work();
    const Duration wall = MonotonicClock::now() - start;
    // At least 1 ns: zero means that the clock says nothing.
    const Duration cpu_spent =
        cpu_clock ? std::max(Duration(1), cpu_time(CLOCK_THREAD_CPUTIME_ID) - cpu) : Duration::zero();
    if (!done) fail(stage);
    runs[stage].push_back({wall, cpu_spent, slow_before || speed.now() < 1});
    job_time_ += wall;
  }

  [[noreturn]] void fail(std::size_t stage) const {
    if (stage == kPre || stage == kPost) bad_input(kStageNames[stage]);
    bad_input(fmt::format("{}: {}", kStageNames[kInfer], pipeline_.executable().last_error()));
  }

  void move_to(const std::vector<int>& cores) {
    if (placed_ && cores == at_) return;
    place_current_thread(bench_.on(cores));
    at_ = cores;
    placed_ = true;
  }

  /// Marks the jobs of the window that ends here if the hypervisor took time in it.
  void close_window(bool last) {
    if (!last && MonotonicClock::now() - window_start_ < kStealWindow) return;
    const std::int64_t now = stolen_ticks(cores_);
    if (now != stolen_) {
      mark(alone_runs_, alone_marked_);
      mark(busy_runs_, busy_marked_);
    }
    stolen_ = now;
    alone_marked_ = alone_runs_[kInfer].size();
    busy_marked_ = busy_runs_[kInfer].size();
    window_start_ = MonotonicClock::now();
  }

  static void mark(Runs& runs, std::size_t from) {
    for (auto& stage : runs)
      for (std::size_t i = from; i < stage.size(); ++i) stage[i].stolen = true;
  }

  void pause() const { std::this_thread::sleep_for(std::max(kLeastPause, job_time_ / 12)); }

  [[nodiscard]] StageTimes stage_times(std::size_t stage) const {
    const CleanTimes alone = without_stalls(alone_runs_[stage]);
    const CleanTimes busy = without_stalls(busy_runs_[stage]);
    StageTimes times;
    times.alone = alone.samples;
    times.busy = busy.samples;
    times.stalls = {alone.stalls.count + busy.stalls.count, alone.stalls.of + busy.stalls.of,
                    std::max(alone.stalls.worst, busy.stalls.worst)};
    return times;
  }

  Pipeline& pipeline_;
  std::span<const Frame> frames_;
  const Bench& bench_;
  Neighbour* neighbour_;
  const MeasureLimits& limits_;
  const Context& context_;
  std::vector<int> cores_;  // all that are measured on
  Result result_;
  CacheEmptier caches_;
  CoreSpeed host_speed_, infer_speed_;
  std::size_t segments_;  // 0: infer is one piece
  Runs alone_runs_, busy_runs_;
  bool busy_ = false;
  std::size_t next_ = 0;
  Duration job_time_{};
  Duration spent_alone_{}, cpu_alone_{};  // in infer, of all threads
  Time start_{}, block_start_{}, window_start_{};
  std::int64_t stolen_ = 0;
  std::size_t alone_marked_ = 0, busy_marked_ = 0;
  std::vector<int> at_;
  bool placed_ = false;
};

}  // namespace

PipelineTimes measure(Pipeline& pipeline, std::span<const Frame> frames, const Bench& bench, Neighbour* neighbour,
                      const MeasureLimits& limits, const Context& context) {
  PipelineTimes times;
  std::exception_ptr failure;
  // A thread of its own: the caller's placement stays as it is.
  std::thread([&] {
    try {
      times = Measurement(pipeline, frames, bench, neighbour, limits, context).run();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (neighbour) neighbour->stop();
  if (failure) std::rethrow_exception(failure);
  return times;
}

double slow_down_of(const StageTimes& times) {
  const Duration alone = median_of(times.alone), busy = median_of(times.busy);
  return alone > Duration::zero() && busy > Duration::zero() ? to_seconds(busy) / to_seconds(alone) : 1;
}

}  // namespace rtmdl
