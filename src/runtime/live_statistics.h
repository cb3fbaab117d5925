#pragma once
/// Figures of a run while it goes on, for any thread to look at. Neither side waits for the other.

#include "runtime/job_record.h"

#include <rtmdl/time.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace rtmdl {

/// Of the jobs of one task that are over. Percentiles are of completed jobs, from nominal release to completion,
/// nearest rank, within 2 %; `max` is exact.
struct LiveSnapshot {
  std::int64_t completed = 0, late = 0, dropped = 0, failed = 0;  ///< late: of the completed
  Duration p50{}, p99{}, max{};

  [[nodiscard]] std::int64_t over() const noexcept { return completed + dropped + failed; }
  [[nodiscard]] std::int64_t missed() const noexcept { return late + dropped + failed; }
  [[nodiscard]] double miss_rate() const noexcept {
    return over() > 0 ? static_cast<double>(missed()) / static_cast<double>(over()) : 0;
  }
};

class LiveStatistics {
 public:
  explicit LiveStatistics(std::size_t tasks);
  ~LiveStatistics();
  LiveStatistics(const LiveStatistics&) = delete;
  LiveStatistics& operator=(const LiveStatistics&) = delete;

  /// One thread at a time (a run's collector). Wait-free, no allocation. Records of other tasks than 0 … tasks() − 1
  /// are ignored.
  void add(const JobRecord& record) noexcept;

  [[nodiscard]] std::size_t tasks() const noexcept { return tasks_; }
  /// Any thread, at any moment; wait-free, no allocation, some microseconds. Counts never decrease from one snapshot to
  /// the next, late ≤ completed in each, and jobs that are added meanwhile may be in it. Needs task < tasks().
  [[nodiscard]] LiveSnapshot snapshot(std::size_t task) const noexcept;

 private:
  struct Task;

  std::size_t tasks_;
  std::unique_ptr<Task[]> task_;
};

}  // namespace rtmdl
