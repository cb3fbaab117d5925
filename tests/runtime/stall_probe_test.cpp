#include "runtime/stall_probe.h"

#include "base/thread_placement.h"
#include "engine/fake/fake_engine.h"

#include <thread>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

Time at(int ms) { return Time(std::chrono::milliseconds(ms)); }

TEST(StallProbe, TimeTakenFromAWindowIsTheWorstCores) {
  const std::vector<Stall> stalls{{at(10), at(15), 0}, {at(11), at(14), 1}, {at(20), at(30), 1}};
  EXPECT_EQ(stalled_within(stalls, at(0), at(10)), Duration::zero());
  EXPECT_EQ(stalled_within(stalls, at(0), at(16)), std::chrono::milliseconds(5));
  EXPECT_EQ(stalled_within(stalls, at(12), at(25)), std::chrono::milliseconds(7));
}

TEST(StallProbe, WithoutThePrivilegeItSaysSo) {
  StallProbe probe({0}, false);
  EXPECT_FALSE(probe.available());
  EXPECT_TRUE(probe.stop().empty());
}

TEST(StallProbe, SeesAThreadThatHoldsTheCoreAgainstIt) {
  if (!realtime_permitted()) GTEST_SKIP() << "SCHED_FIFO is not permitted here";
  const int core = available_cores().front();
  StallProbe probe({core}, true);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::thread([&] {
    place_current_thread({{core}, 99});
    spin_for(std::chrono::milliseconds(12));
  }).join();
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  Duration longest{};
  for (const Stall& s : probe.stop()) longest = std::max(longest, s.end - s.start);
  EXPECT_GE(longest, std::chrono::milliseconds(8));
}

}  // namespace
}  // namespace rtmdl
