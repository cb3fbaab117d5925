#include "architectures.h"
#include "engine/engine.h"
#include "engine/fake/fake_engine.h"
#include "engine/same_outputs.h"
#include "model/models.h"
#include "model/split.h"

#include <rtmdl/error.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

namespace rtmdl {
namespace {

using test::fill;
using test::some_cuts;
using testing::HasSubstr;
namespace fs = std::filesystem;

class Segments : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  /// The file uncut and in about `n` segments, on the same inputs twice.
  void expect_as_uncut(LoadRequest request, std::size_t n) {
    const std::string what = request.model.filename().string();
    const auto whole = engine_->load(request);
    request.cuts = some_cuts(load_model(request.model), n - 1);
    ASSERT_FALSE(request.cuts.empty()) << what;
    const auto cut = engine_->load(request);
    ASSERT_EQ(cut->segments(), static_cast<int>(request.cuts.size()) + 1) << what;
    for (const std::uint32_t seed : {1U, 2U}) {
      fill(*whole, seed);
      fill(*cut, seed);
      ASSERT_TRUE(whole->run()) << what << ": " << whole->last_error();
      for (int k = 0; k < cut->segments(); ++k) ASSERT_TRUE(cut->run_segment(k)) << what << ": " << cut->last_error();
      test::expect_equal_outputs(*whole, *cut, what);
    }
  }

  LoadRequest asset(const std::string& name) const {
    LoadRequest request;
    request.model = fs::path(RTMDL_SOURCE_DIR) / "assets" / "models" / name;
    return request;
  }

  std::unique_ptr<Engine> engine_ = make_onnxruntime_engine();
  fs::path folder_ = fs::temp_directory_path() / ("rtmdl-segments-" + std::to_string(::getpid()));
};

TEST_F(Segments, GiveWhatTheUncutModelGivesForEveryArchitecture) {
  for (const std::string& name : test::architectures()) {
    const fs::path file = folder_ / (name + ".onnx");
    save_model(test::architecture(name), file);
    LoadRequest request;
    request.model = file;
    for (const std::size_t n : {2U, 8U}) expect_as_uncut(request, n);
    fs::remove(file);
  }
}

TEST_F(Segments, GiveWhatTheUncutModelGivesForModelsInUse) {
  for (const char* name : {"blazeface_128.onnx", "mlsd_320.onnx"}) expect_as_uncut(asset(name), 5);
  LoadRequest text = asset("ppocr_det.onnx");
  text.shapes = {{"x", {1, 3, 64, 96}}};
  expect_as_uncut(text, 6);
}

TEST_F(Segments, KeepTheStateOfTheWhole) {
  LoadRequest request = asset("silero_vad.onnx");
  request.shapes = {{"input", {1, 576}}, {"state", {2, 1, 128}}};
  request.state = {{"stateN", "state"}};
  request.constants = {{"sr", 16000}};
  const auto whole = engine_->load(request);
  for (const Seam& seam : find_seams(load_model(request.model), 4)) request.cuts.push_back(seam.node);
  if (request.cuts.empty()) GTEST_SKIP() << "all of it is one operator";
  const auto cut = engine_->load(request);
  ASSERT_EQ(cut->inputs().size(), 1U);
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t step = 0; step < 4; ++step) {
      fill(*whole, step);
      fill(*cut, step);
      ASSERT_TRUE(whole->run());
      ASSERT_TRUE(cut->run()) << cut->last_error();
      test::expect_equal_outputs(*whole, *cut, "step " + std::to_string(step));
    }
    whole->reset_state();
    cut->reset_state();
  }
}

TEST_F(Segments, StateGoesFromTheLastSegmentToTheFirst) {
  LoadRequest request = test::model_with_state(folder_);
  const auto whole = engine_->load(request);
  request.cuts = {1, 2, 3};
  const auto cut = engine_->load(request);
  for (std::uint32_t step = 0; step < 4; ++step) {
    fill(*whole, step);
    fill(*cut, step);
    ASSERT_TRUE(whole->run());
    ASSERT_TRUE(cut->run()) << cut->last_error();
    test::expect_equal_outputs(*whole, *cut, "step " + std::to_string(step));
  }
}

TEST_F(Segments, WithPlacesOfTheirOwnGiveWhatThoseInOnePlaceGive) {
  for (const char* name : {"blazeface_128.onnx", "mlsd_320.onnx"}) {
    LoadRequest request = asset(name);
    request.cuts = some_cuts(load_model(request.model), 2);
    const auto whole = engine_->load(request);
    request.places.assign(request.cuts.size() + 1, {});
    const auto split = engine_->load(request);
    ASSERT_EQ(split->segments(), static_cast<int>(request.places.size())) << name;
    for (const std::uint32_t seed : {1U, 2U}) {
      fill(*whole, seed);
      fill(*split, seed);
      ASSERT_TRUE(whole->run()) << whole->last_error();
      ASSERT_TRUE(split->run()) << split->last_error();
      test::expect_equal_outputs(*whole, *split, name, 0);
    }
  }
}

TEST_F(Segments, EachHasAPlaceOrNoneHas) {
  LoadRequest request = asset("blazeface_128.onnx");
  request.cuts = some_cuts(load_model(request.model), 2);
  request.places.resize(2);
  try {
    static_cast<void>(engine_->load(request));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_input);
    EXPECT_THAT(error.what(), HasSubstr("blazeface_128.onnx: 2 places for 3 segments"));
  }
}

TEST_F(Segments, APlaceThatIsNotThereIsSaid) {
  LoadRequest request = asset("blazeface_128.onnx");
  request.cuts = some_cuts(load_model(request.model), 1);
  request.places.resize(2);
  request.places[1].device = "openvino";
  try {
    static_cast<void>(engine_->load(request));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::missing_device);
    EXPECT_THAT(error.what(), HasSubstr("device 'openvino' is not there"));
  }
}

TEST_F(Segments, StopWhenTheyAreCancelled) {
  LoadRequest request = asset("blazeface_128.onnx");
  request.cuts = some_cuts(load_model(request.model), 2);
  const auto model = engine_->load(request);
  ASSERT_TRUE(model->run_segment(0));
  model->cancel();
  EXPECT_FALSE(model->run_segment(1));
  EXPECT_STRNE(model->last_error(), "");
  model->rearm();
  EXPECT_TRUE(model->run_segment(1));
}

TEST_F(Segments, PlacesOutsideOfTheModelAreRefused) {
  LoadRequest request = asset("blazeface_128.onnx");
  const int nodes = load_model(request.model).graph().node_size();
  for (const std::vector<int>& cuts : {std::vector<int>{0}, {5, 5}, {nodes}, {7, 3}}) {
    request.cuts = cuts;
    try {
      static_cast<void>(engine_->load(request));
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_input);
      EXPECT_THAT(error.what(), HasSubstr("cuts are ascending, from 1 to " + std::to_string(nodes - 1)));
    }
  }
}

TEST_F(Segments, AShapeThatDependsOnTheDataCannotCross) {
  test::ModelMaker m;
  const std::string found = m.node("NonZero", {m.node("Relu", {m.input("x", {2, 3})})});
  m.node("Abs", {found});
  m.last().set_output(0, "y");
  auto& output = *m.model().graph().add_output();
  output.set_name("y");
  output.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto_DataType_INT64);
  save_model(m.model(), folder_ / "found.onnx");
  LoadRequest request;
  request.model = folder_ / "found.onnx";
  request.cuts = {2};
  try {
    static_cast<void>(engine_->load(request));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("depends on the data"));
  }
}

TEST(FakeSegments, ShareTheScriptedTime) {
  FakeEngine engine;
  FakeModel model;
  model.times = {std::chrono::milliseconds(4)};
  model.how = FakeTime::virtual_;
  engine.script("m", model);
  LoadRequest request;
  request.model = "m.onnx";
  request.cuts = {3, 5, 9};
  const auto loaded = engine.load(request);
  ASSERT_EQ(loaded->segments(), 4);
  ASSERT_TRUE(loaded->run_segment(0));
  EXPECT_EQ(engine.elapsed(), std::chrono::milliseconds(1));
  for (int k = 1; k < 4; ++k) ASSERT_TRUE(loaded->run_segment(k));
  EXPECT_EQ(engine.elapsed(), std::chrono::milliseconds(4));
}

}  // namespace
}  // namespace rtmdl
