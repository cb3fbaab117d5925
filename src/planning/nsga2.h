#pragma once
/// One island of the evolutionary search: a population that NSGA-II evolves (Deb et al., A fast and elitist
/// multiobjective genetic algorithm: NSGA-II, IEEE Trans. Evolutionary Computation 6(2), 2002; pagmo's).
///
/// Both objectives are small for what is wanted. pagmo's takes no constraints, so the limits are in them:
///   first: Σ wᵢ·lossᵢ; what fits not into storage, memory or power, and what cannot keep the limits, is put behind all
///   others; second: the miss rate over all jobs where every limit is kept, else 1 + the excess over the limits.
/// The step between the two makes the crowding distance favour the strategies on either side of the limits, where the
/// best is. Strategies are looked up before they are simulated; those that break a necessary condition
/// (Evaluator::promising) are not simulated once a feasible one is known.

#include "planning/evaluator.h"
#include "planning/genome.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace rtmdl {

class Nsga2 {
 public:
  /// What it finds is entered in the evaluator's book; all are kept by reference. `population` is a multiple of 4, at
  /// least 8. The first individuals are `first`, the others random. The genome has at least one gene.
  Nsga2(Evaluator& evaluator, const Genome& genome, const std::vector<Choices>& first, int population,
        std::uint64_t seed);
  ~Nsga2();

  /// Ends early when the evaluator is out of time.
  void evolve(int generations);
  /// The best in the book, then the first front's in an order of its own.
  [[nodiscard]] std::vector<Choices> emigrants(std::size_t count) const;
  /// They take the places of the last by front and crowding.
  void immigrate(const std::vector<Choices>& choices);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rtmdl
