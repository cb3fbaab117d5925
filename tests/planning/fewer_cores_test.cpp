#include "planning/fewer_cores.h"

#include "planning/random_problem.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

ProcessorSpec cpu(const std::string& name, std::vector<int> cores) {
  ProcessorSpec p;
  p.name = name;
  p.cores = std::move(cores);
  return p;
}

/// cpu on cores 0 and 1 with two slots, gpu on core 2, npu an accelerator. Both variants of the task were measured
/// everywhere, on cpu with two threads as well.
struct Box {
  std::vector<ProcessorSpec> processors{cpu("cpu", {0, 1}), cpu("gpu", {2}), cpu("npu", {})};
  PlanProblem problem;

  Box() {
    problem.processors = {{"cpu", true, 2}, {"gpu", true, 1}, {"npu", false, 1}};
    PlanTask task;
    task.name = "faces";
    task.period = task.deadline = 10ms;
    const auto add = [&](const char* variant, int processor, int threads, Duration infer) {
      TaskOption o;
      o.variant = variant;
      o.processor = problem.processors[static_cast<std::size_t>(processor)].name;
      o.threads = threads;
      o.stages = {{0, test::constant(1ms)}, {processor, test::constant(infer)}, {0, test::constant(1ms)}};
      task.options.push_back(o);
    };
    add("source", 1, 1, 6ms);
    add("source", 0, 1, 5ms);
    add("source", 0, 2, 3ms);
    add("int8", 1, 1, 2ms);
    add("source", 2, 1, 4ms);
    problem.tasks = {task};
  }
};

TEST(FewerCores, AllOfThemChangeNothing) {
  Box box;
  const PlanProblem p = with_cores(box.problem, box.processors, 3);
  EXPECT_EQ(p.processors.size(), 3u);
  EXPECT_EQ(p.tasks[0].options.size(), 5u);
}

TEST(FewerCores, AProcessorWithoutCoresBecomesOneWithTheLast) {
  Box box;
  const PlanProblem p = with_cores(box.problem, box.processors, 2);
  ASSERT_EQ(p.processors.size(), 2u);
  EXPECT_EQ(p.processors[0].slots, 2) << "kept both its cores";
  EXPECT_EQ(p.processors[1].name, "npu");
  const auto& options = p.tasks[0].options;
  ASSERT_EQ(options.size(), 4u) << "source on cpu was measured there";
  EXPECT_EQ(options[0].stages[1].times.max(), 5ms);
  EXPECT_EQ(options[0].stages[1].slots, 1);
  EXPECT_EQ(options[1].stages[1].times.max(), 3ms);
  EXPECT_EQ(options[1].stages[1].slots, 2) << "two threads of two slots that share two cores";
  EXPECT_EQ(options[2].processor, "npu");
  EXPECT_EQ(options[2].stages[1].processor, 1);
  EXPECT_EQ(options[3].variant, "int8");
  EXPECT_EQ(options[3].processor, "cpu");
  EXPECT_EQ(options[3].stages[0].processor, 0);
  EXPECT_EQ(options[3].stages[1].processor, 0);
}

TEST(FewerCores, SplitModelsStayWhereTheirProcessorsKeepAllCores) {
  Box box;
  const auto split = [&](const std::string& name, int first, int rest) {
    TaskOption o = box.problem.tasks[0].options[0];
    o.processor = name;
    o.cuts = {7};
    o.stages = {
        {0, test::constant(1ms)}, {first, test::constant(2ms)}, {rest, test::constant(2ms)}, {0, test::constant(1ms)}};
    box.problem.tasks[0].options.push_back(o);
  };
  split("cpu+npu@7", 0, 2);
  split("gpu+npu@7", 1, 2);
  const auto names = [&](int cores) {
    std::vector<std::string> all;
    for (const TaskOption& o : with_cores(box.problem, box.processors, cores).tasks[0].options)
      if (is_split(o)) all.push_back(o.processor);
    return all;
  };
  EXPECT_EQ(names(3), (std::vector<std::string>{"cpu+npu@7", "gpu+npu@7"}));
  EXPECT_EQ(names(2), (std::vector<std::string>{"cpu+npu@7"})) << "gpu has no core left";
  EXPECT_TRUE(names(1).empty());
}

TEST(FewerCores, StallsStayWithTheirProcessors) {
  Box box;
  box.problem.stalls = {1, {{1ms, 2ms, 3ms}}};
  const PlanProblem p = with_cores(box.problem, box.processors, 2);
  EXPECT_EQ(p.stalls.lasting, (std::vector<std::vector<Duration>>{{1ms, 3ms}})) << "gpu is gone";
}

TEST(FewerCores, SlotsAndThreadsAreThoseOfTheCoresThatStay) {
  Box box;
  box.problem.processors[0].slots = 1;
  EXPECT_EQ(with_cores(box.problem, box.processors, 2).tasks[0].options.size(), 4u) << "two threads for one slot";
  box.problem.processors[0].slots = 2;
  const PlanProblem p = with_cores(box.problem, box.processors, 1);
  EXPECT_EQ(p.processors[0].slots, 1);
  for (const TaskOption& o : p.tasks[0].options) EXPECT_EQ(o.threads, 1);
}

TEST(FewerCores, WhatKeepsItsProcessorForItselfTakesAllThatIsLeftOfIt) {
  Box box;
  TaskOption alone = box.problem.tasks[0].options[1];
  alone.alone = true;
  alone.stages[1].slots = 3;
  box.problem.tasks[0].options = {alone};
  box.processors[0].cores = {0, 1, 3};
  box.problem.processors[0].slots = 3;
  EXPECT_EQ(with_cores(box.problem, box.processors, 2).tasks[0].options[0].stages[1].slots, 2);
  box.problem.tasks[0].options.push_back(box.problem.tasks[0].options[0]);
  box.problem.tasks[0].options[1].alone = false;
  box.problem.tasks[0].options[1].stages[1].slots = 1;
  const PlanProblem one = with_cores(box.problem, box.processors, 1);
  ASSERT_EQ(one.tasks[0].options.size(), 1u) << "on one slot they are the same";
  EXPECT_FALSE(one.tasks[0].options[0].alone);
}

TEST(FewerCores, TheHostMayBeTheOneThatIsMerged) {
  Box box;
  box.processors[0].cores = {2};
  box.processors[1].cores = {0, 1};
  std::swap(box.processors[0], box.processors[1]);
  std::swap(box.problem.processors[0], box.problem.processors[1]);
  for (TaskOption& o : box.problem.tasks[0].options)
    for (StageOption& s : o.stages)
      if (s.processor < 2) s.processor = 1 - s.processor;
  const PlanProblem p = with_cores(box.problem, box.processors, 1);
  ASSERT_EQ(p.processors.size(), 2u);
  EXPECT_EQ(p.processors[0].name, "gpu");
  for (const TaskOption& o : p.tasks[0].options) EXPECT_EQ(o.stages[0].processor, 0);
}

TEST(FewerCores, RefusesWhatTheBoxDoesNotHave) {
  Box box;
  for (const int cores : {0, -1, 4}) {
    try {
      static_cast<void>(with_cores(box.problem, box.processors, cores));
      FAIL() << cores;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::bad_input);
      EXPECT_THAT(e.what(), HasSubstr("is out of range: the processors of the task file have 3 cores, so 1 to 3"));
    }
  }
}

}  // namespace
}  // namespace rtmdl
