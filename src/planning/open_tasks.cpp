#include "planning/open_tasks.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace rtmdl {
namespace {}  // namespace

OpenTasks::OpenTasks(const Evaluator& evaluator, std::vector<int> order,
                     const std::function<bool(std::size_t, std::size_t)>& left_out)
    : evaluator_(evaluator), order_(std::move(order)) {
  const PlanProblem& problem = evaluator.problem();
  const std::size_t processors = problem.processors.size(), n = order_.size();
  options_.resize(n);
  least_loss_from_.assign(n + 1, 0);
  least_demand_from_.assign(n + 1, std::vector<std::int64_t>(processors + 1, 0));
  least_memory_from_.assign(n + 1, 0);
  least_bytes_from_.assign(n + 1, 0);
  least_watts_from_.assign(n + 1, evaluator.idle_watts());
  for (std::size_t k = n; k-- > 0;) {
    const std::size_t i = task(k);
    auto& mine = options_[k];
    for (std::size_t o = 0; o < evaluator.options_of(i); ++o) {
      if (evaluator.possible(i, o) && !(left_out && left_out(i, o))) mine.push_back(static_cast<int>(o));
    }
    if (mine.empty()) continue;
    std::stable_sort(mine.begin(), mine.end(), [&](int a, int b) {
      const double la = evaluator.loss(i, index(a)), lb = evaluator.loss(i, index(b));
      return la != lb ? la < lb : evaluator.utilisation(i, index(a)) < evaluator.utilisation(i, index(b));
    });
    least_loss_from_[k] = least_loss_from_[k + 1] + evaluator.loss(i, index(mine.front()));
    std::vector<std::int64_t> least(processors + 1, std::numeric_limits<std::int64_t>::max());
    std::int64_t bytes = least.front(), memory = least.front();
    double watts = kInfinity;
    for (const int o : mine) {
      std::int64_t sum = 0;
      for (std::size_t p = 0; p < processors; ++p) {
        const std::int64_t demand = evaluator.demand(i, index(o), p);
        least[p] = std::min(least[p], demand);
        sum += demand;
      }
      least[processors] = std::min(least[processors], sum);
      bytes = std::min(bytes, problem.tasks[i].options[index(o)].bytes);
      memory = std::min(memory, problem.tasks[i].options[index(o)].memory);
      watts = std::min(watts, evaluator.watts(i, index(o)));
    }
    for (std::size_t p = 0; p <= processors; ++p) least_demand_from_[k][p] = least_demand_from_[k + 1][p] + least[p];
    least_bytes_from_[k] = least_bytes_from_[k + 1] + bytes;
    least_memory_from_[k] = least_memory_from_[k + 1] + memory;
    least_watts_from_[k] = least_watts_from_[k + 1] + watts;
  }
}

bool OpenTasks::stuck() const {
  return std::any_of(options_.begin(), options_.end(), [](const auto& options) { return options.empty(); });
}

bool OpenTasks::hopeless(std::span<const std::uint8_t> chosen) const {
  const PlanProblem& problem = evaluator_.problem();
  const std::size_t processors = problem.processors.size(), depth = chosen.size();
  std::int64_t all_demand = least_demand_from_[depth][processors], all_capacity = 0;
  for (std::size_t p = 0; p < processors; ++p) {
    std::int64_t demand = least_demand_from_[depth][p];
    for (std::size_t k = 0; k < depth; ++k) {
      const std::int64_t own = evaluator_.demand(task(k), chosen[k], p);
      demand += own;
      all_demand += own;
    }
    if (demand > evaluator_.capacity(p)) return true;
    all_capacity += evaluator_.capacity(p);
  }
  if (all_demand > all_capacity) return true;
  std::int64_t memory = least_memory_from_[depth], bytes = least_bytes_from_[depth];
  double watts = least_watts_from_[depth];
  for (std::size_t k = 0; k < depth; ++k) {
    const TaskOption& option = problem.tasks[task(k)].options[chosen[k]];
    memory += option.memory;
    bytes += option.bytes;
    watts += evaluator_.watts(task(k), chosen[k]);
  }
  if (problem.memory && memory > *problem.memory) return true;
  if (problem.power_limit && watts > *problem.power_limit + kSameWatts) return true;
  // A model that two tasks share counts once: then only the finished combination can tell (Evaluator::promising).
  return problem.storage && !evaluator_.shares_models() && bytes > *problem.storage;
}

}  // namespace rtmdl
