#include "runtime/follower_feed.h"
#include "allocations.h"

#include <gtest/gtest.h>

#include <vector>

namespace rtmdl {
namespace {

Frame picture(int width, int height) {
  Frame frame;
  frame.image = cv::Mat(height, width, CV_8UC3, cv::Scalar(1, 2, 3));
  frame.index = 5;
  frame.restart = true;
  return frame;
}

struct FollowerFeedTest : testing::Test {
  const std::vector<Frame> before{picture(100, 80), picture(100, 80), picture(60, 40)};
  FollowerFeed feed{picture(28, 28), before};
};

TEST_F(FollowerFeedTest, GivesThePartWithoutACopy) {
  const Box box{10.5F, 20, 30.2F, 60};
  ASSERT_TRUE(feed.hand_over(0, before[0], &box));
  const Frame* part = feed.take(0);
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(part->image.cols, 21);
  EXPECT_EQ(part->image.rows, 40);
  EXPECT_EQ(part->image.data, before[0].image.ptr(20) + 10 * 3);
  EXPECT_EQ(part->index, 5);
  EXPECT_FALSE(part->restart);
}

TEST_F(FollowerFeedTest, GivesTheWholeFrame) {
  ASSERT_TRUE(feed.hand_over(3, before[0], nullptr));
  EXPECT_EQ(feed.take(3)->image.data, before[0].image.data);
  EXPECT_TRUE(feed.take(3)->restart);
  Frame sound;
  sound.tensor = Tensor(ElementType::f32, {4});
  ASSERT_TRUE(feed.hand_over(4, sound, nullptr));
  EXPECT_EQ(feed.take(4)->values().bytes.data(), sound.tensor.bytes.data());
}

TEST_F(FollowerFeedTest, CutsPartsAtTheBordersAndRefusesEmptyOnes) {
  const Box beyond{-20, 70, 500, 900}, outside{120, 10, 140, 20}, nowhere{10, 10, 10, 10};
  ASSERT_TRUE(feed.hand_over(0, before[0], &beyond));
  EXPECT_EQ(feed.take(0)->image.size(), cv::Size(100, 10));
  EXPECT_FALSE(feed.hand_over(1, before[0], &outside));
  EXPECT_FALSE(feed.hand_over(1, before[0], &nowhere));
  EXPECT_EQ(feed.take(1), nullptr);
}

TEST_F(FollowerFeedTest, WarmsUpWithItsOwnDataAndEverySizeThatComes) {
  ASSERT_EQ(feed.samples().size(), 3U);
  EXPECT_EQ(feed.samples()[0].image.cols, 28);
  EXPECT_EQ(feed.samples()[1].image.cols, 100);
  EXPECT_EQ(feed.samples()[2].image.cols, 60);
}

TEST_F(FollowerFeedTest, APlaceIsFreeWhenItsJobIsOverAndNobodyReadsIt) {
  const Box box{0, 0, 10, 10};
  const std::int64_t allocated = test::allocations();
  std::uint64_t job = 0;
  while (feed.hand_over(job, before[0], &box)) ++job;
  EXPECT_GE(job, static_cast<std::uint64_t>(kMaxQueue) + 2);
  ASSERT_NE(feed.take(0), nullptr);
  feed.job_over(0);
  EXPECT_FALSE(feed.hand_over(job, before[0], &box)) << "somebody reads it";
  feed.give_back(0);
  EXPECT_TRUE(feed.hand_over(job, before[0], &box));
  EXPECT_EQ(feed.take(0), nullptr);
  for (std::uint64_t more = job; more < job + 1000; ++more) {
    feed.job_over(more);
    ASSERT_TRUE(feed.hand_over(more + 1, before[2], &box));
  }
  EXPECT_EQ(test::allocations() - allocated, 0);
}

}  // namespace
}  // namespace rtmdl
