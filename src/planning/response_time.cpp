#include "planning/response_time.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rtmdl {
namespace {

constexpr int kMostSteps = 20'000;  ///< of all iterations for one task; one that takes more counts as unproven
constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max() / 4;

std::uint32_t bit(int processor) { return std::uint32_t{1} << processor; }

using Window = Interference::Window;
Window window_of(bool preemptive) { return preemptive ? Window::to_completion : Window::to_beginning; }

/// Tasks that are not left out.
std::uint64_t in_use(const Choices& choices) {
  std::uint64_t mask = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) mask |= std::uint64_t{choices[i].priority > 0} << i;
  return mask;
}

}  // namespace

Duration longest_time(const StageOption& stage, Duration dispatch, double factor) {
  if (stage.longest > Duration{}) return stage.longest;
  const Duration observed = std::max(stage.times.max(), stage.alone.max());
  return Duration(static_cast<std::int64_t>(std::ceil(static_cast<double>(observed.count()) * factor))) + dispatch;
}

Duration shortest_time(const StageOption& stage, double factor) {
  if (stage.shortest > Duration{}) return stage.shortest;
  Duration observed = stage.times.min();
  if (!stage.alone.sorted.empty()) observed = std::min(observed, stage.alone.min());
  return Duration(static_cast<std::int64_t>(static_cast<double>(observed.count()) / factor));
}

void fix_proof_times(PlanProblem& problem) {
  for (PlanTask& task : problem.tasks) {
    for (TaskOption& option : task.options) {
      for (StageOption& stage : option.stages) {
        stage.longest = longest_time(stage, dispatch_cost(problem, stage.processor));
        stage.shortest = shortest_time(stage);
      }
    }
  }
}

ResponseAnalysis::ResponseAnalysis(const PlanProblem& problem, double execution_factor) : problem_(problem) {
  chains_.resize(problem.tasks.size());
  for (std::size_t i = 0; i < chains_.size(); ++i) {
    for (std::size_t o = 0; o < problem.tasks[i].options.size(); ++o)
      chains_[i].push_back(chain_of(i, o, execution_factor));
  }
}

ResponseAnalysis::ResponseAnalysis(const PlanProblem& problem, const Choices& choices, double execution_factor)
    : problem_(problem), whole_(false) {
  chains_.resize(problem.tasks.size());
  for (std::size_t i = 0; i < chains_.size(); ++i)
    chains_[i].push_back(chain_of(i, index(choices[i].option), execution_factor));
}

ResponseAnalysis::Chain ResponseAnalysis::chain_of(std::size_t task, std::size_t option, double factor) const {
  const PlanTask& from = problem_.tasks[task];
  Chain chain;
  chain.period = from.period.count();
  chain.jitter = from.jitter.count();
  chain.queue = from.queue;
  int stage_index = 0;
  for (const StageOption& stage : from.options[option].stages) {
    const PlanProcessor& processor = problem_.processors[index(stage.processor)];
    const bool goes_on =
        !chain.visits.empty() && chain.visits.back().processor == stage.processor && processor.slots == 1;
    if (!goes_on) {
      chain.visits.push_back(
          {.processor = stage.processor, .first_stage = stage_index, .preemptive = processor.preemptive});
    }
    Visit& visit = chain.visits.back();
    const std::int64_t time = longest_time(stage, dispatch_cost(problem_, stage.processor), factor).count();
    ++visit.stages;
    visit.time += time;
    visit.shortest += std::min(shortest_time(stage, factor).count(), time);
    if (!processor.preemptive) {
      visit.last = time;
      visit.longest = std::max(visit.longest, time);
    }
    chain.processors |= bit(stage.processor);
    ++stage_index;
  }
  for (const Visit& visit : chain.visits) {
    chain.time += visit.time;
    chain.shortest += visit.shortest;
  }
  chain.limit = chain.queue * chain.period + chain.shortest;
  chain.single = chain.visits.size() == 1 && problem_.processors[index(chain.visits[0].processor)].slots == 1;
  return chain;
}

/// The tasks of the mask, most urgent first.
void ResponseAnalysis::sort(const Choices& choices, std::uint64_t among) {
  order_.clear();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (among >> i & 1) order_.push_back(i);
  }
  std::sort(order_.begin(), order_.end(),
            [&](std::size_t a, std::size_t b) { return choices[a].priority < choices[b].priority; });
}

/// Adds the task's stages to what may block those above it.
void ResponseAnalysis::block(const Choices& choices, std::size_t task) {
  for (const Visit& visit : chain(choices, task).visits) {
    std::int64_t& most = below_[index(visit.processor)];
    most = std::max(most, visit.longest);
  }
}

/// Adds the stops of the kernel to what all tasks see.
void ResponseAnalysis::throttle(const Choices& choices) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  stopped_ = 0;
  for (std::size_t p = 0; p < problem_.processors.size(); ++p) {
    const double share = problem_.processors[p].realtime_share;
    if (share >= 1) continue;
    double asked = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (!(present_ >> i & 1)) continue;
      const Chain& mine = chain(choices, i);
      const std::int64_t jobs = (kSecond + mine.jitter + mine.period - 1) / mine.period + mine.queue + 1;
      for (const Visit& visit : mine.visits)
        if (index(visit.processor) == p) asked += static_cast<double>(jobs) * static_cast<double>(visit.time);
    }
    if (asked <= share * kSecond) continue;
    const auto stop = static_cast<std::int64_t>((1 - share) * kSecond);
    stopped_ |= bit(static_cast<int>(p));
    higher_.add(static_cast<int>(p), {.task = kKernel, .period = kSecond, .time = stop, .stay = stop});
  }
}

/// The tasks of order_ from the top down, to level `last`; the detail is of that one. below_ holds what blocks all of
/// them.
void ResponseAnalysis::go_through(const Choices& choices, std::size_t last, BoundDetail* detail) {
  const std::size_t processors = problem_.processors.size();
  bounds_.assign(choices.size(), std::nullopt);
  blocking_.resize(order_.size() * processors);
  for (std::size_t level = order_.size(); level-- > 0;) {
    std::copy_n(below_.begin(), processors, blocking_.begin() + static_cast<std::ptrdiff_t>(level * processors));
    block(choices, order_[level]);
  }
  higher_.clear(processors);
  throttle(choices);
  for (std::size_t level = 0; level < order_.size() && level <= last; ++level) {
    const std::size_t task = order_[level];
    const Chain& mine = chain(choices, task);
    std::copy_n(blocking_.begin() + static_cast<std::ptrdiff_t>(level * processors), processors, below_.begin());
    const Outcome outcome = analyse(mine, kNone);
    if (outcome.bound) bounds_[task] = Duration(*outcome.bound);
    if (level == last && detail != nullptr) describe(choices, task, outcome, level, *detail);
    if (level < last) interfere(task, mine, outcome);
  }
}

const std::vector<std::optional<Duration>>& ResponseAnalysis::bounds(const Choices& choices) {
  present_ = in_use(choices);
  sort(choices, present_);
  below_ = {};
  go_through(choices, order_.size() - 1, nullptr);
  return bounds_;
}

BoundDetail ResponseAnalysis::detail(const Choices& choices, std::size_t task) {
  BoundDetail detail;
  present_ = in_use(choices);
  sort(choices, present_);
  below_ = {};
  const auto place = std::find(order_.begin(), order_.end(), task);
  if (place != order_.end()) go_through(choices, static_cast<std::size_t>(place - order_.begin()), &detail);
  return detail;
}

bool ResponseAnalysis::order_free(const Choices& choices) const {
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (choices[i].priority > 0 && !chain(choices, i).single) return false;
  }
  return true;
}

std::optional<Duration> ResponseAnalysis::bound_below(const Choices& choices, std::size_t task,
                                                      std::uint64_t more_urgent, Duration within,
                                                      std::uint64_t present) {
  more_urgent &= ~(std::uint64_t{1} << task);
  present_ = present | more_urgent | std::uint64_t{1} << task;
  sort(choices, more_urgent);
  below_ = {};
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i != task && (present_ >> i & 1) && !(more_urgent >> i & 1)) block(choices, i);
  }
  const Chain& mine = chain(choices, task);
  bool free = mine.single;
  for (const std::size_t i : order_) free &= chain(choices, i).single;
  const std::int64_t most = within == Duration::max() ? kNone : within.count();
  if (free) {  // nothing that those above it inherit from one another matters
    higher_.clear(problem_.processors.size());
    throttle(choices);
    for (const std::size_t i : order_) interfere(i, chain(choices, i), {});
    const Outcome outcome = analyse(mine, most);
    return outcome.bound ? std::optional(Duration(*outcome.bound)) : std::nullopt;
  }
  order_.push_back(task);
  go_through(choices, order_.size() - 1, nullptr);
  return bounds_[task] && bounds_[task]->count() <= most ? bounds_[task] : std::nullopt;
}

ResponseAnalysis::Outcome ResponseAnalysis::analyse(const Chain& chain, std::int64_t within) {
  higher_.allow(kMostSteps);
  const std::int64_t limit = std::min(chain.limit, within);
  return chain.single ? one_processor(chain, limit) : several(chain, limit);
}

ResponseAnalysis::Outcome ResponseAnalysis::one_processor(const Chain& chain, std::int64_t limit) {
  const Visit& visit = chain.visits.front();
  const std::uint32_t here = bit(visit.processor);
  const std::int64_t blocking = visit.preemptive ? 0 : below_[index(visit.processor)];
  const Window kind = window_of(visit.preemptive);
  Outcome worst;
  std::int64_t response = -1, guess = 0;
  for (std::int64_t q = 1;; ++q) {
    const std::int64_t begun_by = limit - chain.jitter + (q - 1) * chain.period - visit.last;
    const auto begun = higher_.window(here, kind, blocking + q * chain.time - visit.last, guess, begun_by);
    if (!begun) return {};
    const std::int64_t here_response = *begun + visit.last + chain.jitter - (q - 1) * chain.period;
    if (here_response > response) {
      response = here_response;
      worst = {response, visit.preemptive ? BoundDetail::Method::busy_period : BoundDetail::Method::last_segment,
               static_cast<int>(q), *begun};
    }
    const std::int64_t next = q * chain.period - chain.jitter;  // the earliest release of the next job
    const auto over =
        visit.preemptive ? begun : higher_.window(here, Window::to_completion, blocking + q * chain.time, *begun, next);
    if (over && *over <= next) return worst;
    guess = *begun + chain.time;
  }
}

ResponseAnalysis::VisitOutcome ResponseAnalysis::visit_delay(const Chain& chain, const Visit& visit,
                                                             std::int64_t limit) {
  const std::uint32_t here = bit(visit.processor);
  const auto window = [&](std::int64_t before) {
    return higher_.window(here, window_of(visit.preemptive), before + visit.time - visit.last, 0,
                          limit + before - visit.last);
  };
  if (visit.preemptive) {
    const auto w = window(0);
    return {w, w.value_or(0), false};
  }
  const auto blocked = window(below_[index(visit.processor)]);
  if (!blocked) return {};
  VisitOutcome outcome{*blocked + visit.last, *blocked, false};
  if (higher_.on(visit.processor).empty()) return outcome;
  std::int64_t own = 0;
  for (const Visit& other : chain.visits) {
    if (other.processor == visit.processor) own = std::max(own, other.longest);
  }
  const auto pushed = window(own);
  if (!pushed) return {};
  if (*pushed - own + visit.last > *outcome.delay) outcome = {*pushed - own + visit.last, *pushed, true};
  return outcome;
}

ResponseAnalysis::Outcome ResponseAnalysis::several(const Chain& chain, std::int64_t limit) {
  visit_outcomes_.assign(chain.visits.size(), {});
  std::int64_t sum = 0, own = chain.time;
  for (std::size_t v = 0; v < chain.visits.size(); ++v) {
    const Visit& visit = chain.visits[v];
    visit_outcomes_[v] = visit_delay(chain, visit, limit);
    sum = visit_outcomes_[v].delay ? std::min(sum + *visit_outcomes_[v].delay, kNone) : kNone;
    if (!visit.preemptive) own += below_[index(visit.processor)];
  }
  const std::int64_t last = chain.visits.back().last;
  const auto in_row = [&](std::int64_t q, std::int64_t guess) {
    return higher_.window(chain.processors, Window::anywhere, q * own - last, guess,
                          limit - chain.jitter + (q - 1) * chain.period - last);
  };
  Outcome best;
  if (sum <= chain.period && chain.jitter + sum <= limit) {
    best = {chain.jitter + sum, BoundDetail::Method::by_visit, 1, sum};
  }
  auto begun = in_row(1, 0);
  if (!begun) return best;
  if (*begun + last <= chain.period || best.bound) {
    const std::int64_t response = chain.jitter + *begun + last;
    if (*begun + last <= chain.period && (!best.bound || response < *best.bound))
      best = {response, BoundDetail::Method::whole_chain, 1, *begun};
    return best;
  }
  for (std::int64_t q = 1;; ++q) {
    const std::int64_t response = *begun + last + chain.jitter - (q - 1) * chain.period;
    if (!best.bound || response > *best.bound)
      best = {response, BoundDetail::Method::whole_chain, static_cast<int>(q), *begun};
    if (*begun + last <= q * chain.period - chain.jitter) return best;
    begun = in_row(q + 1, *begun + own);
    if (!begun) return {};
  }
}

/// Adds the task to what those below it see.
void ResponseAnalysis::interfere(std::size_t task, const Chain& chain, const Outcome& outcome) {
  const std::int64_t all = chain.queue + 1;
  Interferer h{.task = static_cast<int>(task), .period = chain.period, .jitter = chain.jitter};
  if (chain.single || !outcome.bound) {
    h.backlog = chain.single ? 0 : all;
    h.stay = outcome.bound.value_or(chain.jitter);
    h.stay_backlog = outcome.bound ? 0 : all;
    for (const Visit& visit : chain.visits) {
      h.time = visit.time;
      higher_.add(visit.processor, h);
      ++h.visit;
    }
    return;
  }
  const std::int64_t response = *outcome.bound;
  std::int64_t end = std::max(chain.jitter, response - chain.period);  // when a job can begin, at the latest
  std::int64_t least = 0;                                              // that it has taken by then
  h.by_completion = response > chain.period;
  for (std::size_t v = 0; v < chain.visits.size(); ++v) {
    const Visit& visit = chain.visits[v];
    h.visit = static_cast<int>(v);
    h.time = visit.time;
    h.jitter = end - least;
    const std::int64_t rest = chain.shortest - least - visit.shortest;
    end = std::min(end + visit_outcomes_[v].delay.value_or(kNone), response - rest);
    h.stay = end - least;
    higher_.add(visit.processor, h);
    least += visit.shortest;
    h.by_completion = true;
  }
}

void ResponseAnalysis::describe(const Choices& choices, std::size_t task, const Outcome& outcome, std::size_t level,
                                BoundDetail& detail) const {
  const Chain& mine = chain(choices, task);
  detail.method = outcome.method;
  detail.bound = bounds_[task];
  detail.jitter = Duration(mine.jitter);
  detail.limit = Duration(mine.limit);
  detail.job = outcome.job;
  detail.stopped = stopped_;
  const bool whole = outcome.method == BoundDetail::Method::whole_chain;
  std::uint32_t seen = 0;
  for (std::size_t v = 0; v < mine.visits.size(); ++v) {
    const Visit& visit = mine.visits[v];
    BoundDetail::Visit out{.processor = visit.processor,
                           .first_stage = visit.first_stage,
                           .stages = visit.stages,
                           .own = Duration(visit.time)};
    const bool by_visit = !mine.single && !whole && v < visit_outcomes_.size();
    const bool pushed = by_visit && visit_outcomes_[v].pushed;
    if (!visit.preemptive && !pushed) {
      for (std::size_t k = level + 1; k < order_.size(); ++k) {
        for (const Visit& other : chain(choices, order_[k]).visits) {
          if (other.processor != visit.processor || Duration(other.longest) <= out.blocking) continue;
          out.blocking = Duration(other.longest);
          out.blocker = static_cast<int>(order_[k]);
        }
      }
    }
    if (pushed) out.blocker = static_cast<int>(task);
    if (by_visit && visit_outcomes_[v].delay) out.delay = Duration(*visit_outcomes_[v].delay);
    const std::int64_t window = by_visit ? visit_outcomes_[v].window : outcome.window;
    if (window > 0 && !(whole && (seen & bit(visit.processor)))) {
      for (const Interferer& h : higher_.on(visit.processor)) {
        const std::int64_t jobs =
            Interference::count(h, whole ? Window::anywhere : window_of(visit.preemptive), window);
        if (jobs <= 0) continue;
        if (h.task == kKernel) {
          out.terms.push_back({kKernel, 0, 1, jobs, Duration(h.time)});
          continue;
        }
        const Visit& its = chain(choices, index(h.task)).visits[index(h.visit)];
        out.terms.push_back({h.task, its.first_stage, its.stages, jobs, Duration(h.time)});
      }
    }
    seen |= bit(visit.processor);
    detail.visits.push_back(std::move(out));
  }
}

std::vector<std::optional<Duration>> response_bounds(const PlanProblem& problem, const Choices& choices,
                                                     double execution_factor) {
  return ResponseAnalysis(problem, choices, execution_factor).bounds(choices);
}

}  // namespace rtmdl
