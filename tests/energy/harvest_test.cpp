#include "energy/harvest.h"

#include <gtest/gtest.h>

#include <array>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using Kind = HarvestSpec::Kind;

HarvestTrace trace_of(Kind kind, std::uint64_t seed = 1, double watts = 2) {
  HarvestSpec spec;
  spec.kind = kind;
  spec.watts = watts;
  spec.seed = seed;
  return make_trace(spec);
}

TEST(Harvest, ATraceFollowsFromItsSeed) {
  for (const Kind kind : {Kind::solar, Kind::rf, Kind::random}) {
    EXPECT_EQ(trace_of(kind), trace_of(kind));
    EXPECT_NE(trace_of(kind), trace_of(kind, 2));
  }
}

TEST(Harvest, SourcesGiveWhatTheyShould) {
  EXPECT_DOUBLE_EQ(mean_power(trace_of(Kind::persistent)), 2);
  EXPECT_NEAR(mean_power(trace_of(Kind::random)), 1, 0.05);
  EXPECT_NEAR(mean_power(trace_of(Kind::rf)), 1, 0.1);
  const double clear_days = 2 * 0.25;  // sin² over half of the time
  EXPECT_LT(mean_power(trace_of(Kind::solar)), clear_days);
  EXPECT_GT(mean_power(trace_of(Kind::solar)), clear_days * 0.6);
}

TEST(Harvest, DistancesAreThoseOfTheDefinition) {
  EXPECT_DOUBLE_EQ(kantorovich(std::array{1.0, 0.0, 0.0}, std::array{0.0, 0.0, 1.0}), 2);
  EXPECT_DOUBLE_EQ(kantorovich(std::array{0.5, 0.5}, std::array{0.5, 0.5}), 0);
  EXPECT_DOUBLE_EQ(kantorovich(std::array{0.5, 0.5, 0.0}, std::array{0.0, 0.5, 0.5}), 1);
}

TEST(Harvest, RunsAreCountedInSlots) {
  HarvestTrace trace{{{100ms, 1}, {100ms, 1}, {300ms, 0}, {100ms, 1}}, 100ms};
  const std::vector<double> runs = run_lengths(trace);
  EXPECT_DOUBLE_EQ(runs[0], 1.0 / 3);
  EXPECT_DOUBLE_EQ(runs[1], 1.0 / 3);
  EXPECT_DOUBLE_EQ(runs[2], 1.0 / 3);
}

TEST(Harvest, APersistentSourceIsPredictableAndARandomOneIsNot) {
  EXPECT_DOUBLE_EQ(predictability(trace_of(Kind::persistent)), 1);
  EXPECT_NEAR(predictability(trace_of(Kind::random)), 0, 0.02);
  const double rf = predictability(trace_of(Kind::rf)), solar = predictability(trace_of(Kind::solar));
  EXPECT_GT(rf, 0.05);
  EXPECT_GT(solar, rf);
  EXPECT_LT(solar, 1);
}

TEST(Harvest, ACursorGoesRound) {
  const HarvestTrace trace{{{100ms, 1}, {300ms, 2}}, 100ms};
  HarvestCursor cursor(trace);
  EXPECT_EQ(cursor.ends(), 100ms);
  cursor.advance();
  EXPECT_DOUBLE_EQ(cursor.watts(), 2);
  cursor.advance();
  EXPECT_DOUBLE_EQ(cursor.watts(), 1);
  EXPECT_EQ(cursor.ends(), 500ms);
}

}  // namespace
}  // namespace rtmdl
