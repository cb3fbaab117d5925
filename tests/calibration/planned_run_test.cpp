#include "calibration/planned_run.h"

#include "profiling/task_folder.h"

#include <fmt/format.h>
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
    option.stages[1].processor = processor == "gpu";
    problem.tasks[0].options.push_back(option);
    Variant v;
    v.id = variant;
    v.path = folder.path() / "m.model";
    variants[0].variants.push_back(v);
  }
  void add_split(const std::string& variant, const std::string& first, const std::string& rest, int threads) {
    add(variant, first, 3ms);
    TaskOption& option = problem.tasks[0].options.back();
    option.cuts = {4};
    option.processor = place_name({first, rest}, option.cuts);
    option.threads = threads;
    option.stages.insert(option.stages.begin() + 2, option.stages[1]);
    option.stages[2].processor = rest == "gpu";
  }
  /// Of option `chosen`: "variant@processor" of the mode that the task falls back to; empty: none.
  std::string fallback(int chosen, const std::string& keys, const std::string& gpu = "{device: webgpu}") {
    file = folder.parse("processors: {cpu: {cores: [0]}, gpu: " + gpu +
                        "}\ntasks: [{name: t, model: m.model, data: {source: synthetic}, period: 10 ms" + keys + "}]");
    problem.tasks[0].fallback = file.tasks[0].fallback;
    problem.processors[1].accelerator = file.processors[1].device != "cpu";
    config = make_run_config(file, find_policy("rtmdl"), problem, {{chosen, 1}}, variants);
    const RunTask& task = config.tasks[0];
    if (task.fallbacks.empty()) return "";
    return task.fallbacks[0].variant + "@" + place_name(config.processors, task.fallbacks[0]);
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

TEST_F(PlannedRun, WithAdaptationLighterVariantsAreLoadedAndSayWhatTheyCost) {
  problem.tasks[0].weight = 2;
  problem.tasks[0].options[2].accuracy_loss = 0.01;
  problem.tasks[0].options[3].accuracy_loss = 0.03;
  const auto modes = [&](int chosen, const std::string& keys) {
    fallback(chosen, keys);
    config = make_run_config(file, find_policy("adaptive"), problem, {{chosen, 1}}, variants);
    std::string text;
    for (const RunMode& mode : config.tasks[0].fallbacks)
      text += fmt::format("{}{}@{} {:.4g}", text.empty() ? "" : ", ", mode.variant, place_name(config.processors, mode),
                          mode.loss.value_or(-1));
    return text;
  };
  EXPECT_EQ(modes(0, ""), "source@cpu -1, half@gpu 0.02, quarter@gpu 0.06");
  EXPECT_EQ(config.tasks[0].stage_loads.size(), 3u);
  EXPECT_EQ(modes(0, ", fallback: {to: variant}"), "half@gpu 0.02, quarter@gpu 0.06") << "the lighter ones, in turn";
  EXPECT_EQ(config.tasks[0].failures_to_fall_back, 3);
  EXPECT_EQ(modes(2, ", fallback: off"), "quarter@gpu 0.04") << "against the planned one";
  EXPECT_EQ(modes(3, ", fallback: off"), "");
  problem.memory = 25'000'000;
  EXPECT_EQ(modes(0, ""), "source@cpu -1") << "what it falls back to comes first";
  EXPECT_EQ(modes(0, ", fallback: off"), "quarter@gpu 0.06") << "the lightest of the lighter ones";
  EXPECT_EQ(modes(0, ", fallback: {to: variant}"), "quarter@gpu 0.06") << "which is both";
  problem.memory = 35'000'000;
  EXPECT_EQ(modes(0, ""), "source@cpu -1, quarter@gpu 0.06");
  EXPECT_THAT(config.notes, testing::IsEmpty());
}

TEST_F(PlannedRun, ASplitModelRunsEachPartOnItsProcessor) {
  add_split("half", "cpu", "gpu", 2);
  fallback(5, "");
  const RunTask& task = config.tasks[0];
  EXPECT_THAT(task.request.cuts, ElementsAre(4));
  EXPECT_THAT(task.places, ElementsAre(RunPlace{0, 1, 1}, RunPlace{1, 1, 1})) << "one core, and an accelerator";
  EXPECT_EQ(place_name(config.processors, task), "cpu+gpu@4");
  EXPECT_EQ(task.stage_times.size(), 4U);
}

TEST_F(PlannedRun, FromASplitModelItFallsBackToWhereNoAcceleratorCanBeLost) {
  add_split("source", "cpu", "gpu", 1);
  add_split("source", "gpu", "cpu", 1);
  EXPECT_EQ(fallback(5, ""), "source@cpu");
  EXPECT_EQ(fallback(0, ""), "source@cpu") << "a split would lose it as well";
  const std::string second_core = "{device: cpu, cores: [1]}";
  EXPECT_EQ(fallback(5, "", second_core), "") << "another variant is not split, and no processor is left";
  add_split("quarter", "gpu", "cpu", 1);
  EXPECT_EQ(fallback(5, "", second_core), "quarter@gpu+cpu@4");
}

TEST_F(PlannedRun, AFallbackThatDoesNotFitIntoMemoryIsLeftOut) {
  problem.memory = 20'000'000;
  EXPECT_EQ(fallback(0, ""), "source@cpu");
  problem.memory = 19'000'000;
  EXPECT_EQ(fallback(0, ""), "");
  ASSERT_EQ(config.notes.size(), 1U);
  EXPECT_THAT(config.notes[0], HasSubstr("t has nothing to fall back to: source would take 1.0 MB beyond the 19.0 MB"));
}

TEST_F(PlannedRun, TheSchedulerIsToldWhatTasksDoToOneAnother) {
  fallback(0, "");
  EXPECT_TRUE(config.tasks[0].pressures.empty()) << "no pair was measured";
  problem.tasks.push_back(problem.tasks[0]);
  variants.push_back(variants[0]);
  for (PlanTask& task : problem.tasks)
    for (TaskOption& option : task.options) {
      option.kind = &task == &problem.tasks[0] ? 0 : 1;
      option.slow_down = 1.45;
      option.demand = 0.5;
    }
  problem.slow_downs = {{0.5, 0.5}, {0, 1.2, 1.45, 0}};
  file = folder.parse(
      "processors: {cpu: {cores: [0]}, gpu: {device: webgpu}}\ntasks:\n"
      "  - {name: t, model: m.model, data: {source: synthetic}, period: 10 ms}\n"
      "  - {name: u, model: m.model, data: {source: synthetic}, period: 10 ms}\n");
  config = make_run_config(file, find_policy("rtmdl"), problem, {{0, 1}, {0, 2}}, variants);
  ASSERT_EQ(config.tasks[0].pressures.size(), 2u);
  EXPECT_NEAR(config.tasks[0].pressures[1], 0.5, 1e-9);
  EXPECT_NEAR(config.tasks[1].pressures[0], 1, 1e-9);
  EXPECT_NEAR(config.tasks[0].fallbacks[0].pressures[1], 0.5, 1e-9);
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
