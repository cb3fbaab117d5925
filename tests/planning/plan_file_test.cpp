#include "planning/plan_file.h"

#include "base/atomic_file.h"
#include "mutation.h"
#include "planning/random_problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rtmdl/error.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;

constexpr const char* kKey = "4f1c0d2b7e6a59833c1d4f1c0d2b7e6a59833c1d4f1c0d2b7e6a59833c1d0000";

class PlanFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("rtmdl_plan_file_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    rtmdl::test::Random random(3);
    do problem_ = rtmdl::test::random_problem(random, {});
    while (problem_.tasks.size() < 3);
    for (PlanTask& t : problem_.tasks)
      for (TaskOption& o : t.options) o.processor = "p0";
    plan_.feasible = true;
    plan_.reason = "it fits";
    plan_.method = "exact";
    plan_.bytes = 1234;
    plan_.pareto = {{0.1, 0.2}, {0.2, 0, true, true, {}}};
    for (std::size_t t = 0; t < problem_.tasks.size(); ++t)
      plan_.pareto[1].choices.push_back({0, static_cast<int>(t) + 1});
    plan_.relaxations = {{"deadline", "a", "20 ms", "27 ms", 0.35, "a: deadline 27 ms instead of 20 ms"}};
    for (std::size_t t = 0; t < problem_.tasks.size(); ++t)
      plan_.tasks.push_back(
          {{0, static_cast<int>(t) + 1}, 0.01, 0.008, 0.001, 0.02, {0.5}, std::chrono::milliseconds(3)});
    save_plan(path(), plan_, problem_, kKey);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path path() const { return folder_ / "plan.json"; }
  std::optional<Plan> load() const { return load_plan(path(), problem_, kKey); }
  void replace(const std::string& from, const std::string& to) {
    std::string text = read_file(path());
    text.replace(text.find(from), from.size(), to);
    write_file_atomically(path(), text);
  }
  std::string refusal() const {
    try {
      return load() ? "accepted" : "of another problem";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::bad_input);
      return e.what();
    }
  }

  std::filesystem::path folder_;
  PlanProblem problem_;
  Plan plan_;
};

TEST_F(PlanFile, GivesBackWhatWasSaved) {
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->tasks.size(), plan_.tasks.size());
  for (std::size_t t = 0; t < plan_.tasks.size(); ++t) {
    EXPECT_EQ(loaded->tasks[t].choice.priority, plan_.tasks[t].choice.priority);
    EXPECT_EQ(loaded->tasks[t].response_bound, plan_.tasks[t].response_bound);
  }
  EXPECT_EQ(loaded->bytes, 1234);
  ASSERT_EQ(loaded->pareto.size(), 2U);
  EXPECT_FALSE(loaded->pareto[0].feasible);
  EXPECT_TRUE(loaded->pareto[1].feasible);
  EXPECT_TRUE(loaded->pareto[1].chosen);
  ASSERT_EQ(loaded->pareto[1].choices.size(), problem_.tasks.size());
  EXPECT_EQ(loaded->pareto[1].choices[1].priority, 2);
  ASSERT_TRUE(loaded->relaxations);
  EXPECT_EQ(loaded->relaxations->at(0).to, "27 ms");
  EXPECT_EQ(loaded->relaxations->at(0).text, "a: deadline 27 ms instead of 20 ms");
}

TEST_F(PlanFile, RefusesAFrontOfAnotherProblem) {
  plan_.pareto[1].choices[0].option = 99;
  save_plan(path(), plan_, problem_, kKey);
  EXPECT_THAT(refusal(), HasSubstr("a point of its front is of another problem"));
  plan_.pareto[1].choices.resize(1);
  plan_.pareto[1].choices[0].option = 0;
  save_plan(path(), plan_, problem_, kKey);
  EXPECT_THAT(refusal(), HasSubstr("a point of its front is of another problem"));
}

TEST_F(PlanFile, KeyTellsWhatPlansDependOn) {
  const PlanOptions options;
  const std::string key = plan_key(problem_, options);
  EXPECT_EQ(plan_key(problem_, options), key);
  const auto changed = [&](const auto& change) {
    PlanProblem other = problem_;
    change(other);
    return plan_key(other, options) != key;
  };
  EXPECT_TRUE(
      changed([](PlanProblem& p) { p.tasks[0].late = p.tasks[0].late == Late::skip ? Late::abort : Late::skip; }));
  EXPECT_TRUE(changed([](PlanProblem& p) { p.processors[0].correlation += 0.05; }));
  EXPECT_TRUE(changed([](PlanProblem& p) { p.stalls.per_second = 1; }));
  EXPECT_TRUE(changed([](PlanProblem& p) { p.stalls.lasting = {{Duration(5)}}; }));
  EXPECT_TRUE(changed([](PlanProblem& p) { p.tasks[0].queue = 7; }));
  EXPECT_TRUE(changed([](PlanProblem& p) { p.slow_downs = {{0.5}, {1.5}}; }));
  EXPECT_TRUE(changed([](PlanProblem& p) { p.tasks[0].options[0].alone = true; }));
  EXPECT_TRUE(changed([](PlanProblem& p) { p.tasks[0].options[0].kind = 0; }));
}

TEST_F(PlanFile, RefusesPrioritiesThatAreNone) {
  replace("\"priority\": 1", "\"priority\": 2");
  EXPECT_THAT(refusal(), HasSubstr("each once; delete it and run `rtmdl plan` again"));
  replace("\"priority\": 2", "\"priority\": 1e300");
  EXPECT_THAT(refusal(), HasSubstr("its priority is not a whole number"));
  replace("\"priority\": 1e300", "\"priority\": -4");
  EXPECT_THAT(refusal(), HasSubstr("is -4"));
}

TEST_F(PlanFile, MutatedIsUsableOrRefusedInOneShortLine) {
  test::Mutator mutator(read_file(path()), {"{", "}", "[", "]", "\"", ",", ":", "null", "-1", "1e999", "true",
                                            "\\u0000", "99999999999999999999", "\"tasks\"", "\xff"});
  int usable = 0, refused = 0, other = 0;
  for (int i = 0; i < 3000; ++i) {
    std::ofstream(path(), std::ios::binary) << mutator.next();
    try {
      const auto loaded = load();
      if (!loaded) {
        ++other;
        continue;
      }
      ++usable;
      ASSERT_EQ(loaded->tasks.size(), problem_.tasks.size());
      std::vector<int> priorities;
      for (std::size_t t = 0; t < loaded->tasks.size(); ++t) {
        priorities.push_back(loaded->tasks[t].choice.priority);
        ASSERT_LT(static_cast<std::size_t>(loaded->tasks[t].choice.option), problem_.tasks[t].options.size());
      }
      std::sort(priorities.begin(), priorities.end());
      for (std::size_t k = 0; k < priorities.size(); ++k) ASSERT_EQ(priorities[k], static_cast<int>(k) + 1);
    } catch (const Error& e) {
      ++refused;
      const std::string message = e.what();
      ASSERT_EQ(e.code(), ErrorCode::bad_input) << message;
      ASSERT_TRUE(message.starts_with(path().string() + ": ")) << message;
      ASSERT_EQ(message.find('\n'), std::string::npos) << message;
      ASSERT_LT(message.size(), 700U) << message;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(usable, 20);
  EXPECT_GT(other, 0);
}

TEST_F(PlanFile, FindsTheOptionOfAsManySegments) {
  TaskOption cut = problem_.tasks[0].options[0];
  cut.cuts = {3, 9};
  problem_.tasks[0].options.push_back(cut);
  save_plan(path(), plan_, problem_, kKey);
  EXPECT_EQ(load()->tasks[0].choice.option, 0);
  plan_.tasks[0].choice.option = static_cast<int>(problem_.tasks[0].options.size()) - 1;
  save_plan(path(), plan_, problem_, kKey);
  EXPECT_EQ(load()->tasks[0].choice.option, plan_.tasks[0].choice.option);
  const std::string key = plan_key(problem_, {});
  problem_.tasks[0].options.back().cuts = {4, 9};
  EXPECT_NE(plan_key(problem_, {}), key);
}

}  // namespace
}  // namespace rtmdl
