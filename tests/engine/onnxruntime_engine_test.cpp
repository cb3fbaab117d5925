#include "base/atomic_file.h"
#include "engine/engine.h"
#include "engine/fake/fake_engine.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

fs::path asset(const std::string& name) { return fs::path(RTMDL_SOURCE_DIR) / "assets" / "models" / name; }

std::string refusal(Engine& engine, const LoadRequest& request, ErrorCode code = ErrorCode::bad_input) {
  try {
    static_cast<void>(engine.load(request));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code);
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "accepted";
}

LoadRequest silero() {
  LoadRequest r;
  r.model = asset("silero_vad.onnx");
  r.shapes = {{"input", {1, 576}}, {"state", {2, 1, 128}}};
  r.state = {{"stateN", "state"}};
  r.constants = {{"sr", 16000}};
  return r;
}

class OnnxRuntimeEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> engine_ = make_onnxruntime_engine();
  fs::path folder_ = fs::temp_directory_path() / ("rtmdl-engine-" + std::to_string(::getpid()));
  void TearDown() override { fs::remove_all(folder_); }
};

TEST_F(OnnxRuntimeEngineTest, BindsInputsAndOutputsOnceAndRunsRepeatably) {
  LoadRequest r;
  r.model = asset("blazeface_128.onnx");
  const auto model = engine_->load(r);
  ASSERT_EQ(model->inputs().size(), 1U);
  EXPECT_EQ(model->inputs()[0].shape, (std::vector<std::int64_t>{1, 128, 128, 3}));
  ASSERT_EQ(model->outputs().size(), 4U);
  for (float& x : model->input(0).as<float>()) x = 0.25F;
  ASSERT_TRUE(model->run());
  const std::byte* where = model->output(0).bytes.data();
  const std::vector<float> first(model->output(0).as<float>().begin(), model->output(0).as<float>().end());
  ASSERT_TRUE(model->run());
  EXPECT_EQ(model->output(0).bytes.data(), where);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), model->output(0).as<float>().begin()));
}

TEST_F(OnnxRuntimeEngineTest, FeedsStateBackAndResetsIt) {
  const auto model = engine_->load(silero());
  ASSERT_EQ(model->inputs().size(), 1U) << "state and constants are not the caller's";
  for (float& x : model->input(0).as<float>()) x = 0.1F;
  std::vector<float> probabilities;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(model->run());
    probabilities.push_back(model->output(0).as<float>()[0]);
  }
  EXPECT_NE(probabilities[0], probabilities[1]);
  model->reset_state();
  ASSERT_TRUE(model->run());
  EXPECT_EQ(model->output(0).as<float>()[0], probabilities[0]);
}

TEST_F(OnnxRuntimeEngineTest, TwoThreadsGiveTheSameResults) {
  LoadRequest r;
  r.model = asset("ppocr_det.onnx");
  r.shapes = {{"x", {1, 3, 64, 96}}};
  const auto one = engine_->load(r);
  r.threads = 2;
  r.pool.cores = available_cores();
  const auto two = engine_->load(r);
  for (auto* model : {one.get(), two.get()}) {
    float v = 0;
    for (float& x : model->input(0).as<float>()) x = v = v > 1 ? -1 : v + 0.01F;
    ASSERT_TRUE(model->run());
  }
  const auto a = one->output(0).as<float>(), b = two->output(0).as<float>();
  ASSERT_EQ(a.size(), 64U * 96U);
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4);
}

TEST_F(OnnxRuntimeEngineTest, FreeDimensionsMustBeFixed) {
  LoadRequest r;
  r.model = asset("ppocr_det.onnx");
  EXPECT_THAT(refusal(*engine_, r), HasSubstr("input 'x' has free dimensions [-1, 3, -1, -1]"));
  r.shapes = {{"x", {1, 4, 64, 64}}};
  EXPECT_THAT(refusal(*engine_, r), HasSubstr("[1, 4, 64, 64] does not fit"));
  r.shapes = {{"y", {1, 3, 64, 64}}};
  EXPECT_THAT(refusal(*engine_, r), HasSubstr("shapes names the input 'y'"));
}

TEST_F(OnnxRuntimeEngineTest, WhatIsNotAModelIsOneClearLine) {
  LoadRequest r;
  r.model = folder_ / "none.onnx";
  EXPECT_THAT(refusal(*engine_, r), HasSubstr("none.onnx: cannot read the model: no such file"));
  write_file_atomically(folder_ / "text.onnx", "this is not a model at all, but it is long enough to be looked at");
  r.model = folder_ / "text.onnx";
  EXPECT_THAT(refusal(*engine_, r), HasSubstr("text.onnx: ONNX Runtime refuses this model"));
  const std::string whole = read_file(asset("blazeface_128.onnx"));
  write_file_atomically(folder_ / "cut.onnx", whole.substr(0, whole.size() / 2));
  r.model = folder_ / "cut.onnx";
  EXPECT_THAT(refusal(*engine_, r), HasSubstr("cut.onnx: ONNX Runtime refuses this model"));
}

TEST_F(OnnxRuntimeEngineTest, AMissingDeviceIsSaidWithWhatIsThere) {
  LoadRequest r;
  r.model = asset("blazeface_128.onnx");
  r.device = "abacus:0";
  EXPECT_THAT(refusal(*engine_, r, ErrorCode::missing_device),
              HasSubstr("device 'abacus:0' is not there: this ONNX Runtime has"));
  const auto devices = engine_->devices();
  if (std::find(devices.begin(), devices.end(), "TensorrtExecutionProvider") == devices.end()) {
    r.device = "tensorrt:0";
    EXPECT_THAT(refusal(*engine_, r, ErrorCode::missing_device), HasSubstr("TensorRT build"));
  }
}

TEST_F(OnnxRuntimeEngineTest, StateThatDoesNotFitIsRefused) {
  LoadRequest r = silero();
  r.state = {{"output", "state"}};
  EXPECT_THAT(refusal(*engine_, r),
              HasSubstr("output 'output' [1, 1] cannot be fed back to input 'state' [2, 1, 128]"));
  r.state = {{"nothing", "state"}};
  EXPECT_THAT(refusal(*engine_, r), HasSubstr("state names the output 'nothing'"));
}

TEST(FakeEngineTest, PlaysItsScript) {
  FakeEngine engine;
  FakeModel model;
  model.times = {std::chrono::milliseconds(2), std::chrono::milliseconds(3)};
  model.how = FakeTime::virtual_;
  model.fail_every = 3;
  engine.script("m", model);
  LoadRequest r;
  r.model = "any/where/m.onnx";
  const auto loaded = engine.load(r);
  EXPECT_TRUE(loaded->run());
  EXPECT_TRUE(loaded->run());
  EXPECT_EQ(engine.elapsed(), std::chrono::milliseconds(5));
  EXPECT_FALSE(loaded->run());
  EXPECT_STREQ(loaded->last_error(), "scripted failure");
  EXPECT_EQ(engine.loads().size(), 1U);
}

}  // namespace
}  // namespace rtmdl
