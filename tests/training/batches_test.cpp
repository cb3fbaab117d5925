#include "training/batches.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

namespace rtmdl::training {
namespace {

LabelledImages one_image_of_ramp(int side) {
  LabelledImages set{1, side, side, std::vector<std::uint8_t>(static_cast<std::size_t>(side * side)), {7}};
  std::iota(set.pixels.begin(), set.pixels.end(), std::uint8_t{1});
  return set;
}

std::vector<float> batch_of(const LabelledImages& set, const Augmentation& augmentation, std::uint64_t seed,
                            int epoch) {
  std::vector<float> pixels(set.pixels.size(), -1.0F);
  std::int64_t label = -1;
  const std::int32_t index = 0;
  fill_batch(set, {&index, 1}, augmentation, seed, epoch, pixels.data(), &label);
  EXPECT_EQ(label, 7);
  return pixels;
}

TEST(Batches, OrderIsAPermutationThatDependsOnSeedAndEpoch) {
  const auto order = epoch_order(1000, 1, 0);
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(sorted[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(order, epoch_order(1000, 1, 0));
  EXPECT_NE(order, epoch_order(1000, 1, 1));
  EXPECT_NE(order, epoch_order(1000, 2, 0));
}

TEST(Batches, WithoutAugmentationPixelsAreDividedBy255) {
  const LabelledImages set = one_image_of_ramp(8);
  const auto pixels = batch_of(set, {0, false}, 1, 0);
  for (std::size_t i = 0; i < pixels.size(); ++i) EXPECT_FLOAT_EQ(pixels[i], static_cast<float>(i + 1) / 255.0F);
}

TEST(Batches, EveryAugmentedImageIsAShiftPerhapsMirrored) {
  constexpr int kSide = 8;
  const LabelledImages set = one_image_of_ramp(kSide);
  const auto at = [&](int r, int c) {
    const bool inside = r >= 0 && c >= 0 && r < kSide && c < kSide;
    return inside ? static_cast<float>(set.pixels[static_cast<std::size_t>(r * kSide + c)]) / 255.0F : 0.0F;
  };
  std::vector<int> seen(2 * 5 * 5);
  for (int epoch = 0; epoch < 2000; ++epoch) {
    const auto pixels = batch_of(set, {2, true}, 3, epoch);
    int found = -1;
    for (int kind = 0; kind < static_cast<int>(seen.size()) && found < 0; ++kind) {
      const int down = kind / 2 % 5 - 2;
      const int right = kind / 10 - 2;
      bool same = true;
      for (int i = 0; i < kSide * kSide && same; ++i) {
        const int c = kind % 2 == 1 ? kSide - 1 - i % kSide : i % kSide;
        same = std::abs(pixels[static_cast<std::size_t>(i)] - at(i / kSide - down, c - right)) < 1e-6F;
      }
      if (same) found = kind;
    }
    ASSERT_GE(found, 0) << "epoch " << epoch;
    seen[static_cast<std::size_t>(found)] += 1;
  }
  for (const int count : seen) EXPECT_GT(count, 10) << "40 expected of each kind";
}

}  // namespace
}  // namespace rtmdl::training
