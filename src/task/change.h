#pragma once
/// What is asked of a box while it runs: that a task comes or goes, or has another rate.

#include "task/task_file.h"

#include <rtmdl/time.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

struct Change {
  enum class Kind : std::uint8_t { join, leave, timing };
  Kind kind = Kind::join;
  std::string name;               ///< of the task
  int task = -1;                  ///< its place in the task file, once resolve_changes() has found it
  Duration period{}, deadline{};  ///< of timing; zero: as it is. A deadline that equals the period goes with it
  Duration when{};                ///< from the start of the run
};

/// "faces.join@10s, speech.period=50ms@20s, speech.deadline=40ms@20s, signs.leave@25s"; in the order of their times.
/// Throws Error(bad_input).
[[nodiscard]] std::vector<Change> parse_changes(std::string_view text);

/// Finds their tasks. Throws Error(bad_input): no such task (with the nearest), one that comes though it is there or
/// goes though it is not, a time that a task file would not take, and tasks that cannot change: those that run after
/// others, or others after them, and those with `late: abort`; periods of tasks that are not periodic; any
/// where a processor has `kernel: deadline`.
void resolve_changes(std::vector<Change>& changes, const TaskFile& file);

/// "faces.join", "speech.period=50 ms"
[[nodiscard]] std::string text_of(const Change& change);

/// A task that comes before it does anything else is not there from the start.
[[nodiscard]] bool starts_absent(const std::vector<Change>& changes, int task);

}  // namespace rtmdl
