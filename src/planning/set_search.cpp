#include "planning/set_search.h"

#include "planning/exact.h"

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cmath>
#include <limits>
#include <queue>
#include <unordered_map>

namespace rtmdl {
namespace {

constexpr double kEqual = 1e-9;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::size_t kMostOpenNodes = 3'000'000;
constexpr std::size_t kMostNogoods = 20'000;
constexpr std::size_t kMostRemembered = 3'000;  ///< of one task below one set
// How far the search goes on after the optimum, for fewer misses and more room at the same loss.
constexpr std::int64_t kExtraSimulations = 100;
constexpr std::int64_t kExtraNodes = 20'000;
constexpr int kOrdersTriedAround = 24;  ///< when the order that was assigned does not hold after all

using OptionSet = std::bitset<kMostExactOptions>;

std::size_t index(int i) { return static_cast<std::size_t>(i); }
std::uint64_t bit(std::size_t i) { return std::uint64_t{1} << i; }

/// Whether no quantile of `a` is below that of `b`.
bool never_shorter(const TimeDistribution& a, const TimeDistribution& b) {
  if (b.sorted.empty()) return true;
  if (a.sorted.empty()) return b.max() <= Duration{};
  const auto at = [](const TimeDistribution& t, double q) {
    const double position = q * static_cast<double>(t.sorted.size() - 1);
    const std::size_t below = static_cast<std::size_t>(position);
    const double low = static_cast<double>(t.sorted[below].count());
    const double high = static_cast<double>(t.sorted[std::min(below + 1, t.sorted.size() - 1)].count());
    return low + (high - low) * (position - static_cast<double>(below));
  };
  for (const TimeDistribution* grid : {&a, &b}) {
    const std::size_t last = grid->sorted.size() - 1;
    for (std::size_t k = 0; k <= last; ++k) {
      const double q = last == 0 ? 0.5 : static_cast<double>(k) / static_cast<double>(last);
      if (at(a, q) < at(b, q) - 0.5) return false;
    }
  }
  return true;
}

/// Whether `a` asks for at least as much as `b` of the same processors, stage by stage.
bool no_lighter(const TaskOption& a, const TaskOption& b) {
  if (a.stages.size() != b.stages.size() || a.correlation != b.correlation) return false;
  for (std::size_t s = 0; s < a.stages.size(); ++s) {
    if (a.stages[s].processor != b.stages[s].processor) return false;
    if (a.stages[s].longest < b.stages[s].longest) return false;
    if (!never_shorter(a.stages[s].times, b.stages[s].times)) return false;
  }
  return true;
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
  explicit SetSearch(Evaluator& evaluator) : evaluator_(evaluator), n_(evaluator.tasks()) { prepare(); }
  SetSearchResult run();

 private:
  struct Node {
    double bound = 0, load = 0;
    std::uint8_t depth = 0;
    bool held = false;                                   ///< an order is known to hold with the lightest elsewhere
    std::array<std::uint8_t, kMostExactTasks> option{};  ///< of branch_[k]
  };
  struct Later {
    bool operator()(const Node& a, const Node& b) const {
      if (a.bound != b.bound) return a.bound > b.bound;
      if (a.depth != b.depth) return a.depth < b.depth;
      return a.load > b.load;
    }
  };

  void prepare();
  bool dominated(std::size_t task, std::size_t option) const;
  void prepare_multipliers();
  double relaxed(const Node& node) const;
  bool hopeless(const Node& node) const;
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
  std::vector<std::size_t> branch_;                           ///< tasks in the order in which they are decided
  std::vector<std::vector<int>> options_;                     ///< possible ones of branch_[k], least loss first
  std::vector<std::vector<OptionSet>> heavier_;               ///< [task][option]: those that ask for at least as much
  std::vector<int> lightest_;                                 ///< per task, -1: none asks for the least everywhere
  std::vector<double> least_loss_from_;                       ///< of branch_[k..]
  std::vector<std::vector<std::int64_t>> least_demand_from_;  ///< [k][processor], then their sum
  std::vector<std::int64_t> least_memory_from_, least_bytes_from_;
  std::vector<std::vector<double>> multipliers_;  ///< λ per processor, each scaled by the capacity
  std::vector<std::vector<double>> relaxed_from_;  ///< [multiplier][k]: least loss + λ·demand of branch_[k..], − Σ λ
  std::vector<std::vector<std::vector<double>>> relaxed_of_;  ///< [multiplier][k][option]
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
                         (!problem.memory || options[o].memory <= options[option].memory);
    const bool same = heavier_[task][option].test(o) && evaluator_.loss(task, o) == evaluator_.loss(task, option) &&
                      options[o].bytes == options[option].bytes && options[o].memory == options[option].memory;
    if (as_good && (!same || o < option)) return true;
  }
  return false;
}

void SetSearch::prepare() {
  const PlanProblem& problem = evaluator_.problem();
  const std::size_t processors = problem.processors.size();
  dm_ = deadline_monotonic_order(problem);
  const auto load = [&](std::size_t task, std::size_t o) {
    double sum = 0;
    for (std::size_t p = 0; p < processors; ++p) sum += evaluator_.utilisation(task, o, p);
    return sum;
  };
  std::vector<double> range(n_);
  heavier_.resize(n_);
  lightest_.assign(n_, -1);
  for (std::size_t i = 0; i < n_; ++i) {
    branch_.push_back(i);
    const auto& options = problem.tasks[i].options;
    heavier_[i].resize(options.size());
    double least = kInfinity, most = 0;
    std::size_t possible = 0;
    for (std::size_t o = 0; o < options.size(); ++o) possible += evaluator_.possible(i, o);
    for (std::size_t o = 0; o < options.size(); ++o) {
      if (!evaluator_.possible(i, o)) continue;
      least = std::min(least, load(i, o));
      most = std::max(most, load(i, o));
      for (std::size_t other = 0; other < options.size(); ++other) {
        if (evaluator_.possible(i, other) && (other == o || no_lighter(options[other], options[o])))
          heavier_[i][o].set(other);
      }
      if (heavier_[i][o].count() == possible) lightest_[i] = static_cast<int>(o);
    }
    range[i] = most - least;
  }
  std::stable_sort(branch_.begin(), branch_.end(), [&](std::size_t a, std::size_t b) { return range[a] > range[b]; });
  options_.resize(n_);
  least_loss_from_.assign(n_ + 1, 0);
  least_demand_from_.assign(n_ + 1, std::vector<std::int64_t>(processors + 1, 0));
  least_memory_from_.assign(n_ + 1, 0);
  least_bytes_from_.assign(n_ + 1, 0);
  for (std::size_t k = n_; k-- > 0;) {
    const std::size_t task = branch_[k];
    auto& mine = options_[k];
    for (std::size_t o = 0; o < evaluator_.options_of(task); ++o) {
      if (evaluator_.possible(task, o) && !dominated(task, o)) mine.push_back(static_cast<int>(o));
    }
    if (mine.empty()) continue;
    std::stable_sort(mine.begin(), mine.end(), [&](int a, int b) {
      const double la = evaluator_.loss(task, index(a)), lb = evaluator_.loss(task, index(b));
      return la != lb ? la < lb : load(task, index(a)) < load(task, index(b));
    });
    least_loss_from_[k] = least_loss_from_[k + 1] + evaluator_.loss(task, index(mine.front()));
    std::vector<std::int64_t> least(processors + 1, std::numeric_limits<std::int64_t>::max());
    std::int64_t bytes = least.front(), memory = least.front();
    for (const int o : mine) {
      std::int64_t sum = 0;
      for (std::size_t p = 0; p < processors; ++p) {
        const std::int64_t demand = evaluator_.demand(task, index(o), p);
        least[p] = std::min(least[p], demand);
        sum += demand;
      }
      least[processors] = std::min(least[processors], sum);
      bytes = std::min(bytes, problem.tasks[task].options[index(o)].bytes);
      memory = std::min(memory, problem.tasks[task].options[index(o)].memory);
    }
    for (std::size_t p = 0; p <= processors; ++p) least_demand_from_[k][p] = least_demand_from_[k + 1][p] + least[p];
    least_bytes_from_[k] = least_bytes_from_[k + 1] + bytes;
    least_memory_from_[k] = least_memory_from_[k + 1] + memory;
  }
  prepare_multipliers();
}

/// The multipliers that bound the root best, one processor after the other by golden section (the bound is concave in
/// each), and multiples of them: deeper nodes want others.
void SetSearch::prepare_multipliers() {
  const std::size_t processors = evaluator_.problem().processors.size();
  const auto share = [&](std::size_t k, int o, std::size_t p) {
    return static_cast<double>(evaluator_.demand(branch_[k], index(o), p)) /
           static_cast<double>(std::max<std::int64_t>(evaluator_.capacity(p), 1));
  };
  const auto cost = [&](std::size_t k, int o, const std::vector<double>& lambda) {
    double sum = evaluator_.loss(branch_[k], index(o));
    for (std::size_t p = 0; p < processors; ++p) sum += lambda[p] * share(k, o, p);
    return sum;
  };
  const auto dual = [&](const std::vector<double>& lambda) {
    double sum = 0;
    for (std::size_t k = 0; k < n_; ++k) {
      double least = kInfinity;
      for (const int o : options_[k]) least = std::min(least, cost(k, o, lambda));
      sum += least;
    }
    for (const double l : lambda) sum -= l;
    return sum;
  };
  std::vector<double> lambda(processors, 0.0);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t p = 0; p < processors; ++p) {
      const auto at = [&](double log_l) {
        auto trial = lambda;
        trial[p] = std::exp(log_l);
        return dual(trial);
      };
      double low = std::log(1e-6), high = std::log(1e3);
      for (int step = 0; step < 40; ++step) {
        const double a = low + (high - low) * 0.382, b = low + (high - low) * 0.618;
        (at(a) < at(b) ? low : high) = at(a) < at(b) ? a : b;
      }
      auto trial = lambda, none = lambda;
      trial[p] = std::exp((low + high) / 2);
      none[p] = 0;
      lambda = dual(trial) > dual(none) ? trial : none;
    }
  }
  multipliers_.push_back(std::vector<double>(processors, 0.0));
  for (const double factor : {0.35, 0.6, 0.8, 1.0, 1.25, 1.7, 2.8}) {
    auto scaled = lambda;
    for (double& l : scaled) l *= factor;
    multipliers_.push_back(scaled);
  }
  for (const std::vector<double>& l : multipliers_) {
    auto& of = relaxed_of_.emplace_back(n_);
    auto& from = relaxed_from_.emplace_back(n_ + 1, 0.0);
    for (const double x : l) from[n_] -= x;
    for (std::size_t k = n_; k-- > 0;) {
      of[k].assign(evaluator_.options_of(branch_[k]), 0);
      double least = kInfinity;
      for (const int o : options_[k]) least = std::min(least, of[k][index(o)] = cost(k, o, l));
      from[k] = from[k + 1] + least;
    }
  }
}

double SetSearch::relaxed(const Node& node) const {
  double most = -kInfinity;
  for (std::size_t m = 0; m < multipliers_.size(); ++m) {
    double sum = relaxed_from_[m][node.depth];
    for (std::size_t k = 0; k < node.depth; ++k) sum += relaxed_of_[m][k][node.option[k]];
    most = std::max(most, sum);
  }
  return most;
}

/// Whether no completion of the node can keep storage, memory and the processors' capacities.
bool SetSearch::hopeless(const Node& node) const {
  const PlanProblem& problem = evaluator_.problem();
  const std::size_t processors = problem.processors.size();
  std::int64_t all_demand = least_demand_from_[node.depth][processors], all_capacity = 0;
  for (std::size_t p = 0; p < processors; ++p) {
    std::int64_t demand = least_demand_from_[node.depth][p];
    for (std::size_t k = 0; k < node.depth; ++k) {
      const std::int64_t own = evaluator_.demand(branch_[k], node.option[k], p);
      demand += own;
      all_demand += own;
    }
    if (demand > evaluator_.capacity(p)) return true;
    all_capacity += evaluator_.capacity(p);
  }
  if (all_demand > all_capacity) return true;
  std::int64_t memory = least_memory_from_[node.depth], bytes = least_bytes_from_[node.depth];
  for (std::size_t k = 0; k < node.depth; ++k) {
    const TaskOption& option = problem.tasks[branch_[k]].options[node.option[k]];
    memory += option.memory;
    bytes += option.bytes;
  }
  if (problem.memory && memory > *problem.memory) return true;
  // A model that two tasks share counts once: then only the finished combination can tell (Evaluator::promising).
  return problem.storage && !evaluator_.shares_models() && bytes > *problem.storage;
}

/// The node's choices and, where there is one, the lightest option of each task that is still open.
Choices SetSearch::completed(const Node& node, std::uint64_t& active) const {
  Choices choices(n_);
  active = 0;
  for (std::size_t k = 0; k < n_; ++k) {
    const std::size_t task = branch_[k];
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
  const std::uint64_t all = n_ == 64 ? ~std::uint64_t{0} : bit(n_) - 1;
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
  const std::size_t task = branch_[node.depth];
  for (const int o : options_[node.depth]) {
    Node child = node;
    child.option[child.depth++] = static_cast<std::uint8_t>(o);
    child.held = node.held && o == lightest_[task];
    child.bound = std::max(node.bound, relaxed(child));
    if (child.bound > optimum_ + kEqual || hopeless(child)) continue;
    for (std::size_t p = 0; p < evaluator_.problem().processors.size(); ++p)
      child.load += evaluator_.utilisation(task, index(o), p);
    open_.push(child);
  }
}

SetSearchResult SetSearch::run() {
  for (const auto& options : options_) {
    if (options.empty()) return {true, kInfinity};  // a task with no possible option: nothing is feasible
  }
  const double ceiling =
      evaluator_.best() && evaluator_.best()->score.feasible ? evaluator_.best()->score.loss : kInfinity;
  open_.push({});
  std::int64_t popped = 0, last_simulation = 0, last_node = 0;
  double bound = least_loss_from_[0];
  while (!open_.empty()) {
    const Node node = open_.top();
    open_.pop();
    bound = std::max(bound, node.bound);
    if (node.bound > std::min(optimum_, ceiling) + kEqual) break;
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
