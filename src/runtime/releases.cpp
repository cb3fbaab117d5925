#include "runtime/releases.h"

#include "base/thread_placement.h"
#include "base/timespec.h"
#include "base/units.h"
#include "scheduling/arrivals.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr Duration kNap = std::chrono::milliseconds(100);  ///< between looks at the stop flag

/// A task's releases, or the deadlines of its jobs.
struct Moments {
  int task = 0;
  bool deadlines = false;
  Arrivals arrivals;
  std::uint64_t job = 0;  ///< the next one
  Time nominal{};         ///< its release
  Time when{};
};

}  // namespace

Duration play_releases(Dispatcher& dispatcher, const std::vector<ReleaseSpec>& tasks, Time start,
                       std::optional<Duration> duration, std::uint64_t seed, const ThreadPlacement& placement,
                       const Context& context) {
  const Time end = duration ? start + *duration : Time::max();
  std::atomic<bool> done{false};
  std::thread thread([&] {
    place_current_thread(placement);
    std::vector<Moments> all;
    for (const bool deadlines : {true, false})
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        const ReleaseSpec& t = tasks[i];
        const int task = static_cast<int>(i);
        if (!t.follows && (!deadlines || t.abort_at))
          all.push_back({task, deadlines, Arrivals(t.arrivals, t.period, t.offset, seed, task), 0, {}, {}});
      }
    const auto place = [&](Moments& m) {
      const ReleaseSpec& task = tasks[static_cast<std::size_t>(m.task)];
      m.nominal = start + m.arrivals.next();
      m.when = m.nominal + (m.deadlines ? *task.abort_at : release_jitter(seed, m.task, m.job, task.jitter));
      if (m.nominal >= end) m.when = Time::max();
    };
    for (Moments& m : all) place(m);
    while (!context.stopping()) {
      Moments& first =
          *std::min_element(all.begin(), all.end(), [](const Moments& a, const Moments& b) { return a.when < b.when; });
      if (first.when == Time::max()) break;  // the last periods are played to their end below
      const Time now = MonotonicClock::now();
      if (first.when > now) {
        sleep_until(std::min(first.when, now + kNap));
        continue;
      }
      if (first.deadlines) dispatcher.expire(first.task, first.job);
      else dispatcher.release(first.task, first.nominal);
      ++first.job;
      first.arrivals.advance();
      place(first);
    }
    while (!context.stopping() && MonotonicClock::now() < end) sleep_until(std::min(end, MonotonicClock::now() + kNap));
    done = true;
  });
  while (!done) {
    std::this_thread::sleep_for(kNap);
    const Duration played = std::max(MonotonicClock::now() - start, Duration::zero());
    if (duration) context.report("running", std::min(1.0, to_seconds(played) / to_seconds(*duration)));
    else context.report(fmt::format("running, {}", format_duration(played)), -1);
  }
  thread.join();
  const Duration played = std::max(MonotonicClock::now() - start, Duration::zero());
  return duration ? std::min(played, *duration) : played;
}

}  // namespace rtmdl
