#pragma once
/// Evolutionary search on islands: populations that evolve apart, and exchange strategies at the end of every epoch
/// (of a fixed number of generations), round a ring that goes through all ranks: each island hands its best and some of
/// its front to the next. At the end each island's best is polished by local search (descent.h).
///
/// The result depends on the seed, the number of islands and the number of ranks, not on threads or their timing:
/// islands meet after every epoch. Only a budget that ends the search makes it depend on the machine.

#include "planning/evaluator.h"
#include "planning/exchange.h"

#include <cstdint>

namespace rtmdl {

struct IslandOptions {
  std::uint64_t seed = 1;
  int islands = 4;      ///< of each rank; not the number of cores, which must not change the result
  int jobs = 0;         ///< how many evolve at once; 0: as many as this process has cores
  int population = 0;   ///< of an island, a multiple of 4, at least 8; 0: by the number of genes
  int generations = 5;  ///< of an epoch
  int most_epochs = 100;
  int patience = 6;  ///< epochs without a better strategy on any island, then it ends
  int polish = 0;    ///< simulations without a better strategy in the local search; 0: by the number of tasks
};

/// Enters what all islands find into the evaluator's book; the strategies in the book take part. With an exchange every
/// rank calls it, with the same problem and options; rank 0 ends with everyone's book, the others with their own. If
/// one rank fails, all throw.
void search_islands(Evaluator& evaluator, const PlanOptions& plan, const IslandOptions& options,
                    Exchange* exchange = nullptr);

}  // namespace rtmdl
