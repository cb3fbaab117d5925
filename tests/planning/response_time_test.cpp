#include "planning/response_time.h"
#include "planning/random_problem.h"
#include "planning/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::in_order;
using test::Random;
using test::random_problem;
using test::task_of;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

std::vector<std::optional<Duration>> bounds(const PlanProblem& problem, double factor = 1.0) {
  return response_bounds(problem, in_order(problem), factor);
}

PlanProblem on_one(bool preemptive, std::vector<PlanTask> tasks) {
  PlanProblem problem;
  problem.processors = {{"cpu", preemptive, 1}};
  problem.tasks = std::move(tasks);
  return problem;
}

// Burns and Wellings, Real-Time Systems and Programming Languages, response time analysis: T = 7, 12, 20; C = 3, 3, 5;
// R = 3, 6, 20.
TEST(ResponseBounds, BurnsAndWellings) {
  const auto r = bounds(on_one(true, {task_of("a", 7ms, 7ms, {{0, 3ms}}), task_of("b", 12ms, 12ms, {{0, 3ms}}),
                                      task_of("c", 20ms, 20ms, {{0, 5ms}})}));
  EXPECT_EQ(r[0], 3ms);
  EXPECT_EQ(r[1], 6ms);
  EXPECT_EQ(r[2], 20ms);
}

// Lehoczky, Sha, Ding, RTSS 1989: (C, T) = (40, 100), (40, 150), (100, 350), schedulable although beyond the Liu and
// Layland bound; R₃ = 300.
TEST(ResponseBounds, LehoczkyShaDing) {
  const auto r = bounds(on_one(true, {task_of("a", 100ms, 100ms, {{0, 40ms}}), task_of("b", 150ms, 150ms, {{0, 40ms}}),
                                      task_of("c", 350ms, 350ms, {{0, 100ms}})}));
  EXPECT_EQ(r[0], 40ms);
  EXPECT_EQ(r[1], 80ms);
  EXPECT_EQ(r[2], 300ms);
}

// Lehoczky, "Fixed priority scheduling of periodic task sets with arbitrary deadlines", RTSS 1990: (C, T) = (26, 70),
// (62, 100). The jobs of the second in the level-2 busy period respond in 114, 102, 116, 104, 118, 106 and 94.
TEST(ResponseBounds, LehoczkyArbitraryDeadlines) {
  auto problem = on_one(true, {task_of("a", 70ms, 70ms, {{0, 26ms}}), task_of("b", 100ms, 120ms, {{0, 62ms}})});
  EXPECT_EQ(bounds(problem)[1], 118ms) << "the fifth job, not the first";
  ResponseAnalysis analysis(problem, 1.0);
  EXPECT_EQ(analysis.detail(in_order(problem), 1).job, 5);
  Simulator simulator(problem);
  const auto& outcome = simulator.run(in_order(problem), {.length = 700ms, .collect_responses = true});
  EXPECT_THAT(outcome.tasks[1].responses_ms, ElementsAre(114, 102, 116, 104, 118, 106, 94));
}

// Davis, Burns, Bril, Lukkien, "Controller Area Network (CAN) schedulability analysis: refuted, revisited and revised",
// 2007, section 3.2: C = 1; T = 2.5, 3.5, 3.5. The worst response of the third message is 3.5, of its second instance,
// not the 3.0 of the flawed analysis.
TEST(ResponseBounds, TheRefutedCanExample) {
  auto problem = on_one(false, {task_of("A", 2500us, 2500us, {{0, 1ms}}), task_of("B", 3500us, 3250us, {{0, 1ms}}),
                                task_of("C", 3500us, 3250us, {{0, 1ms}})});
  EXPECT_EQ(bounds(problem), (std::vector<std::optional<Duration>>{2ms, 3ms, 3500us}));
}

// As in Bril, Lukkien and Verhaegh, "Worst-case response time analysis of real-time tasks under fixed-priority
// scheduling with deferred preemption", 2009: a task of two pieces that only lets others in between them, and whose
// worst job is not its first although no deadline is beyond a period. By hand: the last pieces begin at 3.2, 9.3, 17.4,
// 23.5 and 29.6.
TEST(ResponseBounds, DeferredPreemptionPushesLaterJobs) {
  const auto problem =
      on_one(false, {task_of("a", 5ms, 5ms, {{0, 2ms}}), task_of("b", 7ms, 7ms, {{0, 1200us}, {0, 2900us}})});
  EXPECT_EQ(bounds(problem)[0], 4900us) << "blocked by the longer piece";
  EXPECT_EQ(bounds(problem)[1], 6300us);
  Simulator simulator(problem);
  const auto& outcome = simulator.run(in_order(problem), {.length = 35ms, .collect_responses = true});
  EXPECT_THAT(outcome.tasks[1].responses_ms, Pointwise(FloatNear(1e-4), {6.1F, 5.2F, 6.3F, 5.4F, 4.5F}));
}

TEST(ResponseBounds, JitterOfTheMoreUrgentTaskLetsAnotherJobIn) {
  auto problem = on_one(true, {task_of("a", 10ms, 10ms, {{0, 3ms}}), task_of("b", 20ms, 20ms, {{0, 5ms}})});
  EXPECT_EQ(bounds(problem)[1], 8ms);
  problem.tasks[0].jitter = 3ms;
  EXPECT_EQ(bounds(problem)[0], 6ms);
  EXPECT_EQ(bounds(problem)[1], 11ms);
}

// Tindell and Clark, "Holistic schedulability analysis for distributed hard real-time systems", 1994, by hand for three
// visits.
TEST(ResponseBounds, VisitsInheritTheJitterOfTheOnesBefore) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", false, 1}};
  problem.tasks = {task_of("a", 20ms, 20ms, {{0, 1ms}, {1, 4ms}, {0, 1ms}}),
                   task_of("b", 50ms, 50ms, {{0, 2ms}, {1, 6ms}, {0, 2ms}})};
  const auto r = bounds(problem);
  // a: 1; blocked by 6, then 4; 1. b: 2 + 1 + 1 of a; 4 of a, then its own 6 (not blocked by its job before, which is
  // done by then); 2 + 1 + 1.
  EXPECT_EQ(r[0], 12ms);
  EXPECT_EQ(r[1], 4ms + 10ms + 4ms);
}

// A long chain whose more urgent neighbour can come once: visit by visit it would be counted at each.
TEST(ResponseBounds, WholeChainMeetsARareNeighbourOnce) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  problem.tasks = {task_of("rare", 1s, 1s, {{0, 20ms}}),
                   task_of("b", 100ms, 100ms, {{0, 5ms}, {1, 10ms}, {0, 5ms}, {1, 10ms}, {0, 5ms}})};
  EXPECT_EQ(bounds(problem)[1], 55ms);
  ResponseAnalysis analysis(problem, 1.0);
  EXPECT_EQ(analysis.detail(in_order(problem), 1).method, BoundDetail::Method::whole_chain);
}

// A completion at the instant at which a stage would end may let a more urgent stage in before that end is seen.
TEST(ResponseBounds, CoverAStageThatArrivesByACompletionAtTheVeryEnd) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  problem.tasks = {task_of("a", 55ms, 55ms, {{0, 17ms}, {1, 21ms}}), task_of("b", 200ms, 200ms, {{1, 34ms}})};
  problem.tasks[1].offset = 17ms;
  Simulator simulator(problem);
  const Duration worst = simulator.run(in_order(problem), {.length = 200ms}).tasks[1].worst_response;
  EXPECT_EQ(worst, 76ms) << "both of a's jobs come first";
  ASSERT_TRUE(bounds(problem)[1]);
  EXPECT_GE(*bounds(problem)[1], worst);
}

TEST(ResponseBounds, AnswerAtOnceOnAFullProcessorAndHugeRatiosOfPeriods) {
  for (const Duration time : {Duration(99'999), Duration(100'000), Duration(101'000)}) {
    const auto r =
        bounds(on_one(true, {task_of("fast", 100us, 100us, {{0, time}}), task_of("slow", 1h, 1h, {{0, 1us}})}));
    EXPECT_EQ(r[0].has_value(), time <= 100us);
    EXPECT_EQ(r[1].has_value(), time < 100us);
  }
  const auto r = bounds(on_one(true, {task_of("stuck", 100us, 100us, {{0, 1h}}), task_of("slow", 1h, 1h, {{0, 1h}})}));
  EXPECT_FALSE(r[0]);
  EXPECT_FALSE(r[1]);
}

TEST(ResponseBounds, MarginOnObservedTimesIsNamedAndApplied) {
  const auto problem = on_one(true, {task_of("a", 10ms, 10ms, {{0, 5ms}})});
  EXPECT_EQ(kExecutionFactor, 1.2);
  EXPECT_EQ(response_bounds(problem, {{0, 1}})[0], 6ms);
}

TEST(ResponseBounds, OwnBoundOnAStageWinsAndDispatchIsInIt) {
  auto problem = on_one(true, {task_of("a", 10ms, 10ms, {{0, 5ms}})});
  problem.dispatch = 1ms;
  EXPECT_EQ(response_bounds(problem, {{0, 1}})[0], 7ms);
  problem.tasks[0].options[0].stages[0].longest = 8ms;
  EXPECT_EQ(response_bounds(problem, {{0, 1}})[0], 8ms);
}

TEST(ResponseBounds, NoneWhereAJobMayBeDroppedAndNoneForTasksLeftOut) {
  auto problem = on_one(true, {task_of("a", 10ms, 10ms, {{0, 6ms}}), task_of("b", 20ms, 80ms, {{0, 9ms}})});
  EXPECT_FALSE(bounds(problem)[1]) << "more than there is time for";
  EXPECT_EQ(response_bounds(problem, {{0, 0}, {0, 1}}, 1.0)[1], 9ms);
  problem = on_one(true, {task_of("a", 300ms, 300ms, {{0, 150ms}}), task_of("b", 100ms, 300ms, {{0, 30ms}})});
  EXPECT_FALSE(bounds(problem)[1]) << "at 100 the job that waits gives way to the next";
  problem.tasks[1].queue = 2;
  EXPECT_EQ(bounds(problem)[1], 180ms);
}

TEST(ResponseBounds, OfOneTaskBelowASetOfOthers) {
  PlanProblem problem = on_one(false, {task_of("a", 10ms, 10ms, {{0, 2ms}}), task_of("b", 20ms, 20ms, {{0, 5ms}}),
                                       task_of("c", 50ms, 50ms, {{0, 4ms}, {0, 6ms}})});
  ResponseAnalysis analysis(problem, 1.0);
  const Choices choices = in_order(problem);
  EXPECT_TRUE(analysis.order_free(choices));
  const auto all = analysis.bounds(choices);
  EXPECT_EQ(analysis.bound_below(choices, 0, 0b000), all[0]);
  EXPECT_EQ(analysis.bound_below(choices, 1, 0b001), all[1]);
  EXPECT_EQ(analysis.bound_below(choices, 2, 0b011), all[2]);
  EXPECT_EQ(analysis.bound_below(choices, 2, 0b011, *all[2]), all[2]);
  EXPECT_EQ(analysis.bound_below(choices, 2, 0b011, *all[2] - 1ns), std::nullopt);
  problem.processors.push_back({"gpu", true, 1});
  problem.tasks[1].options[0].stages[0].processor = 1;
  problem.tasks[1].options[0].stages.push_back(problem.tasks[0].options[0].stages[0]);
  ResponseAnalysis again(problem, 1.0);
  EXPECT_FALSE(again.order_free(choices));
  const auto chains = again.bounds(choices);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(again.bound_below(choices, i, (std::uint64_t{1} << i) - 1), chains[i]) << i;
}

// Linux gives real-time threads 950 ms of a second; a less urgent task that asks for more brings the stop about.
TEST(ResponseBounds, TheKernelsStopsCountWhereTheyMayCome) {
  for (const Duration lower : {50ms, 95ms}) {
    PlanProblem problem =
        on_one(true, {task_of("a", 100ms, 100ms, {{0, 10ms}}), task_of("b", 100ms, 100ms, {{0, lower}})});
    problem.processors[0].realtime_share = 0.95;
    EXPECT_EQ(bounds(problem)[0], lower == 50ms ? 10ms : 10ms + 50ms);
    problem.tasks[0].offset = 55ms;  // a job is released while the core stands still
    Simulator simulator(problem);
    const auto& o = simulator.run(in_order(problem), {.length = 20s});
    EXPECT_LE(o.tasks[0].worst_response, *bounds(problem)[0]);
    EXPECT_GT(o.tasks[0].worst_response, lower == 50ms ? 9ms : 40ms) << "it does happen";
  }
}

TEST(ResponseBounds, HoldUnderThrottling) {
  int proven = 0, stopped = 0;
  for (int seed = 0; seed < 400; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    PlanProblem problem = random_problem(random, {.most_tasks = 5,
                                                  .most_options = 1,
                                                  .most_processors = 2,
                                                  .non_preemptive = false,
                                                  .least_load = 0.6,
                                                  .most_load = 1.6});
    for (PlanTask& task : problem.tasks) task.period *= 8, task.deadline *= 8;  // room for stops of 50 ms
    for (PlanTask& task : problem.tasks)
      for (StageOption& stage : task.options[0].stages)
        for (Duration& d : stage.times.sorted) d *= 8;
    for (PlanProcessor& p : problem.processors) p.realtime_share = 0.95;
    const auto bound = bounds(problem);
    Simulator simulator(problem);
    const SimulationOutcome with = simulator.run(in_order(problem), {.length = 8s});
    const SimulationOutcome without = simulator.run(in_order(problem), {.length = 8s, .machine = false});
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      stopped += with.tasks[i].worst_response > without.tasks[i].worst_response;
      if (!bound[i]) continue;
      ++proven;
      ASSERT_LE(with.tasks[i].worst_response.count(), bound[i]->count()) << "seed " << seed << ", task " << i;
    }
  }
  EXPECT_GT(proven, 200);
  EXPECT_GT(stopped, 50);
}

}  // namespace
}  // namespace rtmdl
