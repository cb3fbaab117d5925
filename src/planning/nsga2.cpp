// The one file that includes pagmo, whose headers take long to compile.
#include "planning/nsga2.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include <pagmo/algorithms/nsga2.hpp>
#include <pagmo/population.hpp>
#include <pagmo/problem.hpp>
#include <pagmo/utils/multi_objective.hpp>

namespace rtmdl {
namespace {

constexpr double kCrossover = 0.9, kCrossoverSpread = 10;
constexpr double kMutationSpread = 5;  ///< wide: a key has to pass others to change anything
constexpr double kHopeless = 3;        ///< second objective of what is not simulated, at the least
constexpr double kTightness = 1e-3;    ///< of strategies that exceed the limits alike, the one with more room is nearer

struct OutOfTime {};

}  // namespace

struct Nsga2::State {
  Evaluator& evaluator;
  const Genome& genome;
  double loss_range = 0;  ///< between the most and the least that strategies may lose
  std::unordered_map<std::string, pagmo::vector_double> known;
  std::optional<pagmo::population> population;
  std::optional<pagmo::nsga2> algorithm;

  State(Evaluator& e, const Genome& g) : evaluator(e), genome(g) {
    for (std::size_t i = 0; i < e.tasks(); ++i) {
      double least = e.loss(i, index(g.open(i).front())), most = least;
      for (const int o : g.open(i))
        least = std::min(least, e.loss(i, index(o))), most = std::max(most, e.loss(i, index(o)));
      loss_range += most - least;
    }
  }

  pagmo::vector_double objectives(const pagmo::vector_double& genes) {
    const Choices choices = genome.decode(genes);
    std::string key;
    for (const Choice& c : choices) {
      for (const int part : {c.option, c.priority}) {
        key += static_cast<char>(part & 0xff);
        key += static_cast<char>(part >> 8 & 0xff);
      }
    }
    if (const auto found = known.find(key); found != known.end()) return found->second;
    if (evaluator.out_of_time()) throw OutOfTime{};
    return known.emplace(std::move(key), judge(choices)).first->second;
  }

  pagmo::vector_double judge(const Choices& choices) {
    const double behind = evaluator.fits(choices) ? 0 : loss_range;
    const bool any = evaluator.best() && evaluator.best()->score.feasible;
    if (any && !evaluator.promising(choices))
      return {evaluator.loss(choices) + loss_range, kHopeless + overload(choices)};
    const std::optional<Strategy> strategy = evaluator.evaluate(choices, false);
    const Score& score = strategy->score;
    const double second =
        score.feasible ? score.miss_rate : 1 + score.excess + kTightness * std::min(score.tightness, 100.0);
    return {score.loss + behind, second};
  }

  /// How far beyond what the processors can give: only to prefer the nearer.
  [[nodiscard]] double overload(const Choices& choices) const {
    double sum = 0;
    for (std::size_t p = 0; p < evaluator.problem().processors.size(); ++p) {
      double demand = 0;
      for (std::size_t i = 0; i < choices.size(); ++i)
        demand += static_cast<double>(evaluator.demand(i, index(choices[i].option), p));
      const double capacity = static_cast<double>(std::max<std::int64_t>(evaluator.capacity(p), 1));
      sum += std::max(demand / capacity - 1, 0.0);
    }
    return sum;
  }
};

namespace {

/// The problem as pagmo wants it. Copies of it work on the same state, which one thread at a time uses.
struct Encoded {
  std::function<pagmo::vector_double(const pagmo::vector_double&)> objectives;
  std::pair<pagmo::vector_double, pagmo::vector_double> bounds;
  pagmo::vector_double::size_type integers = 0;

  [[nodiscard]] pagmo::vector_double fitness(const pagmo::vector_double& genes) const { return objectives(genes); }
  [[nodiscard]] std::pair<pagmo::vector_double, pagmo::vector_double> get_bounds() const { return bounds; }
  [[nodiscard]] pagmo::vector_double::size_type get_nobj() const { return 2; }
  [[nodiscard]] pagmo::vector_double::size_type get_nix() const { return integers; }
};

/// pagmo's seeds have 32 bits.
unsigned short_seed(std::uint64_t seed) { return static_cast<unsigned>(seed ^ seed >> 32); }

}  // namespace

Nsga2::Nsga2(Evaluator& evaluator, const Genome& genome, const std::vector<Choices>& first, int population,
             std::uint64_t seed)
    : state_(std::make_unique<State>(evaluator, genome)) {
  State& state = *state_;
  Encoded encoded;
  encoded.objectives = [&state](const pagmo::vector_double& genes) { return state.objectives(genes); };
  encoded.bounds = genome.bounds();
  encoded.integers = genome.integers();
  state.population.emplace(encoded, 0U, short_seed(seed));
  state.algorithm.emplace(1U, kCrossover, kCrossoverSpread, 1.0 / static_cast<double>(genome.size()), kMutationSpread,
                          short_seed(seed * 0x9e3779b97f4a7c15U + 1));
  try {
    for (const Choices& choices : first) {
      if (state.population->size() < static_cast<std::size_t>(population))
        state.population->push_back(genome.encode(choices));
    }
    while (state.population->size() < static_cast<std::size_t>(population))
      state.population->push_back(state.population->random_decision_vector());
  } catch (const OutOfTime&) {
    state.population.reset();
  }
}

Nsga2::~Nsga2() = default;

void Nsga2::evolve(int generations) {
  try {
    for (int g = 0; g < generations && state_->population && !state_->evaluator.out_of_time(); ++g)
      state_->population = state_->algorithm->evolve(*state_->population);
  } catch (const OutOfTime&) {  // the population is that of the last whole generation, the book has all
  }
}

std::vector<Choices> Nsga2::emigrants(std::size_t count) const {
  std::vector<Choices> choices;
  if (const auto& best = state_->evaluator.best()) choices.push_back(best->choices);
  if (!state_->population) return choices;
  for (const auto i : pagmo::sort_population_mo(state_->population->get_f())) {
    if (choices.size() >= count) break;
    Choices next = state_->genome.decode(state_->population->get_x()[i]);
    choices.push_back(std::move(next));
  }
  return choices;
}

void Nsga2::immigrate(const std::vector<Choices>& choices) {
  if (!state_->population) return;
  pagmo::population& population = *state_->population;
  const auto order = pagmo::sort_population_mo(population.get_f());
  try {
    for (std::size_t k = 0; k < std::min(choices.size(), order.size()); ++k) {
      const pagmo::vector_double genes = state_->genome.encode(choices[k]);
      population.set_xf(order[order.size() - 1 - k], genes, state_->objectives(genes));
    }
  } catch (const OutOfTime&) {
  }
}

}  // namespace rtmdl
