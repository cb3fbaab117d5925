#pragma once
/// splitmix64 (Steele, Lea, Flood 2014): small, and the same numbers on every platform, unlike the distributions of
/// <random>.

#include <cstddef>
#include <cstdint>
#include <utility>

namespace rtmdl {

class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
  /// A generator of its own for each (seed, purpose, index): frame i needs no frame before it.
  Random(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index) noexcept
      : state_(mix(mix(mix(seed) ^ purpose) ^ index)) {}

  std::uint64_t next() noexcept { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }  ///< [0, 1)
  double between(double least, double most) noexcept { return least + (most - least) * unit(); }
  /// 0 .. n-1 (0 for n = 0). The bias of the multiplication is below n / 2^32.
  std::uint32_t below(std::uint32_t n) noexcept { return static_cast<std::uint32_t>(((next() >> 32) * n) >> 32); }

 private:
  static std::uint64_t mix(std::uint64_t z) noexcept {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

/// Fisher & Yates: every order is equally likely.
template <typename Items>
void shuffle(Items& items, Random& random) {
  for (std::size_t k = items.size(); k > 1; --k)
    std::swap(items[k - 1], items[random.below(static_cast<std::uint32_t>(k))]);
}

}  // namespace rtmdl
