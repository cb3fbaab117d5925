#include "runtime/packing.h"

#include <vector>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

/// A job of one stage on processor 1, in milliseconds.
JobRecord job(int task, int start, int end) {
  JobRecord r;
  r.task = static_cast<std::uint8_t>(task);
  r.stages = 1;
  r.stage[0] = {Time(std::chrono::milliseconds(start)), Time(std::chrono::milliseconds(end)), 1, 1};
  return r;
}

TEST(Packing, OneAfterTheOtherGainsNothing) {
  const std::vector<JobRecord> records{job(0, 0, 10), job(1, 10, 30), job(0, 40, 50)};
  const Packing p = packing_of(records, 1);
  EXPECT_DOUBLE_EQ(p.at_once, 1);
  EXPECT_DOUBLE_EQ(p.gain, 1);
}

TEST(Packing, SideBySideIsMeasuredAgainstTimesAlone) {
  // Alone 10 and 20 ms; side by side both take 25 ms.
  const std::vector<JobRecord> records{job(0, 0, 10), job(1, 10, 30), job(0, 100, 125), job(1, 100, 125)};
  const Packing p = packing_of(records, 1);
  EXPECT_DOUBLE_EQ(p.at_once, 80.0 / 55);
  EXPECT_DOUBLE_EQ(p.gain, 60.0 / 55);
}

TEST(Packing, WhatNeverWasAloneCountsWithTheLeastThatItTook) {
  const std::vector<JobRecord> records{job(0, 0, 10), job(1, 0, 10), job(0, 20, 32), job(1, 20, 32)};
  EXPECT_DOUBLE_EQ(packing_of(records, 1).gain, 40.0 / 22);
}

TEST(Packing, OtherProcessorsAndJobsThatNeverBeganAreNotInIt) {
  std::vector<JobRecord> records{job(0, 0, 10), JobRecord{}};
  records.push_back(job(1, 0, 10));
  records.back().stage[0].processor = 0;
  EXPECT_DOUBLE_EQ(packing_of(records, 1).at_once, 1);
  EXPECT_DOUBLE_EQ(packing_of(records, 2).at_once, 0);
  EXPECT_DOUBLE_EQ(packing_of(records, 2).gain, 1);
}

}  // namespace
}  // namespace rtmdl
