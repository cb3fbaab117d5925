#pragma once
/// When jobs are released: periodic (an absolute grid), random, or as recorded, plus seeded jitter. Simulator and
/// runtime draw from the same generator, so the same seed gives the same releases to every policy.

#include "task/arrival_spec.h"

#include <rtmdl/time.h>

#include <cstddef>
#include <cstdint>

namespace rtmdl {

/// A well-mixed 64-bit value for a (seed, stream, index) triple (splitmix64's finaliser over a combination of the
/// three).
constexpr std::uint64_t mix(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) noexcept {
  std::uint64_t z =
      seed * 0x9E3779B97F4A7C15ULL ^ (stream + 1) * 0xD1B54A32D192ED03ULL ^ (index + 1) * 0x8CB92BA72F3D8DD7ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// Uniform in [0, 1).
constexpr double uniform(std::uint64_t bits) noexcept { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

/// How much later than nominal job `k` is released: uniform in [0, jitter].
constexpr Duration release_jitter(std::uint64_t seed, int task, std::uint64_t k, Duration jitter) noexcept {
  if (jitter <= Duration::zero()) return Duration::zero();
  return Duration(static_cast<std::int64_t>(uniform(mix(seed, static_cast<std::uint64_t>(task), k)) *
                                            static_cast<double>(jitter.count())));
}

/// The nominal releases of one task, one after the other, from the start of the run. Random intervals are the period
/// and an exponential time, so that their mean is that of the phase they begin in; the end of a phase cuts an interval
/// short or draws it out with the rate of the next (a Markov-modulated Poisson process with a dead time).
class Arrivals {
 public:
  Arrivals() = default;
  /// Keeps a pointer to `spec`. `task` tells the streams of random numbers apart.
  Arrivals(const ArrivalSpec& spec, Duration period, Duration offset, std::uint64_t seed, int task) noexcept;

  [[nodiscard]] Duration next() const noexcept { return next_; }
  void advance() noexcept {
    if (spec_->kind == ArrivalSpec::Kind::periodic) next_ += period_;
    else draw();
  }

 private:
  void draw() noexcept;
  void wait(Duration from) noexcept;
  void change_phase() noexcept;
  [[nodiscard]] Duration exponential(Duration mean) noexcept;

  const ArrivalSpec* spec_ = nullptr;
  Duration period_{}, next_{};
  std::uint64_t seed_ = 0, stream_ = 0, drawn_ = 0;
  bool bursting_ = false;
  Duration phase_end_ = Duration::max();
  std::size_t place_ = 0;  ///< in the trace
  Duration round_{};       ///< when the trace began
};

}  // namespace rtmdl
