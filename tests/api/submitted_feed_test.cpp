#include "api/submitted_feed.h"
#include "allocations.h"

#include <array>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

struct SubmittedFeedTest : testing::Test {
  SubmittedFeed feed{std::vector<Frame>(1)};
  const std::array<std::uint8_t, 6 * 4 * 3> pixels{};
  const std::array<float, 6> values{1, 2, 3, 4, 5, 6};
  const std::array<std::int64_t, 2> shape{2, 3};
};

TEST_F(SubmittedFeedTest, FramesLookIntoTheCallersMemory) {
  Input picture = Input::picture(pixels.data(), 3, 4, 3, 18);
  picture.restart = true;
  ASSERT_TRUE(feed.put(7, picture, nullptr));
  const Frame& frame = *feed.take(7);
  EXPECT_EQ(frame.image.data, pixels.data());
  EXPECT_EQ(frame.image.size(), cv::Size(3, 4));
  EXPECT_EQ(frame.image.step[0], 18u);
  EXPECT_TRUE(frame.restart);
  EXPECT_TRUE(frame.values().bytes.empty());
  feed.give_back(7);
  feed.release(7);
  EXPECT_EQ(feed.take(7), nullptr);

  ASSERT_TRUE(feed.put(7 + Runtime::kMaxPending, Input::tensor(values.data(), ElementType::f32, shape), nullptr));
  EXPECT_TRUE(feed.take(7 + Runtime::kMaxPending)->image.empty());
  const TensorView tensor = feed.take(7 + Runtime::kMaxPending)->values();
  EXPECT_EQ(static_cast<const void*>(tensor.bytes.data()), values.data());
  EXPECT_EQ(tensor.bytes.size(), sizeof values);
  EXPECT_EQ(std::vector<std::int64_t>(tensor.shape.begin(), tensor.shape.end()), (std::vector<std::int64_t>{2, 3}));
}

TEST_F(SubmittedFeedTest, APlaceIsTakenUntilItsJobIsOver) {
  const Input input = Input::tensor(values.data(), ElementType::f32, shape);
  for (std::uint64_t job = 0; job < Runtime::kMaxPending; ++job) EXPECT_TRUE(feed.put(job, input, nullptr));
  EXPECT_FALSE(feed.put(Runtime::kMaxPending, input, nullptr));
  feed.release(3);
  EXPECT_TRUE(feed.put(Runtime::kMaxPending, input, nullptr)) << "whichever is free";
  EXPECT_FALSE(feed.put(Runtime::kMaxPending + 1, input, nullptr));
}

TEST_F(SubmittedFeedTest, AFrameThatIsReadStaysAfterItsJob) {
  const auto owner = std::make_shared<int>();
  ASSERT_TRUE(feed.put(1, Input::tensor(values.data(), ElementType::f32, shape, owner), nullptr));
  ASSERT_NE(feed.take(1), nullptr);
  feed.release(1);  // given up: a thread is still in it
  EXPECT_EQ(owner.use_count(), 2);
  feed.give_back(1);
  EXPECT_EQ(owner.use_count(), 1);
  EXPECT_EQ(feed.take(1), nullptr) << "of a job that is over before its thread came to it";
}

TEST_F(SubmittedFeedTest, DoesNotAllocate) {
  const auto owner = std::make_shared<int>();
  const std::int64_t before = test::allocations();
  for (std::uint64_t job = 0; job < 1000; ++job) {
    ASSERT_TRUE(feed.put(job,
                         job % 2 ? Input::picture(pixels.data(), 6, 4, 3, 0, owner)
                                 : Input::tensor(values.data(), ElementType::f32, shape, owner),
                         nullptr));
    ASSERT_NE(feed.take(job), nullptr);
    feed.give_back(job);
    feed.release(job);
  }
  EXPECT_EQ(test::allocations() - before, 0);
  EXPECT_EQ(owner.use_count(), 1) << "let go of as jobs end";
}

}  // namespace
}  // namespace rtmdl
