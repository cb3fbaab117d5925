#include "planning/relaxation.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rtmdl {
namespace {

constexpr int kPrices = 16;
constexpr double kLowestPrice = 1e-3, kHighestPrice = 30;  ///< loss for a whole processor
constexpr double kLossFloor = 1e-4;                        ///< a change that costs less is taken to cost this much
constexpr double kEqual = 1e-12;

class Knapsack {
 public:
  Knapsack(const Evaluator& evaluator, const std::vector<double>& room)
      : evaluator_(evaluator), room_(room), load_(room.size()) {
    for (std::size_t i = 0; i < evaluator.tasks(); ++i) {
      auto& mine = options_.emplace_back();
      for (std::size_t o = 0; o < evaluator.options_of(i); ++o)
        if (evaluator.possible(i, o)) mine.push_back(static_cast<int>(o));
      if (mine.empty()) mine.push_back(0);
    }
  }

  Choices solve() {
    Choices best;
    double least = std::numeric_limits<double>::infinity(), least_excess = least;
    for (int k = 0; k < kPrices; ++k) {
      take(kLowestPrice * std::pow(kHighestPrice / kLowestPrice, k / (kPrices - 1.0)));
      repair();
      const double excess = beyond();
      if (excess <= kEqual) fill();
      const double loss = evaluator_.loss(choices_);
      if (excess < least_excess - kEqual || (excess <= least_excess + kEqual && loss < least)) {
        least_excess = excess;
        least = loss;
        best = choices_;
      }
    }
    return best;
  }

 private:
  double utilisation(std::size_t i, int o, std::size_t p) const {
    return evaluator_.utilisation(i, static_cast<std::size_t>(o), p);
  }
  double loss(std::size_t i, int o) const { return evaluator_.loss(i, static_cast<std::size_t>(o)); }

  double beyond() const {
    double sum = 0;
    for (std::size_t p = 0; p < room_.size(); ++p) sum += std::max(load_[p] - room_[p], 0.0);
    return sum;
  }

  void change(std::size_t i, int o) {
    for (std::size_t p = 0; p < room_.size(); ++p)
      load_[p] += utilisation(i, o, p) - utilisation(i, choices_[i].option, p);
    choices_[i].option = o;
  }

  /// Each task's best option where utilisation has this price on every processor. Of those that cost the same (the same
  /// variant elsewhere) the one on the emptier processor, the largest tasks first.
  void take(double price) {
    choices_.assign(evaluator_.tasks(), {});
    std::fill(load_.begin(), load_.end(), 0.0);
    const auto cost = [&](std::size_t i, int o) {
      double sum = loss(i, o);
      for (std::size_t p = 0; p < room_.size(); ++p) sum += price * utilisation(i, o, p);
      return sum;
    };
    std::vector<std::pair<double, std::size_t>> by_size;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      choices_[i].option = *std::min_element(options_[i].begin(), options_[i].end(),
                                             [&](int a, int b) { return cost(i, a) < cost(i, b); });
      double size = 0;
      for (std::size_t p = 0; p < room_.size(); ++p) size -= utilisation(i, choices_[i].option, p);
      by_size.emplace_back(size, i);
    }
    std::sort(by_size.begin(), by_size.end());
    for (const auto& [size, i] : by_size) {
      const double accepted = cost(i, choices_[i].option) + price * 0.02 * -size + kEqual;
      double least = std::numeric_limits<double>::infinity();
      int best = choices_[i].option;
      for (const int o : options_[i]) {
        if (cost(i, o) > accepted) continue;
        double fullest = 0;
        for (std::size_t p = 0; p < room_.size(); ++p)
          fullest = std::max(fullest, (load_[p] + utilisation(i, o, p)) / std::max(room_[p], 1e-6));
        if (fullest < least) least = fullest, best = o;
      }
      choices_[i].option = best;
      for (std::size_t p = 0; p < room_.size(); ++p) load_[p] += utilisation(i, best, p);
    }
  }

  /// As long as a processor has too much: the change that takes most of it away per loss.
  void repair() {
    for (double now = beyond(); now > kEqual; now = beyond()) {
      double best = 0;
      std::size_t task = 0;
      int option = -1;
      for (std::size_t i = 0; i < choices_.size(); ++i) {
        for (const int o : options_[i]) {
          double after = 0;
          for (std::size_t p = 0; p < room_.size(); ++p)
            after += std::max(load_[p] + utilisation(i, o, p) - utilisation(i, choices_[i].option, p) - room_[p], 0.0);
          if (after > now - kEqual) continue;
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
        for (const int o : options_[i]) {
          const double won = loss(i, choices_[i].option) - loss(i, o);
          if (won <= kEqual) continue;
          double taken = 1e-9;
          bool fits = true;
          for (std::size_t p = 0; p < room_.size() && fits; ++p) {
            const double more = utilisation(i, o, p) - utilisation(i, choices_[i].option, p);
            fits = more <= 0 || load_[p] + more <= room_[p];
            taken += std::max(more, 0.0);
          }
          if (fits && won / taken > best) best = won / taken, task = i, option = o;
        }
      }
      if (option < 0) return;
      change(task, option);
    }
  }

  const Evaluator& evaluator_;
  const std::vector<double>& room_;
  std::vector<std::vector<int>> options_;  ///< per task: possible ones
  std::vector<double> load_;               ///< of choices_
  Choices choices_;
};

}  // namespace

Choices relaxed_choices(const Evaluator& evaluator, const std::vector<double>& room) {
  return Knapsack(evaluator, room).solve();
}

}  // namespace rtmdl
