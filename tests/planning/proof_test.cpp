#include "planning/proof.h"

#include "planning/random_problem.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using test::between;
using test::in_order;
using test::Random;
using test::random_problem;
using test::task_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = ProofTerm::Kind;

/// b can be run as "small" (loss) or "large" (none); c is hard and below.
PlanProblem three_tasks() {
  PlanProblem problem;
  problem.processors = {{"cpu", false, 1}};
  problem.tasks = {task_of("a", 20ms, 20ms, {{0, 2ms}}), task_of("b", 40ms, 20ms, {{0, 5ms}}),
                   task_of("c", 100ms, 40ms, {{0, 4ms}, {0, 6ms}})};
  for (PlanTask& task : problem.tasks) {
    task.hard = true;
    for (StageOption& stage : task.options[0].stages) stage.longest = stage.times.max();
  }
  problem.tasks[1].jitter = 1ms;
  TaskOption large = problem.tasks[1].options[0];
  problem.tasks[1].options[0].variant = "small";
  problem.tasks[1].options[0].accuracy_loss = 0.02;
  large.variant = "large";
  large.stages[0].longest = large.stages[0].times.sorted[0] = 9ms;
  problem.tasks[1].options.push_back(large);
  large.variant = "huge";
  large.accuracy_loss = 0.01;
  large.stages[0].longest = 25ms;
  problem.tasks[1].options.push_back(large);
  return problem;
}

TEST(Proof, NamesEveryTermAndWhoCausesIt) {
  const PlanProblem problem = three_tasks();
  const Proof proof = prove(problem, in_order(problem), 1, 0.0);
  ASSERT_EQ(proof.bound, 1ms + 6ms + 2ms + 5ms);
  EXPECT_EQ(proof.slack(), 6ms);
  EXPECT_TRUE(proof.proven());
  EXPECT_EQ(proof.method, BoundDetail::Method::last_segment);
  ASSERT_EQ(proof.terms.size(), 4U);
  EXPECT_EQ(proof.terms[0].kind, Kind::jitter);
  EXPECT_EQ(proof.terms[1].kind, Kind::own);
  EXPECT_EQ(proof.terms[2].kind, Kind::blocking);
  EXPECT_EQ(proof.terms[2].task, "c");
  EXPECT_EQ(proof.terms[2].total, 6ms) << "the longer piece";
  EXPECT_EQ(proof.terms[3].kind, Kind::interference);
  EXPECT_EQ(proof.terms[3].task, "a");
  EXPECT_EQ(proof.terms[3].count, 1);
  EXPECT_EQ(proof.assumption, "no stage takes longer than its longest measured time + 20 %");
}

TEST(Proof, SaysWhatMoreAccurateVariantsWouldNeedAndBreak) {
  PlanProblem problem = three_tasks();
  problem.tasks[2].deadline = 19ms;
  const Proof proof = prove(problem, in_order(problem), 1);
  ASSERT_EQ(proof.larger.size(), 2U);
  EXPECT_EQ(proof.larger[0].variant, "large");
  EXPECT_EQ(proof.larger[0].bound, 18ms);
  EXPECT_TRUE(proof.larger[0].proven);
  EXPECT_THAT(proof.larger[0].breaks, ElementsAre("c"));
  EXPECT_EQ(proof.larger[1].variant, "huge");
  EXPECT_FALSE(proof.larger[1].proven);
  EXPECT_TRUE(prove(problem, in_order(problem), 0).larger.empty());
}

// b: 1 + 6 + 2 + x within 20; c below it: 2 + x + 10 within its deadline.
TEST(Proof, SaysHowMuchLongerTheTaskMayTake) {
  PlanProblem problem = three_tasks();
  EXPECT_NEAR(prove(problem, in_order(problem), 1).growth.value(), 11.0 / 5, 0.01);
  problem.tasks[2].deadline = 18ms;
  EXPECT_NEAR(prove(problem, in_order(problem), 1).growth.value(), 6.0 / 5, 0.01) << "c would break first";
  problem.tasks[1].deadline = 10ms;
  EXPECT_NEAR(prove(problem, in_order(problem), 1).growth.value(), 1.0 / 5, 0.01) << "not proven as it is";
  problem.tasks[1].deadline = 8ms;
  EXPECT_FALSE(prove(problem, in_order(problem), 1).growth) << "what blocks it alone takes as long";
}

TEST(Proof, SaysWhyThereIsNoBound) {
  PlanProblem problem = three_tasks();
  problem.tasks[1].options[0].stages[0].longest = 38ms;
  const Proof full = prove(problem, in_order(problem), 1);
  EXPECT_FALSE(full.bound);
  EXPECT_FALSE(full.proven());
  EXPECT_EQ(full.trouble,
            "b (its stages are taken to last 38 ms) and what is more urgent (a) may ask for 105 % of cpu");
  problem = three_tasks();
  problem.tasks[0].period = 300ms;
  problem.tasks[0].options[0].stages[0].longest = 150ms;
  EXPECT_THAT(prove(problem, in_order(problem), 1).trouble, HasSubstr("a newer input may push out the one that waits"));
}

TEST(Proof, UnknownTaskNamesTheNearest) {
  PlanProblem problem = three_tasks();
  problem.tasks[1].name = "faces";
  EXPECT_EQ(find_task(problem, "faces"), 1U);
  try {
    static_cast<void>(find_task(problem, "face"));
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_STREQ(e.what(), "there is no task 'face'; did you mean 'faces'?");
  }
}

TEST(Proof, TermsAddUpToTheBoundWhateverTheMethod) {
  int methods[5] = {}, later = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Random random(seed);
    PlanProblem problem = random_problem(
        random, {.most_tasks = 6, .most_options = 2, .most_processors = 3, .least_load = 0.2, .most_load = 0.9});
    for (PlanTask& task : problem.tasks) task.queue = between(random, 1, 4);
    const Choices choices = in_order(problem);
    const auto bounds = response_bounds(problem, choices);
    for (std::size_t i = 0; i < problem.tasks.size(); ++i) {
      const Proof proof = prove(problem, choices, i);
      ASSERT_EQ(proof.bound, bounds[i]) << "seed " << seed;
      ++methods[static_cast<int>(proof.method)];
      if (!proof.bound) {
        EXPECT_FALSE(proof.trouble.empty());
        continue;
      }
      Duration sum{};
      for (const ProofTerm& term : proof.terms) {
        sum += term.total;
        later += term.kind == Kind::later_release;
      }
      ASSERT_EQ(sum, *proof.bound) << "seed " << seed << ", task " << i;
    }
  }
  for (const int count : methods) EXPECT_GT(count, 100);
  EXPECT_GT(later, 10);
}

}  // namespace
}  // namespace rtmdl
