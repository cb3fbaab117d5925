#include "planning/execution_bound.h"

#include "planning/random_problem.h"
#include "planning/response_time.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Kind = ExecutionBound::Kind;

TEST(ExecutionBoundText, IsParsedAndDescribed) {
  EXPECT_EQ(ExecutionBound::parse("observed").kind, Kind::observed);
  EXPECT_EQ(ExecutionBound::parse("observed").margin, 0.2);
  EXPECT_DOUBLE_EQ(ExecutionBound::parse("observed:30%").margin, 0.3);
  EXPECT_EQ(ExecutionBound::parse("evt").kind, Kind::extreme_value);
  EXPECT_DOUBLE_EQ(ExecutionBound::parse("evt").exceedance, 1e-6);
  EXPECT_DOUBLE_EQ(ExecutionBound::parse("evt:1e-9").exceedance, 1e-9);
  EXPECT_EQ(ExecutionBound::parse("observed:30%").describe(),
            "no stage takes longer than its longest measured time + 30 %");
  EXPECT_THAT(ExecutionBound::parse("evt:1e-9").describe(), HasSubstr("probability of at most 1e-09"));
}

TEST(ExecutionBoundText, RefusesTheRestAndNamesWhatIsAccepted) {
  for (const char* text : {"", "wcet", "observed:", "observed:30", "observed:-1%", "observed:2000%", "evt:", "evt:x",
                           "evt:0", "evt:0.5", "evt:1e-9%", "evt:nan", "EVT"}) {
    try {
      static_cast<void>(ExecutionBound::parse(text));
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::bad_input);
      EXPECT_THAT(e.what(), HasSubstr(std::string("'") + text + "' is not accepted"));
      EXPECT_THAT(e.what(), HasSubstr("observed:30% or evt:1e-9"));
    }
  }
}

TEST(ExecutionBoundOfTimes, ObservedIsTheLargestAndTheMargin) {
  const TimeDistribution times{{1ms, 2ms, 5ms}};
  EXPECT_EQ(execution_bound(times, {.margin = 0.3}, 10us), 6510us);
  EXPECT_EQ(execution_bound({}, {}, 10us), 10us);
}

TEST(ExecutionBoundOfTimes, FallsBackWithFewSamplesAndSaysHowOften) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {test::task_of("a", 10ms, 10ms, {{0, 1ms}, {0, 2ms}})};
  auto& stages = problem.tasks[0].options[0].stages;
  stages[1].times.sorted.assign(kLeastSamplesForATail, 2ms);
  EXPECT_EQ(set_execution_bounds(problem, ExecutionBound::parse("evt")), 1);
  EXPECT_EQ(stages[0].longest, 1200us);
  EXPECT_EQ(stages[1].longest, 2ms) << "constant times have no tail";
  EXPECT_THAT(problem.execution_bound, HasSubstr("fewer than 50 samples"));
  EXPECT_EQ(set_execution_bounds(problem, {}), 0);
  EXPECT_EQ(stages[1].longest, 2400us);
  EXPECT_EQ(response_bounds(problem, {{0, 1}})[0], 3600us);
}

TEST(ExecutionBoundOfTimes, TakesTheLongerOfAloneAndBesideNeighbours) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.dispatch = 5us;
  problem.tasks = {test::task_of("a", 10ms, 10ms, {{0, 1ms}})};
  problem.tasks[0].options[0].stages[0].alone = {{600us, 2ms}};
  EXPECT_EQ(response_bounds(problem, {{0, 1}})[0], 2405us);
  set_execution_bounds(problem, {.margin = 0.5});
  const StageOption& stage = problem.tasks[0].options[0].stages[0];
  EXPECT_EQ(stage.longest, 3005us);
  EXPECT_EQ(stage.shortest, 400us);
}

/// Share of repetitions in which the bound covers the true quantile, and its median as a multiple of that.
struct Coverage {
  double share = 0, typical = 0;
};
Coverage coverage(std::size_t samples, double p, const std::function<double(double)>& exceeded_with) {
  constexpr int kRepetitions = 300;
  test::Random random(samples);
  std::vector<double> ratios;
  for (int r = 0; r < kRepetitions; ++r) {
    TimeDistribution times;
    for (std::size_t k = 0; k < samples; ++k) {
      const double u = (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
      times.sorted.push_back(Duration(std::llround(1e6 * exceeded_with(u))));
    }
    std::sort(times.sorted.begin(), times.sorted.end());
    const Duration bound = execution_bound(times, {.kind = Kind::extreme_value, .exceedance = p}, 0ns);
    EXPECT_GE(bound, times.max());
    ratios.push_back(static_cast<double>(bound.count()) / (1e6 * exceeded_with(p)));
  }
  std::sort(ratios.begin(), ratios.end());
  const auto covered = ratios.end() - std::lower_bound(ratios.begin(), ratios.end(), 1.0);
  return {static_cast<double>(covered) / kRepetitions, ratios[kRepetitions / 2]};
}

// P(X > x) = p at: 1 + exponential, uniform in 1..2, generalised Pareto of shape 0.2.
double exponential(double p) { return 1 - std::log(p); }
double uniform(double p) { return 2 - p; }
double pareto(double p) { return 1 + (std::pow(p, -0.2) - 1) / 0.2; }

TEST(ExecutionBoundOfTimes, CoversTheTrueQuantileAboutAsOftenAsItSays) {
  for (const std::size_t samples : {200, 1000}) {
    const Coverage e = coverage(samples, 1e-6, exponential), u = coverage(samples, 1e-6, uniform),
                   g = coverage(samples, 1e-4, pareto);
    const auto record = [&](const char* name, const Coverage& c) {
      RecordProperty(name + std::to_string(samples), std::to_string(c.share) + ", " + std::to_string(c.typical) + " x");
    };
    record("exponential_", e);
    record("uniform_", u);
    record("pareto_", g);
    EXPECT_GE(e.share, 0.95) << samples << ", typically " << e.typical;
    EXPECT_GE(u.share, 0.99) << samples << ", typically " << u.typical;
    EXPECT_GE(g.share, 0.82) << samples << ", typically " << g.typical;
    EXPECT_LT(u.typical, 4.5) << "a bounded tail is not believed in, but the bound stays of use";
  }
}

}  // namespace
}  // namespace rtmdl
