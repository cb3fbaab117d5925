#include "planning/evaluator.h"
#include "planning/exchange.h"
#include "planning/first_strategies.h"
#include "planning/genome.h"
#include "planning/islands.h"
#include "planning/packed_plan.h"
#include "planning/plan_file.h"
#include "planning/planner.h"
#include "planning/random_problem.h"
#include "planning/ranks.h"
#include "planning/relaxation.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <set>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::Random;
using test::random_problem;
using ::testing::ElementsAre;

/// As the planner's issue has them: at most 5 tasks with at most 4 variants, hard and soft mixed, storage bounded.
PlanProblem mixed_problem(int seed) {
  Random random(static_cast<std::uint64_t>(seed) + 9'000);
  PlanProblem problem = random_problem(random, {.most_tasks = 5, .most_options = 4});
  if (between(random, 0, 1) == 0) problem.storage = between(random, 3, 30) * 1'000'000;
  if (between(random, 0, 3) == 0) problem.memory = between(random, 6, 60) * 1'000'000;
  for (PlanTask& task : problem.tasks) task.hard = between(random, 0, 7) == 0;
  return problem;
}

std::string text_of(const Plan& plan) {
  std::string text = plan.reason;
  for (const PlannedTask& t : plan.tasks)
    text += "\n" + std::to_string(t.choice.option) + " " + std::to_string(t.choice.priority);
  for (const ParetoPoint& p : plan.pareto)
    text += "\n" + std::to_string(p.accuracy_loss) + " " + std::to_string(p.miss_rate);
  return text;
}

/// RTMDL_NSGA2_INSTANCES=500 for the figure in docs/design.md.
TEST(Nsga2, ComesWithinOnePercentOfTheOptimum) {
  const char* set = std::getenv("RTMDL_NSGA2_INSTANCES");
  const int instances = set ? std::atoi(set) : 120;
  int within = 0, feasible = 0, lossy = 0;
  std::int64_t simulations = 0;
  double seconds = 0;
  for (int seed = 0; seed < instances; ++seed) {
    const PlanProblem problem = mixed_problem(seed);
    const Plan exact = plan(problem, {.method = "exact", .simulated = 200ms, .budget = 1h}, {});
    const Plan found = plan(problem, {.method = "nsga2", .simulated = 200ms, .budget = 1h}, {});
    ASSERT_TRUE(exact.proven_optimal);
    ASSERT_EQ(found.method, "nsga2");
    ASSERT_LE(found.feasible, exact.feasible) << "seed " << seed;
    simulations += found.evaluated;
    seconds += found.seconds;
    if (!exact.feasible) continue;
    ++feasible;
    lossy += exact.accuracy_loss > 0;
    if (found.feasible) {
      ASSERT_GE(found.accuracy_loss, exact.accuracy_loss - 1e-9) << "seed " << seed;
    }
    const bool close = found.feasible && found.accuracy_loss <= exact.accuracy_loss * 1.01 + 1e-9;
    within += close;
    if (!close)
      std::printf("seed %d: %s %.4f, optimum %.4f\n", seed, found.feasible ? "loss" : "infeasible", found.accuracy_loss,
                  exact.accuracy_loss);
  }
  std::printf("nsga2 within 1 %% of the optimum: %d of %d feasible (%d with a loss), %.0f simulations, %.3f s each\n",
              within, feasible, lossy, static_cast<double>(simulations) / instances, seconds / instances);
  EXPECT_GE(within * 100, feasible * 95);
  EXPECT_GT(lossy, instances / 10);
}

TEST(Nsga2, SameSeedSamePlanHoweverManyThreads) {
  for (int seed = 0; seed < 6; ++seed) {
    const PlanProblem problem = mixed_problem(seed);
    const auto planned = [&](int jobs, std::uint64_t s) {
      return plan(problem, {.method = "nsga2", .simulated = 200ms, .budget = 1h, .seed = s, .jobs = jobs}, {});
    };
    const Plan one = planned(1, 7), two = planned(2, 7), four = planned(4, 7);
    EXPECT_EQ(text_of(one), text_of(two));
    EXPECT_EQ(text_of(one), text_of(four));
    EXPECT_EQ(one.evaluated, two.evaluated);
  }
  PlanOptions options;
  const std::string key = plan_key(mixed_problem(1), options);
  options.jobs = 3;
  options.ranks = 2;
  EXPECT_EQ(plan_key(mixed_problem(1), options), key) << "what one command has planned the next may use";
}

TEST(Nsga2, OneTaskAndOneStrategyNeedNoSpecialCare) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {test::task_of("a", 10ms, 10ms, {{0, 6ms}})};
  const PlanOptions options{.method = "nsga2", .simulated = 1s};
  const Plan single = plan(problem, options, {});
  EXPECT_TRUE(single.feasible);
  EXPECT_LE(single.evaluated, 4);
  TaskOption faster = problem.tasks[0].options[0];
  faster.accuracy_loss = 0.1;
  faster.stages[0].times.sorted[0] = 3ms;
  problem.tasks[0].options[0].stages[0].times.sorted[0] = 11ms;
  problem.tasks[0].options.push_back(faster);
  faster.accuracy_loss = 0.2;
  problem.tasks[0].options.push_back(faster);
  const Plan p = plan(problem, options, {});
  ASSERT_TRUE(p.feasible);
  EXPECT_EQ(p.tasks[0].choice.option, 1);
  EXPECT_EQ(p.tasks[0].choice.priority, 1);
  // All fixed, but an order to find: the long task must not go first.
  PlanProblem order;
  order.processors = {{"cpu", true, 1}};
  order.tasks = {test::task_of("long", 100ms, 100ms, {{0, 20ms}}), test::task_of("short", 10ms, 10ms, {{0, 5ms}})};
  const Plan ordered = plan(order, options, {});
  EXPECT_TRUE(ordered.feasible);
  EXPECT_EQ(ordered.tasks[1].choice.priority, 1);
}

TEST(Nsga2, ABudgetOfNothingStillGivesAStrategy) {
  const PlanProblem problem = mixed_problem(3);
  const Plan p = plan(problem, {.method = "nsga2", .simulated = 200ms, .budget = 1ns}, {});
  EXPECT_EQ(p.tasks.size(), problem.tasks.size());
  EXPECT_GE(p.evaluated, 1);
}

TEST(Genome, LeavesOutWhatIsFixed) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {test::task_of("a", 10ms, 10ms, {{0, 1ms}}), test::task_of("b", 10ms, 10ms, {{0, 1ms}}),
                   test::task_of("c", 10ms, 10ms, {{0, 1ms}})};
  TaskOption late = problem.tasks[1].options[0];
  late.stages[0].times.sorted[0] = 20ms;  // misses whatever else runs
  problem.tasks[1].options.push_back(late);
  problem.tasks[2].options.assign(3, problem.tasks[2].options[0]);
  problem.tasks[2].options[1] = late;
  const PlanOptions options{.simulated = 1s};
  const Context context;
  const Evaluator evaluator(problem, options, context);
  const Genome genome(evaluator);
  EXPECT_EQ(genome.keys(), 3U);
  EXPECT_EQ(genome.integers(), 1U);
  EXPECT_THAT(genome.open(2), ElementsAre(0, 2));
  EXPECT_THAT(genome.bounds().first, ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(genome.bounds().second, ElementsAre(1, 1, 1, 1));
  const Choices choices = genome.decode({0.5, 0.9, 0.1, 1});
  EXPECT_EQ(choices[0].priority, 2);
  EXPECT_EQ(choices[1].priority, 3);
  EXPECT_EQ(choices[2].priority, 1);
  EXPECT_EQ(choices[1].option, 0);
  EXPECT_EQ(choices[2].option, 2);
}

TEST(Genome, GoesRoundUnchanged) {
  for (int seed = 0; seed < 40; ++seed) {
    const PlanProblem problem = mixed_problem(seed);
    const PlanOptions options{.simulated = 200ms};
    const Context context;
    const Evaluator evaluator(problem, options, context);
    const Genome genome(evaluator);
    const auto [least, most] = genome.bounds();
    for (std::size_t g = 0; g < genome.size(); ++g) EXPECT_LT(least[g], most[g]) << "pagmo refuses equal bounds";
    Random random(static_cast<std::uint64_t>(seed));
    std::vector<double> genes;
    for (std::size_t g = 0; g < genome.keys(); ++g) genes.push_back(between(random, 0, 1000) / 1000.0);
    for (std::size_t g = genome.keys(); g < genome.size(); ++g)
      genes.push_back(between(random, 0, static_cast<int>(most[g])));
    const Choices choices = genome.decode(genes);
    const Choices again = genome.decode(genome.encode(choices));
    for (std::size_t i = 0; i < choices.size(); ++i) {
      EXPECT_EQ(again[i].option, choices[i].option);
      EXPECT_EQ(again[i].priority, choices[i].priority);
    }
  }
}

TEST(Relaxations, GoFromTheLeastLossToTheLeastLoad) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  for (const char* name : {"a", "b", "c"}) {
    PlanTask task = test::task_of(name, 10ms, 10ms, {{0, 6ms}});
    for (int k = 1; k < 4; ++k) {
      TaskOption option = task.options[0];
      option.stages[0].times.sorted[0] -= k * 1500us;
      option.accuracy_loss = 0.01 * k * k;
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  const PlanOptions options{.simulated = 1s};
  const Context context;
  const Evaluator evaluator(problem, options, context);
  const Genome genome(evaluator);
  const auto found = relaxations(evaluator, {1.0});
  ASSERT_GE(found.size(), 4U);
  EXPECT_NEAR(evaluator.loss(found.front()), 0.12, 1e-12)
      << "2 + 2 + 2: 0.9 of the processor, the least loss that fits";
  double least = 1, most = 0;
  for (const Choices& c : found) least = std::min(least, evaluator.loss(c)), most = std::max(most, evaluator.loss(c));
  EXPECT_EQ(least, 0);
  EXPECT_NEAR(most, 0.27, 1e-12);
  const auto first = first_strategies(evaluator, genome, 10);
  EXPECT_LE(first.size(), 10U);
  std::set<std::vector<double>> distinct;
  for (const Choices& c : first) distinct.insert(genome.encode(c));
  EXPECT_EQ(distinct.size(), first.size());
}

TEST(Packed, ProblemsAndBooksCrossWhole) {
  for (int seed = 0; seed < 20; ++seed) {
    PlanProblem problem = mixed_problem(seed);
    problem.tasks[0].options[0].stages[0].alone = problem.tasks[0].options[0].stages[0].times;
    problem.tasks[0].options[0].stages[0].longest = 77ms;
    problem.tasks[0].options[0].content = std::string("a\0b", 3);
    problem.tasks[0].options[0].alone = true;
    problem.tasks[0].options[0].kind = 1;
    problem.slow_downs = {{0.5, 0.25}, {0, 1.5, 2, 0}};
    const std::string bytes = packed(problem);
    const PlanProblem again = unpacked<PlanProblem>(bytes);
    EXPECT_EQ(packed(again), bytes);
    EXPECT_EQ(plan_key(again, {}), plan_key(problem, {}));
    EXPECT_EQ(again.tasks[0].options[0].stages[0].longest, Duration(77ms));
    EXPECT_EQ(again.slow_downs.factor, problem.slow_downs.factor);
    EXPECT_EQ(again.tasks[0].options[0].kind, 1);
    EXPECT_EQ(again.tasks[0].options[0].content, problem.tasks[0].options[0].content);
  }
}

TEST(Packed, BrokenBytesAreRefused) {
  const std::string bytes = packed(mixed_problem(2));
  for (std::size_t size = 0; size < std::min<std::size_t>(bytes.size(), 400); ++size)
    EXPECT_THROW((void)unpacked<PlanProblem>(bytes.substr(0, size)), Error) << size;
  EXPECT_THROW((void)unpacked<PlanProblem>(bytes + "x"), Error);
  std::string huge = bytes;
  huge.replace(0, 8, std::string(8, '\x7f'));  // 9e18 processors
  EXPECT_THROW((void)unpacked<PlanProblem>(huge), Error);
}

Plan plan_on_ranks(const PlanProblem& problem, int ranks, int jobs) {
  Plan result;
  run_ranks(ranks, [&](Exchange& exchange) {
    const PlanOptions options{
        .method = "nsga2", .simulated = 200ms, .budget = 1h, .seed = 5, .jobs = jobs, .ranks = ranks};
    const Plan mine = plan(problem, options, {}, &exchange);
    if (exchange.rank() == 0) result = mine;
  });
  return result;
}

TEST(Ranks, SamePlanForASeedAndANumberOfRanks) {
  for (int seed = 10; seed < 13; ++seed) {
    const PlanProblem problem = mixed_problem(seed);
    const Plan four = plan_on_ranks(problem, 4, 1);
    EXPECT_EQ(text_of(four), text_of(plan_on_ranks(problem, 4, 2)));
    const Plan alone = plan(problem, {.method = "nsga2", .simulated = 200ms, .budget = 1h, .seed = 5}, {});
    EXPECT_EQ(text_of(plan_on_ranks(problem, 1, 1)), text_of(alone)) << "a ring of one is none";
    EXPECT_GT(four.evaluated, alone.evaluated) << "everyone's simulations are counted";
    EXPECT_GE(four.feasible, alone.feasible);
  }
}

TEST(Ranks, WhatAnyRankFindsIsInThePlan) {
  int improved = 0;
  for (int seed = 0; seed < 10; ++seed) {
    const PlanProblem problem = mixed_problem(seed);
    const PlanOptions options{.method = "nsga2", .simulated = 200ms, .budget = 1h};
    const Context context;
    std::vector<Book> own(3);
    std::optional<Book> together;
    run_ranks(3, [&](Exchange& exchange) {
      Evaluator evaluator(problem, options, context);
      search_islands(evaluator, options,
                     {.seed = 3, .islands = 1, .population = 8, .generations = 1, .most_epochs = 1, .polish = 3},
                     &exchange);
      own[static_cast<std::size_t>(exchange.rank())] = evaluator.book();
      if (exchange.rank() == 0) together = evaluator.book();
    });
    for (const Book& book : own) EXPECT_FALSE(better(book.best->score, together->best->score));
    improved += together->evaluated > own[1].evaluated + own[2].evaluated;
  }
  EXPECT_EQ(improved, 10);
}

TEST(Ranks, FollowUntilTheyAreDismissed) {
  const PlanProblem problem = mixed_problem(11);
  std::atomic<int> dismissed{0};
  Plan found;
  run_ranks(3, [&](Exchange& exchange) {
    if (exchange.rank() > 0) {
      dismissed += follow(exchange, {}) == 3;
      return;
    }
    found = plan_with_ranks(exchange, problem, {.simulated = 200ms, .budget = 1h, .seed = 5}, {});
    dismiss(exchange, 3);
  });
  EXPECT_EQ(dismissed, 2);
  EXPECT_EQ(found.ranks, 3);
  EXPECT_EQ(found.method, "nsga2");
  EXPECT_EQ(text_of(found), text_of(plan_on_ranks(problem, 3, 1)));
}

TEST(Ranks, AProblemThatIsRefusedEndsThemAll) {
  std::atomic<int> dismissed{0};
  run_ranks(3, [&](Exchange& exchange) {
    if (exchange.rank() > 0) {
      dismissed += follow(exchange, {}) == 2;
      return;
    }
    EXPECT_THROW((void)plan_with_ranks(exchange, PlanProblem{}, {}, {}), Error);
    dismiss(exchange, 2);
  });
  EXPECT_EQ(dismissed, 2);
}

TEST(Ranks, OtherMethodsAreRefused) {
  run_ranks(2, [&](Exchange& exchange) {
    EXPECT_THROW((void)plan(mixed_problem(1), {.method = "exact", .simulated = 200ms}, {}, &exchange), Error);
  });
}

}  // namespace
}  // namespace rtmdl
