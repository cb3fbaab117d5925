#include "base/reservation.h"

#include "base/thread_placement.h"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;

TEST(Reservation, EndsALittleBeforeItHasTo) {
  const Reservation r = reservation_of(2ms, 15ms, 20ms, 500us);
  EXPECT_EQ(r, (Reservation{2ms, 14500us, 19500us}));
  EXPECT_DOUBLE_EQ(r.share(), 2 / 19.5);
}

TEST(Reservation, DeadlinesBeyondThePeriodAndPeriodsBeyondFourSecondsCountAsThat) {
  EXPECT_EQ(reservation_of(2ms, 50ms, 20ms, 1ms), (Reservation{2ms, 19ms, 19ms}));
  EXPECT_EQ(reservation_of(2ms, 1h, 1h, 1ms), (Reservation{2ms, 3999ms, 3999ms}));
}

TEST(Reservation, OfAJobThatIsDueSooner) {
  const Reservation r{2ms, 15ms, 20ms};
  EXPECT_EQ(due_in(r, 7ms), (Reservation{2ms, 7ms, 20ms}));
  EXPECT_EQ(due_in(r, 1ms), (Reservation{2ms, 2ms, 20ms})) << "not less than it works";
  EXPECT_EQ(due_in(r, -3ms), (Reservation{2ms, 2ms, 20ms})) << "it is late already";
  EXPECT_EQ(due_in(r, 30ms), (Reservation{2ms, 20ms, 20ms})) << "the kernel takes no deadline beyond the period";
}

TEST(Reservation, IsUsedUpOnceMoreIsAskedForThanItHolds) {
  const Reservation r{2ms, 15ms, 20ms};
  EXPECT_EQ(exhausted(r, 0ms), 0);
  EXPECT_EQ(exhausted(r, 2ms), 0);
  EXPECT_EQ(exhausted(r, 2ms + 1ns), 1);
  EXPECT_EQ(exhausted(r, 4ms), 1);
  EXPECT_EQ(exhausted(r, 7ms), 3);
  EXPECT_EQ(exhausted({}, 7ms), 0);
}

TEST(Reservation, TheKernelTakesItAndRefusesWhatCannotBe) {
  int given = 0, more = 0, policy = 0;
  std::thread([&] {
    given = reserve(gettid(), {1ms, 10ms, 10ms});
    policy = sched_getscheduler(0);
    more = reserve(gettid(), {11ms, 10ms, 10ms});
  }).join();
  if (given != 0) GTEST_SKIP() << "SCHED_DEADLINE is not permitted here, or another process has split the cores";
  EXPECT_EQ(policy, 6) << "SCHED_DEADLINE";
  EXPECT_EQ(more, EINVAL);
}

}  // namespace
}  // namespace rtmdl
