#include "energy/energy_store.h"

#include <algorithm>

namespace rtmdl {

EnergySupply make_supply(const HarvestSpec& spec) {
  EnergySupply supply{make_trace(spec), spec.capacitor, 1, spec.mandatory, spec.optional};
  supply.eta = spec.eta ? *spec.eta : predictability(supply.trace);
  return supply;
}

void EnergyStore::advance(Duration now, double watts) noexcept {
  while (now_ < now) {
    const Duration end = std::min(now, source_.ends());
    const double seconds = to_seconds(end - now_), gained = source_.watts() * seconds;
    const double stored = capacitor_->efficiency * gained, wanted = watts * seconds;
    const double drawn = std::min(wanted, joules_ + stored);
    joules_ = std::min(joules_ + stored - drawn, capacitor_->capacity);
    harvested_ += gained;
    drawn_ += drawn;
    now_ = end;
    if (now_ == source_.ends()) source_.advance();
  }
}

void EnergyStore::look() noexcept {
  if (joules_ < begins_with_) waited_ += now_ - looked_;
  looked_ = now_;
  off_ = joules_ <= capacitor_->least || (off_ && joules_ < begins_with_);
}

void EnergyStore::take(double joules) noexcept {
  const double drawn = std::min(joules, joules_);
  joules_ -= drawn;
  drawn_ += drawn;
}

}  // namespace rtmdl
