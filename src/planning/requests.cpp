#include "planning/requests.h"

#include "base/units.h"
#include "planning/lighter.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

std::string_view answer_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::admitted: return "admitted";
    case Verdict::Kind::lighter: return "lighter";
    case Verdict::Kind::refused: break;
  }
  return "refused";
}

/// Of the mode of a task that is the option of the whole problem.
int mode_of(const LoadedOptions& loaded, std::size_t task, int option) {
  if (option == loaded.choices[task].option || loaded.lighter.empty()) return 0;
  const std::vector<int>& lighter = loaded.lighter[task];
  return static_cast<int>(std::find(lighter.begin(), lighter.end(), option) - lighter.begin()) + 1;
}

}  // namespace

Request request_of(const Change& change) {
  const auto kind = change.kind == Change::Kind::join    ? Request::Kind::join
                    : change.kind == Change::Kind::leave ? Request::Kind::leave
                                                         : Request::Kind::timing;
  return {kind, change.task, change.period, change.deadline};
}

LoadedOptions loaded_options(const PolicyInfo& policy, const PlanProblem& problem, const Choices& planned) {
  LoadedOptions loaded;
  loaded.choices = planned;
  if (policy.adapts) {
    loaded.choices = roomy_choices(problem, planned);
    loaded.lighter = lighter_options(problem, loaded.choices);
  }
  const std::vector<std::vector<int>> none(problem.tasks.size());
  loaded.problem = loaded_problem(problem, loaded.choices, policy.adapts ? loaded.lighter : none);
  prove_with_lighter(loaded.problem);
  loaded.planned = planned;
  for (std::size_t t = 0; t < planned.size(); ++t) loaded.planned[t].option = mode_of(loaded, t, planned[t].option);
  return loaded;
}

Requests::Requests(Admission admission, std::vector<Change> changes, bool judged)
    : admission_(std::move(admission)), changes_(std::move(changes)), judged_(judged) {}

Duration Requests::next() const {
  if (settle_at_) return *settle_at_;
  return next_change_ < changes_.size() ? changes_[next_change_].when : kNever;
}

std::optional<Transition> Requests::decide() {
  const Change* const change = settle_at_ ? nullptr : &changes_[next_change_++];
  const Regime before = admission_.in_force();
  verdict_ = decided(change);
  const Request request = change ? request_of(*change) : Request{};
  const std::size_t t = index(request.task);
  leaves_room_ = change && (request.kind == Request::Kind::leave || verdict_.next.periods[t] > before.periods[t]);
  at_once_ = !judged_ || (change && request.kind == Request::Kind::leave) || admission_.safe_at_once(verdict_.next);
  note(change);
  const bool starts = !std::exchange(started_, true);
  settle_at_.reset();
  if (!starts && verdict_.next == before) return {};
  return transition();
}

Verdict Requests::decided(const Change* change) {
  if (step_ < known_.size() && known_[step_].before == admission_.in_force()) return known_[step_++].verdict;
  known_.resize(step_);
  known_.push_back({admission_.in_force(), judge(change)});
  return known_[step_++].verdict;
}

Verdict Requests::judge(const Change* change) const {
  if (judged_) return change ? admission_.ask(request_of(*change)) : admission_.settle();
  Verdict as_asked;
  as_asked.next = admission_.in_force();
  if (change) as_asked.next = with_request(as_asked.next, request_of(*change));
  return as_asked;
}

/// To the verdict's regime.
Transition Requests::transition() const {
  Transition to;
  to.between_jobs = !at_once_;
  const PlanProblem& problem = admission_.problem();
  const Regime &next = verdict_.next, &now = admission_.in_force();
  for (std::size_t t = 0; t < next.choices.size(); ++t) {
    const PlanTask& task = problem.tasks[t];
    const bool periodic = task.arrivals.kind == ArrivalSpec::Kind::periodic;
    to.terms.push_back({next.choices[t].priority, next.choices[t].option,
                        periodic ? next.periods[t] : mean_interval(task), next.deadlines[t], next.present[t]});
    const bool waits = now.present[t] && !task.hard && task.after.task < 0 && task.late != Late::abort;
    if (waits) to.giving_way.push_back(static_cast<int>(t));
  }
  std::stable_sort(to.giving_way.begin(), to.giving_way.end(),
                   [&](int a, int b) { return problem.tasks[index(a)].weight < problem.tasks[index(b)].weight; });
  return to;
}

/// Of what is looked for unasked, only what was found.
void Requests::note(const Change* change) {
  noted_ = change || !verdict_.swaps.empty();
  if (!noted_) return;
  ChangeReport& row = report_.emplace_back();
  row.asked = change ? text_of(*change) : started_ ? "room that is left" : "the start";
  row.at_s = to_seconds(change ? change->when : *settle_at_);
  row.answer = answer_of(verdict_.kind);
  row.reason = verdict_.reason;
  row.between_jobs = !at_once_;
  for (const Swap& swap : verdict_.swaps) {
    const PlanTask& task = admission_.problem().tasks[index(swap.task)];
    row.swaps.push_back(
        {task.name, task.options[index(swap.from)].variant, task.options[index(swap.to)].variant, swap.loss});
  }
}

void Requests::ended(const TransitionEnd& end) {
  if (noted_) {
    ChangeReport& row = report_.back();
    row.held_back = end.held_back;
    if (end.adopted) row.effective_s = to_seconds(end.when);
    else row.reason = "it was not carried out: no moment came in which no job was pending";
  }
  if (!end.adopted) return;
  admission_.adopt(verdict_.next, !at_once_);
  if (leaves_room_ && judged_) settle_at_ = end.when;
}

void Requests::begin_again() {
  admission_.restart();
  next_change_ = step_ = 0;
  settle_at_ = Duration{};
  started_ = false;
  report_.clear();
}

std::unique_ptr<Requests> make_requests(const PolicyInfo& policy, const LoadedOptions& loaded,
                                        const std::vector<Change>& changes, const PlanOptions& options,
                                        bool fixed_order, const Context& context) {
  std::vector<bool> absent;
  for (std::size_t t = 0; t < loaded.planned.size(); ++t) absent.push_back(starts_absent(changes, static_cast<int>(t)));
  const bool judged = policy.order == Policy::fixed_priority && policy.variants == VariantChoice::planned;
  return std::make_unique<Requests>(
      Admission(loaded.problem, regime_of(loaded.problem, loaded.planned, absent), options, fixed_order, context),
      changes, judged);
}

}  // namespace rtmdl
