#include "planning/edf_demand.h"

#include "planning/random_problem.h"
#include "planning/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::in_order;
using test::Random;
using test::task_of;
using Outcome = EdfVerdict::Outcome;

EdfVerdict verdict(const PlanProblem& problem) { return edf_schedulable(problem, in_order(problem), 1.0); }

PlanProblem on_one(bool preemptive, std::vector<PlanTask> tasks) {
  PlanProblem problem;
  problem.processors = {{"cpu", preemptive, 1}};
  problem.tasks = std::move(tasks);
  return problem;
}

// Buttazzo, Hard Real-Time Computing Systems, section on the processor demand criterion: (C, D, T) = (2, 4, 6),
// (2, 5, 8), (3, 7, 9). Demands at the deadlines up to L* = 25: 2, 4, 7, 9, 11, 16, 18, 20.
TEST(EdfDemand, ButtazzosExample) {
  auto problem = on_one(true, {task_of("a", 6ms, 4ms, {{0, 2ms}}), task_of("b", 8ms, 5ms, {{0, 2ms}}),
                               task_of("c", 9ms, 7ms, {{0, 3ms}})});
  const std::vector<std::pair<Duration, Duration>> table = {{4ms, 2ms},   {5ms, 4ms},   {7ms, 7ms},   {10ms, 9ms},
                                                            {13ms, 11ms}, {16ms, 16ms}, {21ms, 18ms}, {22ms, 20ms}};
  for (const auto& [interval, demand] : table)
    EXPECT_EQ(edf_demand(problem, in_order(problem), 0, interval, 1.0), demand) << interval.count();
  EXPECT_EQ(verdict(problem).outcome, Outcome::schedulable);
  problem.tasks[2].options[0].stages[0].times = test::constant(3ms + 1ns);
  const EdfVerdict late = verdict(problem);
  EXPECT_EQ(late.outcome, Outcome::demand_exceeds);
  EXPECT_EQ(late.interval, 16ms) << "7 ms fails as well; the largest is found first";
  EXPECT_EQ(late.demand, 16ms + 2ns);
  EXPECT_THAT(late.reason, ::testing::HasSubstr("16 ms of work on cpu"));
}

TEST(EdfDemand, BlockingByAPieceThatCannotBeStopped) {
  auto problem = on_one(false, {task_of("a", 10ms, 5ms, {{0, 2ms}}), task_of("b", 40ms, 40ms, {{0, 3ms}, {0, 3ms}})});
  EXPECT_EQ(verdict(problem).outcome, Outcome::schedulable) << "2 + 3 within 5";
  problem.tasks[1].options[0].stages[1].times = test::constant(3001us);
  const EdfVerdict late = verdict(problem);
  EXPECT_EQ(late.outcome, Outcome::demand_exceeds);
  EXPECT_EQ(late.interval, 5ms);
  EXPECT_EQ(late.blocking, 3001us);
  problem.processors[0].preemptive = true;
  EXPECT_EQ(verdict(problem).outcome, Outcome::schedulable);
}

TEST(EdfDemand, JitterShortensTheDeadline) {
  auto problem = on_one(true, {task_of("a", 10ms, 6ms, {{0, 5ms}})});
  problem.tasks[0].jitter = 1ms;
  EXPECT_EQ(verdict(problem).outcome, Outcome::schedulable);
  problem.tasks[0].jitter = 1001us;
  EXPECT_EQ(verdict(problem).outcome, Outcome::demand_exceeds);
}

TEST(EdfDemand, SaysWhereItDoesNotApply) {
  auto problem = on_one(true, {task_of("a", 10ms, 10ms, {{0, 2ms}, {1, 2ms}})});
  problem.processors.push_back({"gpu", true, 1});
  EXPECT_EQ(verdict(problem).outcome, Outcome::not_applicable);
  EXPECT_THAT(verdict(problem).reason, ::testing::StartsWith("a goes over several processors"));
  problem = on_one(true, {task_of("a", 10ms, 13ms, {{0, 2ms}})});
  EXPECT_EQ(verdict(problem).outcome, Outcome::not_applicable);
  problem.tasks[0].queue = 2;
  EXPECT_EQ(verdict(problem).outcome, Outcome::schedulable);
  problem.processors[0].slots = 2;
  EXPECT_EQ(verdict(problem).outcome, Outcome::not_applicable);
}

TEST(EdfDemand, FullProcessors) {
  EXPECT_EQ(verdict(on_one(true, {task_of("a", 4ms, 4ms, {{0, 2ms}}), task_of("b", 6ms, 6ms, {{0, 3ms}})})).outcome,
            Outcome::schedulable)
      << "exactly full";
  EXPECT_EQ(
      verdict(on_one(true, {task_of("a", 4ms, 4ms, {{0, 2ms}}), task_of("b", 6ms, 6ms, {{0, 3ms + 1ns}})})).outcome,
      Outcome::demand_exceeds);
}

/// Small whole numbers. Half of the sets are preemptive, and half of those have no jitter.
PlanProblem random_set(Random& random) {
  PlanProblem problem;
  problem.processors = {{"cpu", between(random, 0, 1) == 0, 1}};
  const int tasks = between(random, 1, 6);
  for (int i = 0; i < tasks; ++i) {
    const int period = between(random, 10, 60);
    const int time = std::max(1, period * between(random, 20, 190) / 100 / tasks);
    std::vector<std::pair<int, Duration>> stages = {{0, Duration(time)}};
    if (time > 2 && between(random, 0, 1) == 0) stages = {{0, Duration(time / 2)}, {0, Duration(time - time / 2)}};
    problem.tasks.push_back(
        task_of("t", Duration(period), Duration(between(random, std::min(time, period), 2 * period)), stages));
    problem.tasks.back().queue = 3;
  }
  if (between(random, 0, 1) == 0) {
    for (PlanTask& task : problem.tasks) task.jitter = Duration(between(random, 0, 8));
    for (PlanTask& task : problem.tasks) task.offset = Duration(between(random, 0, 60));
  }
  return problem;
}

/// Every interval, one by one, up to where no new one can fail: the least common multiple would do, 10,000 does here.
bool brute_force(const PlanProblem& problem) {
  const Choices choices = in_order(problem);
  std::int64_t first = 1 << 30;
  for (const PlanTask& task : problem.tasks) first = std::min(first, (task.deadline - task.jitter).count());
  for (std::int64_t t = std::max<std::int64_t>(first, 0); t < 5'000; ++t) {
    std::int64_t blocking = 0, demand = 0;
    for (const PlanTask& task : problem.tasks) {
      std::int64_t time = 0;
      for (const StageOption& stage : task.options[0].stages) {
        time += stage.times.max().count();
        if (!problem.processors[0].preemptive && task.deadline.count() > t)
          blocking = std::max(blocking, stage.times.max().count());
      }
      const std::int64_t lead = (task.deadline - task.jitter).count();
      if (lead <= t) demand += ((t - lead) / task.period.count() + 1) * time;
    }
    if (demand + blocking > t) return false;
  }
  return true;
}

TEST(EdfDemand, IsWhatEveryIntervalSaysAndWhatTheSimulationShows) {
  int schedulable = 0, shown = 0, fails = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Random random(seed);
    const PlanProblem problem = random_set(random);
    const EdfVerdict v = verdict(problem);
    ASSERT_NE(v.outcome, Outcome::not_applicable) << "seed " << seed;
    if (v.outcome == Outcome::undecided) continue;
    const bool holds = v.outcome == Outcome::schedulable;
    if (holds || v.interval < 5us) {
      ASSERT_EQ(holds, brute_force(problem)) << "seed " << seed;
    }
    Simulator simulator(problem);
    const Duration length = holds ? Duration(20'000) : v.interval + 1ns;
    const auto& o = simulator.run(in_order(problem), {.policy = Policy::edf, .length = length, .seed = seed});
    const bool missed = std::any_of(o.tasks.begin(), o.tasks.end(), [](const auto& t) { return t.missed > 0; });
    if (holds) {
      ++schedulable;
      ASSERT_FALSE(missed) << "seed " << seed;
    }
    fails += !holds;
    const bool synchronous = std::all_of(problem.tasks.begin(), problem.tasks.end(),
                                         [](const PlanTask& t) { return t.jitter + t.offset == 0ns; });
    if (holds || !problem.processors[0].preemptive || !synchronous) continue;
    ++shown;
    ASSERT_TRUE(missed) << "seed " << seed << ": a synchronous release shows what is not schedulable";
  }
  EXPECT_GT(schedulable, 300);
  EXPECT_GT(fails, 300);
  EXPECT_GT(shown, 50);
}

}  // namespace
}  // namespace rtmdl
