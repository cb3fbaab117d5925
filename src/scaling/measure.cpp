#include "scaling/measure.h"

#include "scaling/calibrate.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <time.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace rtmdl {
namespace {

Duration thread_time() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + Duration(t.tv_nsec);
}

}  // namespace

std::vector<std::vector<Duration>> measure_times(Engine& engine, const std::vector<LoadRequest>& requests,
                                                 const std::vector<InputSet>& inputs, const MeasureOptions& options) {
  std::vector<std::unique_ptr<Executable>> loaded;
  const auto timed_run = [&](Executable& executable, const LoadRequest& request) {
    // On one thread its CPU time is the time alone on the core: other processes do not count.
    const bool alone = request.threads == 1 && request.device == "cpu";
    const auto now = [alone] { return alone ? thread_time() : MonotonicClock::now().time_since_epoch(); };
    const Duration begin = now();
    if (!executable.run()) bad_input(fmt::format("{}: {}", request.model.string(), executable.last_error()));
    return now() - begin;
  };
  Duration round{};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    loaded.push_back(engine.load(requests[i]));
    if (i < inputs.size() && !inputs[i].empty()) feed(*loaded.back(), inputs[i]);
    Duration least = timed_run(*loaded.back(), requests[i]);
    for (int k = 0; k < 2; ++k) least = std::min(least, timed_run(*loaded.back(), requests[i]));
    round += least;
  }
  const auto affordable = options.budget / std::max(round, Duration(1));
  const auto rounds = std::clamp<std::int64_t>(affordable, options.rounds_min, options.rounds_max);
  std::vector<std::vector<Duration>> times(requests.size());
  std::vector<std::size_t> order(loaded.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 random(1);
  for (std::int64_t r = 0; r < rounds; ++r) {
    std::shuffle(order.begin(), order.end(), random);  // no model always runs behind the same one
    for (const std::size_t i : order) times[i].push_back(timed_run(*loaded[i], requests[i]));
  }
  return times;
}

Duration quantile(std::vector<Duration> times, double q) {
  if (times.empty()) return {};
  const auto k = static_cast<std::ptrdiff_t>(q * static_cast<double>(times.size() - 1));
  std::nth_element(times.begin(), times.begin() + k, times.end());
  return times[static_cast<std::size_t>(k)];
}

}  // namespace rtmdl
