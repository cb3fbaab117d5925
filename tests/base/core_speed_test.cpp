#include "base/core_speed.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

/// Nothing here can slow a core down; but the share is one, and mostly all of it.
TEST(CoreSpeed, MostLooksSeeTheFullSpeed) {
  CoreSpeed speed;
  int full = 0;
  for (int i = 0; i < 200; ++i) {
    const double share = speed.now();
    EXPECT_GT(share, 0);
    EXPECT_LE(share, 1);
    EXPECT_TRUE(share == 1 || share < CoreSpeed::kSlow) << share;
    full += share == 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_GT(full, 50);
}

}  // namespace
}  // namespace rtmdl
