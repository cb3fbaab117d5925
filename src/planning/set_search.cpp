#include "planning/set_search.h"

#include "planning/exact.h"
#include "planning/lagrangian_bound.h"
#include "planning/no_lighter.h"
#include "planning/open_tasks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <limits>
#include <numeric>
#include <queue>
#include <span>
#include <unordered_map>

namespace rtmdl {
namespace {

constexpr std::size_t kMostOpenNodes = 3'000'000;
constexpr std::size_t kMostNogoods = 20'000;
constexpr std::size_t kMostRemembered = 3'000;  ///< of one task below one set
// How far the search goes on after the optimum, for fewer misses and more room at the same loss.
constexpr std::int64_t kExtraSimulations = 100;
constexpr std::int64_t kExtraNodes = 20'000;
constexpr int kOrdersTriedAround = 24;  ///< when the order that was assigned does not hold after all

using OptionSet = std::bitset<kMostExactOptions>;

std::uint64_t bit(std::size_t i) { return std::uint64_t{1} << i; }

/// [task][option]: the possible options that ask for at least as much, itself among them.
using Heavier = std::vector<std::vector<OptionSet>>;

Heavier heavier_options(const Evaluator& evaluator) {
  Heavier heavier(evaluator.tasks());
  for (std::size_t i = 0; i < heavier.size(); ++i) {
    const auto& options = evaluator.problem().tasks[i].options;
    heavier[i].resize(options.size());
    for (std::size_t o = 0; o < options.size(); ++o) {
      for (std::size_t other = 0; other < options.size() && evaluator.possible(i, o); ++other) {
        if (evaluator.possible(i, other) && (other == o || no_lighter(options[other], options[o])))
          heavier[i][o].set(other);
      }
    }
  }
  return heavier;
}

std::vector<int> lightest_options(const Evaluator& evaluator, const Heavier& heavier) {
  std::vector<int> lightest(heavier.size(), -1);
  for (std::size_t i = 0; i < heavier.size(); ++i) {
    std::size_t possible = 0;
    for (std::size_t o = 0; o < heavier[i].size(); ++o) possible += evaluator.possible(i, o);
    for (std::size_t o = 0; o < heavier[i].size(); ++o)
      if (possible > 0 && heavier[i][o].count() == possible) lightest[i] = static_cast<int>(o);
  }
  return lightest;
}

/// Tasks whose options differ most in what they ask for come first: their choice settles most.
std::vector<int> widest_first(const Evaluator& evaluator) {
  std::vector<double> range(evaluator.tasks());
  std::vector<int> order(evaluator.tasks());
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = 0; i < order.size(); ++i) {
    double least = kInfinity, most = 0;
    for (std::size_t o = 0; o < evaluator.options_of(i); ++o) {
      if (!evaluator.possible(i, o)) continue;
      const double load = evaluator.utilisation(i, o);
      least = std::min(least, load);
      most = std::max(most, load);
    }
    range[i] = most - least;
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return range[index(a)] > range[index(b)]; });
  return order;
}

/// Options of the tasks that a test is about; of others 0.
using Options = std::array<std::uint8_t, kMostExactTasks>;
static_assert(kMostExactTasks <= 16 && kMostExactOptions <= 256);

/// What is known of one task below one set of others: the options with which it held and did not.
struct Tests {
  std::vector<Options> held, failed;
};

/// No order holds for these tasks with these options, nor with heavier ones.
struct Nogood {
  std::uint64_t tasks = 0;
  std::vector<OptionSet> options;  ///< per task
};

class SetSearch {
 public:
  explicit SetSearch(Evaluator& evaluator)
      : evaluator_(evaluator),
        n_(evaluator.tasks()),
        dm_(deadline_monotonic_order(evaluator.problem())),
        heavier_(heavier_options(evaluator)),
        lightest_(lightest_options(evaluator, heavier_)),
        open_tasks_(evaluator, widest_first(evaluator),
                    [this](std::size_t i, std::size_t o) { return dominated(i, o); }),
        bound_(evaluator, open_tasks_) {}
  SetSearchResult run();

 private:
  struct Node {
    double bound = 0, load = 0;
    std::uint8_t depth = 0;
    bool held = false;                                   ///< an order is known to hold with the lightest elsewhere
    std::array<std::uint8_t, kMostExactTasks> option{};  ///< of the task of level k
    [[nodiscard]] std::span<const std::uint8_t> chosen() const { return {option.data(), depth}; }
  };
  struct Later {
    bool operator()(const Node& a, const Node& b) const {
      if (a.bound != b.bound) return a.bound > b.bound;
      if (a.depth != b.depth) return a.depth < b.depth;
      return a.load > b.load;
    }
  };

  bool dominated(std::size_t task, std::size_t option) const;
  void expand(const Node& node);
  Choices completed(const Node& node, std::uint64_t& active) const;
  bool forbidden(std::uint64_t active, const Choices& choices) const;
  bool known_to_hold(std::uint64_t active, const Choices& choices) const;
  bool holds(std::size_t task, std::uint64_t higher, std::uint64_t lower, const Choices& choices);
  bool assign(std::uint64_t active, const Choices& choices, std::vector<int>& order);
  bool has_order(std::uint64_t active, const Choices& choices);
  void remember(std::uint64_t core, const Choices& choices);
  void judge(const Choices& choices);
  bool found() const { return optimum_ < kInfinity; }

  Evaluator& evaluator_;
  std::size_t n_;
  std::vector<int> dm_;
  Heavier heavier_;
  std::vector<int> lightest_;  ///< per task, -1: none asks for the least everywhere
  OpenTasks open_tasks_;
  LagrangianBound bound_;
  std::priority_queue<Node, std::vector<Node>, Later> open_;
  std::unordered_map<std::uint64_t, Tests> tests_;  ///< by task, set above and set below
  std::vector<Nogood> nogoods_;
  std::vector<Choices> held_;  ///< complete choices for which an order holds
  std::uint64_t core_ = 0;     ///< of the last assignment that failed
  double optimum_ = kInfinity;
  bool disagreed_ = false;  ///< an assigned order did not hold, nor did those around it
};

/// Another option asks for no more of anything and loses no more (of equals the first stays).
bool SetSearch::dominated(std::size_t task, std::size_t option) const {
  const PlanProblem& problem = evaluator_.problem();
  const auto& options = problem.tasks[task].options;
  if (problem.storage && evaluator_.shares_models()) return false;
  for (std::size_t o = 0; o < options.size(); ++o) {
    if (o == option || !evaluator_.possible(task, o) || !heavier_[task][o].test(option)) continue;
    const bool as_good = evaluator_.loss(task, o) <= evaluator_.loss(task, option) &&
                         (!problem.storage || options[o].bytes <= options[option].bytes) &&
                         (!problem.memory || options[o].memory <= options[option].memory) &&
                         (!problem.power_limit || options[o].joules <= options[option].joules);
    const bool same = heavier_[task][option].test(o) && evaluator_.loss(task, o) == evaluator_.loss(task, option) &&
                      options[o].bytes == options[option].bytes && options[o].memory == options[option].memory &&
                      options[o].joules == options[option].joules;
    if (as_good && (!same || o < option)) return true;
  }
  return false;
}

/// The node's choices and, where there is one, the lightest option of each task that is still open.
Choices SetSearch::completed(const Node& node, std::uint64_t& active) const {
  Choices choices(n_);
  active = 0;
  for (std::size_t k = 0; k < n_; ++k) {
    const std::size_t task = open_tasks_.task(k);
    const int o = k < node.depth ? node.option[k] : lightest_[task];
    if (o < 0) continue;
    choices[task].option = o;
    active |= bit(task);
  }
  return choices;
}

bool SetSearch::forbidden(std::uint64_t active, const Choices& choices) const {
  for (const Nogood& nogood : nogoods_) {
    if ((nogood.tasks & ~active) != 0) continue;
    bool all = true;
    for (std::uint64_t rest = nogood.tasks; rest != 0 && all; rest &= rest - 1) {
      const std::size_t i = static_cast<std::size_t>(std::countr_zero(rest));
      all = nogood.options[i].test(index(choices[i].option));
    }
    if (all) return true;
  }
  return false;
}

/// Lighter everywhere than choices that hold.
bool SetSearch::known_to_hold(std::uint64_t active, const Choices& choices) const {
  for (const Choices& held : held_) {
    bool all = true;
    for (std::size_t i = 0; i < n_ && all; ++i)
      all = (active >> i & 1) == 0 || heavier_[i][index(choices[i].option)].test(index(held[i].option));
    if (all) return true;
  }
  return false;
}

/// A test that held does so with anything lighter, one that failed fails with anything heavier.
bool SetSearch::holds(std::size_t task, std::uint64_t higher, std::uint64_t lower, const Choices& choices) {
  const std::uint64_t involved = higher | lower | bit(task);
  Tests& known = tests_[task << 32 | higher << 16 | lower];
  const auto all_heavier = [&](const Options& than, bool choices_are) {
    for (std::uint64_t rest = involved; rest != 0; rest &= rest - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(rest));
      const std::size_t mine = index(choices[i].option), other = than[i];
      if (!(choices_are ? heavier_[i][other].test(mine) : heavier_[i][mine].test(other))) return false;
    }
    return true;
  };
  for (const Options& failed : known.failed) {
    if (all_heavier(failed, true)) return false;
  }
  for (const Options& held : known.held) {
    if (all_heavier(held, false)) return true;
  }
  Options options{};
  for (std::uint64_t rest = involved; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(rest));
    options[i] = static_cast<std::uint8_t>(choices[i].option);
  }
  const bool held = evaluator_.holds_below(task, higher, lower, choices);
  auto& list = held ? known.held : known.failed;
  if (list.size() < kMostRemembered) list.push_back(options);
  return held;
}

/// Audsley's assignment: from the least urgent level up, any task that keeps its limit there. On preemptive processors
/// what is below does not matter.
bool SetSearch::assign(std::uint64_t active, const Choices& choices, std::vector<int>& order) {
  const bool preemptive = evaluator_.all_preemptive(choices);
  order.assign(static_cast<std::size_t>(std::popcount(active)), -1);
  std::uint64_t left = active, lower = 0;
  for (std::size_t level = order.size(); level-- > 0;) {
    for (std::size_t k = n_; k-- > 0 && order[level] < 0;) {
      const std::size_t i = index(dm_[k]);
      if ((left >> i & 1) != 0 && holds(i, left & ~bit(i), preemptive ? 0 : lower, choices)) order[level] = dm_[k];
    }
    if (order[level] < 0) {
      core_ = preemptive ? left : active;
      return false;
    }
    left &= ~bit(index(order[level]));
    lower |= bit(index(order[level]));
  }
  return true;
}

/// Deadline-monotonic first: one simulation often settles it.
bool SetSearch::has_order(std::uint64_t active, const Choices& choices) {
  if (known_to_hold(active, choices)) return true;
  std::vector<int> order;
  for (const int task : dm_) {
    if ((active >> task & 1) != 0) order.push_back(task);
  }
  if (!order.empty() && !evaluator_.all_hard() && evaluator_.all_preemptive(choices) &&
      evaluator_.prefix_holds(order, order.size(), choices, false))
    return true;
  return assign(active, choices, order);
}

void SetSearch::remember(std::uint64_t core, const Choices& choices) {
  if (nogoods_.size() >= kMostNogoods) return;
  Nogood nogood{core, std::vector<OptionSet>(n_)};
  for (std::uint64_t rest = core; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(rest));
    nogood.options[i] = heavier_[i][index(choices[i].option)];
  }
  nogoods_.push_back(std::move(nogood));
}

/// A complete choice that no nogood forbids.
void SetSearch::judge(const Choices& choices) {
  const std::uint64_t all = bit(n_) - 1;
  Choices whole = choices;
  set_priorities(whole, dm_);
  const auto enter = [&] {
    if (!evaluator_.evaluate(whole, true)) return false;
    optimum_ = std::min(optimum_, evaluator_.loss(whole));
    held_.push_back(whole);
    return true;
  };
  if (enter()) return;
  std::vector<int> order;
  if (!assign(all, choices, order)) {
    remember(core_, choices);
    return;
  }
  set_priorities(whole, order);
  if (enter()) return;
  // The tasks above one, in another order than when it was tested, do more harm: neighbouring orders may do.
  int tried = 0;
  for (std::size_t gap = 1; gap < n_; ++gap) {
    for (std::size_t k = 0; k + gap < n_ && tried < kOrdersTriedAround; ++k, ++tried) {
      auto other = order;
      std::swap(other[k], other[k + gap]);
      set_priorities(whole, other);
      if (enter()) return;
    }
  }
  disagreed_ = true;
}

void SetSearch::expand(const Node& node) {
  const std::size_t task = open_tasks_.task(node.depth);
  for (const int o : open_tasks_.options(node.depth)) {
    Node child = node;
    child.option[child.depth++] = static_cast<std::uint8_t>(o);
    child.held = node.held && o == lightest_[task];
    child.bound = std::max(node.bound, bound_(child.chosen()));
    if (child.bound > optimum_ + kSameLoss || open_tasks_.hopeless(child.chosen())) continue;
    child.load += evaluator_.utilisation(task, index(o));
    open_.push(child);
  }
}

SetSearchResult SetSearch::run() {
  if (open_tasks_.stuck()) return {true, kInfinity};  // nothing is feasible
  const double ceiling =
      evaluator_.best() && evaluator_.best()->score.feasible ? evaluator_.best()->score.loss : kInfinity;
  open_.push({});
  std::int64_t popped = 0, last_simulation = 0, last_node = 0;
  double bound = open_tasks_.least_loss_from(0);
  while (!open_.empty()) {
    const Node node = open_.top();
    open_.pop();
    bound = std::max(bound, node.bound);
    if (node.bound > std::min(optimum_, ceiling) + kSameLoss) break;
    ++popped;
    if (popped % 64 == 0) evaluator_.context().report("plan: exact search", std::min(evaluator_.used(), 1.0));
    if (evaluator_.out_of_time() || open_.size() > kMostOpenNodes) return {found() && !disagreed_, bound};
    if (found()) {
      if (last_node == 0)
        last_node = popped + kExtraNodes, last_simulation = evaluator_.evaluated() + kExtraSimulations;
      if (popped >= last_node || evaluator_.evaluated() >= last_simulation) break;
    }
    std::uint64_t active = 0;
    const Choices choices = completed(node, active);
    if (forbidden(active, choices)) continue;
    if (node.depth == n_) {
      if (evaluator_.promising(choices)) judge(choices);
      continue;
    }
    Node next = node;
    if (!node.held && !found()) {
      if (!has_order(active, choices)) {
        remember(core_, choices);
        continue;
      }
      next.held = std::popcount(active) == static_cast<int>(n_);
    }
    expand(next);
  }
  return {!disagreed_, std::min({bound, optimum_, ceiling})};
}

}  // namespace

SetSearchResult search_by_sets(Evaluator& evaluator) { return SetSearch(evaluator).run(); }

}  // namespace rtmdl
