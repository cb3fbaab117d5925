#include "planning/pareto.h"

#include "planning/random_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::Random;
using test::task_of;

std::vector<std::pair<double, double>> figures(const std::vector<ParetoPoint>& points) {
  std::vector<std::pair<double, double>> list;
  for (const ParetoPoint& p : points) list.emplace_back(p.accuracy_loss, p.miss_rate);
  return list;
}
using Figures = std::vector<std::pair<double, double>>;

TEST(ParetoFront, KeepsWhatNothingBeats) {
  ParetoFront front;
  front.enter(0.1, 0.3, true, {});
  front.enter(0.2, 0.1, true, {});
  front.enter(0.2, 0.2, true, {});   // beaten
  front.enter(0.1, 0.25, true, {});  // beats the first
  EXPECT_EQ(figures(front.points()), (Figures{{0.1, 0.25}, {0.2, 0.1}}));
}

TEST(ParetoFront, WhatBreaksALimitHidesNothingThatKeepsAll) {
  ParetoFront front;
  front.enter(0.1, 0.02, false, {});  // beats the next but one in both figures
  front.enter(0, 0.4, false, {});
  front.enter(0.2, 0.05, true, {});
  front.enter(0.3, 0.2, false, {});  // beaten
  const auto points = front.points();
  EXPECT_EQ(figures(points), (Figures{{0, 0.4}, {0.2, 0.05}}));
  EXPECT_FALSE(points[0].feasible);
  EXPECT_TRUE(points[1].feasible);
}

TEST(WithChosen, TheChosenOneIsThereAndMarked) {
  const std::vector<ParetoPoint> points{{0, 0.4, false}, {0.1, 0.001, true}, {0.2, 0, true}};
  auto front = with_chosen(points, {0.1, 0.0015, true, true, {{3, 1}}});
  EXPECT_EQ(figures(front), (Figures{{0, 0.4}, {0.1, 0.0015}, {0.2, 0}}));
  EXPECT_TRUE(front[1].chosen);
  EXPECT_EQ(front[1].choices[0].option, 3);
  front = with_chosen(points, {0.5, 0.6, false, true, {}});
  EXPECT_EQ(front.size(), 3u);
  EXPECT_TRUE(std::none_of(front.begin(), front.end(), [](const ParetoPoint& p) { return p.chosen; }));
}

/// About 6 of 10 ms and 12 of 20 ms on one processor, each with shorter and less accurate levels; misses are allowed.
PlanProblem overload(double limit) {
  Random random(3);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {task_of("faces", 10ms, 10ms, {{0, 6ms}}), task_of("text", 20ms, 20ms, {{0, 12ms}})};
  problem.tasks[0].options[0].stages[0].times = test::spread(random, 6ms);
  problem.tasks[1].options[0].stages[0].times = test::spread(random, 12ms);
  for (PlanTask& task : problem.tasks) {
    task.miss_rate_limit = limit;
    for (const auto& [speed, loss] : {std::pair(0.8, 0.01), std::pair(0.6, 0.02), std::pair(0.3, 0.06)}) {
      TaskOption o = task.options.front();
      o.accuracy_loss = loss;
      for (Duration& time : o.stages[0].times.sorted)
        time = Duration(static_cast<std::int64_t>(static_cast<double>(time.count()) * speed));
      task.options.push_back(o);
    }
  }
  return problem;
}

TEST(SearchFront, FindsTradesOnBothSides) {
  const PlanProblem problem = overload(0.3);
  PlanOptions options{.simulated = 2s};
  options.front = false;
  const auto without = plan(problem, options, {}).pareto;
  options.front = true;
  const Plan p = plan(problem, options, {});
  ASSERT_TRUE(p.feasible);
  EXPECT_GE(p.pareto.size(), without.size());
  const auto chosen = std::find_if(p.pareto.begin(), p.pareto.end(), [](const ParetoPoint& x) { return x.chosen; });
  ASSERT_NE(chosen, p.pareto.end());
  EXPECT_EQ(chosen->accuracy_loss, p.accuracy_loss);
  EXPECT_EQ(chosen->choices.size(), 2u);
  EXPECT_EQ(p.pareto.front().accuracy_loss, 0);
  EXPECT_EQ(p.pareto.back().miss_rate, 0);
  for (std::size_t k = 1; k < p.pareto.size(); ++k) {
    EXPECT_LT(p.pareto[k - 1].accuracy_loss, p.pareto[k].accuracy_loss);
    EXPECT_GT(p.pareto[k - 1].miss_rate, p.pareto[k].miss_rate);
  }
}

TEST(MissWeight, MovesTheChoiceAlongTheFrontWithinTheLimits) {
  const PlanProblem problem = overload(0.3);
  PlanOptions options{.simulated = 2s};
  const Plan plain = plan(problem, options, {});
  ASSERT_GT(plain.miss_rate, 0);
  double last = plain.miss_rate;
  for (const double weight : {0.001, 0.1, 1.0, 100.0}) {
    options.miss_weight = weight;
    const Plan p = plan(problem, options, {});
    ASSERT_TRUE(p.feasible);
    EXPECT_LE(p.miss_rate, last) << weight;
    last = p.miss_rate;
    for (const ParetoPoint& point : p.pareto) {
      if (point.feasible) {
        EXPECT_LE(p.accuracy_loss + weight * p.miss_rate, point.accuracy_loss + weight * point.miss_rate + 1e-9);
      }
    }
    EXPECT_EQ(std::count_if(p.pareto.begin(), p.pareto.end(), [](const ParetoPoint& x) { return x.chosen; }), 1);
    if (p.accuracy_loss > plain.accuracy_loss) {
      EXPECT_FALSE(p.proven_optimal);
    }
  }
  EXPECT_EQ(last, 0);
  EXPECT_GT(plan(problem, options, {}).accuracy_loss, plain.accuracy_loss);
}

TEST(SearchFront, NeverMakesThePlanWorse) {
  Random random(31);
  for (int k = 0; k < 40; ++k) {
    const PlanProblem problem = test::random_problem(random, {});
    PlanOptions options{.simulated = 1s};
    options.front = false;
    const Plan without = plan(problem, options, {});
    options.front = true;
    const Plan with = plan(problem, options, {});
    EXPECT_GE(with.feasible, without.feasible);
    if (without.feasible) {
      EXPECT_LE(with.accuracy_loss, without.accuracy_loss + 1e-9);
    }
  }
}

}  // namespace
}  // namespace rtmdl
