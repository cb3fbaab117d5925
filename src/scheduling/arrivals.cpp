#include "scheduling/arrivals.h"

#include <cmath>

namespace rtmdl {
namespace {

constexpr std::uint64_t kFirstStream = 1 << 15;  ///< of random numbers; the streams below are the jitter's

}  // namespace

Arrivals::Arrivals(const ArrivalSpec& spec, Duration period, Duration offset, std::uint64_t seed, int task) noexcept
    : spec_(&spec),
      period_(period),
      next_(offset),
      seed_(seed),
      stream_(kFirstStream + static_cast<std::uint64_t>(task)),
      round_(offset) {
  if (spec.kind == ArrivalSpec::Kind::trace) next_ = offset + spec.times.front();
  if (spec.kind != ArrivalSpec::Kind::random) return;
  if (spec.burst.lasts > Duration{}) phase_end_ = offset + exponential(spec.calm.lasts);
  wait(offset);
}

void Arrivals::draw() noexcept {
  if (spec_->kind == ArrivalSpec::Kind::random) return wait(next_ + period_);
  if (++place_ == spec_->times.size()) place_ = 0, round_ += spec_->length;
  next_ = round_ + spec_->times[place_];
}

/// For the first release from then on.
void Arrivals::wait(Duration from) noexcept {
  while (true) {
    while (from >= phase_end_) change_phase();
    next_ = from + exponential((bursting_ ? spec_->burst : spec_->calm).mean - period_);
    if (next_ < phase_end_) return;
    from = phase_end_;  // the exponential distribution has no memory
  }
}

void Arrivals::change_phase() noexcept {
  bursting_ = !bursting_;
  phase_end_ += exponential((bursting_ ? spec_->burst : spec_->calm).lasts);
}

Duration Arrivals::exponential(Duration mean) noexcept {
  const double draw = -std::log1p(-uniform(mix(seed_, stream_, drawn_++)));
  return Duration(static_cast<std::int64_t>(draw * static_cast<double>(mean.count())));
}

}  // namespace rtmdl
