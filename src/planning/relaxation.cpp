#include "planning/relaxation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <tuple>
#include <utility>

namespace rtmdl {
namespace {

constexpr int kLadder = 8;  ///< prices from 2^-8 to 2^8 of the usual one
constexpr int kPriceSteps = 150;
constexpr double kFirstPriceStep = 6;  ///< exponent per share of a resource that is too much
constexpr double kAboutEqual = 0.02;   ///< of what an option's use costs
constexpr std::size_t kMostExchanged = 300;
constexpr int kExchangePasses = 40;
constexpr int kPerturbations = 40, kPerturbed = 3;
constexpr double kSameUse = 1e-12;
constexpr double kLeastWatts = 1e-6;
constexpr double kLossFloor = 1e-4;  ///< a change that costs less is taken to cost this much

class Knapsack {
 public:
  Knapsack(const Evaluator& evaluator, const std::vector<double>& room) : room_(room) {
    const PlanProblem& problem = evaluator.problem();
    if (problem.storage) room_.push_back(1);
    if (problem.memory) room_.push_back(1);
    if (problem.power_limit) room_.push_back(1);
    const double spare_watts = problem.power_limit.value_or(0) - evaluator.idle_watts();
    used_.resize(room_.size());
    for (std::size_t i = 0; i < evaluator.tasks(); ++i) {
      auto& mine = options_.emplace_back();
      for (std::size_t o = 0; o < evaluator.options_of(i); ++o)
        if (evaluator.possible(i, o)) mine.push_back(static_cast<int>(o));
      if (mine.empty()) {
        mine.resize(evaluator.options_of(i));
        std::iota(mine.begin(), mine.end(), 0);
      }
      first_.push_back(loss_.size());
      for (std::size_t o = 0; o < evaluator.options_of(i); ++o) {
        const TaskOption& option = problem.tasks[i].options[o];
        loss_.push_back(evaluator.loss(i, o));
        for (std::size_t p = 0; p < room.size(); ++p) use_.push_back(evaluator.utilisation(i, o, p));
        if (problem.storage) use_.push_back(share(option.bytes, *problem.storage));
        if (problem.memory) use_.push_back(share(option.memory, *problem.memory));
        if (problem.power_limit) use_.push_back(evaluator.watts(i, o) / std::max(spare_watts, kLeastWatts));
      }
    }
  }

  /// One choice, close to the optimum: at the prices that bound it best, then mended, filled and exchanged; then the
  /// same after a few tasks were moved elsewhere by chance (iterated local search).
  Choices best(std::uint64_t seed) {
    const Dual at = dual();
    take(at.price);
    repair();
    if (beyond() > kSameUse) return choices_;
    fill();
    const std::vector<Move> moves = moves_within_gap(at);
    exchange(moves);
    std::mt19937_64 random(seed);
    Choices best = choices_;
    std::vector<double> best_used = used_;
    double least = total_loss();
    for (int k = 0; k < kPerturbations && moves.size() > choices_.size(); ++k) {
      for (int change_of = 0; change_of < kPerturbed; ++change_of) {
        const Move& m = moves[random() % moves.size()];
        change(m.task, m.option);
      }
      repair();
      fill();
      exchange(moves);
      if (beyond() <= kSameUse && total_loss() <= least) {
        least = total_loss(), best = choices_, best_used = used_;
      } else {
        choices_ = best, used_ = best_used;
      }
    }
    return choices_;
  }

  std::vector<Choices> all() {
    best(1);
    keep();
    const double usual = usual_price();
    for (int k = -kLadder; k <= kLadder; ++k) {
      take(std::vector<double>(room_.size(), std::ldexp(usual, k)));
      keep();
      repair();
      keep();
      if (beyond() > kSameUse) continue;
      fill();
      keep();
    }
    std::stable_sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
      if (std::abs(a.beyond - b.beyond) > kSameUse) return a.beyond < b.beyond;
      return a.loss < b.loss;
    });
    std::vector<Choices> choices;
    for (Found& f : found_) choices.push_back(std::move(f.choices));
    return choices;
  }

 private:
  struct Found {
    Choices choices;
    double beyond = 0, loss = 0;
  };
  struct Dual {
    std::vector<double> price;  ///< per resource
    double bound = -kInfinity;  ///< no choice that fits has less loss
  };
  struct Move {
    double reduced_cost = 0;
    std::size_t task = 0;
    int option = 0;
  };

  static double share(std::int64_t bytes, std::int64_t bound) {
    return static_cast<double>(bytes) / static_cast<double>(std::max<std::int64_t>(bound, 1));
  }
  std::size_t place(std::size_t i, int o) const { return first_[i] + static_cast<std::size_t>(o); }
  double loss(std::size_t i, int o) const { return loss_[place(i, o)]; }
  const double* use(std::size_t i, int o) const { return &use_[place(i, o) * room_.size()]; }
  double sum_of(std::size_t i, int o) const { return std::accumulate(use(i, o), use(i, o) + room_.size(), 0.0); }
  double price_of(std::size_t i, int o, const std::vector<double>& price) const {
    return std::inner_product(price.begin(), price.end(), use(i, o), 0.0);
  }
  double cost(std::size_t i, int o, const std::vector<double>& price) const {
    return loss(i, o) + price_of(i, o, price);
  }
  int cheapest(std::size_t i, const std::vector<double>& price) const {
    int best = options_[i].front();
    double least = kInfinity;
    for (const int o : options_[i]) {
      const double c = cost(i, o, price);
      if (c < least) least = c, best = o;
    }
    return best;
  }

  /// What use costs in accuracy where both are chosen from: the loss that tasks may have, by what that may free.
  double usual_price() const {
    double losses = 0, uses = 0;
    for (std::size_t i = 0; i < options_.size(); ++i) {
      double least = kInfinity, most = 0, low = least, high = 0;
      for (const int o : options_[i]) {
        least = std::min(least, loss(i, o)), most = std::max(most, loss(i, o));
        low = std::min(low, sum_of(i, o)), high = std::max(high, sum_of(i, o));
      }
      losses += most - least;
      uses += high - low;
    }
    return losses > 0 && uses > 0 ? losses / uses : 1;
  }

  /// A price per resource, by multiplicative steps along the subgradient: dearer what is short, cheaper what is left.
  Dual dual() const {
    std::vector<double> price(room_.size(), usual_price()), used(room_.size());
    Dual best;
    for (int step = 0; step < kPriceSteps; ++step) {
      std::fill(used.begin(), used.end(), 0.0);
      double bound = -std::inner_product(price.begin(), price.end(), room_.begin(), 0.0);
      for (std::size_t i = 0; i < options_.size(); ++i) {
        const int o = cheapest(i, price);
        bound += cost(i, o, price);
        for (std::size_t r = 0; r < used.size(); ++r) used[r] += use(i, o)[r];
      }
      if (bound > best.bound) best = {price, bound};
      for (std::size_t r = 0; r < used.size(); ++r) {
        const double scarce = std::clamp(used[r] / std::max(room_[r], 1e-6) - 1, -1.0, 1.0);
        price[r] *= std::exp(kFirstPriceStep / (1 + 0.2 * step) * scarce);
      }
    }
    return best;
  }

  double beyond() const {
    double sum = 0;
    for (std::size_t r = 0; r < room_.size(); ++r) sum += std::max(used_[r] - room_[r], 0.0);
    return sum;
  }

  double total_loss() const {
    double sum = 0;
    for (std::size_t i = 0; i < choices_.size(); ++i) sum += loss(i, choices_[i].option);
    return sum;
  }

  void keep() {
    std::vector<int> options;
    for (const Choice& c : choices_) options.push_back(c.option);
    if (seen_.insert(std::move(options)).second) found_.push_back({choices_, beyond(), total_loss()});
  }

  void change(std::size_t i, int o) {
    for (std::size_t r = 0; r < room_.size(); ++r) used_[r] += use(i, o)[r] - use(i, choices_[i].option)[r];
    choices_[i].option = o;
  }

  /// Each task's best option at these prices. Of those that cost about the same (a variant elsewhere) the one that
  /// leaves most room, the largest tasks first.
  void take(const std::vector<double>& price) {
    choices_.assign(options_.size(), {});
    std::fill(used_.begin(), used_.end(), 0.0);
    std::vector<std::pair<double, std::size_t>> by_size;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      choices_[i].option = cheapest(i, price);
      by_size.emplace_back(-sum_of(i, choices_[i].option), i);
    }
    std::sort(by_size.begin(), by_size.end());
    for (const auto& [size, i] : by_size) {
      int best = choices_[i].option;
      const double accepted = cost(i, best, price) + kAboutEqual * price_of(i, best, price) + kSameUse;
      double least = kInfinity;
      for (const int o : options_[i]) {
        if (cost(i, o, price) > accepted) continue;
        double fullest = 0;
        for (std::size_t r = 0; r < room_.size(); ++r)
          fullest = std::max(fullest, (used_[r] + use(i, o)[r]) / std::max(room_[r], 1e-6));
        if (fullest < least) least = fullest, best = o;
      }
      choices_[i].option = best;
      for (std::size_t r = 0; r < room_.size(); ++r) used_[r] += use(i, best)[r];
    }
  }

  /// As long as there is too much of a resource: the change that takes most of it away per loss.
  void repair() {
    for (double now = beyond(); now > kSameUse; now = beyond()) {
      double best = 0;
      std::size_t task = 0;
      int option = -1;
      for (std::size_t i = 0; i < choices_.size(); ++i) {
        const double* mine = use(i, choices_[i].option);
        for (const int o : options_[i]) {
          double after = 0;
          for (std::size_t r = 0; r < room_.size(); ++r)
            after += std::max(used_[r] + use(i, o)[r] - mine[r] - room_[r], 0.0);
          if (after > now - kSameUse) continue;
          const double worth = (now - after) / std::max(loss(i, o) - loss(i, choices_[i].option), kLossFloor);
          if (worth > best) best = worth, task = i, option = o;
        }
      }
      if (option < 0) return;
      change(task, option);
    }
  }

  /// Uses the room that is left: the change that wins most loss for the room it takes, as long as there is one.
  void fill() {
    for (;;) {
      double best = 0;
      std::size_t task = 0;
      int option = -1;
      for (std::size_t i = 0; i < choices_.size(); ++i) {
        const double* mine = use(i, choices_[i].option);
        for (const int o : options_[i]) {
          const double won = loss(i, choices_[i].option) - loss(i, o);
          if (won <= kSameUse) continue;
          double taken = 1e-9;
          bool fits = true;
          for (std::size_t r = 0; r < room_.size() && fits; ++r) {
            const double more = use(i, o)[r] - mine[r];
            fits = more <= 0 || used_[r] + more <= room_[r];
            taken += std::max(more, 0.0);
          }
          if (fits && won / taken > best) best = won / taken, task = i, option = o;
        }
      }
      if (option < 0) return;
      change(task, option);
    }
  }

  /// Options whose reduced cost is not beyond the gap to the bound: others are in no better choice (reduced-cost
  /// fixing).
  std::vector<Move> moves_within_gap(const Dual& dual) const {
    const std::vector<double>& price = dual.price;
    const double gap = total_loss() - dual.bound;
    std::vector<Move> moves;
    for (std::size_t i = 0; i < options_.size(); ++i) {
      const double least = cost(i, cheapest(i, price), price);
      for (const int o : options_[i]) {
        const double reduced = cost(i, o, price) - least;
        if (reduced <= gap + kSameUse) moves.push_back({reduced, i, o});
      }
    }
    std::sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) {
      return std::tie(a.reduced_cost, a.task, a.option) < std::tie(b.reduced_cost, b.task, b.option);
    });
    if (moves.size() > kMostExchanged) moves.resize(kMostExchanged);
    return moves;
  }

  /// Changes two tasks at once as long as that wins loss.
  void exchange(const std::vector<Move>& moves) {
    const auto won = [&](const Move& m) { return loss(m.task, choices_[m.task].option) - loss(m.task, m.option); };
    const auto fits_with = [&](const Move& a, const Move& b) {
      for (std::size_t r = 0; r < room_.size(); ++r) {
        const double after = used_[r] + use(a.task, a.option)[r] - use(a.task, choices_[a.task].option)[r] +
                             use(b.task, b.option)[r] - use(b.task, choices_[b.task].option)[r];
        if (after > room_[r] + kSameUse) return false;
      }
      return true;
    };
    for (int pass = 0; pass < kExchangePasses; ++pass) {
      bool better = false;
      for (const Move& a : moves) {
        if (choices_[a.task].option == a.option || won(a) <= 0) continue;
        double most = kLossFloor * 1e-3;
        const Move* with = nullptr;
        for (const Move& b : moves) {
          if (b.task == a.task) continue;
          const double both = won(a) + won(b);  // b may be what the task has already: then a alone
          if (both > most && fits_with(a, b)) most = both, with = &b;
        }
        if (!with) continue;
        change(a.task, a.option);
        change(with->task, with->option);
        better = true;
      }
      if (!better) return;
    }
  }

  std::vector<double> room_;               ///< per resource: the processors, then storage, memory and power
  std::vector<std::vector<int>> options_;  ///< per task: possible ones, or all
  std::vector<std::size_t> first_;         ///< per task: where its options begin in loss_
  std::vector<double> loss_;               ///< per option
  std::vector<double> use_;                ///< [option][resource], as shares of what there is
  std::vector<double> used_;               ///< by choices_
  Choices choices_;
  std::vector<Found> found_;
  std::set<std::vector<int>> seen_;
};

}  // namespace

Choices relaxation(const Evaluator& evaluator, const std::vector<double>& room, std::uint64_t seed) {
  return Knapsack(evaluator, room).best(seed);
}

std::vector<Choices> relaxations(const Evaluator& evaluator, const std::vector<double>& room) {
  return Knapsack(evaluator, room).all();
}

}  // namespace rtmdl
