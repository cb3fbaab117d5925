#include "profiling/job_energy.h"

#include "base/thread_placement.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <thread>
#include <vector>

namespace rtmdl {
namespace {

constexpr Duration kLook = std::chrono::milliseconds(10);  ///< at meters that have to be looked at often
constexpr int kSettle = 2, kWindow = 10;                   ///< in resolutions of the meter

struct Stretch {
  double joules = 0;
  Duration lasts{};
  int runs = 0;
  [[nodiscard]] double watts() const { return joules / to_seconds(lasts); }
};

/// `work` again and again for a while, then, counted, for the window.
template <typename Work>
Stretch stretch(EnergyMeter& meter, Duration settle, Duration window, const Work& work) {
  for (const Time end = MonotonicClock::now() + settle; MonotonicClock::now() < end;) work();
  Stretch s;
  const Time start = MonotonicClock::now();
  const double before = joules_of(meter, start);
  Time now = start, looked = start;
  do {
    work();
    ++s.runs;
    now = MonotonicClock::now();
    if (now - looked >= kLook) static_cast<void>(meter.read(looked = now));
  } while (now - start < window);
  s.lasts = now - start;
  s.joules = joules_of(meter, now) - before;
  return s;
}

/// Of values in order.
double quantile(const std::vector<double>& sorted, double q) {
  return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}

}  // namespace

StageEnergy meter_runs(EnergyMeter& meter, const std::function<void()>& once, const MeterLimits& limits,
                       const Context& context) {
  const Duration settle = kSettle * meter.resolution();
  const Duration window = std::max(limits.window, kWindow * meter.resolution());
  std::vector<double> watts;
  Duration lasts{};
  std::int64_t runs = 0;
  while (static_cast<int>(watts.size()) < limits.most && !context.stopping()) {
    const Stretch idle = stretch(meter, settle, window, [] { std::this_thread::sleep_for(kLook / 10); });
    const Stretch work = stretch(meter, settle, window, once);
    watts.insert(std::upper_bound(watts.begin(), watts.end(), work.watts() - idle.watts()),
                 work.watts() - idle.watts());
    lasts += work.lasts;
    runs += work.runs;
    if (static_cast<int>(watts.size()) < limits.least) continue;
    const double median = quantile(watts, 0.5), spread = quantile(watts, 0.75) - quantile(watts, 0.25);
    if (median <= 0) break;
    const Duration each = lasts / runs;
    if (spread / std::sqrt(static_cast<double>(watts.size())) <= limits.error * median)
      return {median * to_seconds(each), each};
  }
  return {};
}

JobEnergy meter_stages(Pipeline& pipeline, std::span<const Frame> frames, const Bench& bench, EnergyMeter& meter,
                       const MeterLimits& limits, const Context& context) {
  JobEnergy energy;
  std::exception_ptr failure;
  // A thread of its own: the caller's placement stays as it is.
  std::thread([&] {
    try {
      Result result;
      pipeline.prepare(result);
      std::size_t next = 0;
      place_current_thread(bench.on(bench.host_cores));
      energy.pre = meter_runs(
          meter, [&] { pipeline.pre(frames[next++ % frames.size()]); }, limits, context);
      pipeline.run(frames.front(), result);
      place_current_thread(bench.on(bench.infer_cores));
      energy.infer = meter_runs(
          meter, [&] { pipeline.infer(); }, limits, context);
      place_current_thread(bench.on(bench.host_cores));
      energy.post = meter_runs(
          meter, [&] { pipeline.post(result); }, limits, context);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
  return energy;
}

}  // namespace rtmdl
