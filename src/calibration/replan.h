#pragma once
/// Plans again while a run goes on, when stages take longer than in the profile (or no longer do): the slow one of the
/// two ways in which a run adapts; scheduling/adaptation.h is the fast one.

#include "base/context.h"
#include "planning/planner.h"
#include "planning/problem.h"
#include "runtime/dispatcher.h"
#include "runtime/run_config.h"

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rtmdl {

/// Tells from slowdowns, sampled over time, when the strategy in force was made for others.
class Drift {
 public:
  explicit Drift(std::size_t processors) : planned_(processors, 1.0) {}
  /// Slowdown of each processor now. Whether they have been off what was planned for, all the time, for long enough:
  /// kSlower, or, where the box is as in the profile again, kAsProfiled.
  [[nodiscard]] bool seen(const std::vector<double>& slowdowns, Time now);
  /// From now on these are planned for.
  void planned(const std::vector<double>& slowdowns);
  [[nodiscard]] static bool as_profiled(const std::vector<double>& slowdowns);

  static constexpr double kTolerated = 0.15;  ///< relative
  static constexpr Duration kSlower = std::chrono::seconds(2), kAsProfiled = std::chrono::milliseconds(300);

 private:
  std::vector<double> planned_;
  std::optional<Time> since_;
};

/// What a strategy is made of while it runs.
struct RunningStrategy {
  std::vector<int> priorities;
  std::vector<int> modes;  ///< 0: the planned option, k: the k-th lighter one
  bool operator==(const RunningStrategy&) const = default;
};

/// The best strategy of the loaded options with stages so much slower on each processor; nothing if none keeps the
/// limits. `fixed_order`: with the priorities of `choices`, or nothing.
[[nodiscard]] std::optional<RunningStrategy> plan_for(const PlanProblem& problem, const Choices& choices,
                                                      const std::vector<std::vector<int>>& lighter,
                                                      const std::vector<double>& slowdowns, const PlanOptions& options,
                                                      bool fixed_order, const Context& context);

/// The last search. What it found stands while slowdowns are like those that it was made for, so that a strategy which
/// waits for a moment to be adopted is not searched for again.
class LastSearch {
 public:
  using Search = std::function<std::optional<RunningStrategy>(const std::vector<double>& slowdowns)>;
  explicit LastSearch(Search search) : search_(std::move(search)) {}
  /// Searches, if need be.
  const std::optional<RunningStrategy>& result_for(const std::vector<double>& slowdowns);
  [[nodiscard]] const std::vector<double>& slowdowns() const { return slowdowns_; }
  [[nodiscard]] Duration took() const { return took_; }

 private:
  Search search_;
  std::vector<double> slowdowns_;
  std::optional<RunningStrategy> found_;
  Duration took_{};
};

/// RunConfig::supervise. Keeps references to nothing but what it is given by value.
class Replanner {
 public:
  /// Of `config`, which make_run_config() made of the others for a policy that adapts.
  Replanner(const RunConfig& config, PlanProblem problem, Choices choices, PlanOptions options);
  /// Looks at slowdowns until `stopping`; says what it did.
  std::vector<std::string> operator()(Dispatcher& dispatcher, const std::atomic<bool>& stopping) const;

 private:
  [[nodiscard]] std::optional<Duration> adopt(const RunningStrategy& strategy, Dispatcher& dispatcher,
                                              const std::atomic<bool>& stopping) const;

  PlanProblem problem_;
  Choices choices_;
  std::vector<std::vector<int>> lighter_;
  std::vector<std::vector<int>> modes_;  ///< of the run: what the lighter options of each task are there
  PlanOptions options_;
  bool fixed_order_ = false;  ///< the priorities of the run stay
};

}  // namespace rtmdl
