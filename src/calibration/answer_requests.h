#pragma once
/// Changes of what runs, on the box: decided on when they are asked for, by a thread that runs only when nothing else
/// wants to, and carried out by the release thread.

#include "planning/requests.h"
#include "runtime/dispatcher.h"
#include "runtime/run_config.h"
#include "runtime/transition_gate.h"

#include <atomic>
#include <string>
#include <vector>

namespace rtmdl {

/// RunConfig::supervise. `requests` and `gate` outlive it.
class AnswerRequests {
 public:
  /// Of `config`, which make_run_config() made of LoadedOptions::choices. Decides on what it begins with.
  AnswerRequests(const RunConfig& config, Requests& requests, TransitionGate& gate);
  /// Until `stopping`. What became of the requests is in their report.
  std::vector<std::string> operator()(Dispatcher& dispatcher, const std::atomic<bool>& stopping) const;

 private:
  [[nodiscard]] Transition in_modes(Transition transition) const;

  Requests& requests_;
  TransitionGate& gate_;
  std::vector<std::vector<int>> modes_;  ///< of the run: what the lighter options of each task are there
};

}  // namespace rtmdl
