#pragma once
/// From one agreement on which tasks run, how often and as what, to the next, while jobs run: what those who decide
/// (planning/admission.h) and those who carry it out (the simulator, the release thread) share.

#include "scheduling/scheduler.h"

#include <rtmdl/time.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace rtmdl {

struct Transition {
  std::vector<Terms> terms;   ///< of each task; priorities are distinct
  bool between_jobs = false;  ///< only at a moment in which no job is pending; else at once
  /// Tasks that hold their releases back if that moment does not come, the first of them first.
  std::vector<int> giving_way;
};

struct TransitionEnd {
  bool adopted = false;        ///< false: the moment did not come
  Duration when{};             ///< from the start
  std::int64_t held_back = 0;  ///< releases that were held back for it
};

/// Who asks for transitions, one after the other.
class Transitions {
 public:
  virtual ~Transitions() = default;
  /// When something is asked for next, from the start; not before the last one has ended. What is asked for at 0 is
  /// carried out before the first release.
  [[nodiscard]] virtual Duration next() const = 0;
  static constexpr Duration kNever = Duration::max();
  /// Decides, which may take long. Nothing: all stays as it is.
  [[nodiscard]] virtual std::optional<Transition> decide() = 0;
  /// What became of what decide() gave.
  virtual void ended(const TransitionEnd& end) = 0;
};

/// Of a transition between jobs that has waited for so long: how many of `giving_way` hold back.
inline constexpr Duration kIdlePatience = std::chrono::milliseconds(100), kNextGivesWay = std::chrono::milliseconds(50),
                          kNoIdleMoment = std::chrono::seconds(5);  ///< then it ends without having been carried out
[[nodiscard]] constexpr std::size_t gives_way(Duration waited, std::size_t tasks) noexcept {
  if (waited < kIdlePatience) return 0;
  const auto more = static_cast<std::size_t>((waited - kIdlePatience) / kNextGivesWay);
  return more < tasks ? more + 1 : tasks;
}

}  // namespace rtmdl
