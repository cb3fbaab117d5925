#include "data/plugin_steps.h"

#include "base/atomic_file.h"
#include "profiling/task_folder.h"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

struct PluginSteps : testing::Test {
  PluginSteps() {
    folder.write("m.onnx", "");
    for (const char* name : {"steps.so", "only_pre.so"})
      std::filesystem::copy_file(std::string(RTMDL_BINARY_DIR) + "/tests/plugins/" + name, folder.path() / name);
  }
  [[nodiscard]] TaskSpec task(const std::string& steps) const {
    return folder
        .parse("tasks: [{name: t, model: m.onnx, data: {source: synthetic, shape: [4]}, period: 10 ms, " + steps + "}]")
        .tasks[0];
  }
  std::unique_ptr<Preprocess> pre(const std::string& text) const {
    return make_preprocess(task("pre: " + text).pre, input);
  }
  std::unique_ptr<Postprocess> post(const std::string& text) const {
    return make_postprocess(task("post: " + text).post, std::vector<TensorSpec>{output});
  }
  TaskFolder folder;
  const TensorSpec input{"x", ElementType::f32, {4}}, output{"y", ElementType::f32, {4}};
};

TEST_F(PluginSteps, ReplaceOursAndSeeWhatTheyWouldSee) {
  const auto before = pre("{plugin: steps.so, options: 2.5}");
  const auto after = post("{kind: plugin, plugin: steps.so, gives: classes}");
  Frame frame;
  frame.tensor = Tensor(ElementType::f32, {4});
  const std::array<float, 4> values{1, 2, 4, 3};
  std::copy(values.begin(), values.end(), frame.tensor.as<float>().begin());
  Tensor in(ElementType::f32, {4});
  Geometry geometry;
  frame.restart = true;
  frame.batch = 3;
  ASSERT_TRUE(before->run(frame, in.view(), geometry));
  EXPECT_EQ(geometry.offset_x, 1) << "restart";
  EXPECT_EQ(geometry.offset_y, 3) << "batch";
  EXPECT_THAT(in.as<float>(), ElementsAre(2.5f, 5, 10, 7.5f));
  Result result;
  after->prepare(result);
  ASSERT_TRUE(after->run(std::vector<TensorView>{in.view()}, geometry, result));
  EXPECT_THAT(result.classes, ElementsAre(2));
  EXPECT_THAT(result.scores, ElementsAre(2.5f)) << "the geometry goes from one to the other";
  EXPECT_EQ(after->classes(), 4);
  EXPECT_EQ(task("post: {kind: plugin, plugin: steps.so, gives: lines}").post_kind, "lines");
}

TEST_F(PluginSteps, WhatTheyRefuseOrThrowFailsTheJob) {
  const auto before = pre("{plugin: steps.so}");
  Tensor in(ElementType::f32, {4});
  Geometry geometry;
  Frame picture;
  picture.image = cv::Mat(2, 2, CV_8UC1, cv::Scalar(0));
  EXPECT_FALSE(before->run(picture, in.view(), geometry));
  const auto after = post("{kind: plugin, plugin: steps.so, gives: classes}");
  Result result;
  for (const float value : {-1.0f, -2000.0f}) {
    std::fill(in.as<float>().begin(), in.as<float>().end(), value);
    EXPECT_FALSE(after->run(std::vector<TensorView>{in.view()}, geometry, result)) << value;
  }
}

TEST_F(PluginSteps, SayWhatIsWrongWithALibrary) {
  EXPECT_THAT(error_of([&] { pre("{plugin: none.so}"); }),
              AllOf(HasSubstr("pre.plugin"), HasSubstr("there is no file")));
  folder.write("text.so", "not a library");
  EXPECT_THAT(error_of([&] { pre("{plugin: text.so}"); }), HasSubstr("cannot be loaded"));
  EXPECT_THAT(error_of([&] { post("{kind: plugin, plugin: only_pre.so, gives: classes}"); }),
              HasSubstr("does not define rtmdl_make_post_step_1"));
  EXPECT_THAT(error_of([&] { pre("{plugin: steps.so, options: refuse}"); }), HasSubstr("refuses this model"));
  EXPECT_THAT(error_of([&] { pre("{plugin: steps.so, options: throw}"); }),
              HasSubstr("refuses this model: for a reason"));
  EXPECT_THAT(error_of([&] { pre("{plugin: steps.so, resize: [1, 1]}"); }), HasSubstr("resize"));
  EXPECT_THAT(error_of([&] { static_cast<void>(task("post: {kind: plugin, plugin: steps.so}")); }), HasSubstr("gives"));
  EXPECT_THAT(error_of([&] { static_cast<void>(task("post: {kind: plugin, plugin: steps.so, gives: cats}")); }),
              HasSubstr("'cats'"));
}

TEST_F(PluginSteps, AChangedLibraryIsAnotherStep) {
  const ConfigNode step = task("pre: {plugin: steps.so}").pre;
  const std::string before = step_key(step);
  EXPECT_EQ(step_key(step), before);
  EXPECT_NE(step_key(task("pre: {plugin: steps.so, options: 1}").pre), before);
  std::filesystem::copy_file(folder.path() / "only_pre.so", folder.path() / "steps.so",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(step_key(step), before);
}

}  // namespace
}  // namespace rtmdl
