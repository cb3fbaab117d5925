#pragma once
/// How the jobs of a task are released, if not by a period: `arrivals` and `after` of the task file.

#include "task/config_node.h"

#include <rtmdl/time.h>

#include <cstdint>
#include <vector>

namespace rtmdl {

inline constexpr Duration kShortestPeriod = std::chrono::microseconds(100);
inline constexpr Duration kLongestPeriod = std::chrono::hours(1);

/// The value of a node, which must lie between the two.
[[nodiscard]] Duration positive_duration(const ConfigNode& node);

/// Two releases of a task are at least its period apart (TaskSpec::period), whatever the kind.
struct ArrivalSpec {
  enum class Kind : std::uint8_t {
    periodic,  ///< the period
    random,    ///< the period and an exponential time (sporadic, Poisson); with a burst in two phases by turns
    trace      ///< as recorded, again and again
  };
  struct Phase {
    Duration mean{};   ///< between releases
    Duration lasts{};  ///< on average, exponentially distributed; zero: there is no other phase
    bool operator==(const Phase&) const = default;
  };
  Kind kind = Kind::periodic;
  Phase calm{}, burst{};          ///< of `random`; begins calm
  std::vector<Duration> times{};  ///< of `trace`: ascending, at least two
  Duration length{};              ///< of `trace`: when it begins again
  bool operator==(const ArrivalSpec&) const = default;

  /// Of `arrivals`. `least` becomes the shortest interval between two releases, zero if nothing says it. Reads the
  /// file of a trace. Throws Error(bad_input).
  [[nodiscard]] static ArrivalSpec parse(const ConfigNode& node, Duration& least);
  /// Multiplies all times.
  void stretch(double factor);
};

/// What random arrivals keep apart where the task file gives no `min`.
[[nodiscard]] Duration least_interval(const ArrivalSpec& arrivals);
/// Between releases, on average.
[[nodiscard]] Duration mean_interval(const ArrivalSpec& arrivals, Duration period);
/// So long a stretch shows what the arrivals are like: some bursts, a whole trace; zero: any does.
[[nodiscard]] Duration representative_stretch(const ArrivalSpec& arrivals);

/// Jobs that are released when a job of another task completes in time.
struct AfterSpec {
  int task = -1;  ///< the other task, which stands before this one; -1: none, the task is released by itself
  bool per_detection = false;  ///< a job for each box that the other job found, on that part of its frame
  int most = 1;                ///< jobs at once
  bool operator==(const AfterSpec&) const = default;
};

}  // namespace rtmdl
