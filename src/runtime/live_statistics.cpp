#include "runtime/live_statistics.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>

namespace rtmdl {
namespace {

/// Buckets of a histogram over all positive durations: 32 to each doubling, so that a bucket's middle is within 1/64 of
/// what is in it; below 32 ns each value has its own.
constexpr unsigned kSteps = 32, kStepBits = 5;
constexpr std::size_t kBuckets = (63 - kStepBits + 1) * kSteps;

std::size_t bucket_of(Duration d) noexcept {
  const auto ns = static_cast<std::uint64_t>(std::max<Duration::rep>(0, d.count()));
  if (ns < kSteps) return ns;
  const unsigned shift = static_cast<unsigned>(std::bit_width(ns)) - 1 - kStepBits;
  return shift * kSteps + static_cast<std::size_t>(ns >> shift);
}

Duration middle_of(std::size_t bucket) noexcept {
  if (bucket < 2 * kSteps) return Duration(static_cast<Duration::rep>(bucket));
  const std::size_t shift = bucket / kSteps - 1;
  const std::uint64_t from = (bucket % kSteps + kSteps) << shift;
  return Duration(static_cast<Duration::rep>(from + (std::uint64_t{1} << shift) / 2));
}

using Count = std::atomic<std::int64_t>;

/// There is one writer: a plain load and store do, with no locked instruction.
void increment(Count& count, std::memory_order order = std::memory_order_relaxed) noexcept {
  count.store(count.load(std::memory_order_relaxed) + 1, order);
}

}  // namespace

struct LiveStatistics::Task {
  Count late{0}, dropped{0}, failed{0}, max_ns{0};
  std::array<Count, kBuckets> responses{};  ///< their sum is the number of completed jobs
};

LiveStatistics::LiveStatistics(std::size_t tasks) : tasks_(tasks), task_(std::make_unique<Task[]>(tasks)) {}
LiveStatistics::~LiveStatistics() = default;

void LiveStatistics::add(const JobRecord& record) noexcept {
  if (record.task >= tasks_) return;
  Task& task = task_[record.task];
  switch (record.fate) {
    case JobFate::dropped: increment(task.dropped); break;
    case JobFate::failed: increment(task.failed); break;
    case JobFate::completed: {
      const Duration response = record.finish - record.release;
      if (response.count() > task.max_ns.load(std::memory_order_relaxed))
        task.max_ns.store(response.count(), std::memory_order_relaxed);
      increment(task.responses[bucket_of(response)]);
      // Whoever sees this job among the late ones sees it among the completed ones.
      if (record.late) increment(task.late, std::memory_order_release);
      break;
    }
  }
}

LiveSnapshot LiveStatistics::snapshot(std::size_t index) const noexcept {
  const Task& task = task_[index];
  LiveSnapshot s;
  s.late = task.late.load(std::memory_order_acquire);
  s.dropped = task.dropped.load(std::memory_order_relaxed);
  s.failed = task.failed.load(std::memory_order_relaxed);
  std::array<std::int64_t, kBuckets> responses;
  for (std::size_t b = 0; b < kBuckets; ++b)
    s.completed += responses[b] = task.responses[b].load(std::memory_order_relaxed);
  s.max = Duration(task.max_ns.load(std::memory_order_relaxed));
  const std::int64_t half = (s.completed + 1) / 2, most = s.completed - s.completed / 100;
  std::int64_t below = 0;
  for (std::size_t b = 0; b < kBuckets && below < most; ++b) {
    const std::int64_t to = below + responses[b];
    const Duration middle = std::min(middle_of(b), s.max);
    if (below < half && to >= half) s.p50 = middle;
    if (to >= most) s.p99 = middle;
    below = to;
  }
  return s;
}

}  // namespace rtmdl
