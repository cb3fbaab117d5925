#include "planning/predict.h"

#include "planning/simulator.h"
#include "planning/source_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using std::chrono::milliseconds;

StageTimes alone(std::initializer_list<int> ms) {
  StageTimes t;
  for (const int m : ms) t.alone.emplace_back(milliseconds(m));
  return t;
}

VariantProfile profiled(const std::string& id, int threads, std::initializer_list<int> infer_ms) {
  VariantProfile v;
  v.id = id;
  v.threads = threads;
  v.pre = alone({1});
  v.infer = alone(infer_ms);
  v.source = id == "source";
  return v;
}

TEST(SourceLoad, IsTheShareOfAllSlotsThatTheSourceModelsNeed) {
  const TaskFile file = TaskFile::parse(
      "processors: {cpu: {cores: [0]}, gpu: {device: tensorrt, slots: 3}}\ntasks:\n"
      "  - {name: a, model: CMakeLists.txt, data: {source: synthetic}, period: 50 ms}\n"
      "  - {name: b, model: CMakeLists.txt, data: {source: synthetic}, period: 20 ms}\n",
      std::string(RTMDL_SOURCE_DIR) + "/tasks.yaml");
  const std::vector<TaskProfile> profile{{"a",
                                          {profiled("source", 1, {8, 10}), profiled("source", 1, {40}),
                                           profiled("source", 2, {1}), profiled("int8", 1, {2})}},
                                         {"b", {profiled("source", 1, {19})}}};
  // a: (1 + 9) of 50 ms where it is fastest with one thread; b: (1 + 19) of 20 ms; one core and three slots.
  EXPECT_DOUBLE_EQ(source_load(file, profile), (0.2 + 1.0) / 4);
}

TEST(Predict, IsTheSimulationWithTheProfilesAccuracies) {
  PlanProblem problem;
  problem.processors = {{"cpu", true, 1}};
  for (const int t : {0, 1}) {
    PlanTask task;
    task.name = t == 0 ? "quick" : "slow";
    task.period = milliseconds(10);
    task.deadline = task.period;
    task.weight = 1 + t;
    TaskOption option;
    option.variant = "int8";
    option.stages = {{0, {{milliseconds(t == 0 ? 4 : 7)}}}};
    option.accuracy = 0.9;
    option.accuracy_loss = 0.1;
    task.options = {option};
    problem.tasks.push_back(task);
  }
  const Choices choices{{0, 1}, {0, 2}};
  const RunReport report = predict(find_policy("rtmdl"), problem, choices, milliseconds(1000), 3);

  Simulator simulator(problem);
  SimulationOptions options;
  options.length = milliseconds(1000);
  options.seed = 3;
  const SimulationOutcome& outcome = simulator.run(choices, options);
  EXPECT_EQ(report.preemption, "simulated");
  EXPECT_DOUBLE_EQ(report.seconds, 1);
  EXPECT_DOUBLE_EQ(report.accuracy_loss, 0.1 + 2 * 0.1) << "weighted";
  ASSERT_EQ(report.tasks.size(), 2U);
  for (std::size_t t = 0; t < 2; ++t) {
    EXPECT_EQ(report.tasks[t].released, 100);
    EXPECT_EQ(report.tasks[t].missed, outcome.tasks[t].missed);
    EXPECT_EQ(report.tasks[t].released, report.tasks[t].completed + report.tasks[t].dropped + report.tasks[t].failed);
    EXPECT_DOUBLE_EQ(report.tasks[t].effective_accuracy, 0.9 * (1 - report.tasks[t].miss_rate));
  }
  EXPECT_EQ(report.tasks[0].missed, 0);
  EXPECT_EQ(report.tasks[0].response.max_ms, 4);
  EXPECT_GT(report.tasks[1].missed, 0) << "11 of 10 ms are asked for";
}

}  // namespace
}  // namespace rtmdl
