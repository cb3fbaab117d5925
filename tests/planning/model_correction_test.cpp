#include "planning/model_correction.h"

#include "planning/response_time.h"
#include "planning/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

TaskOption option(const std::string& variant, const std::string& processor, int infer, Duration pre, Duration main,
                  Duration post) {
  TaskOption o;
  o.variant = variant;
  o.processor = processor;
  for (const auto& [p, time] : {std::pair{0, pre}, std::pair{infer, main}, std::pair{0, post}}) {
    StageOption stage;
    stage.processor = p;
    stage.times.sorted = {time * 9 / 10, time, time * 11 / 10};
    stage.alone.sorted = {time / 2};
    o.stages.push_back(stage);
  }
  return o;
}

/// faces: source and int8, each on cpu and gpu.
PlanProblem problem() {
  PlanProblem p;
  p.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  p.dispatch = 10us;
  PlanTask task;
  task.name = "faces";
  task.period = task.deadline = 50ms;
  task.options = {option("source", "cpu", 0, 1ms, 10ms, 2ms), option("source", "gpu", 1, 1ms, 8ms, 2ms),
                  option("int8", "cpu", 0, 1ms, 5ms, 2ms), option("int8", "gpu", 1, 1ms, 4ms, 2ms)};
  p.tasks = {task};
  return p;
}

OptionTimes times(const std::string& variant, const std::string& processor, std::size_t jobs, Duration pre,
                  Duration infer, Duration post) {
  return {"faces",
          variant,
          processor,
          1,
          {std::vector<Duration>(jobs, pre), std::vector<Duration>(jobs, infer), std::vector<Duration>(jobs, post)}};
}

PlanProblem corrected(const ModelCorrection& correction) {
  PlanProblem p = problem();
  apply(p, correction);
  return p;
}

Duration median(const PlanProblem& p, std::size_t o, std::size_t stage) {
  return p.tasks[0].options[o].stages[stage].times.quantile(0.5);
}

TEST(ModelCorrection, GivesAnOptionThatRanItsOwnDistribution) {
  Observation seen;
  seen.options = {times("source", "gpu", 60, 2ms, 12ms, 2ms)};
  seen.options[0].stages[1][0] = 30ms;  // not in order, and kept so
  seen.options[0].stages[1][1] = 11ms;
  const PlanProblem p = corrected(correction_from(problem(), seen));
  const StageOption& infer = p.tasks[0].options[1].stages[1];
  ASSERT_EQ(infer.times.sorted.size(), 60u);
  EXPECT_EQ(infer.times.min(), 11ms);
  EXPECT_EQ(infer.times.max(), 30ms);
  EXPECT_TRUE(infer.alone.sorted.empty()) << "the contention is in the samples";
  EXPECT_EQ(infer.longest, 0ms) << "the proof takes the longest seen, which is longer than the profile's";
}

TEST(ModelCorrection, WhatRanWithItsProcessorForItselfSaysNothingOfTheSameBesideOthers) {
  PlanProblem both = problem();
  both.tasks[0].options.push_back(both.tasks[0].options[1]);
  both.tasks[0].options[4].alone = true;
  Observation seen;
  seen.options = {times("source", "gpu", 60, 1ms, 6ms, 2ms)};
  seen.options[0].alone = true;
  apply(both, correction_from(both, seen));
  EXPECT_EQ(both.tasks[0].options[4].stages[1].times.sorted.size(), 60u);
  EXPECT_EQ(both.tasks[0].options[1].stages[1].times.sorted.size(), 3u);
}

TEST(ModelCorrection, ScalesWhatDidNotRunByItsTaskAndItsProcessor) {
  Observation seen;
  seen.options = {times("source", "gpu", 60, 3ms, 12ms, 4ms)};  // pre × 3, infer × 1.5, post × 2
  const ModelCorrection correction = correction_from(problem(), seen);
  ASSERT_EQ(correction.processors.size(), 2u);
  EXPECT_EQ(correction.processors[0].factor, 2) << "of 3 for 1 ms and 2 for 2 ms";
  EXPECT_EQ(correction.processors[1].factor, 1.5);
  EXPECT_EQ(correction.processors[1].stages, 1);
  const PlanProblem p = corrected(correction);
  EXPECT_EQ(median(p, 0, 1), 20ms) << "never ran on the cpu: its factor";
  EXPECT_EQ(median(p, 3, 0), 3ms) << "pre-processing is that of the other variant";
  EXPECT_EQ(median(p, 3, 1), 6ms);
  EXPECT_EQ(median(p, 3, 2), 4ms);
  EXPECT_EQ(p.tasks[0].options[3].stages[1].alone.max(), 3ms) << "scaled too";
}

TEST(ModelCorrection, BelievesFewJobsOnlyInPart) {
  Observation seen;
  seen.options = {times("source", "gpu", 10, 1ms, 32ms, 2ms), times("int8", "gpu", 60, 1ms, 4ms, 2ms)};
  ModelCorrection correction = correction_from(problem(), seen);
  correction.processors[1].factor = 1;
  const PlanProblem p = corrected(correction);
  EXPECT_EQ(median(p, 1, 1), 16ms) << "10 jobs at × 4 and 10 that the processor's × 1 counts for: × 2";
  EXPECT_EQ(p.tasks[0].options[1].stages[1].times.sorted.size(), 3u) << "the profile's distribution, scaled";
}

TEST(ModelCorrection, TakesTheDispatchCostOfEachProcessor) {
  Observation seen;
  seen.dispatch = {std::vector<Duration>(9, 6us), std::vector<Duration>(9, 30us)};
  seen.dispatch[1].back() = 4ms;
  const ModelCorrection correction = correction_from(problem(), seen);
  EXPECT_EQ(correction.processors[1].dispatch, 30us);
  const PlanProblem p = corrected(correction);
  EXPECT_EQ(p.dispatch, 6us);
  EXPECT_EQ(p.processors[0].dispatch, 0us);
  EXPECT_EQ(p.processors[1].dispatch, 24us);
}

TEST(ModelCorrection, NeverShortensWhatProofsRestOn) {
  PlanProblem p = problem();
  p.tasks[0].options[1].stages[1].longest = 20ms;
  Observation seen;
  seen.options = {times("source", "gpu", 60, 1ms, 4ms, 1ms)};
  const ModelCorrection correction = correction_from(p, seen);
  apply(p, correction);
  const TaskOption& ran = p.tasks[0].options[1];
  EXPECT_EQ(ran.stages[1].longest, 20ms);
  EXPECT_EQ(ran.stages[2].longest, Duration(std::llround(2.2e6 * kExecutionFactor))) << "as before: 2.2 ms and room";
}

TEST(ModelCorrection, IgnoresWhatMakesNoSense) {
  ModelCorrection rubbish;
  rubbish.options = {times("source", "gpu", 60, 1ms, 0ms, 2ms), times("int8", "cpu", 60, -1ms, 5ms, 2ms),
                     times("gone", "gpu", 60, 1ms, 1ms, 1ms), times("int8", "gpu", 3, 1ms, 0ms, 2ms)};
  rubbish.options[0].stages[1].pop_back();
  rubbish.options.push_back({"faces", "source", "cpu", 1, {{1ms}}});
  rubbish.processors = {{"cpu", std::numeric_limits<double>::quiet_NaN(), 3, -5ns, {}, 4},
                        {"gpu", 0, 3, {}, {}, 0},
                        {"tpu", 3, 3, {}, {}, 0}};
  const PlanProblem p = corrected(rubbish);
  for (std::size_t o = 0; o < 4; ++o)
    for (std::size_t s = 0; s < 3; ++s) EXPECT_EQ(median(p, o, s), median(problem(), o, s)) << o << ' ' << s;
  EXPECT_EQ(p.dispatch, 10us);
}

TEST(ModelCorrection, NothingObservedCorrectsNothing) {
  const PlanProblem p = corrected(correction_from(problem(), {}));
  for (std::size_t o = 0; o < 4; ++o)
    for (std::size_t s = 0; s < 3; ++s) EXPECT_EQ(median(p, o, s), median(problem(), o, s));
  EXPECT_EQ(p.dispatch, 10us);
  PlanProblem none;
  apply(none, {});
  EXPECT_TRUE(correction_from(none, {}).empty());
}

TEST(ModelCorrection, AFreshMeasurementReplacesAnOlderOneAndAShortOneJoinsIt) {
  ModelCorrection older, newer;
  older.options = {times("source", "gpu", 60, 1ms, 8ms, 2ms), times("int8", "gpu", 60, 1ms, 4ms, 2ms)};
  older.processors = {{"cpu", 1.5, 4, 9us, 20us, 100}, {"gpu", 2, 4, 9us, 20us, 100}};
  newer.options = {times("source", "gpu", 55, 1ms, 9ms, 2ms), times("int8", "gpu", 5, 1ms, 5ms, 2ms)};
  newer.processors = {{"cpu", 1.2, 6, {}, {}, 0}, {"gpu", 1, 0, 7us, 8us, 10}};
  const ModelCorrection both = merged(older, newer);
  ASSERT_EQ(both.options.size(), 2u);
  EXPECT_EQ(both.options[0].variant, "int8");
  EXPECT_EQ(both.options[0].jobs(), 65u);
  EXPECT_EQ(both.options[1].jobs(), 55u);
  EXPECT_EQ(both.processors[0].factor, 1.2);
  EXPECT_EQ(both.processors[0].dispatch, 9us) << "not measured this time";
  EXPECT_EQ(both.processors[1].factor, 2);
  EXPECT_EQ(both.processors[1].dispatch, 7us);
}

TEST(ModelCorrection, KeepsTheNewestJobs) {
  Observation seen;
  seen.options = {times("source", "gpu", kMostCorrected, 1ms, 8ms, 2ms)};
  append(seen, {{times("source", "gpu", 10, 1ms, 9ms, 2ms)}, {}, {}, {}, {}});
  const ModelCorrection correction = correction_from(problem(), seen);
  ASSERT_EQ(correction.options.size(), 1u);
  EXPECT_EQ(correction.options[0].jobs(), kMostCorrected);
  EXPECT_EQ(correction.options[0].stages[1].back(), 9ms);
}

TEST(ModelCorrection, GivesProcessorsTheCorrelationOfTheirMoments) {
  Observation seen;
  seen.moments = {{0.25 * 1000 / 12, 1000, 5000}, {0.5, 1000, 100}};
  const ModelCorrection correction = correction_from(problem(), seen);
  PlanProblem p = corrected(correction);
  EXPECT_NEAR(p.processors[0].correlation, 0.5, 1e-9)
      << "both of a pair take the moment's quantile in a quarter of cases";
  EXPECT_EQ(p.processors[1].correlation, 0) << "100 pairs tell nothing";
  append(seen, {{}, {}, {{0, 3000, 100}}, {}, {}});
  EXPECT_NEAR(corrected(correction_from(problem(), seen)).processors[0].correlation, 0.25, 1e-9);
  EXPECT_EQ(merged(correction, correction_from(problem(), {})).processors[0].moments.pairs, 5000) << "nothing newer";
  Observation little;
  little.moments = {{0, 10, 50}, {}};
  EXPECT_EQ(merged(correction, correction_from(problem(), little)).processors[0].moments.pairs, 5050) << "too little";
}

TEST(ModelCorrection, PredictsStallsAsOftenAsTheyCame) {
  Observation seen;
  seen.stalls = {10, 40, {{1ms, 2ms}, {0ms, 3ms}}};
  append(seen, {{}, {}, {}, {10, 0, {}}, {}});
  const ModelCorrection once = correction_from(problem(), seen);
  EXPECT_EQ(corrected(once).stalls.per_second, 2);
  EXPECT_EQ(corrected(once).stalls.lasting, seen.stalls.lasting);
  EXPECT_EQ(corrected(merged(once, once)).stalls.per_second, 2);
  Observation quiet;
  quiet.stalls = {2 * kStallMemory, 0, {}};
  const ModelCorrection later = merged(once, correction_from(problem(), quiet));
  EXPECT_LE(later.stalls.seconds, kStallMemory);
  EXPECT_LT(corrected(later).stalls.per_second, 0.05) << "long ago";
  EXPECT_EQ(corrected(correction_from(problem(), quiet)).stalls.per_second, 0);
}

}  // namespace
}  // namespace rtmdl
