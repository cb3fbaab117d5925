#include "planning/interference.h"

#include <algorithm>
#include <bit>

namespace rtmdl {

void Interference::clear(std::size_t processors) {
  lists_.resize(processors);
  for (auto& list : lists_) list.clear();
  sums_ = {};
}

void Interference::add(int processor, const Interferer& interferer) {
  if (interferer.time == 0) return;
  const std::size_t p = static_cast<std::size_t>(processor);
  lists_[p].push_back(interferer);
  const double share = static_cast<double>(interferer.time) / static_cast<double>(interferer.period);
  sums_[p].share += share;
  sums_[p].jitter += share * static_cast<double>(interferer.jitter);
  sums_[p].stay += share * static_cast<double>(interferer.stay);
}

std::optional<std::int64_t> Interference::window(std::uint32_t processors, Window kind, std::int64_t own,
                                                 std::int64_t guess, std::int64_t limit) {
  // n(w) ≥ (w + jitter) / T, so w ≥ (own + Σ C/T·jitter) / (1 − Σ C/T). From `own` the iteration would take ever more
  // steps the fuller the processor is.
  double room = 1, least = static_cast<double>(own);
  for (std::uint32_t rest = processors; rest != 0; rest &= rest - 1) {
    const Sums& sums = sums_[static_cast<std::size_t>(std::countr_zero(rest))];
    room -= sums.share;
    least += kind == Window::anywhere ? sums.stay : sums.jitter;
  }
  least *= (1 - 1e-6) / std::max(room, 1e-6);
  if (least > static_cast<double>(limit)) return std::nullopt;
  std::int64_t w = std::max({own, guess, static_cast<std::int64_t>(least), std::int64_t{1}});
  while (w <= std::max<std::int64_t>(limit, 1) && --steps_ >= 0) {
    std::int64_t demand = own;
    for (std::uint32_t rest = processors; rest != 0; rest &= rest - 1) {
      for (const Interferer& h : lists_[static_cast<std::size_t>(std::countr_zero(rest))]) {
        const std::int64_t jobs = count(h, kind, w);
        if (jobs > (limit - demand) / h.time) return std::nullopt;  // before the product can overflow
        demand += jobs * h.time;
      }
    }
    if (demand <= w) return demand <= limit ? std::optional(demand) : std::nullopt;
    w = demand;
  }
  return std::nullopt;
}

}  // namespace rtmdl
