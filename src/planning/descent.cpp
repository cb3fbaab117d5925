#include "planning/descent.h"

#include "planning/climb.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <utility>

namespace rtmdl {
namespace {

constexpr double kLeastStepLoss = 1e-3;  ///< a step that costs less than this is taken to cost this much
constexpr std::size_t kSimulatedSteps = 3;
constexpr double kFinestStep = 0.001, kCoarseStep = 0.01;  ///< of climbing, where there are many tasks and few
constexpr int kClimbsInTurn = 12, kPatienceInTurn = 100;   ///< where there are many, both in turn
constexpr int kSimulationsInTurn = 600;                    ///< of both, about

struct Step {
  std::size_t task = 0;
  int option = 0;
  double worth = 0;
};

class Descent {
 public:
  Descent(Evaluator& evaluator, std::uint64_t seed, int patience)
      : evaluator_(evaluator), climb_(evaluator), random_(seed), patience_(patience) {}

  void run() {
    Choices choices = source_choices(evaluator_.problem());
    set_priorities(choices, deadline_monotonic_order(evaluator_.problem()));
    const auto start = evaluator_.evaluate(choices, false);
    if (!start) return;
    current_ = *start;
    if (lower_to_capacity()) {
      if (const auto s = evaluator_.evaluate(current_.choices, false)) current_ = *s;
    }
    climb_.run(large() ? kFinestStep : kCoarseStep);
    if (evaluator_.best() && better(evaluator_.best()->score, current_.score)) current_ = *evaluator_.best();
    while (!current_.score.feasible && !over() && lower_once()) {
    }
    if (evaluator_.best()) current_ = *evaluator_.best();
    for (int fruitless = 0; large() && fruitless * kSimulationsInTurn < patience_ && !over();) {
      if (!current_.score.feasible || evaluator_.at_least_loss()) break;
      const double loss = current_.score.loss;
      climb_.go_on_from(current_);
      for (int k = 0; k < kClimbsInTurn && !over(); ++k) climb_.try_again(random_());
      current_ = *evaluator_.best();
      polish(kPatienceInTurn);
      fruitless = current_.score.loss < loss ? 0 : fruitless + 1;
    }
    polish(patience_);
  }

  void run_from(const Strategy& start) {
    current_ = start;
    polish(patience_);
  }

 private:
  bool over() const { return evaluator_.out_of_time(); }
  /// Whether a simulation takes so long that a quick look before it pays.
  bool large() const { return evaluator_.tasks() > 10; }

  /// Steps without simulation, each the one that takes most of what processors are asked for beyond what they have, per
  /// loss.
  bool lower_to_capacity() {
    const std::size_t processors = evaluator_.problem().processors.size();
    std::vector<double> load = evaluator_.utilisation(current_.choices);
    for (bool changed = false;; changed = true) {
      Step best;
      for (std::size_t i = 0; i < evaluator_.tasks(); ++i) {
        const int now = current_.choices[i].option;
        for (int o = 0; o < static_cast<int>(evaluator_.options_of(i)); ++o) {
          double relief = 0;
          for (std::size_t p = 0; p < processors; ++p) {
            const double after = load[p] + utilisation(i, o, p) - utilisation(i, now, p);
            relief += std::max(load[p] - 1, 0.0) - std::max(after - 1, 0.0);
          }
          if (relief <= 1e-9) continue;
          const double worth =
              relief / std::max(evaluator_.loss(i, index(o)) - evaluator_.loss(i, index(now)), kLeastStepLoss);
          if (worth > best.worth) best = {i, o, worth};
        }
      }
      if (best.worth <= 0 || over()) return changed;
      for (std::size_t p = 0; p < processors; ++p) {
        load[p] +=
            utilisation(best.task, best.option, p) - utilisation(best.task, current_.choices[best.task].option, p);
      }
      current_.choices[best.task].option = best.option;
    }
  }

  double utilisation(std::size_t task, int option, std::size_t p) const {
    return evaluator_.utilisation(task, index(option), p);
  }

  /// Options that relieve `pressure`, the best relief per loss first.
  std::vector<Step> steps_down(const std::vector<double>& pressure, bool smaller) const {
    const PlanProblem& problem = evaluator_.problem();
    std::vector<Step> steps;
    for (std::size_t i = 0; i < evaluator_.tasks(); ++i) {
      const int now = current_.choices[i].option;
      for (int o = 0; o < static_cast<int>(evaluator_.options_of(i)); ++o) {
        if (o == now) continue;
        double relief = 0;
        for (std::size_t p = 0; p < pressure.size(); ++p)
          relief += pressure[p] * (utilisation(i, now, p) - utilisation(i, o, p));
        const auto& from = problem.tasks[i].options[index(now)];
        const auto& to = problem.tasks[i].options[index(o)];
        if (smaller && problem.storage) {
          relief += static_cast<double>(from.bytes - to.bytes) /
                    static_cast<double>(std::max<std::int64_t>(*problem.storage, 1));
        }
        if (smaller && problem.memory) {
          relief += static_cast<double>(from.memory - to.memory) /
                    static_cast<double>(std::max<std::int64_t>(*problem.memory, 1));
        }
        if (smaller && problem.power_limit)
          relief += (evaluator_.watts(i, index(now)) - evaluator_.watts(i, index(o))) / *problem.power_limit;
        if (!evaluator_.possible(i, index(now)) && evaluator_.possible(i, index(o))) relief += 1;
        if (relief <= 1e-12) continue;
        const double cost = evaluator_.loss(i, index(o)) - evaluator_.loss(i, index(now));
        steps.push_back({i, o, relief / std::max(cost, kLeastStepLoss)});
      }
    }
    std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
      return a.worth != b.worth ? a.worth > b.worth : std::pair(a.task, a.option) < std::pair(b.task, b.option);
    });
    return steps;
  }

  bool lower_once() {
    const PlanProblem& problem = evaluator_.problem();
    std::vector<double> pressure(problem.processors.size(), 0.0);
    for (std::size_t i = 0; i < evaluator_.tasks(); ++i) {
      const double limit = problem.tasks[i].hard ? 0 : problem.tasks[i].miss_rate_limit;
      double excess = std::max(current_.miss_rates[i] - limit, 0.0);
      if (problem.tasks[i].hard && (!current_.bounds[i] || *current_.bounds[i] > problem.tasks[i].deadline))
        excess += 0.1;
      for (const StageOption& stage : problem.tasks[i].options[index(current_.choices[i].option)].stages) {
        pressure[index(stage.processor)] += excess;
      }
    }
    const bool too_large = !evaluator_.fits(current_.choices);
    const std::vector<Step> steps = steps_down(pressure, too_large);
    // A step that only shifts work costs no accuracy and so looks best, but only the simulation can tell whether it
    // helps; one that also lowers the sum of the work is taken even if it does not help at once.
    std::optional<Strategy> next, lighter;
    double best_worth = 0;
    std::size_t shifts = 0, lowerings = 0;
    for (const Step& step : steps) {
      double change = 0;
      for (std::size_t p = 0; p < pressure.size(); ++p) {
        change +=
            utilisation(step.task, step.option, p) - utilisation(step.task, current_.choices[step.task].option, p);
      }
      const bool lowers = change < -1e-6 || too_large;
      if ((lowers ? lowerings : shifts) >= kSimulatedSteps) continue;
      Choices choices = current_.choices;
      choices[step.task].option = step.option;
      if (!seen_.insert(key(choices)).second) continue;
      const auto tried = evaluator_.evaluate(choices, false);
      if (!tried) continue;
      ++(lowers ? lowerings : shifts);
      const double cost = std::max(tried->score.loss - current_.score.loss, kLeastStepLoss);
      const double worth = (current_.score.excess - tried->score.excess) / cost;
      if (worth > best_worth) next = tried, best_worth = worth;
      if (lowers && !lighter) lighter = tried;
      if (lowerings >= kSimulatedSteps || over()) break;
    }
    if (!next) next = lighter;
    if (!next) return false;
    current_ = *next;
    return true;
  }

  static std::vector<std::uint16_t> key(const Choices& choices) {
    std::vector<std::uint16_t> k;
    for (const Choice& c : choices) {
      k.push_back(static_cast<std::uint16_t>(c.option));
      k.push_back(static_cast<std::uint16_t>(c.priority));
    }
    return k;
  }

  int pick(int count) { return static_cast<int>(random_() % static_cast<std::uint64_t>(count)); }

  void change_option(Choices& choices, bool dearer) {
    const std::size_t i = index(pick(static_cast<int>(evaluator_.tasks())));
    const int count = static_cast<int>(evaluator_.options_of(i));
    const int option = pick(count);
    const double change = evaluator_.loss(i, index(option)) - evaluator_.loss(i, index(choices[i].option));
    if (dearer ? change >= 0 : change <= 0) choices[i].option = option;
  }

  /// A random task gets a more accurate option; if a processor then has more to do than where it is known to keep the
  /// limits, the change elsewhere that makes up for it at the least loss. False: nothing is won that way.
  bool exchange(Choices& choices) {
    const std::size_t processors = evaluator_.problem().processors.size();
    std::vector<double> room = evaluator_.utilisation(choices);
    const double slack = 0.002 * pick(8) / 4;
    for (double& r : room) r = std::max(r, 1e-3) + slack;
    const std::size_t i = index(pick(static_cast<int>(choices.size())));
    const int option = pick(static_cast<int>(evaluator_.options_of(i)));
    const double won = evaluator_.loss(i, index(choices[i].option)) - evaluator_.loss(i, index(option));
    if (option == choices[i].option || won < (processors > 1 ? 0.0 : 1e-9)) return false;
    choices[i].option = option;
    const std::vector<double> load = evaluator_.utilisation(choices);
    if (std::equal(load.begin(), load.end(), room.begin(), std::less_equal<>())) return true;
    double least = won - 1e-9;
    std::size_t task = 0;
    int other = -1;
    for (std::size_t j = 0; j < choices.size(); ++j) {
      if (j == i) continue;
      for (int o = 0; o < static_cast<int>(evaluator_.options_of(j)); ++o) {
        const double cost = evaluator_.loss(j, index(o)) - evaluator_.loss(j, index(choices[j].option));
        if (cost >= least || o == choices[j].option || !evaluator_.possible(j, index(o))) continue;
        bool enough = true;
        for (std::size_t p = 0; p < processors && enough; ++p)
          enough = load[p] + utilisation(j, o, p) - utilisation(j, choices[j].option, p) <= room[p];
        if (enough) least = cost, task = j, other = o;
      }
    }
    if (other < 0) return false;
    choices[task].option = other;
    return true;
  }

  void change_order(Choices& choices) {
    const int n = static_cast<int>(choices.size());
    std::vector<int> order(choices.size());
    for (int i = 0; i < n; ++i) order[index(choices[index(i)].priority - 1)] = i;
    if (n < 2) return;
    if (pick(2) == 0) {
      const int k = pick(n - 1);
      std::swap(order[index(k)], order[index(k + 1)]);
    } else {
      const int from = pick(n), to = pick(n);
      const int task = order[index(from)];
      order.erase(order.begin() + from);
      order.insert(order.begin() + to, task);
    }
    set_priorities(choices, order);
  }

  /// Can it be better at all? Saves most simulations once a feasible strategy is known.
  bool worth_a_try(const Choices& choices) const {
    const Score& now = current_.score;
    if (!now.feasible) return true;
    return evaluator_.loss(choices) <= now.loss + 1e-9 && evaluator_.promising(choices);
  }

  void polish(int given) {
    int fruitless = 0;
    // Where no accuracy can be won any more there is little left to find.
    const int patience = evaluator_.at_least_loss() ? given / 4 : given;
    // Looking at a neighbour is cheap against simulating it, but not free: hence the second limit.
    for (int looked = 0; fruitless < patience && looked < 200 * patience && !over(); ++looked) {
      Choices choices = current_.choices;
      if (current_.score.feasible && pick(4) < (large() ? 3 : 1)) {
        if (!exchange(choices)) continue;
      } else {
        switch (pick(4)) {
          case 0: change_option(choices, false); break;
          case 1:
            change_option(choices, false);
            change_option(choices, true);
            break;
          case 2: change_order(choices); break;
          default: change_option(choices, false); change_order(choices);
        }
      }
      if (!current_.score.feasible && pick(2) == 0) change_option(choices, true);
      if (!worth_a_try(choices) || !seen_.insert(key(choices)).second) continue;
      if (looked % 64 == 0) evaluator_.context().report("plan: descent", std::min(evaluator_.used(), 1.0));
      ++fruitless;
      if (current_.score.feasible && large() && !evaluator_.looks_feasible(choices)) continue;
      const auto tried = evaluator_.evaluate(choices, current_.score.feasible);
      if (!tried || !better(tried->score, current_.score)) continue;
      current_ = *tried;
      fruitless = 0;
      looked = 0;
    }
  }

  Evaluator& evaluator_;
  Climb climb_;
  std::mt19937_64 random_;
  int patience_;
  Strategy current_;
  std::set<std::vector<std::uint16_t>> seen_;
};

}  // namespace

void search_descent(Evaluator& evaluator, std::uint64_t seed, int patience) {
  Descent(evaluator, seed, patience).run();
}

void polish(Evaluator& evaluator, const Strategy& start, std::uint64_t seed, int patience) {
  Descent(evaluator, seed, patience).run_from(start);
}

}  // namespace rtmdl
