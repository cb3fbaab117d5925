#include "planning/evaluator.h"

#include "planning/energy.h"
#include "planning/stage_draw.h"
#include "scheduling/arrivals.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace rtmdl {
namespace {}  // namespace

namespace {

/// Miss rates this close are equal: a job more or less in a simulation says nothing, room on the busiest processor
/// does.
int miss_class(const Score& s) { return static_cast<int>(std::ceil(s.miss_rate / 0.002 - kSameLoss)); }

}  // namespace

bool better(const Score& a, const Score& b) {
  if (a.feasible != b.feasible) return a.feasible;
  if (!a.feasible && std::abs(a.excess - b.excess) > kSameLoss) return a.excess < b.excess;
  if (!a.feasible && std::abs(a.tightness - b.tightness) > kSameLoss) return a.tightness < b.tightness;
  if (std::abs(a.loss - b.loss) > kSameLoss) return a.loss < b.loss;
  if (a.feasible && miss_class(a) != miss_class(b)) return miss_class(a) < miss_class(b);
  for (const auto part : {&Score::peak, &Score::tightness, &Score::miss_rate}) {
    if (std::abs(a.*part - b.*part) > kSameLoss) return a.*part < b.*part;
  }
  return false;
}

namespace {

std::vector<int> order_by(const PlanProblem& problem, Duration PlanTask::*time) {
  std::vector<int> order(problem.tasks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return problem.tasks[index(a)].*time < problem.tasks[index(b)].*time; });
  return order;
}

}  // namespace

std::vector<int> deadline_monotonic_order(const PlanProblem& problem) { return order_by(problem, &PlanTask::deadline); }
std::vector<int> rate_monotonic_order(const PlanProblem& problem) { return order_by(problem, &PlanTask::period); }

void set_priorities(Choices& choices, const std::vector<int>& order) {
  for (std::size_t k = 0; k < order.size(); ++k) choices[index(order[k])].priority = static_cast<int>(k) + 1;
}

Evaluator::Evaluator(const PlanProblem& problem, const PlanOptions& options, const Context& context)
    : problem_(problem), options_(options), context_(context), simulator_(problem), analysis_(problem) {
  idle_watts_ = rtmdl::idle_watts(problem);
  std::int64_t first = std::chrono::nanoseconds(options.simulated).count(), last = 0;
  const std::vector<std::int64_t> released = most_releases(problem, options.simulated, options.seed);
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    const PlanTask& task = problem.tasks[i];
    limits_.push_back(may_miss(i, released[i]));
    quick_.push_back(limits_.back() / 2 + (task.hard ? 0 : 1));
    any_hard_ |= task.hard;
    all_hard_ &= task.hard;
    releases_.emplace_back();
    if (task.after.task < 0)
      releases_[i] = release_times(problem, static_cast<int>(i), options.simulated, options.seed);
    if (releases_[i].empty()) continue;
    first = std::min(first, releases_[i].front().count());
    last = std::max(last, (releases_[i].back() + task.deadline).count());
  }
  dm_ = deadline_monotonic_order(problem);
  rm_ = rate_monotonic_order(problem);
  only_one_.assign(tasks(), std::numeric_limits<std::int64_t>::max());
  for (const PlanProcessor& p : problem.processors)
    capacity_.push_back(p.slots * std::max<std::int64_t>(last - first, 0));
  std::map<std::string, std::pair<int, std::size_t>> models;  // with the first task that has it
  facts_.resize(problem.tasks.size());
  for (std::size_t i = 0; i < facts_.size(); ++i) {
    for (std::size_t o = 0; o < options_of(i); ++o) {
      facts_[i].push_back(facts_of(i, o));
      const TaskOption& option = problem.tasks[i].options[o];
      const std::string name = option.content.empty() ? fmt::format("{} {}", i, option.variant) : option.content;
      const auto [number, owner] = models.try_emplace(name, static_cast<int>(models.size()), i).first->second;
      facts_[i].back().model = number;
      shares_models_ |= owner != i;
    }
  }
}

Evaluator::Facts Evaluator::facts_of(std::size_t i, std::size_t o) const {
  const PlanTask& task = problem_.tasks[i];
  const TaskOption& option = task.options[o];
  Facts facts;
  facts.loss = task.weight * option.accuracy_loss;
  facts.watts = draw_watts(task, option);
  facts.demand.resize(problem_.processors.size());
  facts.utilisation.resize(problem_.processors.size());
  for (const StageOption& stage : option.stages) {
    const std::size_t p = index(stage.processor);
    facts.utilisation[p] += load_seconds(stage, dispatch_cost(problem_, stage.processor)) /
                            to_seconds(mean_interval(task)) / problem_.processors[p].slots;
  }
  const std::vector<Duration>& releases = releases_[i];
  const std::size_t jobs = releases.size();
  std::vector<std::vector<std::int64_t>> times(problem_.processors.size());
  std::vector<std::int64_t> whole(jobs);
  for (std::size_t j = 0; j < jobs; ++j) {
    whole[j] = release_jitter(options_.seed, static_cast<int>(i), j, task.jitter).count();
  }
  for (std::size_t s = 0; s < option.stages.size(); ++s) {
    const StageOption& stage = option.stages[s];
    const StageDraw draw(problem_, static_cast<int>(i), option, static_cast<int>(s));
    auto& here = times[index(stage.processor)];
    here.resize(jobs);
    for (std::size_t j = 0; j < jobs; ++j) {
      if (leaves_out(option, static_cast<int>(s), j)) continue;
      const Duration time =
          dispatch_cost(problem_, stage.processor) + least_time(stage, draw.quantile(options_.seed, j, releases[j]));
      here[j] += time.count() * stage.slots;
      whole[j] += time.count();
    }
  }
  const std::size_t needed = jobs - std::min(jobs, static_cast<std::size_t>(limits_[i]));
  for (std::size_t p = 0; p < times.size(); ++p) {
    if (times[p].empty()) continue;
    std::nth_element(times[p].begin(), times[p].begin() + static_cast<std::ptrdiff_t>(needed), times[p].end());
    facts.demand[p] =
        std::accumulate(times[p].begin(), times[p].begin() + static_cast<std::ptrdiff_t>(needed), std::int64_t{0});
  }
  const std::int64_t hopeless =
      std::count_if(whole.begin(), whole.end(), [&](std::int64_t t) { return t > task.deadline.count(); });
  facts.possible = hopeless <= limits_[i];
  facts.least_miss_rate = jobs == 0 ? 0 : static_cast<double>(hopeless) / static_cast<double>(jobs);
  return facts;
}

double Evaluator::loss(std::size_t task, std::size_t option) const { return facts_[task][option].loss; }
double Evaluator::utilisation(std::size_t task, std::size_t option, std::size_t processor) const {
  return facts_[task][option].utilisation[processor];
}
double Evaluator::utilisation(std::size_t task, std::size_t option) const {
  const std::vector<double>& mine = facts_[task][option].utilisation;
  return std::accumulate(mine.begin(), mine.end(), 0.0);
}
std::vector<double> Evaluator::utilisation(const Choices& choices) const {
  std::vector<double> sums(problem_.processors.size(), 0.0);
  for (std::size_t i = 0; i < choices.size(); ++i)
    for (std::size_t p = 0; p < sums.size(); ++p) sums[p] += utilisation(i, index(choices[i].option), p);
  return sums;
}
std::int64_t Evaluator::demand(std::size_t task, std::size_t option, std::size_t processor) const {
  return facts_[task][option].demand[processor];
}

std::int64_t Evaluator::bytes(const Choices& choices) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const Facts& mine = facts_[i][index(choices[i].option)];
    bool counted = false;
    for (std::size_t j = 0; j < i; ++j) counted |= facts_[j][index(choices[j].option)].model == mine.model;
    if (!counted) sum += problem_.tasks[i].options[index(choices[i].option)].bytes;
  }
  return sum;
}

std::int64_t Evaluator::memory(const Choices& choices) const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) sum += problem_.tasks[i].options[index(choices[i].option)].memory;
  return sum;
}

double Evaluator::watts(const Choices& choices) const {
  double sum = idle_watts_;
  for (std::size_t i = 0; i < choices.size(); ++i) sum += watts(i, index(choices[i].option));
  return sum;
}

bool Evaluator::fits(const Choices& choices) const {
  return (!problem_.storage || bytes(choices) <= *problem_.storage) &&
         (!problem_.memory || memory(choices) <= *problem_.memory) &&
         (!problem_.power_limit || watts(choices) <= *problem_.power_limit + kSameWatts);
}

double Evaluator::loss(const Choices& choices) const {
  double sum = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) sum += facts_[i][index(choices[i].option)].loss;
  return sum;
}

bool Evaluator::promising(const Choices& choices) const {
  if (!fits(choices)) return false;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (!possible(i, index(choices[i].option))) return false;
  }
  for (std::size_t p = 0; p < capacity_.size(); ++p) {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) sum += demand(i, index(choices[i].option), p);
    if (sum > capacity_[p]) return false;
  }
  return true;
}

bool Evaluator::all_preemptive(const Choices& choices) const {
  for (std::size_t i = 0; i < choices.size(); ++i) {
    for (const StageOption& stage : problem_.tasks[i].options[index(choices[i].option)].stages) {
      if (!problem_.processors[index(stage.processor)].preemptive) return false;
    }
  }
  return true;
}

std::int64_t Evaluator::may_miss(std::size_t i, std::int64_t jobs) const {
  const PlanTask& task = problem_.tasks[i];
  return task.hard ? 0 : static_cast<std::int64_t>(task.miss_rate_limit * static_cast<double>(jobs) + kSameLoss);
}

bool Evaluator::limit_holds(std::size_t task, const SimulationOutcome& outcome) const {
  const TaskOutcome& o = outcome.tasks[task];
  return o.missed <= (outcome.given_up ? limits_[task] : may_miss(task, o.released));
}

bool Evaluator::limits_hold(const SimulationOutcome& outcome) const {
  for (std::size_t i = 0; i < tasks(); ++i)
    if (!limit_holds(i, outcome)) return false;
  return !outcome.given_up;
}

double Evaluator::strain_of(std::size_t task, const TaskOutcome& outcome, std::optional<Duration> bound) const {
  const double deadline = to_seconds(problem_.tasks[task].deadline);
  double strain = 0;
  if (problem_.tasks[task].hard) strain = bound ? to_seconds(*bound) / deadline : kMostStrain;
  const std::int64_t kept = outcome.released - may_miss(task, outcome.released);
  if (kept > outcome.completed) return kMostStrain;
  if (kept > 0) {
    std::vector<float> responses = outcome.responses_ms;
    const auto last = responses.begin() + (kept - 1);
    std::nth_element(responses.begin(), last, responses.end());
    strain = std::max(strain, static_cast<double>(*last) / 1e3 / deadline);
  }
  return std::min(strain, kMostStrain);
}

std::optional<Strategy> Evaluator::evaluate(const Choices& choices, bool give_up, std::vector<double>* strain) {
  SimulationOptions simulation;
  simulation.collect_responses = strain != nullptr;
  simulation.length = options_.simulated;
  simulation.seed = options_.seed;
  simulation.machine = false;
  if (give_up) simulation.most_misses = limits_;
  if (give_up && !promising(choices)) {
    tell(choices, "unpromising");
    return std::nullopt;
  }
  Strategy strategy;
  if (any_hard_) strategy.bounds = analysis_.bounds(choices);
  double excess = 0;
  for (std::size_t i = 0; any_hard_ && i < tasks(); ++i) {
    const PlanTask& task = problem_.tasks[i];
    if (!task.hard) continue;
    const auto& bound = strategy.bounds[i];
    if (bound && *bound <= task.deadline) continue;
    if (give_up) {
      tell(choices, "unproven", static_cast<int>(i));
      return std::nullopt;
    }
    excess += bound ? to_seconds(*bound) / to_seconds(task.deadline) - 1
                    : 1 + to_seconds(task.period) / to_seconds(task.deadline);
  }
  ++evaluated_;
  const SimulationOutcome& outcome = simulator_.run(choices, simulation);
  if (give_up && !limits_hold(outcome)) {
    for (std::size_t i = 0; i < tasks(); ++i)
      if (!limit_holds(i, outcome)) tell(choices, "gave up", static_cast<int>(i));
    return std::nullopt;
  }

  if (strain) {
    strain->clear();
    for (std::size_t i = 0; i < tasks(); ++i)
      strain->push_back(strain_of(i, outcome.tasks[i], any_hard_ ? strategy.bounds[i] : std::nullopt));
  }
  Score& score = strategy.score;
  strategy.choices = choices;
  for (std::size_t i = 0; i < tasks(); ++i) {
    const TaskOutcome& task = outcome.tasks[i];
    strategy.miss_rates.push_back(task.miss_rate());
    if (!limit_holds(i, outcome)) {
      excess += task.miss_rate() - (problem_.tasks[i].hard ? 0.0 : problem_.tasks[i].miss_rate_limit);
    }
    score.tightness =
        std::max(score.tightness, to_seconds(task.worst_response) / to_seconds(problem_.tasks[i].deadline));
  }
  const auto beyond = [](auto value, const auto& bound) {
    return bound ? static_cast<double>(value - *bound) / std::max(static_cast<double>(*bound), 1e-9) : 0.0;
  };
  const bool fitting = fits(choices);
  if (!fitting)
    excess += std::max(beyond(bytes(choices), problem_.storage), 0.0) +
              std::max(beyond(memory(choices), problem_.memory), 0.0) +
              std::max(beyond(watts(choices), problem_.power_limit), 0.0);
  score.excess = excess;
  score.feasible = excess <= 0;
  score.loss = loss(choices);
  score.miss_rate = outcome.miss_rate();
  for (const double u : utilisation(choices)) score.peak = std::max(score.peak, u);
  enter(strategy, fitting);
  tell(choices, score.feasible ? "feasible" : "infeasible", -1, score.miss_rate);
  return strategy;
}

double Evaluator::least_loss() const {
  double least = 0;
  for (const std::vector<Facts>& options : facts_) {
    double mine = std::numeric_limits<double>::infinity();
    for (const Facts& option : options) {
      if (option.possible) mine = std::min(mine, option.loss);
    }
    least += mine;
  }
  return least;
}

bool Evaluator::at_least_loss() const {
  return best_ && best_->score.feasible && best_->score.loss <= least_loss() + kSameLoss;
}

void Evaluator::enter(const Strategy& strategy, bool fits) {
  if (!best_ || better(strategy.score, best_->score)) best_ = strategy;
  if (!fits) return;
  front_.enter(strategy.score.loss, strategy.score.miss_rate, strategy.score.feasible, strategy.choices);
}

void Evaluator::absorb(const Book& book) {
  if (book.best && (!best_ || better(book.best->score, best_->score))) best_ = book.best;
  for (const ParetoPoint& p : book.pareto) front_.enter(p.accuracy_loss, p.miss_rate, p.feasible, p.choices);
  evaluated_ += book.evaluated;
}

bool Evaluator::holds_below(std::size_t task, std::uint64_t higher, std::uint64_t lower, const Choices& choices) {
  Choices part = choices;
  const auto rank = [&](const std::vector<int>& order) {
    for (Choice& c : part) c.priority = 0;
    int next = 0;
    for (const int i : order)
      if ((higher >> i & 1) != 0) part[index(i)].priority = ++next;
    part[task].priority = ++next;
    for (const int i : order)
      if ((lower >> i & 1) != 0) part[index(i)].priority = ++next;
  };
  rank(dm_);
  if (problem_.tasks[task].hard) {
    if (!analysis_.bound_below(part, task, higher, problem_.tasks[task].deadline, higher | lower)) return false;
    if (all_hard_) return true;
  }
  SimulationOptions simulation;
  simulation.length = options_.simulated;
  simulation.seed = options_.seed;
  simulation.machine = false;
  simulation.active = higher | lower | std::uint64_t{1} << task;
  only_one_[task] = limits_[task];
  simulation.most_misses = only_one_;
  bool held = false;
  for (const std::vector<int>* order : {&dm_, &rm_}) {
    if (held || (order == &rm_ && (rm_ == dm_ || std::popcount(higher) < 2))) break;
    rank(*order);
    int next = std::popcount(simulation.active);
    for (Choice& c : part)
      if (c.priority == 0) c.priority = ++next;
    ++evaluated_;
    const SimulationOutcome& outcome = simulator_.run(part, simulation);
    held = !outcome.given_up && limit_holds(task, outcome);
  }
  only_one_[task] = std::numeric_limits<std::int64_t>::max();
  tell(part, held ? "holds" : "fails", static_cast<int>(task));
  return held;
}

void Evaluator::tell(const Choices& choices, std::string_view fate, int task, double miss_rate) const {
  if (options_.log) options_.log({choices, fate, task, loss(choices), miss_rate});
}

bool Evaluator::looks_feasible(const Choices& choices) {
  if (!promising(choices)) {
    tell(choices, "unpromising");
    return false;
  }
  SimulationOptions simulation;
  simulation.length = options_.simulated / 4;
  simulation.seed = options_.seed;
  simulation.machine = false;
  simulation.most_misses = quick_;
  ++evaluated_;
  const bool holds = !simulator_.run(choices, simulation).given_up;
  if (!holds) tell(choices, "quick look failed");
  return holds;
}

bool Evaluator::prefix_holds(const std::vector<int>& order, std::size_t count, const Choices& choices, bool proofs) {
  Choices prefix = choices;
  for (Choice& c : prefix) c.priority = 0;
  SimulationOptions simulation;
  simulation.length = options_.simulated;
  simulation.seed = options_.seed;
  simulation.machine = false;
  simulation.most_misses = limits_;
  simulation.active = 0;
  for (std::size_t k = 0; k < count; ++k) {
    prefix[index(order[k])].priority = static_cast<int>(k) + 1;
    simulation.active |= std::uint64_t{1} << order[k];
  }
  const std::size_t last = index(order[count - 1]);
  if (proofs && problem_.tasks[last].hard) {
    const auto bound = analysis_.bounds(prefix)[last];
    if (!bound || *bound > problem_.tasks[last].deadline) return false;
  }
  int next = static_cast<int>(count);
  for (Choice& c : prefix) {
    if (c.priority == 0) c.priority = ++next;
  }
  ++evaluated_;
  const bool holds = limits_hold(simulator_.run(prefix, simulation));
  tell(prefix, holds ? "holds" : "fails", static_cast<int>(last));
  return holds;
}

double Evaluator::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
}
double Evaluator::used() const { return seconds() / std::max(to_seconds(options_.budget), 1e-9); }
bool Evaluator::out_of_time() const { return used() >= share_ || context_.stopping(); }

}  // namespace rtmdl
