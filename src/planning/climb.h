#pragma once
/// How full can the processors be? Raises the room that the relaxation (relaxation.h) may fill as long as an order of
/// priorities keeps every limit. The order is found by feedback: each simulation tells every task's strain
/// (Evaluator::evaluate), and tasks under strain become more urgent, by virtual deadlines that start at the real ones.
/// Where limits allow misses, deadline-monotonic order leaves several percent of a processor unused that other orders
/// fill.

#include "planning/evaluator.h"

#include <cstdint>
#include <random>
#include <vector>

namespace rtmdl {

class Climb {
 public:
  explicit Climb(Evaluator& evaluator);
  /// From the deadline-monotonic order. Finest: the last steps, as shares of a processor.
  void run(double finest);
  /// Tries again from a feasible strategy that another search has found.
  void go_on_from(const Strategy& best);
  /// Looks for a strategy of a little less loss than the best one: a choice of options that should do, an order by
  /// feedback, then changes of either by chance as long as they lower the strain. Whether there is one.
  bool try_again(std::uint64_t seed);

 private:
  struct Height {
    std::uint64_t seed = 1;                 ///< of the relaxation
    std::vector<double> room;               ///< per processor
    std::vector<double> virtual_deadlines;  ///< per task, ns
    Choices choices;                        ///< the relaxation in this room, in their order
    std::vector<double> strain;             ///< per task
    double beyond = 0;                      ///< Σ of what strain is beyond 1; 0: every limit is kept
  };
  void reach(Height& height, int rounds);
  bool judge(Height& height);
  bool mend(Height& height, double most_loss, std::mt19937_64& random);
  bool change_order(Height& height, std::mt19937_64& random) const;
  bool change_options(Height& height, double most_loss, std::mt19937_64& random) const;
  void raise(const std::vector<std::size_t>& processors, double step, double finest);

  Evaluator& evaluator_;
  Height top_;  ///< the highest that holds
};

}  // namespace rtmdl
