#pragma once
/// Carries out in a simulation what Transitions ask for, as the release thread does in a run.

#include "planning/simulated_releases.h"
#include "scheduling/scheduler.h"
#include "scheduling/transition.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace rtmdl {

class SimulatedTransitions {
 public:
  SimulatedTransitions(SimulatedReleases& releases, Scheduler& scheduler)  ///< keeps references
      : releases_(releases), scheduler_(scheduler) {}
  /// A new run; carries out what is asked for before its first release. Null: nothing ever is.
  void reset(Transitions* from, Decisions& out);
  /// SimulatedReleases::wake()'s moment: something is asked for, or what was may be carried out. `end`: of the next
  /// stage that ends, EventTimes::kNever where none runs.
  void go_on(std::int64_t now, std::int64_t end, Decisions& out);

 private:
  bool carry_out(std::int64_t now, Decisions& out);
  void hold_back(std::int64_t now, std::int64_t end);
  void let_go(std::int64_t now);

  SimulatedReleases& releases_;
  Scheduler& scheduler_;
  Transitions* from_ = nullptr;
  std::optional<Transition> asked_;  ///< not carried out yet
  std::int64_t asked_at_ = 0, held_back_ = 0;
  std::size_t holding_ = 0;  ///< of Transition::giving_way
};

}  // namespace rtmdl
