#include "planning/correlation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::DoubleNear;
using testing::ElementsAre;

TEST(RankScores, LieBetweenMinusAndPlusAHalfAndEqualValuesShareTheirs) {
  EXPECT_THAT(rank_scores({9ms, 1ms, 5ms, 5ms}), ElementsAre(0.375, -0.375, 0, 0));
  EXPECT_THAT(rank_scores({3ms}), ElementsAre(0));
  EXPECT_TRUE(rank_scores({}).empty());
}

TEST(StageCorrelation, IsTheShareOfJobsWithACommonQuantile) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (const double share : {0.0, 0.5, 1.0}) {
    std::vector<std::vector<Duration>> stages(3);
    for (int job = 0; job < 4000; ++job) {
      const double common = uniform(random);
      for (std::size_t s = 0; s < 3; ++s) {
        const double q = uniform(random) < share ? common : uniform(random);
        stages[s].push_back(from_ms(static_cast<double>(s + 1) * (1 + q * q)));
      }
    }
    EXPECT_NEAR(stage_correlation(stages), share, share == 0 ? 0.2 : 0.05) << share;
  }
}

TEST(StageCorrelation, IsZeroWhereJobsDoNotPairUp) {
  EXPECT_EQ(stage_correlation({}), 0);
  EXPECT_EQ(stage_correlation({{1ms, 2ms}, {1ms, 2ms}}), 0) << "too few";
  EXPECT_EQ(stage_correlation({std::vector<Duration>(30, 1ms), std::vector<Duration>(29, 1ms)}), 0);
  EXPECT_EQ(stage_correlation({std::vector<Duration>(30, 1ms), std::vector<Duration>(30, 2ms)}), 0) << "constant";
}

/// Stages of `jobs` jobs per moment that take the moment's quantile with that probability.
MomentPairs pairs_of(double probability, int moments, int jobs, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<MomentSample> samples;
  for (int m = 0; m < moments; ++m) {
    const double common = uniform(random) - 0.5;
    for (int j = 0; j < jobs; ++j)
      samples.push_back({m, static_cast<std::size_t>(m * jobs + j),
                         uniform(random) < probability ? common : uniform(random) - 0.5, j % 2 == 0 ? 1.0 : 3.0});
  }
  std::shuffle(samples.begin(), samples.end(), random);
  return moment_pairs(std::move(samples));
}

TEST(MomentPairs, TellHowOftenStagesTakeTheQuantileOfTheirMoment) {
  for (const double p : {0.0, 0.4, 0.7, 1.0})
    EXPECT_NEAR(pairs_of(p, 1000, 6, 3).correlation(), p, p == 0 ? 0.15 : 0.06) << p;
  MomentPairs sum = pairs_of(0.6, 500, 6, 4);
  sum += pairs_of(0.6, 500, 6, 5);
  EXPECT_EQ(sum.pairs, 1000 * 15);
  EXPECT_NEAR(sum.correlation(), 0.6, 0.06);
}

TEST(MomentPairs, AreOfDifferentJobsInOneMoment) {
  const MomentPairs pairs =
      moment_pairs({{1, 7, 0.5, 2}, {1, 7, 0.5, 2}, {1, 8, -0.5, 1}, {2, 9, 0.5, 1}, {3, 9, 0.5, 1}});
  EXPECT_EQ(pairs.pairs, 2) << "8 with either stage of 7; 9 has no company";
  EXPECT_DOUBLE_EQ(pairs.weights, 4);
  EXPECT_DOUBLE_EQ(pairs.products, 2 * (0.5 * 2 * -0.5));
  EXPECT_EQ(pairs.correlation(), 0) << "too few";
  EXPECT_EQ(moment_pairs({}).pairs, 0);
}

}  // namespace
}  // namespace rtmdl
