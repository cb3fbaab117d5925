#include "planning/islands.h"

#include "base/thread_placement.h"
#include "planning/descent.h"
#include "planning/first_strategies.h"
#include "planning/nsga2.h"
#include "planning/packed_plan.h"
#include "scheduling/arrivals.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <memory>
#include <thread>

namespace rtmdl {
namespace {

constexpr std::size_t kEmigrants = 3;
constexpr double kEvolveShare = 0.6;  ///< of the time that is left; the rest is the local search's
constexpr std::uint32_t kBetter = 1, kOutOfTime = 2, kFailed = 4;  ///< what ranks tell each other

/// Calls `work` for 0..count − 1, at most `jobs` at once. The exception of the lowest number comes out of here.
template <typename Work>
void for_each_of(std::size_t count, std::size_t jobs, Work work) {
  std::vector<std::exception_ptr> errors(count);
  std::atomic<std::size_t> next{0};
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t j = 1; j < std::min(jobs, count); ++j) threads.emplace_back(run);
  run();
  for (std::thread& t : threads) t.join();
  for (const std::exception_ptr& e : errors) {
    if (e) std::rethrow_exception(e);
  }
}

class Archipelago {
 public:
  Archipelago(Evaluator& evaluator, const PlanOptions& plan, const IslandOptions& options, Exchange* exchange)
      : evaluator_(evaluator), plan_(plan), options_(options), exchange_(exchange), genome_(evaluator) {
    const std::size_t cores = available_cores().size();
    jobs_ = options.jobs > 0 ? static_cast<std::size_t>(options.jobs) : std::max<std::size_t>(cores, 1);
    quiet_.stop = evaluator.context().stop;
    quiet_.seed = evaluator.context().seed;
    const int wide = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(genome_.size()))));
    if (options_.population == 0) options_.population = 4 * (4 + wide);
    if (options_.polish == 0) options_.polish = 100 + 20 * static_cast<int>(evaluator.tasks());
  }

  void run() {
    std::vector<Choices> first;
    const std::size_t distinct = static_cast<std::size_t>(options_.population / 2 * options_.islands);
    (void)together([&] {
      if (evaluator_.best()) first.push_back(evaluator_.best()->choices);
      for (Choices& c : first_strategies(evaluator_, genome_, distinct)) first.push_back(std::move(c));
      // Whatever the budget, there is something in the book.
      if (!evaluator_.best()) (void)evaluator_.evaluate(first.front(), false);
      return 0U;
    });
    if (genome_.size() > 0) {
      const double allowed = evaluator_.allowed(), used = std::min(evaluator_.used(), allowed);
      evaluator_.allow(used + kEvolveShare * (allowed - used));
      evolve(first);
      evaluator_.allow(allowed);
      polish();
    }
    gather();
  }

 private:
  struct Island {
    std::unique_ptr<Evaluator> evaluator;
    std::unique_ptr<Nsga2> population;
    std::uint64_t seed = 0;
    std::vector<Choices> coming, leaving;
  };

  [[nodiscard]] std::uint64_t first_number() const {
    return exchange_ ? static_cast<std::uint64_t>(exchange_->rank()) * static_cast<std::uint64_t>(options_.islands) : 0;
  }

  /// On all ranks or on none: what any of them says of the step that `work` is.
  template <typename Work>
  std::uint32_t together(Work work) {
    std::uint32_t signs = 0;
    std::exception_ptr error;
    try {
      signs = work();
    } catch (...) {
      error = std::current_exception();
      signs = kFailed;
    }
    if (exchange_) signs = exchange_->any(signs);
    if (error) std::rethrow_exception(error);
    if (signs & kFailed) throw Error(ErrorCode::internal, "another rank of the search failed");
    return signs;
  }

  void evolve(const std::vector<Choices>& first) {
    islands_.resize(static_cast<std::size_t>(options_.islands));
    int fruitless = 0;
    for (int epoch = 0; epoch < options_.most_epochs && fruitless < options_.patience; ++epoch) {
      const std::uint32_t signs = together([&] {
        for_each_of(islands_.size(), jobs_, [&](std::size_t k) {
          Island& island = islands_[k];
          if (!island.population) settle(island, first_number() + k, first);
          island.population->immigrate(island.coming);
          island.population->evolve(options_.generations);
          island.leaving = island.population->emigrants(kEmigrants);
        });
        return signs_of_epoch();
      });
      if (signs & kOutOfTime) return;
      fruitless = signs & kBetter ? 0 : fruitless + 1;
      migrate();
      const double share = std::max(static_cast<double>(epoch) / options_.most_epochs,
                                    0.5 * static_cast<double>(fruitless) / options_.patience);
      evaluator_.context().report("plan: nsga2", std::min(std::max(evaluator_.used(), share), 1.0));
    }
  }

  std::uint32_t signs_of_epoch() {
    std::uint32_t signs = evaluator_.out_of_time() ? kOutOfTime : 0;
    for (const Island& island : islands_) {
      const auto& best = island.evaluator->best();
      if (!best || (best_ && !better(best->score, *best_))) continue;
      best_ = best->score;
      signs |= kBetter;
    }
    return signs;
  }

  void settle(Island& island, std::uint64_t number, const std::vector<Choices>& first) {
    // Distinct for every island of every rank.
    island.seed = mix(options_.seed, number, 0);
    island.evaluator = std::make_unique<Evaluator>(evaluator_.problem(), plan_, quiet_);
    island.evaluator->keep_time_of(evaluator_);
    std::vector<Choices> mine;  // dealt out like cards
    const std::size_t islands = islands_.size();
    for (std::size_t j = number % islands; j < first.size(); j += islands) mine.push_back(first[j]);
    island.population = std::make_unique<Nsga2>(*island.evaluator, genome_, mine, options_.population, island.seed);
  }

  /// Island k's emigrants go to island k + 1, the last one's to the first of the next rank.
  void migrate() {
    std::vector<Choices> last = std::move(islands_.back().leaving);
    for (std::size_t k = islands_.size() - 1; k > 0; --k) islands_[k].coming = std::move(islands_[k - 1].leaving);
    islands_.front().coming =
        exchange_ ? unpacked<std::vector<Choices>>(exchange_->pass_on(packed(std::move(last)))) : std::move(last);
  }

  /// The islands' bests are alike by now; each looks round it with another seed.
  void polish() {
    (void)together([&] {
      for_each_of(islands_.size(), jobs_, [&](std::size_t k) {
        islands_[k].evaluator->keep_time_of(evaluator_);
        const auto best = islands_[k].evaluator->best();
        if (best) rtmdl::polish(*islands_[k].evaluator, *best, mix(islands_[k].seed, 0, 1), options_.polish);
      });
      return 0U;
    });
  }

  void gather() {
    for (const Island& island : islands_) evaluator_.absorb(island.evaluator->book());
    if (!exchange_) return;
    const std::vector<std::string> books = exchange_->to_first(packed(evaluator_.book()));
    for (std::size_t r = 1; r < books.size(); ++r) evaluator_.absorb(unpacked<Book>(books[r]));
  }

  Evaluator& evaluator_;
  const PlanOptions& plan_;
  IslandOptions options_;
  Exchange* exchange_;
  Genome genome_;
  Context quiet_;  ///< of the islands, which run in threads of their own
  std::size_t jobs_ = 1;
  std::vector<Island> islands_;
  std::optional<Score> best_;
};

}  // namespace

void search_islands(Evaluator& evaluator, const PlanOptions& plan, const IslandOptions& options, Exchange* exchange) {
  Archipelago(evaluator, plan, options, exchange).run();
}

}  // namespace rtmdl
