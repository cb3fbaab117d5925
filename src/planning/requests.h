#pragma once
/// What is asked for during one run, request by request: what admission says to it, and what became of it.

#include "planning/admission.h"
#include "planning/policies.h"
#include "scheduling/run_report.h"
#include "scheduling/transition.h"
#include "task/change.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// What may run during a run with changes.
struct LoadedOptions {
  Choices choices;                        ///< mode 0 of each task
  std::vector<std::vector<int>> lighter;  ///< modes 1, 2, …; empty: none
  PlanProblem problem;  ///< with these options, in the order of the modes, and proof times that hold whichever of the
                        ///< lighter ones a job runs
  Choices planned;      ///< of `problem`
};
/// Of policies that adapt mode 0 is the most accurate that may stand where the planned one does, if it fits into
/// memory.
[[nodiscard]] LoadedOptions loaded_options(const PolicyInfo& policy, const PlanProblem& problem,
                                           const Choices& planned);

[[nodiscard]] Request request_of(const Change& change);

/// After each change that makes room, and at the start, heavier variants are looked for as well.
class Requests final : public Transitions {
 public:
  /// `judged`: false: all is carried out as it comes.
  Requests(Admission admission, std::vector<Change> changes, bool judged);

  [[nodiscard]] Duration next() const override;
  [[nodiscard]] std::optional<Transition> decide() override;
  void ended(const TransitionEnd& end) override;

  /// From the start, for another run: what was decided is not searched for again.
  void begin_again();
  /// So far.
  [[nodiscard]] const std::vector<ChangeReport>& report() const { return report_; }

 private:
  struct Decided {
    Regime before;
    Verdict verdict;
  };
  [[nodiscard]] Verdict decided(const Change* change);
  [[nodiscard]] Verdict judge(const Change* change) const;
  [[nodiscard]] Transition transition() const;
  void note(const Change* change);

  Admission admission_;
  std::vector<Change> changes_;
  bool judged_;
  std::size_t next_change_ = 0;
  std::optional<Duration> settle_at_ = Duration{};  ///< heavier variants are to be looked for
  bool started_ = false, leaves_room_ = false, at_once_ = false, noted_ = false;
  Verdict verdict_;  ///< that is being carried out
  std::vector<Decided> known_;
  std::size_t step_ = 0;  ///< of `known_`, the next
  std::vector<ChangeReport> report_;
};

/// Of a policy with the plan's order, or (not judged) of any other.
[[nodiscard]] std::unique_ptr<Requests> make_requests(const PolicyInfo& policy, const LoadedOptions& loaded,
                                                      const std::vector<Change>& changes, const PlanOptions& options,
                                                      bool fixed_order, const Context& context);

}  // namespace rtmdl
