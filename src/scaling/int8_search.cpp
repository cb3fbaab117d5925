#include "scaling/int8_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <queue>

namespace rtmdl {
namespace {

constexpr int kProfileRunsMin = 8, kProfileRunsMax = 30;
constexpr Duration kProfileTime = std::chrono::milliseconds(100);  ///< about, of one profile
/// Output errors of mixtures: for sensitivities, and for the ladder of candidates half as many. As many as the time is
/// enough for, within these limits.
constexpr std::int64_t kEvaluationsMin = 18, kEvaluationsMax = 60;
constexpr Duration kEvaluationTime = std::chrono::seconds(30);

double elements(const TensorSpecs& specs, const std::string& tensor) {
  const auto it = specs.find(tensor);
  return it == specs.end() ? 0 : static_cast<double>(element_count(it->second.shape));
}

void keep_least(UnitTimes& times, const UnitTimes& again) {
  for (std::size_t u = 0; u < times.unit.size(); ++u) times.unit[u] = std::min(times.unit[u], again.unit[u]);
  times.total = std::min(times.total, again.total);
}

/// Where a mixed model was profiled: its integer units' and conversions' real times replace what was assumed.
void learn(RegionTimes& times, const UnitTimes& measured, const std::vector<bool>& integer, const TensorSpecs& specs) {
  for (std::size_t u = 0; u < integer.size(); ++u) {
    double& known = (integer[u] ? times.integer_time : times.float_time)[u];
    known = (known + measured.unit[u]) / 2;
  }
  double spent = 0;
  double moved = 0;
  for (const auto& [tensor, time] : measured.conversion) {
    spent += std::max(0.0, time - times.per_conversion);
    moved += elements(specs, tensor);
  }
  if (moved > 1000) times.per_element = std::clamp(spent / moved, 1e-5, 0.01);
}

}  // namespace

RegionProblem region_problem(const Model& model, const std::vector<Unit>& units, const std::vector<bool>& possible,
                             const TensorSpecs& specs, const RegionTimes& times) {
  RegionProblem problem;
  problem.float_cost = times.float_time;
  problem.integer_cost = times.integer_time;
  problem.possible = possible;
  std::unordered_map<std::string, std::size_t> index;
  const Links links(model);
  const auto tensor = [&](const std::string& name) -> RegionTensor& {
    const auto [it, fresh] = index.try_emplace(name, problem.tensors.size());
    if (fresh) {
      RegionTensor t;
      t.to_integer = t.to_float = times.per_conversion + times.per_element * elements(specs, name);
      t.leaves = links.is_output(name);
      problem.tensors.push_back(t);
    }
    return problem.tensors[it->second];
  };
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (const auto& output : units[u].outputs) tensor(output).producer = static_cast<int>(u);
    std::vector<std::string> inputs = units[u].inputs;
    if (!possible[u]) inputs = reads(model.graph().node(units[u].node));
    for (const auto& input : inputs) {
      if (links.constant(input) == nullptr) tensor(input).readers.push_back(static_cast<int>(u));
    }
  }
  return problem;
}

std::vector<double> sensitivities(const Int8Builder& builder, const std::vector<bool>& chosen,
                                  const std::vector<double>& gain, const OutputError& error, int evaluations,
                                  const Context& context) {
  struct Group {
    double error, worth;
    std::vector<std::size_t> units;
    bool operator<(const Group& other) const { return worth < other.worth; }
  };
  std::vector<double> result(chosen.size(), 0);
  double all_error = 0;
  double all_gain = 0;
  const auto evaluate = [&](std::vector<std::size_t> units) {
    std::vector<bool> integer(chosen.size(), false);
    double own = 0;
    for (const std::size_t u : units) {
      integer[u] = true;
      own += gain[u];
    }
    double e = builder.error(integer, error);
    if (!std::isfinite(e)) e = 1e3;
    if (all_error == 0) {
      all_error = std::max(e, 1e-12);
      all_gain = std::max(own, 1e-12);
    }
    const double worth = units.size() > 1 ? std::min(e / all_error, 1.0) + own / all_gain : 0;
    return Group{e, worth, std::move(units)};
  };
  std::vector<std::size_t> all;
  for (std::size_t u = 0; u < chosen.size(); ++u) {
    if (chosen[u]) all.push_back(u);
  }
  if (all.empty()) return result;
  std::priority_queue<Group> queue;
  queue.push(evaluate(all));
  for (; evaluations > 0 && !context.stopping() && queue.top().units.size() > 1; evaluations -= 2) {
    const Group group = queue.top();
    queue.pop();
    const auto middle = group.units.begin() + static_cast<std::ptrdiff_t>(group.units.size() / 2);
    queue.push(evaluate({group.units.begin(), middle}));
    queue.push(evaluate({middle, group.units.end()}));
  }
  for (; !queue.empty(); queue.pop()) {
    const Group& group = queue.top();
    for (const std::size_t u : group.units) result[u] = group.error / static_cast<double>(group.units.size());
  }
  return result;
}

std::vector<Int8Candidate> worth_measuring(std::vector<Int8Candidate> candidates, std::size_t most) {
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.predicted < b.predicted; });
  std::vector<Int8Candidate> front;
  for (Int8Candidate& c : candidates) {
    // Predictions are good to some 10 %: what is that much faster and no worse beats a candidate.
    const bool beaten = std::any_of(front.begin(), front.end(), [&](const Int8Candidate& f) {
      return f.error <= 1.02 * c.error && (f.predicted < 0.9 * c.predicted || f.error <= 0.9 * c.error);
    });
    if (!beaten) front.push_back(std::move(c));
  }
  while (front.size() > std::max<std::size_t>(most, 2)) {  // the one whose error is nearest to its neighbour's goes
    std::size_t least = 1;
    double ratio = std::numeric_limits<double>::infinity();
    std::stable_sort(front.begin(), front.end(), [](const auto& a, const auto& b) { return a.error > b.error; });
    for (std::size_t i = 1; i < front.size(); ++i) {
      const double r = (front[i - 1].error + 1e-9) / (front[i].error + 1e-9);
      if (r < ratio) ratio = r, least = front[i - 1].predicted <= front[i].predicted ? i : i - 1;
    }
    front.erase(front.begin() + static_cast<std::ptrdiff_t>(least));
  }
  std::stable_sort(front.begin(), front.end(), [](const auto& a, const auto& b) { return a.predicted < b.predicted; });
  return front;
}

std::vector<Int8Candidate> find_candidates(Engine& engine, const Int8Builder& builder, const LoadRequest& at,
                                           const InputSet& input, const OutputError& error,
                                           const std::filesystem::path& folder, const Context& context) {
  const auto& units = builder.units();
  const std::vector<bool>& all = builder.possible();
  std::vector<Int8Candidate> found;
  const int evaluations = builder.evaluations();
  int profiles = 0;
  int profiled_runs = 0;
  int runs = kProfileRunsMin;
  const auto profile = [&](const std::vector<bool>& integer) {
    ++profiles;
    profiled_runs += runs;
    const UnitTimes times =
        profile_units(engine, builder.build(integer), at, units.size(), input, runs, folder, context);
    const auto affordable = kProfileTime / std::max<Duration>(Duration(std::llround(times.total * 1e3)), Duration(1));
    runs = static_cast<int>(std::clamp<std::int64_t>(affordable, kProfileRunsMin, kProfileRunsMax));
    return times;
  };
  const auto log_effort = [&] {
    const int tried = builder.evaluations() - evaluations;
    context.debug(fmt::format("{}: the search loaded {} models and ran them {} times", builder.model().name,
                              profiles + tried, profiled_runs + tried * static_cast<int>(error.runs())));
  };
  const auto propose = [&](const std::vector<bool>& integer, double predicted) {
    const bool known = std::any_of(found.begin(), found.end(), [&](const auto& c) { return c.integer == integer; });
    if (known || builder.count_linear(integer) == 0 || context.stopping()) return;
    const double e = builder.error(integer, error);
    if (std::isfinite(e)) found.push_back({integer, e, predicted});
  };

  UnitTimes in_float = profile(std::vector<bool>(units.size(), false));
  if (context.stopping()) return found;
  UnitTimes in_integer = profile(all);
  // Once more, in turn: what slowed one of them down may have been another process.
  keep_least(in_float, profile(std::vector<bool>(units.size(), false)));
  keep_least(in_integer, profile(all));
  RegionTimes times{in_float.unit, in_integer.unit};
  const auto begin = MonotonicClock::now();
  propose(all, in_integer.total);
  const Duration evaluation = std::max<Duration>(MonotonicClock::now() - begin, std::chrono::milliseconds(1));
  const auto affordable = std::clamp<std::int64_t>(kEvaluationTime / evaluation, kEvaluationsMin, kEvaluationsMax);
  std::vector<bool> fastest = all;
  for (int round = 0; round < 4 && !context.stopping(); ++round) {
    const RegionProblem problem = region_problem(builder.model(), units, all, builder.specs(), times);
    fastest = cheapest_regions(problem);
    if (builder.count_linear(fastest) == 0) break;
    const UnitTimes measured = profile(fastest);
    context.debug(fmt::format("{}: cut {}: {} linear units integer, predicted {:.0f} us, profiled {:.0f} us",
                              builder.model().name, round, builder.count_linear(fastest), region_cost(problem, fastest),
                              measured.total));
    propose(fastest, measured.total);
    learn(times, measured, fastest, builder.specs());
  }
  const bool harmless = std::any_of(found.begin(), found.end(), [](const auto& c) { return c.error < kHarmlessError; });
  if (builder.count_linear(fastest) == 0 || harmless || context.stopping()) {
    log_effort();
    return found;
  }

  const RegionProblem problem = region_problem(builder.model(), units, all, builder.specs(), times);
  std::vector<double> faster(units.size());
  for (std::size_t u = 0; u < units.size(); ++u) faster[u] = std::max(0.0, times.float_time[u] - times.integer_time[u]);
  const std::vector<double> sensitive =
      sensitivities(builder, all, faster, error, static_cast<int>(affordable * 2 / 3), context);
  const double harm = std::accumulate(sensitive.begin(), sensitive.end(), 0.0);
  const double gain = region_cost(problem, std::vector<bool>(units.size(), false)) - region_cost(problem, fastest);
  std::vector<std::vector<bool>> ladder;
  for (double weight = 0.01; weight < 1e6 && harm > 0 && gain > 0; weight *= 1.25) {
    RegionProblem weighted = problem;
    for (std::size_t u = 0; u < units.size(); ++u) weighted.integer_cost[u] += weight * gain / harm * sensitive[u];
    auto integer = cheapest_regions(weighted);
    if (builder.count_linear(integer) == 0) break;
    if (ladder.empty() || ladder.back() != integer) ladder.push_back(std::move(integer));
  }
  const auto steps = static_cast<std::size_t>(affordable / 3);
  for (std::size_t i = 0; i < ladder.size() && !context.stopping(); ++i) {
    const std::size_t step = i * steps / ladder.size();  // the last of each step: about evenly spread
    if (i + 1 == ladder.size() || (i + 1) * steps / ladder.size() != step)
      propose(ladder[i], region_cost(problem, ladder[i]));
  }
  log_effort();
  for (const Int8Candidate& c : found) {
    context.debug(fmt::format("{}: {} of {} linear units integer, predicted {:.3f} ms, output error {:.5f}",
                              builder.model().name, builder.count_linear(c.integer), builder.count_linear(all),
                              c.predicted / 1e3, c.error));
  }
  return found;
}

std::vector<bool> needlessly_large(const std::vector<MeasuredForm>& forms) {
  const auto replaces = [](const MeasuredForm& a, const MeasuredForm& b) {
    const bool as_fast = static_cast<double>(a.time.count()) <= kSameTime * static_cast<double>(b.time.count());
    return as_fast && a.bytes < b.bytes && a.error <= b.error;
  };
  std::vector<bool> large;
  for (const MeasuredForm& one : forms)
    large.push_back(std::any_of(forms.begin(), forms.end(), [&](const auto& other) { return replaces(other, one); }));
  return large;
}

}  // namespace rtmdl
