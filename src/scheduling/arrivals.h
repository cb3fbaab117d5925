#pragma once
/// When jobs are released: an absolute grid plus seeded jitter. Simulator and runtime use the same function, so the
/// same seed gives the same releases to every policy.

#include <rtmdl/time.h>

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

/// Nominal release of a task's job `k`, from the start of the run.
constexpr Duration nominal_release(Duration offset, Duration period, std::uint64_t k) noexcept {
  return offset + period * static_cast<std::int64_t>(k);
}

/// How much later than nominal job `k` is released: uniform in [0, jitter].
constexpr Duration release_jitter(std::uint64_t seed, int task, std::uint64_t k, Duration jitter) noexcept {
  if (jitter <= Duration::zero()) return Duration::zero();
  return Duration(static_cast<std::int64_t>(uniform(mix(seed, static_cast<std::uint64_t>(task), k)) *
                                            static_cast<double>(jitter.count())));
}

}  // namespace rtmdl
