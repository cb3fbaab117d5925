#include "planning/climb.h"

#include "planning/relaxation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <utility>

namespace rtmdl {
namespace {

constexpr double kLeastRoom = 0.2;
constexpr int kBisections = 5;
constexpr double kFirstStep = 0.02;
constexpr int kRounds = 12;            ///< of feedback, before a room counts as too much
constexpr int kStaleRounds = 3;        ///< without less strain: back to the best order, in smaller steps
constexpr double kFeedback = 0.5;      ///< exponent of the strain of those beyond their deadline
constexpr double kGiveWay = 0.15;      ///< and of the others, which may wait
constexpr double kDisturbance = 0.08;  ///< of virtual deadlines, log-normal
constexpr double kTilt = 0.01;         ///< of room from one processor to another
constexpr double kLeastGain = 0.002;   ///< of the loss
constexpr double kLeastBeyond = 1e-6;
constexpr double kMendable = 0.5;  ///< more strain is not tried to be mended
constexpr int kPatience = 30;      ///< simulations without less strain
constexpr std::size_t kMostPassed = 16;
constexpr double kTension = 20;  ///< how much more tasks at their deadlines count
constexpr double kLeastPressure = 0.02;
constexpr double kMostMoreAsked = 5e-4;

std::vector<int> order_by(const std::vector<double>& keys) {
  std::vector<int> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)]; });
  return order;
}

bool same_options(const Choices& a, const Choices& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Choice& x, const Choice& y) { return x.option == y.option; });
}

}  // namespace

Climb::Climb(Evaluator& evaluator) : evaluator_(evaluator) {
  top_.room.assign(evaluator.problem().processors.size(), kLeastRoom);
  for (const PlanTask& task : evaluator.problem().tasks)
    top_.virtual_deadlines.push_back(static_cast<double>(task.deadline.count()));
}

/// Simulates. Whether every limit is kept.
bool Climb::judge(Height& height) {
  set_priorities(height.choices, order_by(height.virtual_deadlines));
  const auto strategy = evaluator_.evaluate(height.choices, false, &height.strain);
  height.beyond = 0;
  for (const double s : height.strain) height.beyond += std::max(s - 1, 0.0);
  // Storage, memory and power strain nobody.
  if (!strategy->score.feasible) height.beyond = std::max(height.beyond, kLeastBeyond);
  return strategy->score.feasible;
}

/// The relaxation in the height's room, in the order of least strain met.
void Climb::reach(Height& height, int rounds) {
  height.choices = relaxation(evaluator_, height.room, height.seed);
  if (same_options(height.choices, top_.choices)) {
    height = {height.seed, height.room, top_.virtual_deadlines, top_.choices, top_.strain, top_.beyond};
    return;
  }
  Height best;
  height.beyond = best.beyond = std::numeric_limits<double>::infinity();
  double gain = 1;
  for (int round = 0, stale = 0; round < rounds && !evaluator_.out_of_time(); ++round) {
    judge(height);
    if (height.beyond < best.beyond) {
      best = height;
      stale = 0;
    } else if (++stale % kStaleRounds == 0) {
      if (stale >= 2 * kStaleRounds) break;
      height = best;
      gain /= 2;
    }
    if (best.beyond <= 0) break;
    for (std::size_t i = 0; i < height.strain.size(); ++i) {
      const double strain = std::max(height.strain[i], 0.3);
      height.virtual_deadlines[i] *= std::pow(strain, -gain * (strain > 1 ? kFeedback : kGiveWay));
    }
  }
  if (!best.choices.empty()) height = std::move(best);
}

void Climb::raise(const std::vector<std::size_t>& processors, double step, double finest) {
  const auto full = [&] {
    return std::all_of(processors.begin(), processors.end(), [&](std::size_t p) { return top_.room[p] >= 1; });
  };
  while (step >= finest && !full() && !evaluator_.out_of_time()) {
    Height next = top_;
    for (const std::size_t p : processors) next.room[p] = std::min(next.room[p] + step, 1.0);
    reach(next, kRounds);
    if (next.beyond <= 0) {
      top_ = std::move(next);
      step *= 1.3;
    } else {
      step /= 2;
    }
  }
}

void Climb::run(double finest) {
  std::vector<std::size_t> processors(top_.room.size());
  std::iota(processors.begin(), processors.end(), std::size_t{0});
  double low = kLeastRoom, high = 1;
  const auto holds = [&](double room) {
    Height height = top_;
    height.room.assign(processors.size(), room);
    reach(height, 1);
    if (height.beyond > 0) return false;
    top_ = std::move(height);
    return true;
  };
  if (holds(high)) return;
  for (int step = 0; step < kBisections && !evaluator_.out_of_time(); ++step) {
    const double middle = (low + high) / 2;
    (holds(middle) ? low : high) = middle;
  }
  raise(processors, kFirstStep, finest);
  for (const std::size_t p : processors)
    if (processors.size() > 1) raise({p}, kFirstStep, finest);
}

void Climb::go_on_from(const Strategy& best) {
  std::vector<double> keys = top_.virtual_deadlines;
  std::sort(keys.begin(), keys.end());
  for (std::size_t i = 0; i < keys.size(); ++i)
    top_.virtual_deadlines[i] = keys[static_cast<std::size_t>(best.choices[i].priority) - 1];
  top_.choices = best.choices;
  top_.room = evaluator_.utilisation(best.choices);
}

bool Climb::try_again(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const double least = evaluator_.loss(top_.choices) * (1 - kLeastGain);
  Height next = top_;
  next.seed = random();
  std::normal_distribution<double> disturbance(0, kDisturbance), tilt(0, kTilt);
  for (double& d : next.virtual_deadlines) d *= std::exp(disturbance(random));
  if (next.room.size() > 1)
    for (double& r : next.room) r += tilt(random);
  // The height on that side at which there is something to win.
  double low = -3 * kTilt, high = 5 * kTilt;
  const auto at = [&](double raised) {
    std::vector<double> room = next.room;
    for (double& r : room) r = std::clamp(r + raised, 0.0, 1.0);
    return room;
  };
  if (evaluator_.loss(relaxation(evaluator_, at(high), next.seed)) > least) return false;
  while (high - low > kTilt / 30) {
    const double middle = (low + high) / 2;
    (evaluator_.loss(relaxation(evaluator_, at(middle), next.seed)) > least ? low : high) = middle;
  }
  next.room = at(high);
  reach(next, kRounds);
  if (next.beyond > kMendable || !(next.beyond <= 0 || mend(next, least, random))) return false;
  top_ = std::move(next);
  return true;
}

/// A task under strain passes some of those ahead of it, or one of those falls back behind it.
bool Climb::change_order(Height& height, std::mt19937_64& random) const {
  std::vector<int> order = order_by(height.virtual_deadlines);
  std::vector<double> keys = height.virtual_deadlines;
  std::sort(keys.begin(), keys.end());
  std::vector<double> weights;
  for (const int i : order) weights.push_back(std::max(height.strain[static_cast<std::size_t>(i)] - 1, 0.0));
  if (std::all_of(weights.begin(), weights.end(), [](double w) { return w <= 0; })) return false;
  const std::size_t at = std::discrete_distribution<std::size_t>(weights.begin(), weights.end())(random);
  if (at == 0) return false;
  const std::size_t ahead = at - 1 - random() % std::min<std::size_t>(at, kMostPassed);
  const auto begin = order.begin();
  const auto place = [](std::size_t k) { return static_cast<std::ptrdiff_t>(k); };
  if (random() % 2 == 0) std::rotate(begin + place(ahead), begin + place(at), begin + place(at + 1));
  else std::rotate(begin + place(ahead), begin + place(ahead + 1), begin + place(at + 1));
  for (std::size_t k = 0; k < order.size(); ++k) height.virtual_deadlines[static_cast<std::size_t>(order[k])] = keys[k];
  return true;
}

/// A task takes another option, and if the loss then is too high the other change that asks least of the processors on
/// which tasks are under strain.
bool Climb::change_options(Height& height, double most_loss, std::mt19937_64& random) const {
  const std::size_t processors = evaluator_.problem().processors.size();
  std::vector<double> pressure(processors, 0.0);
  double all = 0;
  for (std::size_t i = 0; i < height.choices.size(); ++i) {
    const double tension = std::exp(kTension * (height.strain[i] - 1));
    const auto& option = evaluator_.problem().tasks[i].options[static_cast<std::size_t>(height.choices[i].option)];
    for (const StageOption& stage : option.stages) pressure[static_cast<std::size_t>(stage.processor)] += tension;
    all += tension * static_cast<double>(option.stages.size());
  }
  for (double& p : pressure) p = p / all + kLeastPressure;
  const auto asked = [&](std::size_t i, int o) {
    double sum = 0;
    for (std::size_t p = 0; p < processors; ++p)
      sum += pressure[p] * evaluator_.utilisation(i, static_cast<std::size_t>(o), p);
    return sum;
  };
  const std::size_t i = random() % height.choices.size();
  const int option = static_cast<int>(random() % evaluator_.options_of(i)), before = height.choices[i].option;
  if (option == before || !evaluator_.possible(i, static_cast<std::size_t>(option))) return false;
  const double more = asked(i, option) - asked(i, before);
  height.choices[i].option = option;
  const double loss = evaluator_.loss(height.choices);
  if (loss <= most_loss && more <= 0) return true;
  double least = loss <= most_loss ? 0 : std::numeric_limits<double>::infinity();
  std::size_t task = 0;
  int other = -1;
  for (std::size_t j = 0; j < height.choices.size(); ++j) {
    const int now = height.choices[j].option;
    for (int o = 0; j != i && o < static_cast<int>(evaluator_.options_of(j)); ++o) {
      const std::size_t k = static_cast<std::size_t>(o);
      if (o == now || !evaluator_.possible(j, k)) continue;
      if (loss + evaluator_.loss(j, k) - evaluator_.loss(j, static_cast<std::size_t>(now)) > most_loss) continue;
      const double here = asked(j, o) - asked(j, now);
      if (here < least) least = here, task = j, other = o;
    }
  }
  if (more + (other < 0 ? 0 : least) > kMostMoreAsked || (other < 0 && loss > most_loss)) return false;
  if (other >= 0) height.choices[task].option = other;
  return true;
}

bool Climb::mend(Height& height, double most_loss, std::mt19937_64& random) {
  int proposals = 0;
  for (int stale = 0; stale < kPatience && !evaluator_.out_of_time() && ++proposals < 100 * kPatience;) {
    Height next = height;
    if (random() % 2 == 0 ? !change_order(next, random) : !change_options(next, most_loss, random)) continue;
    ++stale;
    const bool holds = judge(next);
    if (next.beyond > height.beyond) continue;
    if (next.beyond < height.beyond - 1e-9) stale = 0;
    height = std::move(next);
    if (holds) return true;
  }
  return false;
}

}  // namespace rtmdl
