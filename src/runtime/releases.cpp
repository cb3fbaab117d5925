#include "runtime/releases.h"

#include "base/thread_placement.h"
#include "base/units.h"
#include "scheduling/arrivals.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include <time.h>

namespace rtmdl {
namespace {

constexpr Duration kNap = std::chrono::milliseconds(100);  ///< between looks at the stop flag

void sleep_until(Time when) noexcept {
  const auto ns = when.time_since_epoch().count();
  const timespec until{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0) {
  }
}

struct Next {
  std::uint64_t job = 0;
  Time nominal{}, actual{};
};

}  // namespace

Duration play_releases(Dispatcher& dispatcher, const std::vector<ReleaseSpec>& tasks, Time start,
                       std::optional<Duration> duration, std::uint64_t seed, const ThreadPlacement& placement,
                       const Context& context) {
  const Time end = duration ? start + *duration : Time::max();
  std::atomic<bool> done{false};
  std::thread thread([&] {
    place_current_thread(placement);
    std::vector<Next> next(tasks.size());
    const auto advance = [&](std::size_t i) {
      Next& n = next[i];
      n.nominal = start + nominal_release(tasks[i].offset, tasks[i].period, n.job);
      n.actual = n.nominal + release_jitter(seed, static_cast<int>(i), n.job, tasks[i].jitter);
      ++n.job;
    };
    for (std::size_t i = 0; i < tasks.size(); ++i) advance(i);
    while (!context.stopping()) {
      const auto first =
          std::min_element(next.begin(), next.end(), [](const Next& a, const Next& b) { return a.actual < b.actual; });
      const bool over = std::all_of(next.begin(), next.end(), [&](const Next& n) { return n.nominal >= end; });
      if (over) break;  // the last periods are played to their end below
      const Time now = MonotonicClock::now();
      if (first->actual > now) {
        sleep_until(std::min(first->actual, now + kNap));
        continue;
      }
      const auto i = static_cast<std::size_t>(first - next.begin());
      if (first->nominal < end) dispatcher.release(static_cast<int>(i), first->nominal);
      if (first->nominal >= end) first->actual = Time::max();
      else advance(i);
    }
    while (!context.stopping() && MonotonicClock::now() < end) sleep_until(std::min(end, MonotonicClock::now() + kNap));
    done = true;
  });
  while (!done) {
    std::this_thread::sleep_for(kNap);
    const Duration played = std::max(MonotonicClock::now() - start, Duration::zero());
    if (duration)
      context.report(
          fmt::format("running, {} of {}", format_duration(std::min(played, *duration)), format_duration(*duration)),
          std::min(1.0, to_seconds(played) / to_seconds(*duration)));
  }
  thread.join();
  const Duration played = std::max(MonotonicClock::now() - start, Duration::zero());
  return duration ? std::min(played, *duration) : played;
}

}  // namespace rtmdl
