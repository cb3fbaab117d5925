#include "planning/relaxation.h"

#include "planning/random_problem.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::Random;

bool fits(const Evaluator& evaluator, const Choices& choices, const std::vector<double>& room) {
  for (std::size_t p = 0; p < room.size(); ++p) {
    double used = 0;
    for (std::size_t i = 0; i < choices.size(); ++i)
      used += evaluator.utilisation(i, static_cast<std::size_t>(choices[i].option), p);
    if (used > room[p] + 1e-9) return false;
  }
  const PlanProblem& problem = evaluator.problem();
  std::int64_t bytes = 0;  // as the relaxation counts: each task's
  for (std::size_t i = 0; i < choices.size(); ++i)
    bytes += problem.tasks[i].options[static_cast<std::size_t>(choices[i].option)].bytes;
  return !problem.storage || bytes <= *problem.storage;
}

/// The least loss of all combinations that fit.
std::optional<double> least_loss(const Evaluator& evaluator, const std::vector<double>& room) {
  std::optional<double> least;
  Choices choices(evaluator.tasks());
  for (;;) {
    bool possible = true;
    for (std::size_t i = 0; i < choices.size(); ++i)
      possible &= evaluator.possible(i, static_cast<std::size_t>(choices[i].option));
    if (possible && fits(evaluator, choices, room)) {
      const double loss = evaluator.loss(choices);
      if (!least || loss < *least) least = loss;
    }
    std::size_t i = 0;
    while (i < choices.size() && ++choices[i].option == static_cast<int>(evaluator.options_of(i)))
      choices[i++].option = 0;
    if (i == choices.size()) return least;
  }
}

TEST(Relaxation, IsMostlyTheBestChoiceThatFits) {
  Random random(5);
  int fitting = 0, found = 0, best = 0;
  for (int k = 0; k < 300; ++k) {
    PlanProblem problem =
        test::random_problem(random, {.most_tasks = 5, .most_options = 4, .least_load = 0.8, .most_load = 2});
    if (k % 3 == 0) problem.storage = 5'000'000 * static_cast<std::int64_t>(problem.tasks.size());
    const PlanOptions options{.simulated = 400ms};
    const Context context;
    const Evaluator evaluator(problem, options, context);
    const std::vector<double> room(problem.processors.size(), 0.9);
    const auto least = least_loss(evaluator, room);
    if (!least) continue;
    ++fitting;
    const Choices choices = relaxation(evaluator, room, 1);
    if (!fits(evaluator, choices, room)) continue;
    ++found;
    EXPECT_GE(evaluator.loss(choices), *least - 1e-9);
    best += evaluator.loss(choices) <= *least + 1e-9;
  }
  EXPECT_GE(fitting, 100);
  EXPECT_GE(found, fitting * 95 / 100);
  EXPECT_GE(best, fitting * 90 / 100);
}

TEST(Relaxation, OfManyTasksFillsTheRoom) {
  Random random(3);
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  for (int i = 0; i < 40; ++i) {
    PlanTask task = test::task_of("task" + std::to_string(i), 100ms, 100ms,
                                  {{0, std::chrono::microseconds(test::between(random, 2000, 8000))}});
    for (int k = 1; k < 8; ++k) {
      TaskOption option = task.options[0];
      option.stages[0].times.sorted[0] = option.stages[0].times.sorted[0] * (8 - k) / 8;
      option.accuracy_loss = 0.0005 * k * k * test::between(random, 2, 20);
      task.options.push_back(option);
    }
    problem.tasks.push_back(task);
  }
  const PlanOptions options{.simulated = 1s};
  const Context context;
  const Evaluator evaluator(problem, options, context);
  double before = std::numeric_limits<double>::infinity();
  for (const double room : {0.6, 0.7, 0.8, 0.9, 1.0}) {
    const Choices choices = relaxation(evaluator, {room}, 1);
    EXPECT_TRUE(fits(evaluator, choices, {room}));
    EXPECT_FALSE(fits(evaluator, choices, {room - 0.01}));
    EXPECT_LT(evaluator.loss(choices), before);
    before = evaluator.loss(choices);
    const Choices again = relaxation(evaluator, {room}, 1);
    for (std::size_t i = 0; i < choices.size(); ++i) EXPECT_EQ(choices[i].option, again[i].option);
  }
}

TEST(Relaxation, WhereNothingFitsTheLightestIsTaken) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  problem.tasks = {test::task_of("a", 10ms, 100ms, {{0, 12ms}}), test::task_of("b", 10ms, 100ms, {{0, 9ms}})};
  TaskOption lighter = problem.tasks[0].options[0];
  lighter.stages[0].times.sorted[0] = 8ms;
  lighter.accuracy_loss = 0.2;
  problem.tasks[0].options.push_back(lighter);
  const PlanOptions options{.simulated = 1s};
  const Context context;
  const Evaluator evaluator(problem, options, context);
  const Choices choices = relaxation(evaluator, {1.0}, 1);
  EXPECT_EQ(choices[0].option, 1);
  EXPECT_EQ(choices[1].option, 0);
}

}  // namespace
}  // namespace rtmdl
