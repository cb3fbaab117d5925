#include "planning/simulator.h"
#include "allocations.h"
#include "planning/random_problem.h"
#include "planning/stage_draw.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::in_order;
using test::Random;
using test::random_problem;
using test::task_of;

/// Two tasks on one processor: 2 of 5 ms above 4 of 10 ms.
PlanProblem two_tasks(bool preemptive = true) {
  PlanProblem problem;
  problem.processors = {{"cpu", preemptive, 1}};
  problem.tasks = {task_of("fast", 5ms, 5ms, {{0, 2ms}}), task_of("slow", 10ms, 10ms, {{0, 4ms}})};
  return problem;
}

TEST(Simulator, FollowsAScheduleThatCanBeDrawnByHand) {
  const PlanProblem problem = two_tasks();
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 100ms});
  EXPECT_EQ(o.tasks[0].released, 20);
  EXPECT_EQ(o.tasks[1].released, 10);
  EXPECT_EQ(o.tasks[0].worst_response, 2ms);
  EXPECT_EQ(o.tasks[1].worst_response, 8ms) << "2 above, 3, preempted for 2, 1";
  EXPECT_EQ(o.tasks[0].missed + o.tasks[1].missed, 0);
  EXPECT_EQ(o.events, 60);
  EXPECT_NEAR(o.busy[0], 80.0 / 98.0, 1e-9) << "the last job ends at 98 ms";
}

TEST(Simulator, BlocksOnAProcessorThatCannotPreempt) {
  PlanProblem problem = two_tasks(false);
  problem.tasks[0].offset = 1ms;
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 100ms});
  EXPECT_EQ(o.tasks[0].worst_response, 5ms) << "3 of blocking + 2";
  EXPECT_EQ(o.tasks[1].worst_response, 4ms);
}

TEST(Simulator, AddsTheDispatchCostToEveryStage) {
  PlanProblem problem = two_tasks();
  problem.dispatch = 100us;
  Simulator simulator(problem);
  EXPECT_EQ(simulator.run(in_order(problem), {.length = 50ms}).tasks[0].worst_response, 2100us);
}

TEST(Simulator, CountsDropsAndLateJobsAsMisses) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("heavy", 10ms, 20ms, {{0, 25ms}})};
  Simulator simulator(problem);
  const TaskOutcome& o = simulator.run(in_order(problem), {.length = 100ms}).tasks[0];
  // Starts at 0, 25, 50, 75, 100 with the newest release each time (0, 20, 50, 70, 90): every finish is late, the rest
  // are dropped.
  EXPECT_EQ(o.released, 10);
  EXPECT_EQ(o.completed, 5);
  EXPECT_EQ(o.dropped, 5);
  EXPECT_EQ(o.missed, 10);
  EXPECT_EQ(o.worst_response, 35ms);
}

TEST(Simulator, UnderAMonotonicPolicyTheChosenPrioritiesAreIgnored) {
  const PlanProblem problem = two_tasks();
  Simulator simulator(problem);
  Choices inverted = {{0, 2}, {0, 1}};
  EXPECT_EQ(simulator.run(inverted, {.length = 100ms}).tasks[0].worst_response, 6ms);
  EXPECT_EQ(simulator.run(inverted, {.policy = Policy::rate_monotonic, .length = 100ms}).tasks[0].worst_response, 2ms);
  EXPECT_EQ(simulator.run(inverted, {.policy = Policy::utilisation_monotonic, .length = 100ms}).tasks[0].worst_response,
            2ms);
  EXPECT_EQ(simulator.run(inverted, {.policy = Policy::fifo, .length = 100ms}).tasks[0].worst_response, 3ms);
}

TEST(Simulator, EdfMeetsAllDeadlinesAtFullUtilisation) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("a", 4ms, 4ms, {{0, 2ms}}), task_of("b", 6ms, 6ms, {{0, 2ms}}),
                   task_of("c", 12ms, 12ms, {{0, 2ms}})};
  Simulator simulator(problem);
  EXPECT_EQ(simulator.run(in_order(problem), {.policy = Policy::edf, .length = 10s}).miss_rate(), 0);
  EXPECT_NEAR(simulator.run(in_order(problem), {.policy = Policy::edf, .length = 10s}).busy[0], 1.0, 1e-3);
}

TEST(Simulator, LeavesTasksThatAreNotActiveOut) {
  const PlanProblem problem = two_tasks();
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 100ms, .active = 0b10});
  EXPECT_EQ(o.tasks[0].released, 0);
  EXPECT_EQ(o.tasks[1].worst_response, 4ms);
}

TEST(Simulator, GivesUpWhenATaskMissesMoreThanItMay) {
  PlanProblem problem = two_tasks();
  problem.tasks[1].deadline = 7ms;
  Simulator simulator(problem);
  const std::vector<std::int64_t> none = {0, 0}, all = {0, 10};
  EXPECT_TRUE(simulator.run(in_order(problem), {.length = 100ms, .most_misses = none}).given_up);
  EXPECT_FALSE(simulator.run(in_order(problem), {.length = 100ms, .most_misses = all}).given_up);
}

std::string fingerprint(const SimulationOutcome& o) {
  std::string text;
  for (const TaskOutcome& t : o.tasks) {
    for (const std::int64_t v : {t.released, t.completed, t.missed, t.dropped, t.worst_response.count()})
      text += std::to_string(v) + " ";
  }
  return text;
}

TEST(Simulator, CountsAddUpAndRepeatForASeed) {
  for (int seed = 0; seed < 300; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    const PlanProblem problem = random_problem(random, {.most_tasks = 6});
    Simulator simulator(problem), other(problem);
    for (int p = 0; p < 6; ++p) {
      const SimulationOptions options{
          .policy = static_cast<Policy>(p), .length = 2s, .seed = random(), .collect_responses = true};
      const SimulationOutcome& o = simulator.run(in_order(problem), options);
      std::int64_t ends = 0;
      for (std::size_t i = 0; i < o.tasks.size(); ++i) {
        const TaskOutcome& t = o.tasks[i];
        ASSERT_EQ(t.released, most_releases(problem, 2s, 1)[i]);
        ASSERT_EQ(t.released, t.completed + t.dropped + t.failed);
        ASSERT_GE(t.missed, t.dropped);
        ASSERT_EQ(static_cast<std::int64_t>(t.responses_ms.size()), t.completed);
        ends += t.released;
      }
      for (const double busy : o.busy) ASSERT_LE(busy, 1.0 + 1e-9);
      ASSERT_GT(o.events, ends);
      const std::string first = fingerprint(o);
      ASSERT_EQ(first, fingerprint(other.run(in_order(problem), options)));
      ASSERT_EQ(first, fingerprint(simulator.run(in_order(problem), options))) << "a simulator keeps nothing";
    }
  }
}

/// Of a stage of the first option, under seed 9.
Duration drawn_time(const PlanProblem& problem, const Decision& of, int stage) {
  const TaskOption& option = problem.tasks[of.task].options[0];
  const StageDraw draw(problem, of.task, option, stage);
  return least_time(option.stages[index(stage)], draw.quantile(9, of.job, of.release.time_since_epoch()));
}

// The observer sees every decision; from starts, preemptions and ends alone follows how long a job's last stage ran:
// exactly what was drawn for it, whatever the order of priorities (common random numbers).
TEST(Simulator, LastStagesRunExactlyTheirDrawnTimeUnderEveryOrder) {
  for (int seed = 0; seed < 60; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 77);
    const PlanProblem problem = random_problem(random, {});
    Simulator simulator(problem);
    Choices choices = in_order(problem);
    do {
      struct Progress {
        Time since{};
        Duration done{};
        int stage = 0;
      };
      std::vector<Progress> progress(problem.tasks.size());
      simulator.run(choices, {.length = 300ms, .seed = 9}, [&](const SimulatedEvent& e) {
        const std::size_t task = e.decision.task;
        Progress& p = progress[task];
        switch (e.decision.kind) {
          case Decision::Kind::start: p = {e.now, Duration{}, e.decision.stage}; break;
          case Decision::Kind::preempt: p.done += e.now - p.since; break;
          case Decision::Kind::resume: p.since = e.now; break;
          case Decision::Kind::finish: {
            ASSERT_EQ(p.done + (e.now - p.since), drawn_time(problem, e.decision, p.stage) + problem.dispatch);
            break;
          }
          default: break;
        }
      });
      std::vector<int> priorities;
      for (const Choice& c : choices) priorities.push_back(c.priority);
      if (!std::next_permutation(priorities.begin(), priorities.end())) break;
      for (std::size_t i = 0; i < choices.size(); ++i) choices[i].priority = priorities[i];
    } while (!HasFatalFailure());
  }
}

TEST(Simulator, ReplaysThroughTheSchedulerItself) {
  Random random(5);
  const PlanProblem problem = random_problem(random, {.most_tasks = 6});
  Simulator simulator(problem);
  std::vector<SimulatedEvent> log;
  simulator.run(in_order(problem), {.length = 1s}, [&](const SimulatedEvent& e) { log.push_back(e); });
  std::vector<SimulatedEvent> again;
  simulator.run(in_order(problem), {.length = 1s}, [&](const SimulatedEvent& e) { again.push_back(e); });
  ASSERT_EQ(log.size(), again.size());
  for (std::size_t k = 0; k < log.size(); ++k) {
    ASSERT_EQ(log[k].now, again[k].now);
    ASSERT_EQ(log[k].decision.kind, again[k].decision.kind);
    ASSERT_EQ(log[k].decision.task, again[k].decision.task);
    ASSERT_EQ(log[k].decision.job, again[k].decision.job);
  }
}

// On preemptive processors, with one slot or several, the planner leaves the tasks below out of a simulation.
TEST(Simulator, LessUrgentTasksDoNotTouchMoreUrgentOnesOnPreemptiveProcessors) {
  for (int seed = 0; seed < 500; ++seed) {
    Random random(static_cast<std::uint64_t>(seed) + 900);
    const PlanProblem problem =
        random_problem(random, {.most_tasks = 6, .most_processors = 3, .non_preemptive = false});
    Simulator simulator(problem), partial(problem);
    const SimulationOutcome& whole = simulator.run(in_order(problem), {.length = 1s});
    for (std::size_t count = 1; count <= problem.tasks.size(); ++count) {
      const SimulationOutcome& prefix =
          partial.run(in_order(problem), {.length = 1s, .active = (std::uint64_t{1} << count) - 1});
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(prefix.tasks[i].missed, whole.tasks[i].missed);
        ASSERT_EQ(prefix.tasks[i].worst_response, whole.tasks[i].worst_response);
      }
    }
  }
}

TEST(Simulator, AllocatesNothingPerEvent) {
  Random random(11);
  const PlanProblem problem = random_problem(random, {.most_tasks = 6});
  Simulator simulator(problem);
  const Choices choices = in_order(problem);
  const auto cost = [&](Duration length) {
    const std::int64_t before = test::allocations();
    simulator.run(choices, {.length = length});
    return test::allocations() - before;
  };
  cost(1s);
  EXPECT_EQ(cost(1s), cost(50s));
  EXPECT_LE(cost(1s), 4) << "per run";
}

TEST(TimeDistribution, QuantilesAreNearestRank) {
  const TimeDistribution times{{1ms, 2ms, 3ms, 10ms}};
  EXPECT_EQ(times.quantile(0), 1ms);
  EXPECT_EQ(times.quantile(0.25), 1ms);
  EXPECT_EQ(times.quantile(0.26), 2ms);
  EXPECT_EQ(times.quantile(1), 10ms);
  EXPECT_EQ(times.mean(), 4ms);
  EXPECT_EQ(TimeDistribution{}.quantile(0.5), 0ms);
}

PlanProblem neighbours() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  problem.tasks = {task_of("a", 100ms, 100ms, {{0, 12ms}}), task_of("b", 100ms, 100ms, {{1, 9ms}})};
  for (PlanTask& task : problem.tasks) {
    StageOption& stage = task.options[0].stages[0];
    stage.alone = {{stage.times.max() * 2 / 3}};
  }
  return problem;
}

// a advances 1.5 times as fast alone: 12 ms of work beside b, which needs 9 ms beside a and ends first.
TEST(Simulator, AStageIsFasterWhileOtherProcessorsAreIdle) {
  const PlanProblem problem = neighbours();
  Simulator simulator(problem);
  const auto& o = simulator.run({{0, 1}, {0, 2}}, {.length = 50ms});
  EXPECT_EQ(o.tasks[1].worst_response, 9ms);
  EXPECT_EQ(o.tasks[0].worst_response, 9ms + 2ms) << "3 ms of work were left";
}

TEST(Simulator, AStageThatIsAloneAllTheTimeTakesItsTimeAlone) {
  PlanProblem problem = neighbours();
  problem.tasks[1].offset = 20ms;
  Simulator simulator(problem);
  const auto& o = simulator.run({{0, 1}, {0, 2}}, {.length = 50ms});
  EXPECT_EQ(o.tasks[0].worst_response, 8ms);
  EXPECT_EQ(o.tasks[1].worst_response, 6ms);
}

/// Kind i is task i's; times beside others are 1.5 times those alone.
void know_pairs(PlanProblem& problem, std::vector<double> factors) {
  problem.slow_downs = {std::vector<double>(problem.tasks.size(), 0.5), std::move(factors)};
  for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
    TaskOption& option = problem.tasks[i].options[0];
    option.kind = static_cast<int>(i);
    option.demand = 0.5;
    option.slow_down = 1.5;
  }
}

TEST(Simulator, AStageIsSlowedDownByWhatReallyRunsBesideIt) {
  PlanProblem problem = neighbours();
  know_pairs(problem, {0, 1.5, 1.225, 0});  // b slows a down in full, a slows b down half as much
  Simulator simulator(problem);
  const auto& o = simulator.run({{0, 1}, {0, 2}}, {.length = 50ms});
  // b: 9 ms of work at 1.25 times the pace
  EXPECT_NEAR(to_ms(o.tasks[1].worst_response), 9 / 1.25, 1e-5);
  EXPECT_NEAR(to_ms(o.tasks[0].worst_response), 7.2 + (12 - 7.2) / 1.5, 1e-5);
}

TEST(Simulator, APairThatIsNotMeasuredCountsByItsSlots) {
  PlanProblem problem = neighbours();
  know_pairs(problem, {0, 0, 1, 0});
  Simulator simulator(problem);
  const auto& o = simulator.run({{0, 1}, {0, 2}}, {.length = 50ms});
  const double pace = 1 + 0.5 * (1 - 0.05 / 0.55);
  EXPECT_NEAR(to_ms(o.tasks[1].worst_response), 9 / pace, 1e-5) << "differences of 5 % are not told apart";
  EXPECT_NEAR(to_ms(o.tasks[0].worst_response), 9 / pace + (12 - 9 / pace) / 1.5, 1e-5);
}

TEST(Simulator, PacksWhatIsKnownToDoLittleHarm) {
  PlanProblem problem;
  problem.processors = {{"gpu", true, 2}};
  problem.tasks = {task_of("head", 100ms, 14ms, {{0, 18ms}}), task_of("mild", 100ms, 100ms, {{0, 9ms}}),
                   task_of("harsh", 100ms, 100ms, {{0, 9ms}})};
  for (PlanTask& task : problem.tasks) {
    StageOption& stage = task.options[0].stages[0];
    stage.alone = {{stage.times.max() * 2 / 3}};
  }
  know_pairs(problem, {0, 1.06, 1.5, 1, 0, 1, 1, 1, 0});
  std::vector<int> started;
  Simulator simulator(problem);
  const auto& o = simulator.run({{0, 1}, {0, 3}, {0, 2}}, {.length = 50ms}, [&](const SimulatedEvent& e) {
    if (e.decision.kind == Decision::Kind::start) started.push_back(e.decision.task);
  });
  EXPECT_EQ(started, (std::vector<int>{0, 1, 2})) << "the harsh one waits, though it is more urgent than the mild one";
  EXPECT_EQ(o.tasks[0].missed, 0);
  problem.slow_downs = {};
  Simulator without(problem);
  const auto& p = without.run({{0, 1}, {0, 3}, {0, 2}}, {.length = 50ms});
  EXPECT_GT(p.tasks[1].worst_response, o.tasks[1].worst_response) << "any neighbour might be the worst: both wait";
}

TEST(Simulator, APreemptedStageKeepsTheWorkThatItHasLeft) {
  PlanProblem problem = neighbours();
  problem.tasks.push_back(task_of("urgent", 100ms, 100ms, {{0, 2ms}}));
  problem.tasks[2].offset = 4ms;
  Simulator simulator(problem);
  const auto& o = simulator.run({{0, 2}, {0, 3}, {0, 1}}, {.length = 50ms});
  EXPECT_EQ(o.tasks[1].worst_response, 9ms) << "somebody is on the other processor all the time";
  // a: 4 ms of 12, stands still for 2, 3 more beside b, then 5 at one and a half times the pace
  EXPECT_NEAR(to_ms(o.tasks[0].worst_response), 9 + 5 / 1.5, 1e-5);
}

TEST(Simulator, NoStageTakesLongerThanBesideBusyNeighboursNorLessThanAlone) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    test::Random random(seed);
    PlanProblem problem = test::random_problem(random, {.most_options = 1, .most_processors = 3});
    PlanProblem cautious = problem;
    for (PlanTask& task : problem.tasks)
      for (StageOption& stage : task.options[0].stages) {
        stage.alone = stage.times;
        for (Duration& d : stage.alone.sorted) d = d * test::between(random, 50, 100) / 100;
        std::sort(stage.alone.sorted.begin(), stage.alone.sorted.end());
      }
    Simulator simulator(problem);
    Choices choices;
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) choices.push_back({0, static_cast<int>(i) + 1});
    struct Progress {
      Time since{};
      Duration done{};
      int stage = 0;
    };
    std::vector<Progress> progress(problem.tasks.size());
    simulator.run(choices, {.length = 500ms, .seed = 9}, [&](const SimulatedEvent& e) {
      Progress& p = progress[e.decision.task];
      switch (e.decision.kind) {
        case Decision::Kind::start: p = {e.now, Duration{}, e.decision.stage}; break;
        case Decision::Kind::preempt: p.done += e.now - p.since; break;
        case Decision::Kind::resume: p.since = e.now; break;
        case Decision::Kind::finish: {
          const auto drawn = [&](const PlanProblem& from) {
            return from.dispatch + drawn_time(from, e.decision, p.stage);
          };
          ASSERT_LE(p.done + (e.now - p.since), drawn(cautious) + 1ns) << seed;
          ASSERT_GE(p.done + (e.now - p.since) + 1us, drawn(problem)) << seed;
          break;
        }
        default: break;
      }
    });
  }
}

// Linux gives real-time threads 950 ms of every second.
TEST(Simulator, ACoreStandsStillWhenItsShareOfASecondIsUsed) {
  PlanProblem problem;
  problem.processors = {{.name = "cpu", .realtime_share = 0.95}};
  problem.tasks = {task_of("long", 10s, 10s, {{0, 2s}}), task_of("short", 400ms, 400ms, {{0, 40ms}})};
  problem.tasks[1].offset = 100ms;
  Simulator simulator(problem);
  // long: 2 s of work, 5 times 40 ms of short before it ends, and 50 ms of every full second.
  const auto& o = simulator.run({{0, 2}, {0, 1}}, {.length = 2200ms});
  EXPECT_EQ(o.tasks[0].worst_response, 2s + 6 * 40ms + 2 * 50ms);
  EXPECT_EQ(o.tasks[1].worst_response, 40ms);
  problem.tasks[1].offset = 170ms;  // released at 970 ms, while the core stands still
  Simulator later(problem);
  EXPECT_EQ(later.run({{0, 2}, {0, 1}}, {.length = 2200ms}).tasks[1].worst_response, 70ms);
}

TEST(Simulator, AProcessorThatIsSeldomBusyIsNeverStopped) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    test::Random random(seed);
    PlanProblem problem = test::random_problem(random, {.most_options = 1, .least_load = 0.3, .most_load = 0.6});
    PlanProblem limited = problem;
    for (PlanProcessor& p : limited.processors) p.realtime_share = 0.999;
    Simulator with(limited), without(problem);
    Choices choices;
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) choices.push_back({0, static_cast<int>(i) + 1});
    const auto& a = with.run(choices, {.length = 3s});
    const auto& b = without.run(choices, {.length = 3s});
    const bool full = std::any_of(b.busy.begin(), b.busy.end(), [](double busy) { return busy > 0.9; });
    for (std::size_t i = 0; i < problem.tasks.size() && !full; ++i) {
      ASSERT_EQ(a.tasks[i].missed, b.tasks[i].missed) << seed;
      ASSERT_NEAR(to_ms(a.tasks[i].worst_response), to_ms(b.tasks[i].worst_response), 1e-4) << seed;
    }
  }
}

// heavy needs 15 of every 10 ms above light, which has a deadline of 8 ms.
TEST(Simulator, LateJobsAreFinishedSkippedOrGivenUpAsTheirTaskSays) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("urgent", 20ms, 20ms, {{0, 14ms}}), task_of("light", 20ms, 18ms, {{0, 7ms}})};
  const auto run = [&](Late late) {
    problem.tasks[1].late = late;
    Simulator simulator(problem);
    return simulator.run(in_order(problem), {.length = 1s});
  };
  const SimulationOutcome finished = run(Late::finish);
  EXPECT_EQ(finished.tasks[1].completed + finished.tasks[1].dropped, 50);
  EXPECT_GT(finished.tasks[1].completed, 0);
  EXPECT_EQ(finished.tasks[1].missed, 50) << "21 ms of work in 20";
  // Each begins at 14 and is cancelled at 18 with 3 ms left: it ends at 19, and the next one meets no leftovers.
  const SimulationOutcome aborted = run(Late::abort);
  EXPECT_EQ(aborted.tasks[1].completed, 0);
  EXPECT_EQ(aborted.tasks[1].dropped, 50);
  EXPECT_EQ(aborted.tasks[1].abandoned, 50);
  EXPECT_NEAR(aborted.busy[0], 19.0 / 20, 0.01);
  problem.tasks[0] = task_of("urgent", 40ms, 40ms, {{0, 30ms}});
  // Of two jobs of light, the first would begin after its deadline, the second at 10 ms after its release.
  const SimulationOutcome skipped = run(Late::skip);
  EXPECT_EQ(skipped.tasks[1].dropped, 25);
  EXPECT_EQ(skipped.tasks[1].abandoned, 0);
  EXPECT_EQ(skipped.tasks[1].completed, 25);
  EXPECT_EQ(skipped.tasks[1].missed, 25);
}

// As a search does: runs that are given up, and runs in which the task that gives up its jobs releases nothing.
TEST(Simulator, ARunLeavesNoDeadlineBehind) {
  PlanProblem problem = two_tasks();
  problem.tasks[1].late = Late::abort;
  Simulator used(problem), fresh(problem);
  const std::vector<std::int64_t> most{-1, 1000};
  EXPECT_TRUE(used.run(in_order(problem), {.length = 1s, .most_misses = most}).given_up);
  for (const std::uint64_t active : {1u, 2u, 1u, 3u}) {
    const SimulationOutcome a = used.run(in_order(problem), {.length = 1s, .active = active});
    const SimulationOutcome b = fresh.run(in_order(problem), {.length = 1s, .active = active});
    EXPECT_EQ(a.events, b.events);
    EXPECT_EQ(a.tasks[0].completed, (active & 1) != 0 ? 200 : 0);
    EXPECT_EQ(a.tasks[1].completed, (active & 2) != 0 ? 100 : 0);
  }
}

TEST(Simulator, CancelledStagesAreCutShortUnderContentionToo) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  problem.tasks = {task_of("a", 20ms, 10ms, {{0, 15ms}}), task_of("b", 20ms, 20ms, {{1, 19ms}})};
  problem.tasks[0].late = Late::abort;
  for (PlanTask& task : problem.tasks) task.options[0].stages[0].alone = task.options[0].stages[0].times;
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 1s});
  EXPECT_EQ(o.tasks[0].abandoned, 50);
  EXPECT_NEAR(o.busy[0], 11.0 / 20, 0.01);
  EXPECT_EQ(o.tasks[1].completed, 50);
}

TEST(Simulator, CountsAddUpWhateverBecomesOfLateJobs) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    PlanProblem problem =
        random_problem(random, {.most_tasks = 6, .most_processors = 3, .least_load = 1, .most_load = 2.5});
    for (PlanTask& task : problem.tasks) task.late = static_cast<Late>(test::between(random, 0, 2));
    if (seed % 2 == 1) {
      problem.stalls = {20, {std::vector<Duration>(problem.processors.size(), 3ms), {8ms}}};
      for (PlanProcessor& p : problem.processors) p.realtime_share = 0.9;
    }
    Simulator simulator(problem);
    Time last{};
    const SimulationOutcome& o = simulator.run(in_order(problem), {.length = 500ms}, [&](const SimulatedEvent& e) {
      ASSERT_GE(e.now, last) << seed;
      last = e.now;
    });
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const TaskOutcome& t = o.tasks[i];
      ASSERT_EQ(t.released, t.completed + t.dropped) << seed;
      ASSERT_EQ(t.released, most_releases(problem, 500ms, 1)[i]) << seed;
      ASSERT_LE(t.abandoned, problem.tasks[i].late == Late::abort ? t.dropped : 0) << seed;
    }
  }
}

TEST(Simulator, StallsTakeProcessorsAwayAsOftenAndAsLongAsTheyDid) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  problem.tasks = {task_of("a", 10ms, 10ms, {{0, 1ms}}), task_of("b", 10ms, 10ms, {{1, 1ms}})};
  problem.stalls = {2, {{20ms, 0ms}, {30ms, 0ms}}};
  Simulator simulator(problem);
  const SimulationOutcome with = simulator.run(in_order(problem), {.length = 500s});
  // 1000 stalls, 25 ms on average. Jobs released more than 9 ms before a stall's end miss, and so do those (1 in 10)
  // that it meets in progress: 1.7 of 50.
  EXPECT_NEAR(with.tasks[0].miss_rate(), 1.7 / 50, 0.005);
  EXPECT_EQ(with.tasks[1].missed, 0) << "the other processor";
  EXPECT_EQ(with.tasks[0].released, with.tasks[0].completed + with.tasks[0].dropped);
  EXPECT_EQ(simulator.run(in_order(problem), {.length = 50s, .machine = false}).tasks[0].missed, 0);
  const SimulationOutcome again = simulator.run(in_order(problem), {.length = 500s});
  EXPECT_EQ(again.tasks[0].missed, with.tasks[0].missed) << "seeded";
}

TEST(Simulator, StallsAndThrottlingGoTogether) {
  PlanProblem problem;
  problem.processors = {{.name = "cpu", .realtime_share = 0.95}};
  problem.tasks = {task_of("long", 10s, 10s, {{0, 2s}}), task_of("short", 400ms, 400ms, {{0, 40ms}})};
  problem.stalls = {5, {{30ms}}};
  Simulator simulator(problem);
  const SimulationOutcome& o = simulator.run({{0, 2}, {0, 1}}, {.length = 100s});
  EXPECT_EQ(o.tasks[0].released, o.tasks[0].completed + o.tasks[0].dropped);
  EXPECT_EQ(o.tasks[1].released, o.tasks[1].completed + o.tasks[1].dropped);
  // Without stalls 2 s + 6 · 40 ms + 2 · 50 ms; with 15 % of the time away, and so less throttling, up to a fifth more.
  EXPECT_GT(o.tasks[0].worst_response, 2340ms);
  EXPECT_LT(o.tasks[0].worst_response, 3200ms);
}

TEST(Simulator, RefusesATaskWithNothingToChooseFrom) {
  PlanProblem problem = two_tasks();
  problem.tasks[1].options.clear();
  try {
    Simulator simulator(problem);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "task slow has no option to choose from");
  }
}

}  // namespace
}  // namespace rtmdl
