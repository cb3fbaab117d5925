#include "base/atomic_file.h"
#include "base/hash.h"
#include "engine/engine.h"
#include "engine/fake/fake_engine.h"
#include "model/models.h"
#include "model/sliced_weights.h"

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

/// Writes `model` twice into a folder: whole, and with the weights of its convolutions in a file of their own, in which
/// they have more channels.
std::pair<fs::path, fs::path> whole_and_sliced(const Model& model, const fs::path& folder) {
  save_model(model, folder / "whole.onnx");
  Model light = model;
  std::string weights;
  std::vector<std::pair<onnx::TensorProto*, StoredSlice>> slices;
  for (onnx::TensorProto& tensor : *light.graph().mutable_initializer()) {
    if (tensor.dims_size() != 4) continue;
    StoredSlice at{"", static_cast<std::int64_t>(weights.size()), {dims(tensor), {{}}}, ""};
    const std::size_t row = tensor.raw_data().size() / static_cast<std::size_t>(tensor.dims(0));
    at.slice.stored[0] = 2 * tensor.dims(0);
    for (std::int64_t i = 0; i < tensor.dims(0); ++i) {
      at.slice.taken[0].push_back(2 * i + 1);
      weights += std::string(row, '?') + tensor.raw_data().substr(static_cast<std::size_t>(i) * row, row);
    }
    slices.emplace_back(&tensor, at);
  }
  const WeightsFile file{"conv.weights", static_cast<std::int64_t>(weights.size()), sha256(weights), {}};
  write_file_atomically(folder / file.location, weights);
  for (auto& [tensor, at] : slices) {
    at.location = file.location;
    const std::string digest = tensor_digest(tensor->raw_data());
    refer_to_slice(*tensor, at, digest);
  }
  set_weights_files(light.proto, {file});
  write_file_atomically(folder / "sliced.onnx", light.proto.SerializeAsString());
  return {folder / "whole.onnx", folder / "sliced.onnx"};
}

TEST_F(OnnxRuntimeEngineTest, RunsAModelOfSlicedWeightsAsIfItWereWhole) {
  const auto [whole, sliced] = whole_and_sliced(test::resnet18(-1), folder_);
  EXPECT_LT(2 * fs::file_size(sliced), fs::file_size(whole));
  for (const bool defaults : {false, true}) {
    std::vector<std::vector<std::byte>> results;
    for (const fs::path& path : {whole, sliced}) {
      LoadRequest r;
      r.model = path;
      r.threads = 2;
      r.defaults = defaults;
      r.shapes = {{"image", {2, 1, 28, 28}}};
      r.profile = folder_ / "profile";
      const auto model = engine_->load(r);
      float x = 0;
      for (float& v : model->input(0).as<float>()) v = x += 0.001F;
      ASSERT_TRUE(model->run());
      const auto out = model->output(0);
      EXPECT_THAT(out.shape, ::testing::ElementsAre(2, 10));
      results.emplace_back(out.bytes.begin(), out.bytes.end());
      EXPECT_THAT(read_file(model->finish_profile()), HasSubstr("Conv"));
    }
    EXPECT_EQ(results[0], results[1]);
  }
}

TEST_F(OnnxRuntimeEngineTest, SaysOnceWhichFileLacksItsWeights) {
  const auto [whole, sliced] = whole_and_sliced(test::resnet18(1), folder_);
  fs::remove(folder_ / "conv.weights");
  LoadRequest r;
  r.model = sliced;
  EXPECT_EQ(refusal(*engine_, r), sliced.string() + ": weights 'w0': they are in " +
                                      (folder_ / "conv.weights").string() +
                                      ", which cannot be read: No such file or directory");
}

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

TEST_F(OnnxRuntimeEngineTest, ACancelledModelRunsAgainOnceItIsRearmed) {
  LoadRequest request;
  request.model = asset("blazeface_128.onnx");
  const auto model = engine_->load(request);
  ASSERT_TRUE(model->run());
  const auto bytes = [&] {
    const auto out = model->output(0).bytes;
    return std::vector<std::byte>(out.begin(), out.end());
  };
  const std::vector<std::byte> before = bytes();
  model->cancel();
  EXPECT_FALSE(model->run());
  EXPECT_FALSE(model->run()) << "until it is rearmed";
  EXPECT_STRNE(model->last_error(), "");
  model->rearm();
  ASSERT_TRUE(model->run());
  EXPECT_EQ(bytes(), before);
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
