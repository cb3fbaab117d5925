// A whole run of models that change processors on the way.

#include "data/pipeline.h"
#include "engine/fake/fake_engine.h"
#include "profiling/task_folder.h"
#include "runtime/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::ElementsAre;

std::vector<int> processors_of(const JobRecord& job) {
  std::vector<int> all;
  for (int s = 0; s < job.stages; ++s) all.push_back(job.stage[static_cast<std::size_t>(s)].processor);
  return all;
}

TEST(SplitRun, PlaysEachPartOnItsProcessorAndEveryJobIsAccountedFor) {
  TaskFolder folder;
  folder.write("m.model", "");
  FakeEngine engine;
  FakeModel model;
  model.inputs = model.outputs = {{"x", ElementType::f32, {4}}};
  model.times = {std::chrono::microseconds(400)};
  engine.script("m", model);
  const TaskFile file = folder.parse(
      "processors: {cpu: {cores: [0]}, gpu: {device: webgpu, options: {a: b}}}\ntasks:\n"
      "  - {name: there, model: m.model, data: {source: synthetic, shape: [4]}, period: 5 ms, queue: 4}\n"
      "  - {name: back, model: m.model, data: {source: synthetic, shape: [4]}, period: 5 ms, queue: 4}\n");
  RunConfig config;
  config.name = "test";
  config.processors = file.processors;
  config.host_processor = file.host_processor();
  config.duration = std::chrono::milliseconds(500);
  for (std::size_t t = 0; t < 2; ++t) {
    RunTask task;
    task.spec = &file.tasks[t];
    task.variant = "source";
    task.request = load_request(file.tasks[t], file.tasks[t].model);
    task.request.cuts = {3};
    task.places = t == 0 ? std::vector<RunPlace>{{0, 2, 1}, {1, 1, 1}} : std::vector<RunPlace>{{1, 1, 1}, {0, 1, 1}};
    task.priority = static_cast<int>(t) + 1;
    config.tasks.push_back(task);
  }
  const RunOutcome outcome = run(engine, config, 1, {});

  for (const TaskReport& t : outcome.report.tasks) {
    EXPECT_EQ(t.released, 100);
    EXPECT_EQ(t.released, t.completed + t.dropped + t.failed);
    EXPECT_EQ(t.failed, 0);
    EXPECT_GT(t.completed, 0);
  }
  for (const JobRecord& job : outcome.records) {
    if (job.fate != JobFate::completed) continue;
    if (job.task == 0) {
      EXPECT_THAT(processors_of(job), ElementsAre(0, 0, 1, 0));
    } else {
      EXPECT_THAT(processors_of(job), ElementsAre(0, 1, 0, 0));
    }
    for (int s = 1; s < 4; ++s)
      EXPECT_GE(job.stage[static_cast<std::size_t>(s)].start, job.stage[static_cast<std::size_t>(s) - 1].end);
  }
  for (const ProcessorReport& p : outcome.report.processors) EXPECT_GT(p.busy, 0) << p.name;

  ASSERT_EQ(engine.loads().size(), 2U);
  const LoadRequest there = engine.loads()[0];
  ASSERT_EQ(there.places.size(), 2U);
  EXPECT_EQ(there.places[0].device, "cpu");
  EXPECT_EQ(there.places[0].threads, 2);
  EXPECT_THAT(there.places[0].pool.cores, ElementsAre(0));
  EXPECT_EQ(there.places[1].device, "webgpu");
  EXPECT_EQ(there.places[1].provider_options.at("a"), "b");
  EXPECT_EQ(there.places[1].urgency, 1) << "the other task shares the device, and is less urgent";
  EXPECT_EQ(engine.loads()[1].places[0].urgency, 0);
}

}  // namespace
}  // namespace rtmdl
