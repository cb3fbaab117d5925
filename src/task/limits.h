#pragma once
/// What the task file and the scheduler agree on: how many there may be, and what becomes of late jobs.

#include <cstdint>

namespace rtmdl {

inline constexpr int kMaxTasks = 64;
inline constexpr int kMaxProcessors = 16;
inline constexpr int kMaxSlots = 16;
inline constexpr int kMaxQueue = 16;

/// What becomes of a job that cannot be in time any more.
enum class Late : std::uint8_t {
  finish,  ///< it is run to its end all the same
  skip,    ///< dropped, if it has not begun by its deadline
  abort,   ///< that, and given up if it is in progress at its deadline
};

}  // namespace rtmdl
