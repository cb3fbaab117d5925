#pragma once
/// What is known of one job when it is over.

#include <rtmdl/time.h>

#include <array>
#include <bit>
#include <cstdint>

namespace rtmdl {

inline constexpr int kRecordedStages = 10;  ///< pre, kMaxSegments, post

enum class JobFate : std::uint8_t { completed, failed, dropped };

/// Trivially copyable: it crosses threads through a ring.
struct JobRecord {
  struct Stage {
    Time start{}, end{};
    std::uint8_t processor = 0;
    std::uint16_t slots = 1;  ///< a bit for each that it took
    [[nodiscard]] bool ran() const noexcept { return end != Time{} || start != Time{}; }  ///< false: it was left out
    [[nodiscard]] int slot() const noexcept { return slots == 0 ? 0 : std::countr_zero(slots); }  ///< the first of them
    [[nodiscard]] int width() const noexcept { return std::popcount(slots); }
  };
  std::uint8_t task = 0;
  std::uint8_t stages = 0;  ///< up to the last that was begun; of a dropped job: 0, or it was given up
  JobFate fate = JobFate::completed;
  std::uint8_t mode = 0;    ///< that it ran in (SchedulerTask); of one that had not begun: of the next
  bool late = false;        ///< completed after its deadline
  bool stalled = false;     ///< missed, and a stall of the machine explains it (set by the collector)
  bool given_up = false;    ///< a thread is still in its last stage
  bool has_result = false;  ///< the next one in the task's ring of results is this job's
  std::uint64_t job = 0;
  std::int64_t frame = -1;  ///< index in the stream
  Time release{};           ///< nominal: deadlines count from it
  Time finish{};            ///< completion, failure or drop
  std::array<Stage, kRecordedStages> stage{};

  [[nodiscard]] bool missed() const noexcept { return late || fate != JobFate::completed; }
};

}  // namespace rtmdl
