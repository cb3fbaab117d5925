#include "runtime/live_statistics.h"

#include "allocations.h"
#include "runtime/live_progress.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace rtmdl {
namespace {

JobRecord over(int task, Duration response, bool late = false, JobFate fate = JobFate::completed) {
  JobRecord r;
  r.task = static_cast<std::uint8_t>(task);
  r.fate = fate;
  r.late = late;
  r.release = Time{};
  r.finish = r.release + response;
  return r;
}

TEST(LiveStatistics, CountsEveryJobByItsFate) {
  LiveStatistics live(2);
  for (int i = 0; i < 5; ++i) live.add(over(1, from_ms(i + 1), i == 4));
  live.add(over(1, from_ms(9), false, JobFate::dropped));
  live.add(over(1, from_ms(9), false, JobFate::failed));
  live.add(over(1, from_ms(9), false, JobFate::failed));
  live.add(over(2, from_ms(1)));  // of no task
  const LiveSnapshot s = live.snapshot(1);
  EXPECT_EQ(s.completed, 5);
  EXPECT_EQ(s.late, 1);
  EXPECT_EQ(s.dropped, 1);
  EXPECT_EQ(s.failed, 2);
  EXPECT_EQ(s.over(), 8);
  EXPECT_EQ(s.missed(), 4);
  EXPECT_DOUBLE_EQ(s.miss_rate(), 0.5);
  EXPECT_EQ(s.max, from_ms(5));
  EXPECT_EQ(live.snapshot(0).over(), 0);
  EXPECT_EQ(live.snapshot(0).miss_rate(), 0);
  EXPECT_EQ(live.snapshot(0).p99, Duration::zero());
}

TEST(LiveStatistics, PercentilesAreWithinTwoPercentAtEveryScale) {
  std::mt19937_64 random(3);
  for (const double decades : {0.3, 2.0, 9.0}) {
    LiveStatistics live(1);
    std::vector<Duration> responses;
    std::uniform_real_distribution<double> draw(1, 1 + decades);
    for (int i = 0; i < 20'001; ++i) {
      responses.emplace_back(static_cast<std::int64_t>(std::pow(10, draw(random))));
      live.add(over(0, responses.back()));
    }
    std::sort(responses.begin(), responses.end());
    const auto rank = [&](double q) {
      return responses[static_cast<std::size_t>(std::ceil(q * static_cast<double>(responses.size()))) - 1];
    };
    const auto close = [](Duration estimate, Duration exact) {
      return std::abs(to_seconds(estimate - exact)) <= 0.02 * to_seconds(exact);
    };
    const LiveSnapshot s = live.snapshot(0);
    EXPECT_TRUE(close(s.p50, rank(0.5))) << s.p50.count() << " for " << rank(0.5).count();
    EXPECT_TRUE(close(s.p99, rank(0.99))) << s.p99.count() << " for " << rank(0.99).count();
    EXPECT_EQ(s.max, responses.back());
  }
}

TEST(LiveStatistics, TakesAnyDuration) {
  LiveStatistics live(1);
  for (const Duration d : {Duration(-5), Duration(0), Duration(1), Duration::max()}) live.add(over(0, d));
  const LiveSnapshot s = live.snapshot(0);
  EXPECT_EQ(s.completed, 4);
  EXPECT_EQ(s.p50, Duration(0));
  EXPECT_EQ(s.max, Duration::max());
  EXPECT_NEAR(to_seconds(s.p99), to_seconds(Duration::max()), 0.02 * to_seconds(Duration::max()));
}

TEST(LiveStatistics, SnapshotsHoldTogetherWhileJobsAreAdded) {
  LiveStatistics live(1);
  std::atomic<bool> done{false};
  std::thread collector([&] {
    for (int i = 0; i < 200'000; ++i) live.add(over(0, Duration(1000 + i), i % 2 == 0));
    done = true;
  });
  LiveSnapshot before;
  while (!done) {
    const LiveSnapshot s = live.snapshot(0);
    EXPECT_LE(s.late, s.completed);
    EXPECT_GE(s.completed, before.completed);
    EXPECT_GE(s.late, before.late);
    EXPECT_LE(s.p50, s.p99);
    EXPECT_LE(s.p99, s.max);
    EXPECT_GE(s.max, before.max);
    before = s;
  }
  collector.join();
  EXPECT_EQ(live.snapshot(0).completed, 200'000);
  EXPECT_EQ(live.snapshot(0).late, 100'000);
}

TEST(LiveStatistics, AllocateNothingAfterConstruction) {
  LiveStatistics live(3);
  const std::int64_t before = test::allocations();
  for (int i = 0; i < 1000; ++i) live.add(over(i % 3, from_ms(i)));
  const LiveSnapshot s = live.snapshot(2);
  EXPECT_EQ(test::allocations(), before);
  EXPECT_EQ(s.completed, 333);
}

TEST(LiveText, NamesTheWorstOffFirstAndWhoHasBegunOnly) {
  LiveStatistics live(3);
  EXPECT_EQ(live_text(live, {{"faces", 0.01}, {"text", 0.05}, {"lines", 0.01}}), "");
  for (int i = 0; i < 200; ++i) live.add(over(0, from_ms(4)));
  for (int i = 0; i < 10; ++i) live.add(over(1, from_ms(123), i == 0));
  EXPECT_EQ(live_text(live, {{"faces", 0.01}, {"text", 0.05}, {"lines", 0.01}}),
            "text 10/5 % 123 ms, faces 0/1 % 4 ms");
  live.add(over(2, from_ms(9), false, JobFate::dropped));
  EXPECT_EQ(live_text(live, {{"faces", 0.01}, {"text", 0.05}, {"lines", 0.01}}),
            "lines 100/1 %, text 10/5 % 123 ms, faces 0/1 % 4 ms");
}

TEST(LiveText, GoesWithTheProgressOfARun) {
  LiveStatistics live(1);
  Context context;
  std::string said;
  context.progress = [&](const std::string& what, double) { said = what; };
  const Context with = with_live_text(context, live, {{"faces", 0.01}});
  with.report("running, 1 s", 0.1);
  EXPECT_EQ(said, "running, 1 s");
  live.add(over(0, from_ms(4)));
  with.report("running, 2 s", 0.2);
  EXPECT_EQ(said, "running, 2 s, faces 0/1 % 4 ms");
  EXPECT_FALSE(with_live_text(Context{}, live, {}).progress);
}

}  // namespace
}  // namespace rtmdl
