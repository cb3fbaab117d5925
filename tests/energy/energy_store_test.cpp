#include "energy/energy_store.h"

#include <gtest/gtest.h>

#include <random>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;

/// 2 W for a second, then none for a second.
EnergySupply blinking() {
  return {.trace = {{{1s, 2}, {1s, 0}}, 1s}, .capacitor = {.capacity = 3, .start = 1, .least = 0.5, .efficiency = 0.5}};
}

TEST(EnergyStore, IsExactFromPieceToPiece) {
  const EnergySupply supply = blinking();
  EnergyStore store(supply);
  store.advance(500ms, 0.25);
  EXPECT_DOUBLE_EQ(store.joules(), 1 + 0.5 * (1 - 0.25));
  store.advance(2s, 0.25);
  EXPECT_DOUBLE_EQ(store.joules(), 1 + 1 - 2 * 0.25);
  EXPECT_DOUBLE_EQ(store.harvested(), 2);
  EXPECT_DOUBLE_EQ(store.drawn(), 0.5);
  store.take(1);
  EXPECT_DOUBLE_EQ(store.joules(), 0.5);
}

TEST(EnergyStore, HoldsNoMoreThanItsCapacityAndNoLessThanNothing) {
  const EnergySupply supply = blinking();
  EnergyStore full(supply);
  full.advance(20s, 0);
  EXPECT_DOUBLE_EQ(full.joules(), 3);
  EnergyStore empty(supply);
  empty.advance(2s, 10);
  EXPECT_DOUBLE_EQ(empty.joules(), 0);
  EXPECT_DOUBLE_EQ(empty.drawn(), 2);
  empty.take(1);
  EXPECT_DOUBLE_EQ(empty.drawn(), 2);
}

TEST(EnergyStore, IsOffUntilThereIsEnoughToBeginSomething) {
  const EnergySupply supply = blinking();
  EnergyStore store(supply, 1);
  store.look();
  EXPECT_FALSE(store.off());
  store.take(0.6);
  store.look();
  EXPECT_TRUE(store.off());
  store.advance(500ms, 0);
  store.look();
  EXPECT_TRUE(store.off()) << store.joules();
  store.advance(1s, 0);
  store.look();
  EXPECT_FALSE(store.off()) << store.joules();
  EXPECT_EQ(store.waited(), 500ms);
}

TEST(EnergyStore, LosesNothing) {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> watts(0, 2);
  EnergySupply supply = blinking();
  supply.capacitor.capacity = 1e6;
  EnergyStore store(supply);
  Duration now{};
  for (int k = 0; k < 1000; ++k) store.advance(now += Duration(7'654'321 + k), watts(random));
  EXPECT_NEAR(store.joules(), 1 + 0.5 * store.harvested() - store.drawn(), 1e-9);
}

}  // namespace
}  // namespace rtmdl
