#include "planning/planner.h"
#include "planning/random_problem.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <numeric>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::Random;
using test::task_of;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kShort = 2s;

/// Adds a level to a task: all stages `speed` times as long as the source's.
void add_level(PlanTask& task, double speed, double loss, std::int64_t bytes = 0) {
  TaskOption option = task.options.front();
  option.variant = task.name + "." + std::to_string(task.options.size());
  option.accuracy_loss = loss;
  option.bytes = bytes;
  for (StageOption& stage : option.stages) {
    for (Duration& t : stage.times.sorted)
      t = Duration(static_cast<std::int64_t>(static_cast<double>(t.count()) * speed));
  }
  task.options.push_back(option);
}

/// 6 of 10 ms and 12 of 20 ms on one processor: too much for the source models; each has a level at half the time.
PlanProblem overload() {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("faces", 10ms, 10ms, {{0, 6ms}}), task_of("text", 20ms, 20ms, {{0, 12ms}})};
  problem.tasks[0].options[0].bytes = problem.tasks[1].options[0].bytes = 10'000'000;
  add_level(problem.tasks[0], 0.5, 0.03, 4'000'000);
  add_level(problem.tasks[1], 0.5, 0.02, 3'000'000);
  return problem;
}

TEST(Plan, LowersTheTaskThatCostsLeastAccuracy) {
  for (const std::string method : {"auto", "exact", "descent"}) {
    const Plan p = plan(overload(), {.method = method, .simulated = kShort}, {});
    ASSERT_TRUE(p.feasible) << p.reason;
    EXPECT_EQ(p.tasks[0].choice.option, 0);
    EXPECT_EQ(p.tasks[1].choice.option, 1);
    EXPECT_DOUBLE_EQ(p.accuracy_loss, 0.02);
    EXPECT_EQ(p.miss_rate, 0);
    EXPECT_EQ(p.bytes, 13'000'000);
    EXPECT_NEAR(p.tasks[0].utilisation[0], 0.6, 1e-12);
    EXPECT_EQ(p.proven_optimal, method != "descent");
    EXPECT_EQ(p.method, method == "descent" ? "descent" : "exact");
    EXPECT_EQ(p.space, 8);
    EXPECT_THAT(p.reason, HasSubstr("accuracy loss 2.00 %"));
  }
}

TEST(Plan, WeightsDecideWhoPays) {
  PlanProblem problem = overload();
  problem.tasks[1].weight = 2;
  const Plan p = plan(problem, {.simulated = kShort}, {});
  EXPECT_EQ(p.tasks[0].choice.option, 1);
  EXPECT_DOUBLE_EQ(p.accuracy_loss, 0.03);
}

TEST(Plan, StorageBoundIsKept) {
  PlanProblem problem = overload();
  problem.storage = 12'000'000;
  const Plan p = plan(problem, {.simulated = kShort}, {});
  ASSERT_TRUE(p.feasible);
  EXPECT_EQ(p.bytes, 7'000'000);
  problem.storage = 13'000'000;
  EXPECT_EQ(plan(problem, {.simulated = kShort}, {}).bytes, 13'000'000);
}

// Every task of a workspace has a "source" and perhaps an "int8": names alone do not make two models one.
TEST(Plan, StorageCountsModelsOfTheSameNameOnceOnlyIfTheyAreTheSame) {
  PlanProblem problem = overload();
  for (PlanTask& task : problem.tasks) {
    task.period *= 4;
    task.options[0].variant = "source";
    task.options[1].variant = "int8";
  }
  EXPECT_EQ(plan(problem, {.simulated = kShort}, {}).bytes, 20'000'000);
  problem.storage = 10'000'000;
  const Plan p = plan(problem, {.simulated = kShort}, {});
  EXPECT_TRUE(p.feasible);
  EXPECT_EQ(p.bytes, 7'000'000);
  for (PlanTask& task : problem.tasks) task.options[0].content = "the same";
  const Plan shared = plan(problem, {.simulated = kShort}, {});
  EXPECT_EQ(shared.bytes, 10'000'000);
  EXPECT_EQ(shared.accuracy_loss, 0);
}

TEST(Plan, MemoryBoundIsKept) {
  PlanProblem problem = overload();
  for (PlanTask& task : problem.tasks) {
    for (TaskOption& option : task.options) option.memory = option.bytes * 3;
  }
  problem.memory = 38'000'000;
  EXPECT_EQ(plan(problem, {.simulated = kShort}, {}).bytes, 7'000'000);
}

TEST(Plan, MarginLeavesRoom) {
  PlanProblem problem = overload();  // 0.6 + 0.3 of the processor
  EXPECT_DOUBLE_EQ(plan(problem, {.simulated = kShort, .margin = 0.1}, {}).accuracy_loss, 0.02);
  const Plan roomy = plan(problem, {.simulated = kShort, .margin = 0.2}, {});
  EXPECT_DOUBLE_EQ(roomy.accuracy_loss, 0.05);
  EXPECT_NEAR(roomy.tasks[0].utilisation[0], 0.3, 1e-12) << "of the times as measured";
}

TEST(Plan, AmongEqualLossesTheLighterOptionIsTaken) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("a", 10ms, 10ms, {{0, 6ms}})};
  add_level(problem.tasks[0], 0.4, 0);
  add_level(problem.tasks[0], 0.7, 0);
  for (const std::string method : {"exact", "descent"}) {
    EXPECT_EQ(plan(problem, {.method = method, .simulated = kShort}, {}).tasks[0].choice.option, 1);
  }
}

TEST(Plan, InfeasibleNamesTheTaskItsMissRateAndItsLimit) {
  PlanProblem problem = overload();
  problem.tasks[0].options.resize(1);
  problem.tasks[1].options.resize(1);
  problem.tasks[0].miss_rate_limit = 0.02;
  const Plan p = plan(problem, {.simulated = kShort}, {});
  EXPECT_FALSE(p.feasible);
  EXPECT_TRUE(p.proven_optimal);
  // text above: of every two jobs of faces one waits 12 ms. (The other way round text would miss all, which is further
  // off.)
  EXPECT_EQ(p.tasks[1].choice.priority, 1);
  EXPECT_DOUBLE_EQ(p.tasks[1].miss_rate, 0);
  EXPECT_DOUBLE_EQ(p.tasks[0].miss_rate, 0.835);
  EXPECT_THAT(
      p.reason,
      HasSubstr(
          "no strategy keeps every limit. In the nearest one faces would miss 83.5 % of its deadlines (limit 2.0 %)"));
  EXPECT_THAT(p.reason, Not(HasSubstr("text")));
}

TEST(Plan, InfeasibleStorageNamesTheLeastPossibleAndTheBound) {
  PlanProblem problem = overload();
  problem.storage = 6'500'000;
  const Plan p = plan(problem, {.simulated = kShort}, {});
  EXPECT_FALSE(p.feasible);
  EXPECT_THAT(p.reason, HasSubstr("storage: the smallest variants need 7.0 MB, the bound is 6.5 MB"));
  EXPECT_EQ(p.bytes, 7'000'000) << "the nearest strategy";
}

TEST(Plan, InfeasibleDeadlineNamesTheTaskThatCannotMakeItAlone) {
  PlanProblem problem = overload();
  problem.tasks[0].deadline = 2ms;
  const Plan p = plan(problem, {.simulated = kShort}, {});
  EXPECT_FALSE(p.feasible);
  EXPECT_THAT(
      p.reason,
      HasSubstr(
          "faces: alone on the machine its fastest variant misses 100.0 % of its deadlines of 2 ms (limit 1.0 %)"));
}

TEST(Plan, HardTaskIsProvenOrRefusedWithItsBound) {
  PlanProblem problem = overload();
  problem.tasks[1].hard = true;
  // Even with 6 of 20 ms for text: 1.2 × 6 = 7.2 and twice 1.2 × 6 above is 21.6; on top it is 7.2, and faces still
  // gets its 3 of 10 ms.
  const Plan p = plan(problem, {.simulated = kShort}, {});
  ASSERT_TRUE(p.feasible) << p.reason;
  ASSERT_TRUE(p.tasks[1].response_bound);
  EXPECT_LE(*p.tasks[1].response_bound, 20ms);
  EXPECT_FALSE(p.tasks[0].response_bound) << "only where asked";

  problem.tasks[1].options.resize(1);
  problem.tasks[1].deadline = 14ms;
  const Plan refused = plan(problem, {.simulated = kShort}, {});
  EXPECT_FALSE(refused.feasible);
  EXPECT_THAT(refused.reason,
              HasSubstr("text is hard, but its response bound of 14.4 ms is beyond its deadline of 14 ms"));
}

TEST(Plan, HardTaskWithoutABoundSaysSo) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("control", 10ms, 10ms, {{0, 9ms}})};
  problem.tasks[0].hard = true;
  const Plan p = plan(problem, {.simulated = kShort}, {});
  EXPECT_FALSE(p.feasible);
  EXPECT_THAT(p.reason, HasSubstr("control is hard, but no response time within its period of 10 ms can be proven"));
}

TEST(Plan, MovesATaskToTheOtherProcessor) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", false, 1}};
  problem.tasks = {task_of("a", 10ms, 10ms, {{0, 6ms}}), task_of("b", 10ms, 10ms, {{0, 6ms}})};
  for (PlanTask& task : problem.tasks) {
    task.options.push_back(task.options.front());
    task.options.back().stages[0].processor = 1;
  }
  const Choices source = source_choices(problem);
  EXPECT_NE(source[0].option, source[1].option);
  for (const std::string method : {"exact", "descent"}) {
    const Plan p = plan(problem, {.method = method, .simulated = kShort}, {});
    EXPECT_TRUE(p.feasible);
    EXPECT_EQ(p.accuracy_loss, 0);
    EXPECT_NE(p.tasks[0].choice.option, p.tasks[1].choice.option);
  }
}

TEST(Plan, FrontIsSortedAndNotDominated) {
  const Plan p = plan(overload(), {.simulated = kShort}, {});
  ASSERT_GE(p.pareto.size(), 2U);
  for (std::size_t k = 1; k < p.pareto.size(); ++k) {
    EXPECT_LT(p.pareto[k - 1].accuracy_loss, p.pareto[k].accuracy_loss);
    EXPECT_GT(p.pareto[k - 1].miss_rate, p.pareto[k].miss_rate);
  }
  EXPECT_EQ(p.pareto.front().accuracy_loss, 0);
  EXPECT_EQ(p.pareto.back().miss_rate, 0);
}

TEST(WithStrategy, KeepsTheSearchAndTellsOfTheOtherStrategy) {
  const PlanProblem problem = overload();
  const PlanOptions options{.method = "exact", .simulated = kShort};
  const Plan best = plan(problem, options, {});
  const Plan other = with_strategy(best, {{1, 1}, {0, 2}}, problem, options, {});
  EXPECT_TRUE(other.feasible);
  EXPECT_DOUBLE_EQ(other.accuracy_loss, 0.03);
  EXPECT_EQ(other.tasks[0].choice.option, 1);
  EXPECT_EQ(other.bytes, 14'000'000);
  EXPECT_FALSE(other.proven_optimal);
  EXPECT_DOUBLE_EQ(other.loss_bound, 0.02) << "what was proven of all strategies";
  EXPECT_THAT(other.reason, HasSubstr("accuracy loss 3.00 %: played on the box"));
  EXPECT_EQ(std::count_if(other.pareto.begin(), other.pareto.end(), [](const ParetoPoint& p) { return p.chosen; }), 1);

  const Plan same = with_strategy(best, {{0, 1}, {1, 2}}, problem, options, {});
  EXPECT_TRUE(same.proven_optimal);
  EXPECT_EQ(same.reason, best.reason);
  const Plan late = with_strategy(best, {{0, 1}, {0, 2}}, problem, options, {});
  EXPECT_FALSE(late.feasible);
  EXPECT_FALSE(late.proven_optimal) << "others are feasible";
  EXPECT_THAT(late.reason, HasSubstr("text would miss"));
}

TEST(Plan, RefusesMethodsThatAreNotThere) {
  const auto refusal = [](const std::string& method) -> std::string {
    try {
      (void)plan(overload(), {.method = method}, {});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::bad_input);
      return e.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal("magic"), HasSubstr("method magic: unknown; accepted are auto, exact, descent, nsga2"));
}

TEST(SimulatedLength, LetsEveryTaskBeReleasedOftenEnough) {
  PlanProblem problem = overload();
  EXPECT_EQ(simulated_length(problem), 30s);
  problem.tasks[1].period = 10s;
  problem.tasks[1].offset = 3s;
  EXPECT_EQ(simulated_length(problem), 203s);
  problem.tasks[1].period = 1h;  // beside 100 jobs a second: 200,000 jobs are enough
  EXPECT_NEAR(to_seconds(simulated_length(problem)), 2'000, 1);
  problem.tasks[1].offset = 1h;
  problem.tasks[0].period = 1ms;
  EXPECT_EQ(simulated_length(problem), 1h + 1ns);
}

TEST(Plan, RefusesATaskThatTheSimulationNeverReleases) {
  PlanProblem problem = overload();
  problem.tasks[1].offset = kShort;
  try {
    (void)plan(problem, {.simulated = kShort}, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("task text: it is first released after 2 s, but only 2 s are simulated"));
  }
}

TEST(Plan, StopsAtOnceWhenAskedAndStillHasAStrategy) {
  std::atomic<bool> stop{true};
  Context context;
  context.stop = &stop;
  const Plan p = plan(overload(), {.simulated = kShort}, context);
  EXPECT_EQ(p.tasks.size(), 2U);
  EXPECT_FALSE(p.proven_optimal);
}

/// `tasks` tasks of `levels` levels over three processors, sources at about `load` of each.
PlanProblem many(int tasks, int levels, double load) {
  Random random(21);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu0", false, 1}, {"gpu1", true, 1}};
  for (int i = 0; i < tasks; ++i) {
    const Duration period = std::chrono::milliseconds(test::between(random, 20, 200));
    PlanTask task;
    task.name = "t" + std::to_string(i);
    task.period = task.deadline = period;
    task.jitter = period / 50;
    const Duration work = Duration(static_cast<std::int64_t>(load * 2 / tasks * static_cast<double>(period.count())));
    for (int level = 0; level < levels / 2; ++level) {
      for (const int where : {1, 2}) {
        TaskOption option;
        option.variant = task.name + "." + std::to_string(level);
        option.accuracy_loss = 0.004 * level * (1 + i % 3);
        const auto infer = test::spread(random, Duration(static_cast<std::int64_t>(static_cast<double>(work.count()) *
                                                                                   (1 - 1.4 * level / levels))));
        option.stages = {{0, test::spread(random, work / 10)}, {where, infer}, {0, test::spread(random, work / 10)}};
        task.options.push_back(option);
      }
    }
    problem.tasks.push_back(task);
  }
  return problem;
}

TEST(Descent, FindsAStrategyForManyTasks) {
  for (const auto& [tasks, levels] : {std::pair(8, 12), std::pair(32, 16)}) {
    const Plan p = plan(many(tasks, levels, 1.05), {.method = "descent", .simulated = 1s, .budget = 1h}, {});
    std::printf("%d tasks x %d options: %s, loss %.4f, proven %d, %lld simulations, %.2f s\n", tasks, levels,
                p.feasible ? "feasible" : "infeasible", p.accuracy_loss, p.proven_optimal,
                static_cast<long long>(p.evaluated), p.seconds);
    EXPECT_TRUE(p.feasible) << p.reason;
    EXPECT_EQ(p.pareto.front().accuracy_loss, 0);
  }
}

TEST(SourceChoices, TakesTheSourceEvenIfALevelLosesNothing) {
  PlanProblem problem = overload();
  add_level(problem.tasks[0], 0.9, 0);
  problem.tasks[0].options[0].source = true;
  EXPECT_EQ(source_choices(problem)[0].option, 0);
  EXPECT_EQ(source_choices(problem)[1].option, 0);
  EXPECT_EQ(source_choices(problem)[1].priority, 2);
}

TEST(SourceChoices, SpreadsTheHeaviestFirst) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}, {"gpu", true, 1}};
  for (const auto& [name, time] : {std::pair("a", 3ms), std::pair("b", 3ms), std::pair("c", 5ms)}) {
    PlanTask task = task_of(name, 10ms, 10ms, {{0, time}});
    task.options.push_back(task.options.front());
    task.options.back().stages[0].processor = 1;
    problem.tasks.push_back(task);
  }
  const Choices c = source_choices(problem);
  EXPECT_EQ(c[0].option, c[1].option) << "3 + 3 beside 5";
  EXPECT_NE(c[0].option, c[2].option);
}

/// Two tasks that a processor of two slots can run beside each other, in twice the time; or each with both slots.
PlanProblem heavy_pair(Duration deadline) {
  PlanProblem problem;
  problem.processors = {{"gpu", false, 2}};
  for (const char* name : {"head", "other"}) {
    PlanTask task = task_of(name, 20ms, 20ms, {{0, 10ms}});
    TaskOption alone = task.options[0];
    alone.alone = true;
    alone.stages[0].slots = 2;
    alone.stages[0].times.sorted = {5ms};
    task.options.push_back(alone);
    problem.tasks.push_back(task);
  }
  problem.tasks[0].deadline = deadline;
  return problem;
}

TEST(Plan, KeepsAProcessorForOneTaskWherePackingWouldMakeItLate) {
  for (const std::string method : {"exact", "descent", "nsga2"}) {
    const Plan tight = plan(heavy_pair(8ms), {.method = method, .simulated = kShort}, {});
    ASSERT_TRUE(tight.feasible) << method << ": " << tight.reason;
    EXPECT_EQ(tight.tasks[0].choice.option, 1) << method << ": 10 ms beside the other are too long";
  }
  EXPECT_TRUE(plan(heavy_pair(20ms), {.simulated = kShort}, {}).feasible);
}

TEST(Plan, CutsAModelThatBlocksAnotherForTooLong) {
  PlanProblem problem;
  problem.processors = {{"gpu", false, 1}};
  problem.tasks = {task_of("urgent", 20ms, 6ms, {{0, 1ms}}), task_of("long", 50ms, 50ms, {{0, 20ms}})};
  EXPECT_FALSE(plan(problem, {.simulated = kShort}, {}).feasible);
  TaskOption cut = problem.tasks[1].options[0];
  for (const int segments : {2, 8}) {
    cut.cuts.assign(static_cast<std::size_t>(segments) - 1, 0);
    std::iota(cut.cuts.begin(), cut.cuts.end(), 1);
    StageOption piece = problem.tasks[1].options[0].stages[0];
    for (Duration& t : piece.times.sorted) t = t * 11 / (10 * segments);  // a tenth more in all
    cut.stages.assign(static_cast<std::size_t>(segments), piece);
    problem.tasks[1].options.push_back(cut);
  }
  for (const std::string method : {"exact", "descent", "nsga2"}) {
    const Plan p = plan(problem, {.method = method, .simulated = kShort}, {});
    ASSERT_TRUE(p.feasible) << method << ": " << p.reason;
    EXPECT_EQ(p.tasks[1].choice.option, 2) << method;
  }
  problem.tasks[0].hard = true;
  const Plan proven = plan(problem, {.simulated = kShort}, {});
  ASSERT_TRUE(proven.feasible) << proven.reason;
  EXPECT_EQ(segments_of(problem.tasks[1].options[static_cast<std::size_t>(proven.tasks[1].choice.option)]), 8);
}

}  // namespace
}  // namespace rtmdl
