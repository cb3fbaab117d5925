#include "planning/response_time.h"
#include "planning/random_problem.h"
#include "planning/simulator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::between;
using testing::Random;
using testing::random_problem;
using testing::task_of;

Choices in_order(const PlanProblem& problem) {
  Choices choices;
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) choices.push_back({0, static_cast<int>(i) + 1});
  return choices;
}

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

// Davis, Burns, Bril, Lukkien, "Controller Area Network schedulability analysis: refuted, revisited and revised", 2007,
// section 3.2: C = 1; T = 2.5, 3.5, 3.5. The response of the third message is 3.5, not the 3.0 of the flawed analysis.
// Their sufficient test (ours) must not be below.
TEST(ResponseBounds, NonPreemptiveBoundCoversTheRefutedCanExample) {
  const auto problem =
      on_one(false, {task_of("A", 2500us, 2500us, {{0, 1ms}}), task_of("B", 3500us, 3250us, {{0, 1ms}}),
                     task_of("C", 3500us, 3250us, {{0, 1ms}})});
  const auto r = bounds(problem);
  ASSERT_TRUE(r[0]);
  EXPECT_EQ(*r[0], 2ms);
  EXPECT_TRUE(!r[2] || *r[2] >= 3500us);
}

TEST(ResponseBounds, JitterOfTheMoreUrgentTaskLetsAnotherJobIn) {
  auto problem = on_one(true, {task_of("a", 10ms, 10ms, {{0, 3ms}}), task_of("b", 20ms, 20ms, {{0, 5ms}})});
  EXPECT_EQ(bounds(problem)[1], 8ms);
  problem.tasks[0].jitter = 3ms;
  EXPECT_EQ(bounds(problem)[0], 6ms);
  EXPECT_EQ(bounds(problem)[1], 11ms);
}

TEST(ResponseBounds, StagesInheritTheJitterOfTheOnesBefore) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", false, 1}};
  problem.tasks = {task_of("a", 20ms, 20ms, {{0, 1ms}, {1, 4ms}, {0, 1ms}}),
                   task_of("b", 50ms, 50ms, {{0, 2ms}, {1, 6ms}, {0, 2ms}})};
  const auto r = bounds(problem);
  // a: 1; blocked by 6, then 4; 1. b: 2 + 1 + 1 of a; 6 + 4 of a + its own 6 as blocking; 2 + 1 + 1.
  EXPECT_EQ(r[0], 12ms);
  EXPECT_EQ(r[1], 4ms + 16ms + 4ms);
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

TEST(ResponseBounds, NoneBeyondThePeriodAndNoneFor_TasksLeftOut) {
  const auto problem = on_one(true, {task_of("a", 10ms, 10ms, {{0, 6ms}}), task_of("b", 20ms, 40ms, {{0, 9ms}})});
  EXPECT_FALSE(bounds(problem)[1]);
  EXPECT_EQ(response_bounds(problem, {{0, 0}, {0, 1}}, 1.0)[1], 9ms);
}

TEST(ResponseBounds, NoSimulatedResponseIsEverBeyond) {
  int proven = 0, close = 0;
  for (int seed = 0; seed < 3000; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const PlanProblem problem = random_problem(
        random, {.most_tasks = 6, .most_options = 1, .most_processors = 3, .least_load = 0.2, .most_load = 1.1});
    const auto bound = bounds(problem);
    Simulator simulator(problem);
    const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 2s, .seed = random()});
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      if (!bound[i]) continue;
      ++proven;
      ASSERT_LE(o.tasks[i].worst_response.count(), bound[i]->count()) << "seed " << seed << ", task " << i;
      ASSERT_EQ(o.tasks[i].dropped, 0) << "seed " << seed << ", task " << i;
      close += o.tasks[i].worst_response * 10 > *bound[i] * 8;
    }
  }
  EXPECT_GT(proven, 3000);
  EXPECT_GT(close, 300) << "a bound that is never approached tests nothing";
}

/// Worst simulated response of every task but the most urgent as a share of its bound; 0 where there is none.
std::vector<double> closeness(const PlanProblem& problem) {
  const auto bound = bounds(problem);
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 4us});
  std::vector<double> shares;
  for (std::size_t i = 1; i < problem.tasks.size(); ++i) {
    const double worst = static_cast<double>(o.tasks[i].worst_response.count());
    shares.push_back(bound[i] ? worst / static_cast<double>(std::max<std::int64_t>(bound[i]->count(), 1)) : 0);
  }
  return shares;
}

// Random sets hardly come near their bounds. Here periods, offsets and times (small whole numbers, so that events
// coincide) are moved towards the worst case step by step.
TEST(ResponseBounds, HoldOnSetsThatAreMadeToBreakThem) {
  int touched = 0;
  for (int seed = 0; seed < 60; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    PlanProblem problem;
    for (int p = 0; p < 2; ++p)
      problem.processors.push_back({"p", between(random, 0, 2) > 0, between(random, 0, 3) == 0 ? 2 : 1});
    for (int i = between(random, 3, 6); i > 0; --i) {
      const Duration period(between(random, 50, 200));
      std::vector<std::pair<int, Duration>> stages;
      for (int s = between(random, 1, 3); s > 0; --s)
        stages.emplace_back(between(random, 0, 1), Duration(between(random, 0, 30)));
      problem.tasks.push_back(task_of("t", period, period, stages));
    }
    double most = 0;
    for (int step = 0; step < 400; ++step) {
      PlanProblem moved = problem;
      PlanTask& task =
          moved.tasks[static_cast<std::size_t>(between(random, 0, static_cast<int>(moved.tasks.size()) - 1))];
      auto& stages = task.options[0].stages;
      switch (between(random, 0, 2)) {
        case 0: task.offset = Duration(between(random, 0, 200)); break;
        case 1: task.period = task.deadline = Duration(between(random, 30, 220)); break;
        default:
          stages[static_cast<std::size_t>(between(random, 0, static_cast<int>(stages.size()) - 1))].times =
              testing::constant(Duration(between(random, 0, 60)));
      }
      const std::vector<double> shares = closeness(moved);
      ASSERT_LE(*std::max_element(shares.begin(), shares.end()), 1) << "seed " << seed << ", step " << step;
      const double now = std::accumulate(shares.begin(), shares.end(), 0.0);
      if (now < most) continue;
      most = now;
      problem = moved;
    }
    touched += most > 0.95 * static_cast<double>(problem.tasks.size() - 1);
  }
  EXPECT_GT(touched, 10);
}

TEST(ResponseBounds, EqualTheWorstOfSynchronousPeriodicSetsWithConstantTimes) {
  int proven = 0;
  for (int seed = 0; seed < 2000; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    PlanProblem problem;
    problem.processors = {{"cpu", true, 1}};
    const int tasks = between(random, 1, 5);
    for (int i = 0; i < tasks; ++i) {
      const Duration period = std::chrono::milliseconds(between(random, 4, 40));
      problem.tasks.push_back(task_of("t" + std::to_string(i), period, period,
                                      {{0, std::max<Duration>(period * between(random, 5, 30) / 100, 1us)}}));
    }
    const auto bound = bounds(problem);
    Simulator simulator(problem);
    const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 1s});
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      if (!bound[i]) break;  // below a task without bound jobs are dropped, and the worst is not at the start
      ++proven;
      ASSERT_EQ(o.tasks[i].worst_response, *bound[i]) << "seed " << seed << ", task " << i;
    }
  }
  EXPECT_GT(proven, 2000);
}

}  // namespace
}  // namespace rtmdl
