// A whole run in which a model begins to fail.

#include "data/pipeline.h"
#include "engine/fake/fake_engine.h"
#include "profiling/task_folder.h"
#include "runtime/runtime.h"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::Contains;
using testing::HasSubstr;

struct FallbackRun : testing::Test {
  FallbackRun() {
    for (const char* name : {"planned.model", "lighter.model"}) folder.write(name, "");
    FakeModel model;
    model.inputs = {{"x", ElementType::f32, {4}}};
    engine.script("lighter", model);
    file = folder.parse(
        "tasks: [{name: lost, model: planned.model, data: {source: synthetic, shape: [4]}, period: 5 ms, queue: 4}]");
    config.name = "test";
    config.processors = file.processors;
    config.host_processor = file.host_processor();
    config.duration = std::chrono::milliseconds(500);
    config.csv = folder.path() / "runs" / "test.csv";
    RunTask task;
    task.spec = &file.tasks[0];
    task.variant = "planned";
    task.request = load_request(file.tasks[0], folder.path() / "planned.model");
    task.priority = 1;
    RunMode lighter;
    lighter.variant = "lighter";
    lighter.request = load_request(file.tasks[0], folder.path() / "lighter.model");
    task.fallbacks = {lighter};
    task.failures_to_fall_back = 3;
    config.tasks = {task};
  }
  RunOutcome play(Fault fault) {
    FakeModel model;
    model.inputs = {{"x", ElementType::f32, {4}}};
    model.faults = {.rate = 1, .kinds = {fault}};
    engine.script("planned", model);
    return run(engine, config, 1, {});
  }
  TaskFolder folder;
  FakeEngine engine;
  TaskFile file;
  RunConfig config;
};

TEST_F(FallbackRun, ADeviceThatIsLostIsLeftAfterThreeJobs) {
  const RunOutcome outcome = play(Fault::fails);
  const TaskReport& t = outcome.report.tasks[0];
  EXPECT_EQ(t.released, 100);
  EXPECT_EQ(t.failed, 3);
  EXPECT_EQ(t.switches, 1);
  EXPECT_EQ(t.completed + t.dropped + t.failed, t.released);
  EXPECT_THAT(outcome.report.notes, Contains(HasSubstr("lost went over from planned on cpu to lighter on cpu after ")));
  EXPECT_THAT(outcome.report.notes, Contains(HasSubstr("3 jobs failed in a row")));
  EXPECT_THAT(outcome.report.notes, Contains(HasSubstr("because inference failed")));
  std::ostringstream csv;
  csv << std::ifstream(config.csv).rdbuf();
  std::istringstream lines(csv.str());
  int planned = 0, failed = 0, lighter = 0;
  for (std::string line; std::getline(lines, line);) {
    failed += line.find(",planned,failed,") != std::string::npos;
    planned += line.find(",planned,") != std::string::npos;
    lighter += line.find(",lighter,") != std::string::npos;
  }
  EXPECT_EQ(failed, 3);
  EXPECT_GT(lighter, 0);
  EXPECT_EQ(planned + lighter, 100) << "each job under the variant that it ran";
}

TEST_F(FallbackRun, SoIsOneThatGivesNaNOrThrows) {
  for (const Fault fault : {Fault::nan, Fault::throws}) {
    const TaskReport t = play(fault).report.tasks[0];
    EXPECT_EQ(t.failed, 3);
    EXPECT_EQ(t.switches, 1);
  }
}

TEST_F(FallbackRun, WhatHangsIsCancelledAndCounted) {
  config.tasks[0].stage_limits.assign(3, std::chrono::milliseconds(300));
  config.duration = std::chrono::seconds(2);
  const RunOutcome outcome = play(Fault::hangs);
  EXPECT_EQ(outcome.report.tasks[0].failed, 3);
  EXPECT_EQ(outcome.report.tasks[0].switches, 1);
  EXPECT_THAT(outcome.report.notes, Contains(HasSubstr("lost: 3 stages ran beyond the watchdog's limit")));
}

}  // namespace
}  // namespace rtmdl
