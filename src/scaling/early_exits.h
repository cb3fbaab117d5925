#pragma once
/// What a variant's early exits are worth on a task's own data.

#include "engine/engine.h"
#include "model/exit_rule.h"

#include <cstdint>
#include <vector>

namespace rtmdl {

struct EarlyExit {
  ExitRule rule;
  int cut = 0;          ///< node before which the next unit begins
  double leaves = 0;    ///< share of all jobs that leave here, of those that accuracy is measured on
  double accuracy = 0;  ///< if all jobs left here
};

struct EarlyExits {
  std::vector<EarlyExit> at;        ///< in the order in which jobs come by; empty: the variant has none
  double whole_accuracy = 1;        ///< if no job left early
  std::vector<std::uint8_t> units;  ///< that jobs run until they are sure, frame by frame of the stream

  [[nodiscard]] bool none() const noexcept { return at.empty(); }
  /// How the model is loaded: a segment for each unit.
  void apply_to(LoadRequest& request) const {
    for (const EarlyExit& exit : at) {
      request.cuts.push_back(exit.cut);
      request.exits.push_back(exit.rule);
    }
  }
  /// If all jobs left after each unit.
  [[nodiscard]] std::vector<double> unit_accuracy() const {
    std::vector<double> all;
    for (const EarlyExit& exit : at) all.push_back(exit.accuracy);
    all.push_back(whole_accuracy);
    return all;
  }
  /// Share of jobs that run each unit.
  [[nodiscard]] std::vector<double> reach() const {
    std::vector<double> all{1};
    for (const EarlyExit& exit : at) all.push_back(all.back() - exit.leaves);
    return all;
  }
};

}  // namespace rtmdl
