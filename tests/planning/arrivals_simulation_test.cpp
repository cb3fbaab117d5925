// Releases beyond periods, and tasks that run after others, as the simulator and proofs see them.
#include "planning/evaluator.h"
#include "planning/plan_file.h"
#include "planning/planner.h"
#include "planning/random_problem.h"
#include "planning/response_time.h"
#include "planning/simulator.h"
#include "scheduling/arrivals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::in_order;
using test::Random;
using test::task_of;

/// Nominal releases of each task's jobs that ran to their end or were dropped, in the order of their ends.
std::map<int, std::vector<Duration>> ends_of(const PlanProblem& problem, const SimulationOptions& options) {
  std::map<int, std::vector<Duration>> ends;
  Simulator simulator(problem);
  simulator.run(in_order(problem), options, [&](const SimulatedEvent& e) {
    if (e.decision.kind == Decision::Kind::finish || e.decision.kind == Decision::Kind::drop)
      ends[e.decision.task].push_back(e.decision.release.time_since_epoch());
  });
  return ends;
}

PlanProblem one_task(const ArrivalSpec& arrivals) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("a", 5ms, 50ms, {{0, 1ms}})};
  problem.tasks[0].arrivals = arrivals;
  problem.tasks[0].interval = mean_interval(arrivals, 5ms);
  return problem;
}

TEST(SimulatedArrivals, AreThoseOfTheGenerator) {
  const PlanProblem problem = one_task({.kind = ArrivalSpec::Kind::random, .calm = {20ms, {}}});
  const std::vector<Duration> expected = release_times(problem, 0, 5s, 9);
  EXPECT_NEAR(static_cast<double>(expected.size()), 250, 60);
  EXPECT_EQ(ends_of(problem, {.length = 5s, .seed = 9})[0], expected);
  EXPECT_EQ(most_releases(problem, 5s, 9)[0], static_cast<std::int64_t>(expected.size()));
  EXPECT_NE(expected, release_times(problem, 0, 5s, 10));
}

TEST(SimulatedArrivals, OfATraceArePlayedAgain) {
  const PlanProblem problem = one_task({.kind = ArrivalSpec::Kind::trace, .times = {0ms, 5ms, 30ms}, .length = 100ms});
  EXPECT_THAT(ends_of(problem, {.length = 200ms})[0], testing::ElementsAre(0ms, 5ms, 30ms, 100ms, 105ms, 130ms));
}

TEST(SimulatedArrivals, JobsAreGivenUpAtTheirOwnDeadlines) {
  PlanProblem problem = one_task({.kind = ArrivalSpec::Kind::trace, .times = {0ms, 30ms}, .length = 100ms});
  problem.tasks[0] = task_of("a", 5ms, 10ms, {{0, 1ms}, {0, 20ms}, {0, 1ms}});
  problem.tasks[0].arrivals = {.kind = ArrivalSpec::Kind::trace, .times = {0ms, 30ms}, .length = 100ms};
  problem.tasks[0].late = Late::abort;
  Simulator simulator(problem);
  const TaskOutcome& o = simulator.run(in_order(problem), {.length = 200ms}).tasks[0];
  EXPECT_EQ(o.released, 4);
  EXPECT_EQ(o.abandoned, 4);
}

/// A detector of 10 ms every 100 ms that finds 2, 0, 7 boxes in turn, and a task of 5 ms for each, at most 4.
PlanProblem graph() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("faces", 100ms, 20ms, {{0, 10ms}}), task_of("each", 25ms, 80ms, {{0, 5ms}})};
  problem.tasks[0].detections = {2, 0, 7};
  problem.tasks[1].after = {.task = 0, .per_detection = true, .most = 4};
  problem.tasks[1].queue = 4;
  set_follower_streams(problem);
  return problem;
}

TEST(TaskGraphs, ReleaseAJobForEachDetectionWithTheReleaseOfTheFirstTask) {
  const PlanProblem problem = graph();
  const auto ends = ends_of(problem, {.length = 300ms});
  EXPECT_THAT(ends.at(1), testing::ElementsAre(0ms, 0ms, 200ms, 200ms, 200ms, 200ms));
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 300ms});
  EXPECT_EQ(o.tasks[1].released, 6);
  EXPECT_EQ(o.tasks[1].completed, 6);
  EXPECT_EQ(o.tasks[1].worst_response, 30ms) << "end to end: 10, and four times 5";
  EXPECT_EQ(most_releases(problem, 300ms, 1)[1], 6);
}

TEST(TaskGraphs, WhereDetectionsAreNotKnownReleaseAsManyAsCanBe) {
  PlanProblem problem = graph();
  problem.tasks[0].detections.clear();
  Simulator simulator(problem);
  EXPECT_EQ(simulator.run(in_order(problem), {.length = 300ms}).tasks[1].released, 12);
}

TEST(TaskGraphs, JobsThatAreLateReleaseNone) {
  PlanProblem problem = graph();
  problem.tasks[0].deadline = 5ms;
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 300ms});
  EXPECT_EQ(o.tasks[0].missed, 3);
  EXPECT_EQ(o.tasks[1].released, 0);
}

TEST(TaskGraphs, LeaveFollowersOutThatAreNotActive) {
  const PlanProblem problem = graph();
  Simulator simulator(problem);
  EXPECT_EQ(simulator.run(in_order(problem), {.length = 300ms, .active = 0b01}).tasks[1].released, 0);
  EXPECT_EQ(simulator.run(in_order(problem), {.length = 300ms, .active = 0b10}).tasks[1].released, 0);
}

TEST(TaskGraphs, GoOnOverSeveralTasks) {
  PlanProblem problem = graph();
  problem.tasks.push_back(task_of("read", 25ms, 90ms, {{0, 1ms}}));
  problem.tasks[2].after = {.task = 1, .per_detection = false, .most = 1};
  problem.tasks[2].queue = 4;
  set_follower_streams(problem);
  EXPECT_EQ(problem.tasks[2].period, 25ms);
  EXPECT_EQ(problem.tasks[2].jitter, 80ms + 100ms - 25ms);
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 300ms});
  EXPECT_EQ(o.tasks[2].released, 6);
  EXPECT_EQ(o.tasks[2].worst_response, 34ms);
}

TEST(TaskGraphs, ArePlannedButNotCalledOptimalByWhatIndependentTasksProve) {
  PlanProblem problem = graph();
  for (PlanTask& task : problem.tasks) {
    task.options.push_back(task.options[0]);
    task.options[1].variant = "light";
    task.options[1].accuracy_loss = 0.1;
    task.options[1].stages[0].times = test::constant(task.options[0].stages[0].times.max() / 4);
  }
  problem.tasks[1].options[0].stages[0].times = test::constant(60ms);  // four of them are late
  problem.tasks[1].miss_rate_limit = 0;
  PlanOptions options;
  options.simulated = 3s;
  const Plan chosen = plan(problem, options, {});
  EXPECT_TRUE(chosen.feasible);
  EXPECT_EQ(chosen.tasks[1].choice.option, 1);
  EXPECT_FALSE(chosen.proven_optimal);
  EXPECT_DOUBLE_EQ(chosen.loss_bound, 0);
}

TEST(TaskGraphs, AndArrivalsArePartOfWhatAPlanIsOf) {
  const PlanProblem problem = graph();
  const std::string key = plan_key(problem, {});
  PlanProblem other = problem;
  other.tasks[0].detections = {2, 0, 6};
  EXPECT_NE(plan_key(other, {}), key);
  other = problem;
  other.tasks[1].after.most = 3;
  EXPECT_NE(plan_key(other, {}), key);
  other = problem;
  other.tasks[0].arrivals = {.kind = ArrivalSpec::Kind::trace, .times = {0ms, 100ms}, .length = 200ms};
  const std::string traced = plan_key(other, {});
  EXPECT_NE(traced, key);
  other.tasks[0].arrivals.times[1] = 101ms;
  EXPECT_NE(plan_key(other, {}), traced);
}

TEST(TaskGraphs, LimitsAreOfJobsThatWereReleased) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"other", true, 1}};
  problem.tasks = {task_of("faces", 100ms, 20ms, {{0, 10ms}}), task_of("each", 100ms, 80ms, {{1, 5ms}})};
  problem.tasks[0].options[0].stages[0].times.sorted = {10ms, 10ms, 30ms, 30ms};  // half of them are late
  problem.tasks[0].miss_rate_limit = 0.9;
  problem.tasks[1].options[0].stages[0].times.sorted.assign(70, 5ms);
  problem.tasks[1].options[0].stages[0].times.sorted.resize(100, 85ms);
  problem.tasks[1].after = {.task = 0};
  problem.tasks[1].miss_rate_limit = 0.2;  // of as many jobs as if none of the faces were late it is 0.15
  set_follower_streams(problem);
  PlanOptions options;
  options.simulated = 60s;
  const Context context{};
  Evaluator evaluator(problem, options, context);
  const auto strategy = evaluator.evaluate(in_order(problem), false);
  ASSERT_TRUE(strategy);
  EXPECT_NEAR(strategy->miss_rates[1], 0.3, 0.07);
  EXPECT_NEAR(strategy->score.excess, strategy->miss_rates[1] - 0.2, 1e-9);
  EXPECT_FALSE(strategy->score.feasible);
  EXPECT_FALSE(evaluator.evaluate(in_order(problem), true));
  problem.tasks[1].miss_rate_limit = 0.4;
  EXPECT_TRUE(Evaluator(problem, options, context).evaluate(in_order(problem), true));
}

/// Tasks with random arrivals and others after them, some more urgent than these.
PlanProblem random_graph(Random& random) {
  PlanProblem problem =
      test::random_problem(random, {.most_tasks = 4, .most_options = 1, .least_load = 0.1, .most_load = 0.7});
  const std::size_t own = problem.tasks.size();
  for (PlanTask& task : problem.tasks) {
    task.late = Late::finish;
    if (between(random, 0, 1) == 0) continue;
    task.arrivals = {.kind = ArrivalSpec::Kind::random, .calm = {task.period * between(random, 10, 20) / 10, {}}};
    task.interval = task.arrivals.calm.mean;
  }
  for (int f = between(random, 1, 2); f > 0; --f) {
    PlanTask task = task_of("follower", 1ms, 1s, {});
    const int most = between(random, 1, 4);
    task.after = {.task = between(random, 0, static_cast<int>(own) - 1), .per_detection = true, .most = most};
    task.deadline = problem.tasks[static_cast<std::size_t>(task.after.task)].deadline * 2;
    task.queue = between(random, 1, most);
    for (int s = between(random, 1, 2); s > 0; --s)
      task.options[0].stages.push_back({between(random, 0, static_cast<int>(problem.processors.size()) - 1),
                                        test::constant(std::chrono::microseconds(between(random, 50, 700)))});
    problem.tasks.push_back(task);
  }
  for (std::size_t i = 0; i < own; ++i)
    for (int k = 0; k < 5; ++k) problem.tasks[i].detections.push_back(static_cast<std::uint8_t>(between(random, 0, 6)));
  set_follower_streams(problem);
  return problem;
}

TEST(TaskGraphs, LeaveEveryBoundOfOtherTasksTrue) {
  int proven = 0, close = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    Random random(seed);
    const PlanProblem problem = random_graph(random);
    Choices choices = in_order(problem);
    std::vector<int> priorities;
    for (const Choice& c : choices) priorities.push_back(c.priority);
    std::shuffle(priorities.begin(), priorities.end(), random);
    for (std::size_t i = 0; i < choices.size(); ++i) choices[i].priority = priorities[i];
    const auto bounds = response_bounds(problem, choices, 1.0);
    Simulator simulator(problem);
    const SimulationOutcome& o = simulator.run(choices, {.length = 1s, .seed = seed});
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      ASSERT_EQ(o.tasks[i].released, o.tasks[i].completed + o.tasks[i].dropped);
      if (!bounds[i] || problem.tasks[i].after.task >= 0) continue;
      ++proven;
      close += o.tasks[i].worst_response * 5 > *bounds[i] * 4;
      ASSERT_LE(o.tasks[i].worst_response.count(), bounds[i]->count()) << "seed " << seed << ", task " << i;
      ASSERT_EQ(o.tasks[i].dropped, 0) << "seed " << seed << ", task " << i;
    }
  }
  EXPECT_GT(proven, 2000);
  EXPECT_GT(close, 100);
}

}  // namespace
}  // namespace rtmdl
