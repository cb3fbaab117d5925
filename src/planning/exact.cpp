#include "planning/exact.h"

#include "planning/open_tasks.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <queue>
#include <unordered_map>

namespace rtmdl {
namespace {

constexpr std::size_t kMostOpenNodes = 4'000'000;  ///< about 250 MB
constexpr std::size_t kMostRememberedPrefixes = 4'000'000;
// How far the search goes on after the first optimal strategy, for fewer misses and more room at the same loss.
constexpr std::int64_t kExtraSimulations = 1000;
constexpr std::int64_t kExtraNodes = 200'000;
constexpr int kExtraOrders = 24;  ///< feasible orders of one combination

/// The tasks from the top (counted from 1) and their options, 16 bits for each level.
using PrefixKey = std::array<std::uint64_t, kMostExactTasks / 4>;
struct PrefixHash {
  std::size_t operator()(const PrefixKey& k) const noexcept {
    std::uint64_t h = 0;
    for (const std::uint64_t word : k) {
      h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
      h ^= h >> 32;
    }
    return static_cast<std::size_t>(h);
  }
};

class Exact {
 public:
  explicit Exact(Evaluator& evaluator)
      : evaluator_(evaluator),
        n_(evaluator.tasks()),
        dm_(deadline_monotonic_order(evaluator.problem())),
        open_tasks_(evaluator, dm_) {}
  bool run();

 private:
  /// Options of the first `depth` tasks of dm_, as places in OpenTasks::options. The siblings after the last one are
  /// still to come.
  struct Node {
    double bound = 0;
    double load = 0;  ///< utilisation so far: among equal bounds the lightest first
    std::uint8_t depth = 0;
    std::array<std::uint8_t, kMostExactTasks> place{};
  };
  struct Later {
    bool operator()(const Node& a, const Node& b) const {
      if (a.bound != b.bound) return a.bound > b.bound;
      if (a.depth != b.depth) return a.depth < b.depth;
      return a.load > b.load;
    }
  };

  Node rated(Node node) const;
  bool hopeless(const Node& node) const;
  bool try_orders(const Choices& choices);
  bool grow(std::vector<int>& order, std::uint64_t used, const Choices& choices);
  bool holds(const std::vector<int>& order, const Choices& choices);
  bool known() const { return optimum_ < std::numeric_limits<double>::infinity(); }
  /// After the optimum: nothing more to look for with these options.
  bool enough() const {
    return known() &&
           (orders_ >= kExtraOrders || evaluator_.evaluated() >= last_simulation_ || evaluator_.out_of_time());
  }
  void found(const Choices& choices);

  Evaluator& evaluator_;
  std::size_t n_;
  std::vector<int> dm_;
  OpenTasks open_tasks_;  ///< in the order of dm_
  std::priority_queue<Node, std::vector<Node>, Later> open_;
  std::unordered_map<PrefixKey, bool, PrefixHash> prefixes_;
  double optimum_ = std::numeric_limits<double>::infinity();
  std::int64_t last_simulation_ = 0, last_node_ = 0, popped_ = 0;
  int orders_ = 0;
};

Exact::Node Exact::rated(Node node) const {
  node.bound = open_tasks_.least_loss_from(node.depth);
  node.load = 0;
  for (std::size_t k = 0; k < node.depth; ++k) {
    const std::size_t option = index(open_tasks_.options(k)[node.place[k]]);
    node.bound += evaluator_.loss(index(dm_[k]), option);
    node.load += evaluator_.utilisation(index(dm_[k]), option);
  }
  return node;
}

bool Exact::hopeless(const Node& node) const {
  std::array<std::uint8_t, kMostExactTasks> chosen{};
  for (std::size_t k = 0; k < node.depth; ++k)
    chosen[k] = static_cast<std::uint8_t>(open_tasks_.options(k)[node.place[k]]);
  return open_tasks_.hopeless({chosen.data(), node.depth});
}

void Exact::found(const Choices& choices) {
  ++orders_;
  if (known()) return;
  optimum_ = evaluator_.loss(choices);
  last_simulation_ = evaluator_.evaluated() + kExtraSimulations;
  last_node_ = popped_ + kExtraNodes;
}

bool Exact::holds(const std::vector<int>& order, const Choices& choices) {
  PrefixKey key{};
  for (std::size_t k = 0; k < order.size(); ++k) {
    const int level = (order[k] + 1) << 8 | choices[index(order[k])].option;
    key[k / 4] |= static_cast<std::uint64_t>(level) << (16 * (k % 4));
  }
  const auto known = prefixes_.find(key);
  if (known != prefixes_.end()) return known->second;
  const bool held = evaluator_.prefix_holds(order, order.size(), choices);
  if (prefixes_.size() < kMostRememberedPrefixes) prefixes_.emplace(key, held);
  return held;
}

/// Adds each task that is not there yet below `order`. False: out of time.
bool Exact::grow(std::vector<int>& order, std::uint64_t used, const Choices& choices) {
  if (order.size() == n_) {
    Choices whole = choices;
    set_priorities(whole, order);
    if (evaluator_.evaluate(whole, true)) found(whole);
    return true;
  }
  for (const int task : dm_) {
    if (used >> task & 1) continue;
    if (enough()) return true;
    if (evaluator_.out_of_time()) return false;
    order.push_back(task);
    const bool in_time = !holds(order, choices) || grow(order, used | std::uint64_t{1} << task, choices);
    order.pop_back();
    if (!in_time) return false;
  }
  return true;
}

/// False: out of time before it was known whether some order keeps the limits.
bool Exact::try_orders(const Choices& choices) {
  orders_ = 0;
  std::vector<int> order;
  if (evaluator_.all_preemptive(choices)) return grow(order, 0, choices);
  std::vector<int> places(n_);
  std::iota(places.begin(), places.end(), 0);
  order.resize(n_);
  Choices whole = choices;
  do {
    if (enough()) return true;
    if (evaluator_.out_of_time()) return false;
    for (std::size_t k = 0; k < n_; ++k) order[k] = dm_[index(places[k])];
    set_priorities(whole, order);
    if (evaluator_.evaluate(whole, true)) found(whole);
  } while (std::next_permutation(places.begin(), places.end()));
  return true;
}

bool Exact::run() {
  if (open_tasks_.stuck()) return true;  // nothing is feasible
  open_.push(rated({}));
  Choices choices(n_);
  const double ceiling = evaluator_.best() && evaluator_.best()->score.feasible
                             ? evaluator_.best()->score.loss
                             : std::numeric_limits<double>::infinity();
  while (!open_.empty()) {
    const Node node = open_.top();
    open_.pop();
    if (node.bound > std::min(optimum_, ceiling) + kSameLoss) return true;
    if (++popped_ % 256 == 0) {
      evaluator_.context().report("plan: exact search", std::min(evaluator_.used(), 1.0));
      if (evaluator_.out_of_time()) return known();
    }
    if (known() && (popped_ >= last_node_ || evaluator_.evaluated() >= last_simulation_)) return true;
    if (node.depth > 0 && node.place[node.depth - 1U] + 1U < open_tasks_.options(node.depth - 1U).size()) {
      Node sibling = node;
      ++sibling.place[node.depth - 1U];
      open_.push(rated(sibling));
    }
    if (hopeless(node)) continue;
    if (node.depth < n_) {
      Node child = node;
      child.place[child.depth++] = 0;
      open_.push(rated(child));
      if (open_.size() > kMostOpenNodes) return false;
      continue;
    }
    for (std::size_t k = 0; k < n_; ++k) choices[index(dm_[k])].option = open_tasks_.options(k)[node.place[k]];
    if (!evaluator_.promising(choices)) continue;
    if (!try_orders(choices)) return known();
  }
  return true;
}

}  // namespace

bool exact_is_open(const PlanProblem& problem) {
  return problem.tasks.size() <= kMostExactTasks &&
         std::all_of(problem.tasks.begin(), problem.tasks.end(),
                     [](const PlanTask& t) { return t.options.size() <= kMostExactOptions; });
}

bool search_exact(Evaluator& evaluator) { return Exact(evaluator).run(); }

}  // namespace rtmdl
