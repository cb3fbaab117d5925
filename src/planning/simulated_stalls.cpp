#include "planning/simulated_stalls.h"

#include "planning/event_times.h"
#include "scheduling/arrivals.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

constexpr std::uint64_t kStallStream = (1 << 16) - 1;  ///< beyond the releases', below the stages'

}  // namespace

void SimulatedStalls::reset(const StallModel* model, std::uint64_t seed) noexcept {
  model_ = model;
  seed_ = seed;
  number_ = 0;
  next_ = EventTimes::kNever;
  if (model_ == nullptr) return;
  next_ = 0;
  advance();
}

std::int64_t SimulatedStalls::lasting(int processor) const noexcept {
  const auto& stall = model_->lasting[mix(seed_, kStallStream, 2 * number_) % model_->lasting.size()];
  return index(processor) < stall.size() ? stall[index(processor)].count() : 0;
}

void SimulatedStalls::advance() noexcept {
  ++number_;
  const double gap = -std::log1p(-uniform(mix(seed_, kStallStream, 2 * number_ + 1))) / model_->per_second;
  next_ += static_cast<std::int64_t>(std::min(gap, 1e6) * 1e9) + 1;
}

}  // namespace rtmdl
