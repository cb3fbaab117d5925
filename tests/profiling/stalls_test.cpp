#include "profiling/stalls.h"

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

std::vector<TimedRun> steady(int n, Duration wall) {
  return std::vector<TimedRun>(static_cast<std::size_t>(n), TimedRun{wall, wall, false});
}

TEST(Stalls, AThreadThatStoodStillIsLeftOutAndReported) {
  auto runs = steady(20, milliseconds(2));
  runs[5] = {milliseconds(35), milliseconds(2), false};
  runs[6] = {milliseconds(9), milliseconds(2), false};
  const CleanTimes clean = without_stalls(runs);
  EXPECT_EQ(clean.samples, std::vector<Duration>(18, milliseconds(2)));
  EXPECT_EQ(clean.stalls.count, 2);
  EXPECT_EQ(clean.stalls.of, 20);
  EXPECT_EQ(clean.stalls.worst, milliseconds(33));
  EXPECT_DOUBLE_EQ(clean.stalls.share(), 0.1);
}

TEST(Stalls, ALongRunOfItsOwnIsNoStall) {
  auto runs = steady(20, milliseconds(2));
  runs[5] = {milliseconds(35), milliseconds(35), false};
  const CleanTimes clean = without_stalls(runs);
  EXPECT_EQ(clean.samples.size(), 20u);
  EXPECT_EQ(clean.samples[5], milliseconds(35));
  EXPECT_EQ(clean.stalls.count, 0);
}

TEST(Stalls, ShortWaitsAreTheStagesOwn) {
  auto runs = steady(20, microseconds(100));
  runs[5] = {microseconds(590), microseconds(100), false};  // below 0.5 ms
  auto longer = steady(20, milliseconds(100));
  longer[5] = {milliseconds(119), milliseconds(100), false};  // below 20 % of the median
  EXPECT_EQ(without_stalls(runs).stalls.count, 0);
  EXPECT_EQ(without_stalls(longer).stalls.count, 0);
  longer[5].wall = milliseconds(121);
  EXPECT_EQ(without_stalls(longer).stalls.count, 1);
}

TEST(Stalls, StolenTimeMarksOnlyTheLongRunsOfItsWindow) {
  auto runs = steady(20, milliseconds(2));
  for (std::size_t i = 4; i < 8; ++i) runs[i].stolen = true;
  runs[6].wall = runs[6].cpu = milliseconds(12);  // the hypervisor's theft looks like CPU time from inside
  runs[9].wall = runs[9].cpu = milliseconds(12);
  const CleanTimes clean = without_stalls(runs);
  EXPECT_EQ(clean.stalls.count, 1);
  EXPECT_EQ(clean.samples.size(), 19u);
}

TEST(Stalls, WithoutACpuClockOnlyStolenTimeTells) {
  auto runs = steady(20, milliseconds(2));
  for (TimedRun& run : runs) run.cpu = {};
  runs[3].wall = milliseconds(30);
  EXPECT_EQ(without_stalls(runs).stalls.count, 0);
  runs[3].stolen = true;
  EXPECT_EQ(without_stalls(runs).stalls.count, 1);
}

TEST(Stalls, WhatHappensMostOfTheTimeIsHowTheMachineIs) {
  std::vector<TimedRun> runs;
  for (int i = 0; i < 10; ++i) runs.push_back({milliseconds(5), milliseconds(1), false});
  runs.push_back({milliseconds(1), milliseconds(1), false});
  const CleanTimes clean = without_stalls(runs);
  EXPECT_EQ(clean.stalls.count, 0);
  EXPECT_EQ(clean.samples.size(), 11u);
}

TEST(Stalls, NothingInNothingOut) {
  EXPECT_TRUE(without_stalls({}).samples.empty());
  EXPECT_EQ(without_stalls({}).stalls.share(), 0);
}

}  // namespace
}  // namespace rtmdl
