#include "runtime/stall_probe.h"

#include "base/core_speed.h"
#include "base/thread_placement.h"
#include "runtime/dispatcher.h"

#include <algorithm>
#include <map>

#include <time.h>

namespace rtmdl {
namespace {

constexpr Duration kPeriod = std::chrono::milliseconds(1);
constexpr Duration kThreshold =
    std::chrono::milliseconds(1);  ///< lateness that counts; cyclictest's normal maximum is a tenth of it
constexpr std::size_t kCapacity = 20'000;

}  // namespace

StallProbe::StallProbe(const std::vector<int>& cores, bool realtime) : available_(realtime) {
  if (!realtime) return;
  for (const int core : cores) {
    probes_.push_back(std::make_unique<Probe>());
    Probe& probe = *probes_.back();
    probe.core = core;
    probe.stalls.reserve(kCapacity);
    probe.thread = std::thread([this, &probe] { watch(probe); });
  }
}

StallProbe::~StallProbe() { stop(); }

void StallProbe::watch(Probe& probe) {
  if (!place_current_thread({{probe.core}, kFifoProbe})) return;  // elsewhere it would see another core
  CoreSpeed speed;
  const bool tells = keeps_its_speed(probe.core);
  Time last_slow{};
  Time next = MonotonicClock::now();
  while (!stopping_.load(std::memory_order_relaxed)) {
    next += kPeriod;
    const auto ns = next.time_since_epoch().count();
    const timespec until{static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    const Time now = MonotonicClock::now();
    if (now - next >= kThreshold) {
      add(probe, next, now);
      next = now;
    }
    const double share = tells ? speed.now() : 1;
    if (share == 1) continue;
    const Duration lost = from_seconds((1 - share) * to_seconds(kPeriod));
    if (now - last_slow <= 2 * kPeriod) probe.stalls.back().end += lost;  // one stall, as long as all that was lost
    else add(probe, now - lost, now);
    if (!probe.stalls.empty()) last_slow = now;
  }
}

void StallProbe::add(Probe& probe, Time start, Time end) {
  if (probe.stalls.size() < probe.stalls.capacity()) probe.stalls.push_back({start, end, probe.core});
}

std::vector<Stall> StallProbe::stop() {
  stopping_ = true;
  std::vector<Stall> all;
  for (auto& probe : probes_) {
    if (probe->thread.joinable()) probe->thread.join();
    all.insert(all.end(), probe->stalls.begin(), probe->stalls.end());
  }
  probes_.clear();
  std::sort(all.begin(), all.end(), [](const Stall& a, const Stall& b) { return a.start < b.start; });
  return all;
}

Duration stalled_within(const std::vector<Stall>& stalls, Time from, Time to) {
  std::map<int, Duration> by_core;
  for (const Stall& s : stalls) {
    if (s.start >= to) break;
    const Duration overlap = std::min(s.end, to) - std::max(s.start, from);
    if (overlap > Duration::zero()) by_core[s.core] += overlap;
  }
  Duration worst{};
  for (const auto& [core, time] : by_core) worst = std::max(worst, time);
  return worst;
}

}  // namespace rtmdl
