#include "training/batches.h"

#include <algorithm>
#include <numeric>

namespace rtmdl::training {
namespace {

/// Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators": the finaliser, as a hash and a generator.
class SplitMix {
 public:
  SplitMix(std::uint64_t seed, std::uint64_t stream, std::uint64_t item) : state_(seed) {
    state_ = (*this)() ^ stream;
    state_ = (*this)() ^ item;
  }
  std::uint64_t operator()() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  /// 0 … bound-1; the bias of the product method is below 2^-32 for our bounds.
  int below(int bound) { return static_cast<int>(((*this)() >> 32) * static_cast<std::uint64_t>(bound) >> 32); }

 private:
  std::uint64_t state_;
};

constexpr std::uint64_t kOrderStream = 1ULL << 63;

}  // namespace

std::vector<std::int32_t> epoch_order(int count, std::uint64_t seed, int epoch) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  SplitMix random(seed, kOrderStream | static_cast<std::uint64_t>(epoch), 0);
  for (int i = count - 1; i > 0; --i) {
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(random.below(i + 1))]);
  }
  return order;
}

void fill_batch(const LabelledImages& images, std::span<const std::int32_t> indices, const Augmentation& augmentation,
                std::uint64_t seed, int epoch, float* pixels, std::int64_t* labels) {
  const int rows = images.rows;
  const int columns = images.columns;
  const auto size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  for (const std::int32_t index : indices) {
    const std::uint8_t* image = images.pixels.data() + static_cast<std::size_t>(index) * size;
    *labels++ = images.labels[static_cast<std::size_t>(index)];
    SplitMix random(seed, static_cast<std::uint64_t>(epoch), static_cast<std::uint64_t>(index));
    const int down = random.below(2 * augmentation.padding + 1) - augmentation.padding;
    const int right = random.below(2 * augmentation.padding + 1) - augmentation.padding;
    const bool mirrored = random.below(2) == 1 && augmentation.mirror;
    std::fill_n(pixels, size, 0.0F);
    for (int r = std::max(0, down); r < std::min(rows, rows + down); ++r) {
      const std::uint8_t* from = image + static_cast<std::ptrdiff_t>(r - down) * columns;
      float* to = pixels + static_cast<std::ptrdiff_t>(r) * columns;
      for (int c = std::max(0, right); c < std::min(columns, columns + right); ++c) {
        to[mirrored ? columns - 1 - c : c] = static_cast<float>(from[c - right]) * (1.0F / 255.0F);
      }
    }
    pixels += size;
  }
}

}  // namespace rtmdl::training
