#include "profiling/hypervolume.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace rtmdl {
namespace {

constexpr FrontPoint kReference{1.1, 0};

TEST(Hypervolume, OfOnePointIsItsRectangle) {
  EXPECT_DOUBLE_EQ(hypervolume({{1, 1}}, kReference), 1.1 - 1);
  EXPECT_DOUBLE_EQ(hypervolume({{0.5, 0.9}}, {1, 0.5}), 0.5 * (0.9 - 0.5));
}

TEST(Hypervolume, OfNothingIsZero) {
  EXPECT_EQ(hypervolume({}, kReference), 0);
  EXPECT_EQ(hypervolume({{1.1, 1}, {2, 1}, {0.5, 0}, {0.5, -1}}, kReference), 0);
  EXPECT_EQ(hypervolume({{std::numeric_limits<double>::quiet_NaN(), 1}}, kReference), 0);
}

TEST(Hypervolume, CountsOverlapsOnceAndTheBeatenNotAtAll) {
  EXPECT_DOUBLE_EQ(hypervolume({{1, 1}, {0.25, 0.5}}, {2, 0}), 1 * 1 + 0.75 * 0.5);
  EXPECT_DOUBLE_EQ(hypervolume({{0.5, 0.4}, {1, 1}, {0.25, 0.5}, {1.5, 1}, {0.25, 0.5}}, {2, 0}), 1 * 1 + 0.75 * 0.5);
}

/// Cells of a grid that any point dominates.
TEST(Hypervolume, EqualsCountingOnAGrid) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    constexpr int kCells = 20;
    std::vector<FrontPoint> points;
    for (unsigned i = 0; i < random() % 8; ++i)
      points.push_back({static_cast<double>(random() % 25), static_cast<double>(random() % 25) - 2});
    int cells = 0;
    for (int x = 0; x < kCells; ++x)
      for (int y = 0; y < kCells; ++y) {
        bool dominated = false;
        for (const FrontPoint& p : points) dominated = dominated || (p.latency <= x && p.accuracy >= y + 1);
        cells += dominated ? 1 : 0;
      }
    for (FrontPoint& p : points) p.accuracy = std::min(p.accuracy, static_cast<double>(kCells));
    EXPECT_DOUBLE_EQ(hypervolume(points, {kCells, 0}), cells);
  }
}

}  // namespace
}  // namespace rtmdl
