#include "calibration/planned_run.h"

#include "profiling/task_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

struct PlannedRun : testing::Test {
  PlannedRun() {
    folder.write("m.model", "");
    problem.processors = {{"cpu"}, {"gpu"}};
    problem.tasks.resize(1);
    problem.tasks[0].period = 10ms;
    variants.resize(1);
    add("source", "gpu", 8ms);
    add("source", "cpu", 30ms);
    add("half", "gpu", 5ms);
    add("quarter", "gpu", 3ms);
    add("quarter", "cpu", 9ms);
  }
  void add(const std::string& variant, const std::string& processor, Duration time) {
    TaskOption option;
    option.variant = variant;
    option.processor = processor;
    option.memory = 10'000'000;
    for (const Duration t : {Duration(1ms), time, Duration(1ms)}) option.stages.push_back({.times = {{t}}});
    problem.tasks[0].options.push_back(option);
    Variant v;
    v.id = variant;
    v.path = folder.path() / "m.model";
    variants[0].variants.push_back(v);
  }
  /// Of option `chosen`: "variant@processor" of the mode that the task falls back to; empty: none.
  std::string fallback(int chosen, const std::string& keys, const std::string& gpu = "{device: webgpu}") {
    file = folder.parse("processors: {cpu: {cores: [0]}, gpu: " + gpu +
                        "}\ntasks: [{name: t, model: m.model, data: {source: synthetic}, period: 10 ms" + keys + "}]");
    config = make_run_config(file, find_policy("rtmdl"), problem, {{chosen, 1}}, variants);
    const RunTask& task = config.tasks[0];
    if (task.fallbacks.empty()) return "";
    return task.fallbacks[0].variant + "@" +
           config.processors[static_cast<std::size_t>(task.fallbacks[0].processor)].name;
  }
  TaskFolder folder;
  PlanProblem problem;
  std::vector<TaskVariants> variants;
  TaskFile file;
  RunConfig config;
};

TEST_F(PlannedRun, FallsBackToTheSameElsewhereFromAnAcceleratorAndToTheFastestOtherVariantFromACpu) {
  EXPECT_EQ(fallback(0, ""), "source@cpu");
  EXPECT_EQ(config.tasks[0].failures_to_fall_back, 3);
  EXPECT_EQ(fallback(2, ""), "quarter@gpu") << "there is no `half` elsewhere";
  EXPECT_EQ(fallback(1, ""), "quarter@cpu");
  EXPECT_EQ(fallback(0, ", fallback: {to: variant, after: 7}"), "quarter@gpu");
  EXPECT_EQ(config.tasks[0].failures_to_fall_back, 7);
  EXPECT_EQ(fallback(1, ", fallback: {to: processor}"), "source@gpu");
  EXPECT_EQ(fallback(0, ", fallback: off"), "");
}

TEST_F(PlannedRun, AFallbackThatDoesNotFitIntoMemoryIsLeftOut) {
  problem.memory = 20'000'000;
  EXPECT_EQ(fallback(0, ""), "source@cpu");
  problem.memory = 19'000'000;
  EXPECT_EQ(fallback(0, ""), "");
  ASSERT_EQ(config.notes.size(), 1U);
  EXPECT_THAT(config.notes[0], HasSubstr("t has nothing to fall back to: source would take 1.0 MB beyond the 19.0 MB"));
}

TEST_F(PlannedRun, StagesMayRunForMultiplesOfTheirProfile) {
  fallback(0, ", watchdog: 30");
  EXPECT_THAT(config.tasks[0].stage_limits, ElementsAre(100ms, 240ms, 100ms));
  EXPECT_THAT(config.tasks[0].fallbacks[0].stage_limits, ElementsAre(100ms, 900ms, 100ms));
  fallback(0, ", watchdog: off");
  EXPECT_TRUE(config.tasks[0].stage_limits.empty());
}

TEST_F(PlannedRun, StagesMayTakeWhatProofsTakeThemTo) {
  problem.dispatch = 1ms;
  fallback(0, "");
  EXPECT_THAT(config.tasks[0].stage_bounds, ElementsAre(2200us, 10600us, 2200us)) << "the longest, 1.2 times, and 1 ms";
  problem.tasks[0].options[0].stages[1].longest = 9ms;
  fallback(0, "");
  EXPECT_EQ(config.tasks[0].stage_bounds[1], 9ms);
}

}  // namespace
}  // namespace rtmdl
