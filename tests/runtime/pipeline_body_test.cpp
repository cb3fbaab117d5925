#include "runtime/pipeline_body.h"

#include "engine/fake/fake_engine.h"
#include "profiling/task_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct PipelineBodyTest : testing::Test {
  PipelineBodyTest() {
    folder.write("source.model", "");
    FakeModel model;
    model.inputs = {{"x", ElementType::f32, {1, 1, 2, 2}}};
    engine.script("source", std::move(model));
  }
  TaskSpec task(const std::string& data, const std::string& pre) const {
    return folder.parse("tasks: [{name: t, model: source.model, data: " + data + ", pre: " + pre + ", period: 10 ms}]")
        .tasks[0];
  }
  TaskFolder folder;
  FakeEngine engine;
};

TEST_F(PipelineBodyTest, WarmsUpPicturesOfEverySizeBeforeTheyArePlayed) {
  for (const int size : {64, 40})
    cv::imwrite((folder.path() / (std::to_string(100 - size) + ".png")).string(),
                cv::Mat(size, size, CV_8UC3, cv::Scalar(1, 2, 3)));
  const TaskSpec spec = task("{source: images, path: .}", "{crop: [0, 0, 50, 50]}");
  const auto source = open_source(spec.data, 1);
  StreamFeed feed(spec.data, *source, 512);
  PipelineBody body(engine, spec, load_request(spec, spec.model), feed);
  EXPECT_THAT(error_of([&] { body.warm_up(0); }),
              AllOf(HasSubstr("a picture of 40 x 40 pixels"), HasSubstr("f32 [1, 1, 2, 2]"),
                    HasSubstr("`crop` reaches beyond it")));
}

TEST_F(PipelineBodyTest, GivesUpOnlyTheJobThatWasCancelled) {
  const TaskSpec spec = task("{source: synthetic, shape: [1, 1, 2, 2]}", "{}");
  const auto source = open_source(spec.data, 1);
  StreamFeed feed(spec.data, *source, 8);
  PipelineBody body(engine, spec, load_request(spec, spec.model), feed);
  body.warm_up(2);
  body.cancel(3);  // may come before the job begins
  body.begin(3);
  EXPECT_FALSE(body.stage(0));
  body.begin(4);
  EXPECT_TRUE(body.stage(0));
  EXPECT_TRUE(body.stage(1)) << "what was asked of job 3 is forgotten";
  body.cancel(3);  // and after its end
  EXPECT_TRUE(body.stage(2));
  body.begin(5);
  EXPECT_TRUE(body.stage(0));
  body.cancel(5);
  EXPECT_FALSE(body.stage(1));
}

TEST_F(PipelineBodyTest, HoldsABoundedNumberOfBytes) {
  const TaskSpec spec = task("{source: synthetic, shape: [2, 16777216]}", "{}");  // 128 MiB each
  const auto source = open_source(spec.data, 1);
  StreamFeed feed(spec.data, *source, 512);
  PipelineBody body(engine, spec, load_request(spec, spec.model), feed);
  EXPECT_EQ(body.begin(1), 1);
  EXPECT_EQ(body.begin(2), 0);
}

TEST_F(PipelineBodyTest, EverySegmentIsAStage) {
  const TaskSpec spec = task("{source: synthetic, shape: [1, 1, 2, 2]}", "{}");
  const auto source = open_source(spec.data, 1);
  LoadRequest request = load_request(spec, spec.model);
  request.cuts = {4, 9};
  StreamFeed feed(spec.data, *source, 8);
  PipelineBody body(engine, spec, request, feed);
  ASSERT_EQ(body.stages(), 5);
  for (int s = 0; s < 5; ++s) body.warm_up(s);
  body.begin(0);
  for (int s = 0; s < 5; ++s) EXPECT_TRUE(body.stage(s)) << s;
  body.begin(1);
  EXPECT_TRUE(body.stage(0));
  EXPECT_TRUE(body.stage(1));
  body.cancel(1);
  EXPECT_FALSE(body.stage(2));
}

/// Of three classes: an exit that says 0 for sure, one that is undecided, and an end that says 2.
FakeModel with_exits() {
  FakeModel model;
  model.inputs = {{"x", ElementType::f32, {1, 1, 2, 2}}};
  model.outputs.clear();
  for (const char* name : {"end", "a", "b"}) model.outputs.push_back({name, ElementType::f32, {1, 3}});
  model.fill = [](Executable& executable, std::int64_t) {
    const float values[3][3] = {{0, 0, 9}, {20, 0, 0}, {1, 2, 1}};
    for (std::size_t o = 0; o < 3; ++o) std::ranges::copy(values[o], executable.output(o).as<float>().begin());
  };
  return model;
}

TEST_F(PipelineBodyTest, AJobThatLeavesHasTheAnswerOfItsExit) {
  engine.script("source", with_exits());
  const TaskSpec spec = folder
                            .parse(
                                "tasks: [{name: t, model: source.model, period: 10 ms, post: {kind: classes, k: 1}, "
                                "data: {source: synthetic, shape: [1, 1, 2, 2]}}]")
                            .tasks[0];
  const auto source = open_source(spec.data, 1);
  LoadRequest request = load_request(spec, spec.model);
  request.cuts = {4, 9};
  for (const char* name : {"a", "b"}) request.exits.push_back({name, SureMeasure::margin, 0.8, false});
  StreamFeed feed(spec.data, *source, 8);
  PipelineBody body(engine, spec, request, feed);
  for (int s = 0; s < 5; ++s) body.warm_up(s);
  body.begin(0);
  EXPECT_TRUE(body.stage(0) && body.stage(1));
  EXPECT_TRUE(body.answer().sure);
  EXPECT_GT(body.answer().utility, 0.99);
  EXPECT_TRUE(body.stage(4));
  EXPECT_THAT(body.result()->classes, testing::ElementsAre(0));
  body.begin(1);
  EXPECT_TRUE(body.stage(0) && body.stage(1) && body.stage(2));
  EXPECT_FALSE(body.answer().sure);
  EXPECT_TRUE(body.stage(4)) << "made to leave";
  EXPECT_THAT(body.result()->classes, testing::ElementsAre(1));
  body.begin(2);
  for (int s = 0; s < 5; ++s) EXPECT_TRUE(body.stage(s)) << s;
  EXPECT_THAT(body.result()->classes, testing::ElementsAre(2));
}

}  // namespace
}  // namespace rtmdl
