#include "scheduling/arrivals.h"
#include "allocations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;

std::vector<Duration> releases(const ArrivalSpec& spec, Duration period, std::size_t count, std::uint64_t seed = 1,
                               int task = 0, Duration offset = {}) {
  std::vector<Duration> times;
  for (Arrivals next(spec, period, offset, seed, task); times.size() < count; next.advance())
    times.push_back(next.next());
  return times;
}

std::vector<Duration> gaps(std::vector<Duration> times) {
  std::adjacent_difference(times.begin(), times.end(), times.begin());
  times.erase(times.begin());
  return times;
}

double mean_ms(const std::vector<Duration>& times) {
  return to_ms(std::accumulate(times.begin(), times.end(), Duration{})) / static_cast<double>(times.size());
}

ArrivalSpec random(Duration mean) { return {.kind = ArrivalSpec::Kind::random, .calm = {mean, {}}}; }

ArrivalSpec bursty() { return {.kind = ArrivalSpec::Kind::random, .calm = {200ms, 2s}, .burst = {10ms, 500ms}}; }

TEST(Arrivals, OfAPeriodLieOnAGrid) {
  EXPECT_THAT(releases({}, 10ms, 4, 1, 0, 3ms), testing::ElementsAre(3ms, 13ms, 23ms, 33ms));
}

TEST(Arrivals, ThatAreSporadicKeepTheirDistanceAndTheirMean) {
  const std::vector<Duration> intervals = gaps(releases(random(50ms), 20ms, 100'000, 1, 0, 7ms));
  EXPECT_GE(*std::min_element(intervals.begin(), intervals.end()), 20ms);
  EXPECT_NEAR(mean_ms(intervals), 50, 0.5);
  const auto longer = std::count_if(intervals.begin(), intervals.end(), [](Duration d) { return d > 50ms; });
  EXPECT_NEAR(static_cast<double>(longer) / 1e5, std::exp(-1), 0.01) << "exponential beyond the shortest";
}

TEST(Arrivals, ThatAreBurstyKeepBothRatesAndHaveTheMeanThatLoadIsCountedWith) {
  const ArrivalSpec spec = bursty();
  const std::vector<Duration> times = releases(spec, 100us, 300'000);
  const double expected = to_ms(mean_interval(spec, 100us));
  EXPECT_NEAR(expected, 2500.0 / (10 + 50), 1e-6);
  EXPECT_NEAR(mean_ms(gaps(times)), expected, 0.05 * expected);
  // Jobs in windows of 500 ms: of a Poisson process their variance is their mean.
  std::vector<double> counts(static_cast<std::size_t>(times.back() / 500ms) + 1);
  for (const Duration t : times) ++counts[static_cast<std::size_t>(t / 500ms)];
  const double mean = std::accumulate(counts.begin(), counts.end(), 0.0) / static_cast<double>(counts.size());
  double variance = 0;
  for (const double c : counts) variance += (c - mean) * (c - mean) / static_cast<double>(counts.size());
  EXPECT_GT(variance, 5 * mean);
}

TEST(Arrivals, KeepTheirShortestIntervalAcrossPhasesThatAreShorter) {
  const ArrivalSpec spec{.kind = ArrivalSpec::Kind::random, .calm = {20ms, 20ms}, .burst = {10ms, 10ms}};
  const std::vector<Duration> intervals = gaps(releases(spec, 9ms, 20'000));
  EXPECT_GE(*std::min_element(intervals.begin(), intervals.end()), 9ms);
}

TEST(Arrivals, OfATraceBeginAgainWhenItEnds) {
  const ArrivalSpec spec{.kind = ArrivalSpec::Kind::trace, .times = {1ms, 2ms, 7ms}, .length = 10ms};
  EXPECT_THAT(releases(spec, 1ms, 7, 1, 0, 100ms),
              testing::ElementsAre(101ms, 102ms, 107ms, 111ms, 112ms, 117ms, 121ms));
  EXPECT_EQ(mean_interval(spec, 1ms), Duration(10ms) / 3);
}

TEST(Arrivals, AreOfTheirSeedAndTask) {
  const std::vector<Duration> once = releases(bursty(), 1ms, 500, 7, 3);
  EXPECT_EQ(once, releases(bursty(), 1ms, 500, 7, 3));
  EXPECT_NE(once, releases(bursty(), 1ms, 500, 8, 3));
  EXPECT_NE(once, releases(bursty(), 1ms, 500, 7, 4));
}

TEST(Arrivals, OfAStretchedTaskAreTheSameButSlower) {
  ArrivalSpec slow = bursty();
  slow.stretch(2);
  const std::vector<Duration> fast = releases(bursty(), 1ms, 1000), slower = releases(slow, 2ms, 1000);
  for (std::size_t k = 0; k < fast.size(); ++k) ASSERT_NEAR(to_ms(slower[k]), 2 * to_ms(fast[k]), 0.01) << "job " << k;
}

TEST(Arrivals, DoNotAllocate) {
  const ArrivalSpec spec = bursty();
  const std::int64_t before = test::allocations();
  Arrivals next(spec, 1ms, {}, 1, 0);
  for (int k = 0; k < 1000; ++k) next.advance();
  EXPECT_EQ(test::allocations() - before, 0);
}

}  // namespace
}  // namespace rtmdl
