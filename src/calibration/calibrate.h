#pragma once
/// The loop between the planning model and the box: plan, play the strategy and its neighbours, compare what was missed
/// with what was predicted, correct the model, plan again, until the prediction holds. What plays is handed in, so the
/// loop runs in tests against a simulated box.

#include "base/context.h"
#include "planning/model_correction.h"
#include "planning/planner.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rtmdl {

struct PlayedTask {
  std::int64_t released = 0, missed = 0;
  std::int64_t stalled = 0;  ///< of the missed: those that a stall of the machine explains
};

struct Played {
  std::vector<PlayedTask> tasks;
  Observation observed;
  Duration length{};
};

/// Runs a strategy on the box, its tasks measured_with() their Late.
using Play = std::function<Played(const Choices& choices, Duration length, std::uint64_t seed)>;

/// What a plan adds to its times: from the profile alone, and once they were seen in runs.
inline constexpr double kProfiledMargin = 0.2, kCalibratedMargin = 0.1;

struct CalibrateOptions {
  Duration play = std::chrono::seconds(8);  ///< length of each play
  int rounds = 4;
  int repeats = 2;  ///< plays of the chosen strategy per round; the prediction has to hold in each
  /// Planning's margin once something was measured: what the profile did not see is then in the times.
  double margin = kCalibratedMargin;
  double points = 0.015;  ///< |predicted − measured| that counts as held, beyond what chance explains
};

struct CalibratedTask {
  std::string name;
  double predicted = 0;           ///< before the round: none of its plays are in the model
  double chance = 0;              ///< what 95 % of plays of this length differ by chance alone, at most
  std::vector<double> measured;   ///< of each play
  std::vector<double> unstalled;  ///< without misses that stalls of the machine explain: what is beyond either is
                                  ///< compared
  double corrected = 0;           ///< predicted after the round
  bool within = false;            ///< in every play
};

struct PlayedStrategy {
  std::string kind;  ///< chosen, tighter, slacker
  Choices choices;
  std::vector<CalibratedTask> tasks;
  [[nodiscard]] bool holds() const;
};

struct CalibrationRound {
  std::vector<PlayedStrategy> strategies;  ///< the chosen one first
};

struct Calibration {
  std::vector<CalibrationRound> rounds;
  ModelCorrection correction;  ///< what was known before and what was learnt
  bool holds = false;          ///< in the last round, for the chosen strategy
  bool settled = false;        ///< and planning again found nothing better
  /// Of the corrected model. Settled, it is the strategy that was played if that has its margin. Where no strategy
  /// keeps every limit it is the nearest of those that were played: of the others the model picks the one that it is
  /// most mistaken about.
  Plan plan;
  Duration lateness_p50{}, lateness_p99{};  ///< of releases: until the first stage began, where its slot was free
};

/// `profiled` is the uncorrected problem, `known` its correction until now. `keep` is handed the correction after each
/// round, so that a killed calibration is not lost. A stopped context ends it before the next play; what was not played
/// to its end is discarded. Throws as plan() and `play` do.
[[nodiscard]] Calibration calibrate(const PlanProblem& profiled, const ModelCorrection& known, const PlanOptions& plan,
                                    const CalibrateOptions& options, const Play& play,
                                    const std::function<void(const ModelCorrection&)>& keep, const Context& context);

}  // namespace rtmdl
