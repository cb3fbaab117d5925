#include "planning/simulated_transitions.h"

#include <algorithm>

namespace rtmdl {
namespace {

constexpr std::int64_t kLook = 1'000'000;  ///< for a moment without jobs, where no completion is to be waited for

}  // namespace

void SimulatedTransitions::reset(Transitions* from, Decisions& out) {
  from_ = from;
  asked_.reset();
  if (!from) return;
  out.clear();
  while (from->next() <= Duration{}) go_on(0, EventTimes::kNever, out);
  out.clear();  // nothing was pending
}

void SimulatedTransitions::go_on(std::int64_t now, std::int64_t end, Decisions& out) {
  if (!asked_) {
    asked_ = from_->decide();
    asked_at_ = now;
    held_back_ = 0;
    holding_ = 0;
  }
  const bool adopted = asked_ && carry_out(now, out);
  const bool given_up = asked_ && !adopted && now - asked_at_ >= kNoIdleMoment.count();
  if (asked_ && !adopted && !given_up) return hold_back(now, end);
  if (asked_) {
    let_go(now);
    asked_.reset();
    from_->ended({adopted, Duration(now), held_back_});
  }
  const Duration next = from_->next();
  releases_.wake(next < releases_.length() ? std::max(next.count(), now) : EventTimes::kNever);
}

bool SimulatedTransitions::carry_out(std::int64_t now, Decisions& out) {
  const int tasks = static_cast<int>(asked_->terms.size());
  for (int t = 0; t < tasks; ++t) scheduler_.propose(t, asked_->terms[index(t)]);
  if (!scheduler_.adopt(Time(Duration(now)), out, asked_->between_jobs)) return false;
  let_go(now);
  for (int t = 0; t < tasks; ++t) releases_.take_terms(t, asked_->terms[index(t)], now);
  return true;
}

/// Looks again when the next stage ends.
void SimulatedTransitions::hold_back(std::int64_t now, std::int64_t end) {
  const std::size_t all = asked_->giving_way.size(), wanted = gives_way(Duration(now - asked_at_), all);
  for (; holding_ < wanted; ++holding_) releases_.hold(asked_->giving_way[holding_]);
  std::int64_t look = end == EventTimes::kNever ? now + kLook : end;
  if (holding_ < all)
    look = std::min(look, asked_at_ + (kIdlePatience + kNextGivesWay * static_cast<int>(holding_)).count());
  releases_.wake(look);
}

void SimulatedTransitions::let_go(std::int64_t now) {
  for (; holding_ > 0; --holding_) held_back_ += releases_.let_go(asked_->giving_way[holding_ - 1], now);
}

}  // namespace rtmdl
