#include "calibration/answer_requests.h"

#include "calibration/planned_run.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace rtmdl {
namespace {

constexpr Duration kLookForRequests = std::chrono::milliseconds(20);

}  // namespace

AnswerRequests::AnswerRequests(const RunConfig& config, Requests& requests, TransitionGate& gate)
    : requests_(requests), gate_(gate), modes_(lighter_modes(config)) {
  while (requests_.next() <= Duration{}) {
    const auto first = requests_.decide();
    if (!first) continue;
    gate_.begin_with(in_modes(*first));
    requests_.ended({.adopted = true});
  }
}

Transition AnswerRequests::in_modes(Transition transition) const {
  for (std::size_t t = 0; t < modes_.size(); ++t)
    if (int& mode = transition.terms[t].mode; mode > 0) mode = modes_[t][index(mode - 1)];
  return transition;
}

std::vector<std::string> AnswerRequests::operator()(Dispatcher&, const std::atomic<bool>& stopping) const {
  while (!stopping.load(std::memory_order_relaxed)) {
    const Duration next = requests_.next(), now = MonotonicClock::now() - gate_.start();
    if (next > now) {
      std::this_thread::sleep_for(std::min(next - now, kLookForRequests));
      continue;
    }
    const auto transition = requests_.decide();
    if (!transition) continue;
    requests_.ended(gate_.pass(in_modes(*transition), stopping).value_or(TransitionEnd{}));
  }
  return {};
}

}  // namespace rtmdl
