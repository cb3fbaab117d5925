#include "calibration/observe.h"

#include "planning/simulator.h"
#include "planning/stage_draw.h"
#include "scheduling/arrivals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

Time at(Duration d) { return Time(1s + d); }

/// Two tasks of one stage on the cpu, and one of two stages, cpu then gpu.
PlanProblem problem() {
  PlanProblem p;
  p.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  for (const char* name : {"fast", "slow", "both"}) {
    PlanTask task;
    task.name = name;
    task.period = 10ms;
    TaskOption option;
    option.variant = "source";
    option.processor = "cpu";
    option.stages.resize(name == std::string("both") ? 2 : 1);
    if (option.stages.size() > 1) option.stages[1].processor = 1;
    task.options = {option};
    p.tasks.push_back(task);
  }
  return p;
}

JobRecord job(int task, std::uint64_t number, Duration release, std::vector<std::array<Duration, 2>> stages) {
  JobRecord r;
  r.task = static_cast<std::uint8_t>(task);
  r.job = number;
  r.release = at(release);
  r.stages = static_cast<std::uint8_t>(stages.size());
  for (std::size_t s = 0; s < stages.size(); ++s)
    r.stage[s] = {at(stages[s][0]), at(stages[s][1]), static_cast<std::uint8_t>(s), 1};
  r.finish = at(stages.empty() ? release : stages.back()[1]);
  return r;
}

Observation observed(const std::vector<JobRecord>& jobs, std::vector<Stall> stalls = {}) {
  return observe({jobs, stalls, {{0}, {1}}, 1}, problem(), Choices(3));
}

TEST(Observe, TakesOutWhatRanOverAStage) {
  // slow from 0.01 to 10; over it, fast from 3.02 (released at 3) to 5, and again at 6.01 to 7.
  const Observation o =
      observed({job(1, 0, 0ms, {{10us, 10ms}}), job(0, 0, 3ms, {{3020us, 5ms}}), job(0, 1, 6ms, {{6010us, 7ms}})});
  ASSERT_EQ(o.options.size(), 2u);
  EXPECT_EQ(o.options[0].task, "fast");
  EXPECT_THAT(o.options[0].stages[0], ElementsAre(1980us, 990us));
  EXPECT_EQ(o.options[1].task, "slow");
  EXPECT_THAT(o.options[1].stages[0], ElementsAre(10ms - 10us - 2ms - 1ms)) << "starting the others is not its time";
  EXPECT_THAT(o.dispatch[0], ElementsAre(10us, 20us, 10us));
}

TEST(Observe, CountsTheDispatchCostFromWhenAStageCouldStart) {
  // slow is released while fast runs; both's second stage is ready when its first has ended.
  const Observation o = observed({job(0, 0, 0ms, {{5us, 4ms}}), job(1, 0, 1ms, {{4ms + 7us, 6ms}}),
                                  job(2, 0, 6ms, {{6ms + 9us, 7ms}, {7ms + 30us, 9ms}})});
  EXPECT_THAT(o.dispatch[0], ElementsAre(5us, 7us, 9us));
  EXPECT_THAT(o.dispatch[1], ElementsAre(30us));
  EXPECT_THAT(o.lateness, ElementsAre(5us, 9us)) << "slow waited for fast";
}

TEST(Observe, KnowsTheJitterAndTheJobBefore) {
  PlanProblem p = problem();
  p.tasks[0].jitter = 1ms;
  const Duration late = release_jitter(1, 0, 0, 1ms);
  const std::vector<JobRecord> jobs{job(0, 0, 0ms, {{late + 8us, 12ms}}), job(0, 1, 10ms, {{12ms + 3us, 13ms}})};
  const std::vector<Stall> none;
  const Observation o = observe({jobs, none, {{0}, {1}}, 1}, p, Choices(3));
  EXPECT_THAT(o.dispatch[0], ElementsAre(8us, 3us));
}

TEST(Observe, LeavesOutJobsThatARareStallHit) {
  std::vector<JobRecord> jobs;
  for (int k = 0; k < 10; ++k)
    jobs.push_back(job(0, static_cast<std::uint64_t>(k), k * 10ms, {{k * 10ms, k * 10ms + 2ms}}));
  jobs[4].stage[0].end += 5ms;
  EXPECT_THAT(observed(jobs, {{at(41ms), at(46ms), 0}}).options[0].stages[0], testing::SizeIs(9));
  EXPECT_THAT(observed(jobs, {{at(41ms), at(46ms), 1}}).options[0].stages[0], testing::Contains(7ms))
      << "on another core";
}

TEST(Observe, TakesOutTheTimeOfStallsThatAreTheRule) {
  std::vector<JobRecord> jobs;
  std::vector<Stall> stalls;
  for (int k = 0; k < 4; ++k) {
    jobs.push_back(job(0, static_cast<std::uint64_t>(k), k * 10ms, {{k * 10ms, k * 10ms + 5ms}}));
    if (k < 2) stalls.push_back({at(k * 10ms + 1ms), at(k * 10ms + 3ms), 0});
  }
  EXPECT_THAT(observed(jobs, stalls).options[0].stages[0], ElementsAre(3ms, 3ms, 5ms, 5ms));
  EXPECT_THAT(observed(jobs, stalls).dispatch[0], testing::SizeIs(4)) << "none of the starts was stalled";
}

TEST(Observe, AStallBelongsToTheStageThatWasRunning) {
  // slow runs from 0 to 10, fast over it from 2 to 8, and the machine stands still from 3 to 6.
  const Observation o =
      observed({job(1, 0, 0ms, {{0ms, 10ms}}), job(0, 0, 2ms, {{2ms, 8ms}})}, {{at(3ms), at(6ms), 0}});
  EXPECT_THAT(o.options[0].stages[0], ElementsAre(3ms));
  EXPECT_THAT(o.options[1].stages[0], ElementsAre(4ms));
}

TEST(Observe, TellsStallsByProcessorThoseOfSeveralCoresAsOne) {
  const std::vector<JobRecord> jobs;
  const std::vector<Stall> stalls{{at(10ms), at(12ms), 0},
                                  {at(11ms), at(14ms), 1},
                                  {at(20ms), at(21ms), 1},
                                  {at(30ms), at(31ms), 7},
                                  {at(6s), at(7s), 1}};
  const Observation o = observe({jobs, stalls, {{0}, {1}}, 1, {at(0ms), at(5s)}}, problem(), Choices(3));
  EXPECT_EQ(o.stalls.seconds, 5);
  EXPECT_EQ(o.stalls.count, 2) << "none of our processors has core 7";
  EXPECT_THAT(o.stalls.lasting, ElementsAre(ElementsAre(2ms, 3ms), ElementsAre(0ms, 1ms)));
  EXPECT_EQ(observe({jobs, stalls, {{0}, {1}}, 1}, problem(), Choices(3)).stalls.count, 0) << "nobody looked";
}

TEST(Observe, DoesNotTakeTheKernelsThrottlingForAStall) {
  PlanProblem p = problem();
  p.processors[0].realtime_share = 0.95;
  std::vector<JobRecord> jobs;
  for (int k = 0; k < 96; ++k)
    jobs.push_back(job(0, static_cast<std::uint64_t>(k), k * 10ms, {{k * 10ms, k * 10ms + 9900us}}));
  const std::vector<Stall> stalls{{at(500ms), at(510ms), 0}, {at(955ms), at(1005ms), 0}, {at(970ms), at(980ms), 1}};
  const Observation o = observe({jobs, stalls, {{0}, {1}}, 1, {at(0ms), at(2s)}}, p, Choices(3));
  EXPECT_THAT(o.stalls.lasting, ElementsAre(ElementsAre(10ms, 0ms), ElementsAre(0ms, 10ms)));
}

TEST(Observe, CountsOnlyWholeJobs) {
  std::vector<JobRecord> jobs{job(2, 0, 0ms, {{0ms, 1ms}, {1ms, 2ms}}), job(2, 1, 10ms, {{10ms, 11ms}}),
                              job(2, 2, 20ms, {})};
  jobs[1].fate = JobFate::failed;
  jobs[2].fate = JobFate::dropped;
  const Observation o = observed(jobs);
  ASSERT_EQ(o.options.size(), 1u);
  EXPECT_EQ(o.options[0].jobs(), 1u);
  EXPECT_THAT(observed({}).options, IsEmpty());
}

// What the simulator makes of a correlation is what is seen of it.
TEST(Observe, FindsHowFarJobsOfOneMomentAreAlike) {
  for (const double correlation : {0.0, 0.6}) {
    PlanProblem p = problem();
    p.processors[0].correlation = correlation;
    for (PlanTask& task : p.tasks) {
      task.deadline = task.period = 20ms;
      for (StageOption& stage : task.options[0].stages) stage.times.sorted = {1ms, 3ms, 4ms};
    }
    std::vector<JobRecord> jobs;
    std::map<std::pair<int, std::uint64_t>, JobRecord> open;
    const Time begin(kMoment * 10);
    Simulator simulator(p);
    simulator.run({{0, 1}, {0, 2}, {0, 3}}, {.length = 60s, .seed = 5}, [&](const SimulatedEvent& e) {
      const Decision& d = e.decision;
      JobRecord& r = open[{d.task, d.job}];
      const Time now = begin + e.now.time_since_epoch();
      if (d.kind == Decision::Kind::start) {
        if (d.stage > 0) r.stage[d.stage - 1].end = now;
        r.stage[d.stage] = {now, now, static_cast<std::uint8_t>(d.processor), d.slots};
        r.stages = static_cast<std::uint8_t>(d.stage + 1);
      } else if (d.kind == Decision::Kind::finish) {
        r.task = static_cast<std::uint8_t>(d.task);
        r.job = d.job;
        r.release = begin + d.release.time_since_epoch();
        r.stage[r.stages - 1u].end = r.finish = now;
        jobs.push_back(r);
      }
    });
    const std::vector<Stall> none;
    const Observation o = observe({jobs, none, {{0}, {1}}, 5}, p, Choices(3));
    ASSERT_EQ(o.moments.size(), 2u);
    EXPECT_NEAR(o.moments[0].correlation(), correlation, correlation == 0 ? 0.15 : 0.06);
    EXPECT_LT(o.moments[1].correlation(), 0.2) << "the gpu's jobs are not";
  }
}

TEST(Observe, AStageOfSeveralSlotsThatWasInterruptedOnOneOfThemSaysNothing) {
  std::vector<JobRecord> jobs{job(1, 0, 0ms, {{10us, 10ms}}), job(0, 0, 3ms, {{3ms, 6ms}}),
                              job(1, 1, 10ms, {{10010us, 14ms}})};
  jobs[0].stage[0].slots = jobs[2].stage[0].slots = 3;
  const Observation o = observed(jobs);
  ASSERT_EQ(o.options.size(), 2u);
  EXPECT_THAT(o.options[0].stages[0], ElementsAre(3ms));
  EXPECT_EQ(o.options[1].task, "slow");
  EXPECT_THAT(o.options[1].stages[0], ElementsAre(3990us));
  EXPECT_EQ(o.dispatch[0].size(), 3u) << "each is started once";
}

TEST(Observe, AWaitForAnotherSlotIsNoCostOfStarting) {
  // Two slots; the job on the second ends at 4, and only then a stage of both begins, ready since 1.
  std::vector<JobRecord> jobs{job(0, 0, 0ms, {{10us, 4ms}}), job(1, 0, 1ms, {{4020us, 6ms}})};
  jobs[0].stage[0].slots = 2;
  jobs[1].stage[0].slots = 3;
  const Observation o = observed(jobs);
  EXPECT_THAT(o.dispatch[0], testing::UnorderedElementsAre(10us, 20us));
}

}  // namespace
}  // namespace rtmdl
