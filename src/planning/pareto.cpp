#include "planning/pareto.h"

#include "planning/evaluator.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <utility>

namespace rtmdl {
namespace {

constexpr double kLeastTradeLoss = 1e-4;  ///< a step that costs less is taken to cost this much
constexpr double kMostFrontJobs = 1.5e6;  ///< simulated in all
constexpr int kFewest = 20;

bool covers(const ParetoPoint& a, const ParetoPoint& b) {
  return a.accuracy_loss <= b.accuracy_loss + kSameLoss && a.miss_rate <= b.miss_rate + kSameLoss;
}

void insert(std::vector<ParetoPoint>& front, const ParetoPoint& point) {
  const auto place =
      std::lower_bound(front.begin(), front.end(), point,
                       [](const ParetoPoint& a, const ParetoPoint& b) { return a.accuracy_loss < b.accuracy_loss; });
  front.insert(place, point);
}

class FrontSearch {
 public:
  FrontSearch(Evaluator& evaluator, std::uint64_t seed, Duration simulated)
      : evaluator_(evaluator),
        random_(seed),
        dm_(deadline_monotonic_order(evaluator.problem())),
        start_(*evaluator.best()) {
    double jobs = 0;
    for (const PlanTask& task : evaluator.problem().tasks)
      jobs += static_cast<double>(simulated.count()) / static_cast<double>(mean_interval(task).count());
    const int most = 60 + 10 * static_cast<int>(evaluator.tasks());
    left_ = std::clamp(static_cast<int>(kMostFrontJobs / std::max(jobs, 1.0)), kFewest, most);
  }

  void run() {
    const int half = left_ / 2;
    walk(true, left_ - half / 2);
    walk(false, left_ - half / 2);
    polish();
  }

 private:
  bool over() const { return left_ <= 0 || evaluator_.out_of_time(); }

  /// The miss rate, if it was not known.
  std::optional<double> look(const Choices& choices) {
    std::vector<int> key;
    for (const Choice& c : choices) key.insert(key.end(), {c.option, c.priority});
    if (over() || !seen_.insert(std::move(key)).second) return std::nullopt;
    --left_;
    const auto strategy = evaluator_.evaluate(choices, false);
    return strategy ? std::optional(strategy->score.miss_rate) : std::nullopt;
  }

  /// Of changing one option: what the loads' squares sum up to less.
  double relief(const std::vector<double>& load, std::size_t task, int from, int to) const {
    double sum = 0;
    for (std::size_t p = 0; p < load.size(); ++p) {
      const double after =
          load[p] - evaluator_.utilisation(task, index(from), p) + evaluator_.utilisation(task, index(to), p);
      sum += load[p] * load[p] - after * after;
    }
    return sum;
  }

  /// Down: less work for the least loss, until nothing is missed. Up: less loss for the least work. Ends when fewer
  /// than `reserve` simulations are left.
  void walk(bool down, int reserve) {
    Choices choices = start_.choices;
    std::vector<double> load = evaluator_.utilisation(choices);
    double misses = start_.score.miss_rate;
    while (!over() && left_ > reserve - 1 && (!down || misses > 0)) {
      double best = 0;
      std::pair<std::size_t, int> step{0, -1};
      for (std::size_t i = 0; i < evaluator_.tasks(); ++i) {
        const int now = choices[i].option;
        for (int o = 0; o < static_cast<int>(evaluator_.options_of(i)); ++o) {
          const double eased = relief(load, i, now, o);
          const double loss = evaluator_.loss(i, index(o)) - evaluator_.loss(i, index(now));
          const double worth = down ? eased / std::max(loss, kLeastTradeLoss) : -loss / std::max(-eased, 1e-9);
          if ((down ? eased > 1e-12 : loss < -kSameLoss) && worth > best) best = worth, step = {i, o};
        }
      }
      if (step.second < 0) return;
      for (std::size_t p = 0; p < load.size(); ++p)
        load[p] += evaluator_.utilisation(step.first, index(step.second), p) -
                   evaluator_.utilisation(step.first, index(choices[step.first].option), p);
      choices[step.first].option = step.second;
      misses = look(choices).value_or(misses);
      Choices ordered = choices;
      set_priorities(ordered, dm_);
      misses = std::min(misses, look(ordered).value_or(misses));
    }
  }

  int pick(std::size_t count) { return static_cast<int>(random_() % static_cast<std::uint64_t>(count)); }

  void polish() {
    for (int tries = 20 * left_; tries > 0 && !over(); --tries) {
      const std::vector<ParetoPoint> front = evaluator_.pareto();
      if (front.empty()) return;
      Choices choices = front[index(pick(front.size()))].choices;
      if (choices.size() > 1 && pick(2) == 0) {
        const int upper = 1 + pick(choices.size() - 1);
        for (Choice& c : choices)
          if (c.priority == upper || c.priority == upper + 1) c.priority = 2 * upper + 1 - c.priority;
      } else {
        const std::size_t task = index(pick(choices.size()));
        choices[task].option = pick(evaluator_.options_of(task));
      }
      static_cast<void>(look(choices));
    }
  }

  Evaluator& evaluator_;
  std::mt19937_64 random_;
  std::vector<int> dm_;
  Strategy start_;
  int left_ = 0;
  std::set<std::vector<int>> seen_;
};

}  // namespace

void ParetoFront::enter(double accuracy_loss, double miss_rate, bool feasible, const Choices& choices) {
  ParetoPoint point{accuracy_loss, miss_rate, feasible, false, {}};
  std::vector<ParetoPoint>& front = feasible ? feasible_ : broken_;
  if (std::any_of(front.begin(), front.end(), [&](const ParetoPoint& other) { return covers(other, point); })) return;
  std::erase_if(front, [&](const ParetoPoint& other) { return covers(point, other); });
  point.choices = choices;
  insert(front, point);
}

std::vector<ParetoPoint> ParetoFront::points() const {
  std::vector<ParetoPoint> all = feasible_;
  for (const ParetoPoint& point : broken_) {
    const bool apart = std::none_of(feasible_.begin(), feasible_.end(), [&](const ParetoPoint& other) {
      return covers(other, point) || covers(point, other);
    });
    if (apart) insert(all, point);
  }
  return all;
}

std::vector<ParetoPoint> with_chosen(std::vector<ParetoPoint> points, ParetoPoint chosen) {
  for (ParetoPoint& point : points) point.chosen = false;
  for (ParetoPoint& point : points) {
    point.chosen = std::abs(point.accuracy_loss - chosen.accuracy_loss) <= kSameLoss &&
                   std::abs(point.miss_rate - chosen.miss_rate) <= kSameLoss && point.feasible == chosen.feasible;
    if (!point.chosen) continue;
    point.choices = chosen.choices;
    return points;
  }
  if (!chosen.feasible) return points;
  chosen.chosen = true;
  std::erase_if(points, [&](const ParetoPoint& point) { return covers(point, chosen) || covers(chosen, point); });
  insert(points, chosen);
  return points;
}

const ParetoPoint* least_weighted(const std::vector<ParetoPoint>& feasible, double miss_weight) {
  const ParetoPoint* best = nullptr;
  const auto sum = [&](const ParetoPoint& p) { return p.accuracy_loss + miss_weight * p.miss_rate; };
  for (const ParetoPoint& point : feasible)
    if (best == nullptr || sum(point) < sum(*best) - kSameLoss) best = &point;
  return best;
}

void search_front(Evaluator& evaluator, std::uint64_t seed, Duration simulated) {
  if (!evaluator.best()) return;
  const Score& best = evaluator.best()->score;
  if (best.feasible && best.miss_rate <= 0 && evaluator.at_least_loss()) return;  // nothing is better in anything
  FrontSearch(evaluator, seed, simulated).run();
}

}  // namespace rtmdl
