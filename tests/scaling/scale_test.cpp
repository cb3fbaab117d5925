/// Which levels are kept, with times and accuracies made up.

#include "scaling/scale.h"
#include "base/atomic_file.h"
#include "run_model.h"
#include "scaling/int8_search.h"
#include "scaling/resolution.h"

#include "../model/models.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

namespace rtmdl {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;

class Scale : public testing::Test {
 protected:
  Scale() {
    request_.model = folder_.save(test::resnet18(1), "source.onnx");
    request_.folder = folder_.path() / "variants";
    std::filesystem::create_directories(request_.folder);
    const auto executable = test::engine().load(test::at(request_.model));
    for (std::uint32_t seed = 1; seed <= 4; ++seed)
      request_.calibration.push_back(test::random_inputs(*executable, seed, 0, 1));
    request_.accuracy = [this](const LoadRequest& r) {
      ++scored_;
      return is_source(r) ? 1.0 : accuracy_;
    };
    request_.measure = [this](const std::vector<LoadRequest>& requests) {
      std::vector<std::vector<Duration>> times;
      for (const LoadRequest& r : requests)
        times.emplace_back(9, is_source(r) ? microseconds(1000) : is_int8(r) ? int8_ : fp32_);
      return times;
    };
  }
  bool is_source(const LoadRequest& r) const { return r.model == request_.model; }
  bool is_int8(const LoadRequest& r) const {
    return std::filesystem::file_size(r.model) < std::filesystem::file_size(request_.model) * 9 / 10;
  }
  std::vector<std::string> ids(const ScaleOutcome& o) const {
    std::vector<std::string> all;
    for (const Variant& v : o.variants) all.push_back(v.id);
    return all;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(request_.folder), {}));
  }
  ScaleOutcome run() { return scale(test::engine(), request_, Context()); }

  test::Folder folder_;
  ScaleRequest request_;
  Duration fp32_ = microseconds(1000), int8_ = microseconds(400);
  double accuracy_ = 1;
  int scored_ = 0;
};

TEST_F(Scale, KeepsAFasterLevelAndItsFile) {
  const ScaleOutcome o = run();
  ASSERT_EQ(ids(o), (std::vector<std::string>{"source", "int8"}));
  EXPECT_EQ(o.variants[0].path, request_.model);
  EXPECT_EQ(o.variants[1].median, microseconds(400));
  EXPECT_EQ(o.variants[1].bytes, static_cast<std::int64_t>(std::filesystem::file_size(o.variants[1].path)));
  EXPECT_EQ(o.variants[1].path.filename().string().size(), 16 + std::string(".onnx").size());
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(o.finished);
}

TEST_F(Scale, ALevelThatIsNotFasterIsNoLevel) {
  int8_ = microseconds(1400);
  const ScaleOutcome o = run();
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
  EXPECT_THAT(o.refused, testing::Contains("int8: 1.40x slower than source (1 ms -> 1.4 ms)"));
  EXPECT_EQ(scored_, 1);  // no time goes into scoring what is too slow
  EXPECT_EQ(files(), 0U);
}

TEST_F(Scale, AlmostAsFastIsNotFaster) {
  int8_ = microseconds(980);
  EXPECT_THAT(run().refused, testing::Contains("int8: only 1.02x faster than source (1 ms -> 980 us)"));
}

TEST_F(Scale, AnInaccurateLevelIsRefusedWithItsAccuracy) {
  accuracy_ = 0.9;
  request_.accuracy_min = 0.95;
  const ScaleOutcome o = run();
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
  EXPECT_THAT(o.refused, testing::Contains(HasSubstr("int8: accuracy 90.00 % is below the 95.00 % asked for")));
  EXPECT_EQ(files(), 0U);
}

TEST_F(Scale, Int8MustBeatTheFoldedModel) {
  fp32_ = microseconds(500);
  int8_ = microseconds(490);
  const ScaleOutcome o = run();
  EXPECT_EQ(ids(o), (std::vector<std::string>{"source", "fp32"}));
  EXPECT_THAT(o.refused, testing::Contains(HasSubstr("only 1.02x faster than fp32")));
}

TEST_F(Scale, MakesOnlyWhatIsAskedFor) {
  request_.precisions = {"fp32"};
  EXPECT_EQ(ids(run()), std::vector<std::string>{"source"});
  EXPECT_EQ(files(), 0U);
}

TEST_F(Scale, StopsWhereItIs) {
  std::atomic<bool> stop{true};
  Context context;
  context.stop = &stop;
  const ScaleOutcome o = scale(test::engine(), request_, context);
  EXPECT_FALSE(o.finished);
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
}

TEST_F(Scale, TheSameRequestGivesTheSameFiles) {
  const ScaleOutcome a = run();
  const ScaleOutcome b = run();
  ASSERT_EQ(a.variants.size(), 2U);
  EXPECT_EQ(files(), a.variants[1].path == b.variants[1].path ? 1U : 2U);
}

TEST_F(Scale, AModelInControlFlowIsPassedThrough) {
  request_.model = test::demo_path("silero_vad");
  if (!std::filesystem::exists(request_.model)) GTEST_SKIP() << request_.model << " is not there: run scripts/setup";
  request_.shapes = {{"input", {1, 576}}, {"state", {2, 1, 128}}};
  request_.state = {{"stateN", "state"}};
  request_.constants = {{"sr", 16000}};
  LoadRequest whole = test::at(request_.model, request_.shapes);
  whole.state = request_.state;
  whole.constants = request_.constants;
  const auto executable = test::engine().load(whole);
  request_.calibration = {test::random_inputs(*executable, 1, -1, 1)};
  const ScaleOutcome o = run();
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
  EXPECT_THAT(o.refused, testing::Contains(
                             "int8: no convolution or matrix product with constant weights outside of control flow"));
}

TEST_F(Scale, ResolutionSharesTheFile) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 3, -1, -1});
  m.output(m.conv(m.node("Relu", {m.conv(x, 3, 16, 3)}), 16, 1, 1));
  request_.model = folder_.save(m.model(), "free.onnx");
  request_.shapes = {{"x", {1, 3, 128, 192}}};
  request_.calibration.clear();
  request_.precisions = {"fp32"};
  request_.resolutions = {1.0, 0.5};
  request_.measure = [](const std::vector<LoadRequest>& requests) {
    std::vector<std::vector<Duration>> times;
    for (const LoadRequest& r : requests) times.emplace_back(3, microseconds(r.shapes.at("x")[2]));
    return times;
  };
  const ScaleOutcome o = run();
  ASSERT_EQ(ids(o), (std::vector<std::string>{"source", "fp32-r0.5"}));
  EXPECT_EQ(o.variants[1].path, request_.model);
  EXPECT_EQ(o.variants[1].shared_bytes, o.variants[1].bytes);
  EXPECT_EQ(o.variants[1].shapes.at("x"), (std::vector<std::int64_t>{1, 3, 64, 96}));
}

TEST_F(Scale, FixedResolutionIsSaid) {
  request_.precisions = {"fp32"};
  request_.resolutions = {1.0, 0.5};
  EXPECT_THAT(run().refused, testing::Contains("resolution: the model's spatial input is not free"));
}

TEST_F(Scale, AResolutionThatTheGridHasNotIsSaid) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 3, -1, -1});
  m.output(m.conv(x, 3, 16, 3));
  request_.model = folder_.save(m.model(), "free.onnx");
  request_.shapes = {{"x", {1, 3, 28, 28}}};
  request_.calibration.clear();
  request_.precisions = {"fp32"};
  request_.resolutions = {1.0, 0.5};
  EXPECT_THAT(run().refused,
              testing::Contains("resolution 0.5: the nearest in steps of 32 is 1x3x32x32, no less than 1x3x28x28"));
}

TEST_F(Scale, ALevelThatWasFastByChanceGoes) {
  const auto measured = request_.measure;
  request_.measure = [&, measured](const std::vector<LoadRequest>& requests) {
    if (scored_ > 1) int8_ = microseconds(990);  // the int8 level has been scored: what is measured now confirms it
    return measured(requests);
  };
  const ScaleOutcome o = run();
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
  EXPECT_THAT(o.refused, testing::Contains("int8: only 1.01x faster than source (1 ms -> 990 us)"));
  EXPECT_EQ(files(), 0U);
}

TEST_F(Scale, StoppedWhileScoringLeavesNothingHalfDone) {
  std::atomic<bool> stop{false};
  Context context;
  context.stop = &stop;
  request_.accuracy = [&](const LoadRequest& r) {
    if (is_source(r)) return 1.0;
    stop.store(true);
    throw Stopped();
  };
  const ScaleOutcome o = scale(test::engine(), request_, context);
  EXPECT_FALSE(o.finished);
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
  EXPECT_EQ(files(), 0U);
}

TEST_F(Scale, ADamagedFileIsMadeAnew) {
  const ScaleOutcome first = run();
  ASSERT_EQ(first.variants.size(), 2U);
  const auto path = first.variants[1].path;
  const std::string bytes = read_file(path);
  write_file_atomically(path, bytes.substr(0, bytes.size() / 2));
  const ScaleOutcome second = run();
  ASSERT_EQ(second.variants.size(), 2U);
  EXPECT_EQ(static_cast<std::int64_t>(std::filesystem::file_size(second.variants[1].path)), second.variants[1].bytes);
}

TEST_F(Scale, AModelThatCannotBePreparedIsPassedThrough) {
  test::ModelMaker m(10);
  const std::string x = m.input("x", {1, 4});
  auto& input = *m.model().graph().mutable_input(0);
  m.output(m.node("Clip", {x}));
  set_attribute(m.last(), "min", 0.0F);
  for (auto* value : {&input, m.model().graph().mutable_output(0)})
    value->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto_DataType_FLOAT16);
  request_.model = folder_.save(m.model(), "half.onnx");
  request_.calibration.clear();
  const ScaleOutcome o = run();
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
  EXPECT_THAT(o.refused, testing::Contains(testing::StartsWith("int8: ")));
}

TEST_F(Scale, ValuesThatAreNotFiniteAreSaid) {
  test::ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 1, 28, 28}), 1, 8, 3);
  m.output(m.node("Log", {m.node("Neg", {m.node("Relu", {m.conv(x, 8, 8, 3)})})}));
  request_.model = folder_.save(m.model(), "nan.onnx");
  const ScaleOutcome o = run();
  EXPECT_EQ(ids(o), std::vector<std::string>{"source"});
  EXPECT_THAT(o.refused, testing::Contains(HasSubstr("gives finite outputs on the task's data")));
}

TEST_F(Scale, AMissingModelIsAnError) {
  request_.model = "/nonexistent.onnx";
  EXPECT_THROW((void)run(), Error);
}

TEST(ScaledShape, SnapsToMultiplesOf32) {
  const SpatialInput nhwc{"x", 1, 2, true};
  EXPECT_EQ(scaled_shape({1, 320, 480, 3}, nhwc, 0.75), (std::vector<std::int64_t>{1, 256, 352, 3}));
  EXPECT_EQ(scaled_shape({1, 48, 48, 3}, nhwc, 0.1), (std::vector<std::int64_t>{1, 32, 32, 3}));
  EXPECT_EQ(scaled_shape({1, 50, 70, 3}, nhwc, 1), (std::vector<std::int64_t>{1, 50, 70, 3}));
}

TEST_F(Scale, HalfPrecisionIsKeptForAcceleratorsHoweverSlowItIsHere) {
  request_.precisions = {"fp16"};
  int8_ = fp32_ = microseconds(3000);
  const ScaleOutcome o = run();
  ASSERT_THAT(ids(o), testing::ElementsAre("source", "fp16")) << testing::PrintToString(o.refused);
  EXPECT_EQ(o.variants[1].precision, "fp16");
  EXPECT_LT(o.variants[1].bytes, o.variants[0].bytes * 6 / 10);
  EXPECT_THAT(o.variants[1].note, HasSubstr("operators in f16"));
  accuracy_ = 0.5;
  request_.accuracy_min = 0.9;
  EXPECT_THAT(run().refused, testing::Contains(HasSubstr("fp16: accuracy 50.00 %")));
}

TEST(NeedlesslyLarge, IsWhatASmallerFormOfTheSameTimeAndNoMoreErrorStandsInFor) {
  const MeasuredForm fastest{microseconds(400), 0.01, 900};
  EXPECT_EQ(needlessly_large({fastest, {microseconds(410), 0.01, 500}}), (std::vector<bool>{true, false}));
  EXPECT_EQ(needlessly_large({fastest, {microseconds(410), 0.005, 500}}), (std::vector<bool>{true, false}));
  EXPECT_EQ(needlessly_large({fastest, {microseconds(413), 0.01, 500}}), (std::vector<bool>{false, false})) << "slower";
  EXPECT_EQ(needlessly_large({fastest, {microseconds(401), 0.011, 500}}), (std::vector<bool>{false, false}))
      << "errs more";
  EXPECT_EQ(needlessly_large({fastest, {microseconds(390), 0.01, 900}}), (std::vector<bool>{false, false}))
      << "no smaller";
  EXPECT_EQ(needlessly_large({}), std::vector<bool>{});
}

/// A narrower form, as far as the made-up times tell.
class ScaleForm : public Scale {
 protected:
  ScaleForm() {
    form_.id = "w0.5";
    form_.width = 0.5;
    form_.model = test::resnet18(1);
    form_.note = "half of it";
    request_.form = &form_;
    fp32_ = microseconds(600);
    int8_ = microseconds(300);
  }
  SlimForm form_;
};

TEST_F(ScaleForm, GivesItsOwnLevelsBesideTheSource) {
  const ScaleOutcome o = run();
  ASSERT_THAT(ids(o), testing::ElementsAre("source", "w0.5", "w0.5-int8")) << testing::PrintToString(o.refused);
  EXPECT_EQ(o.variants[1].width, 0.5);
  EXPECT_EQ(o.variants[1].precision, "fp32");
  EXPECT_EQ(o.variants[2].width, 0.5);
  EXPECT_EQ(o.variants[2].precision, "int8");
  EXPECT_THAT(o.variants[2].note, testing::AllOf(HasSubstr("half of it"), HasSubstr("integer")));
  EXPECT_EQ(files(), 2U);
}

TEST_F(ScaleForm, OneThatIsNotFasterThanTheSourceIsNoLevelAndNothingIsMadeOfIt) {
  fp32_ = microseconds(990);
  const ScaleOutcome o = run();
  EXPECT_THAT(ids(o), testing::ElementsAre("source"));
  EXPECT_THAT(o.refused, testing::ElementsAre(HasSubstr("w0.5: only 1.01x faster than source")));
  EXPECT_EQ(files(), 0U);
}

TEST_F(ScaleForm, OneThatIsNotGoodEnoughSaysHowGoodItIs) {
  request_.accuracy_min = 0.9;
  accuracy_ = 0.8;
  const ScaleOutcome o = run();
  EXPECT_THAT(ids(o), testing::ElementsAre("source"));
  EXPECT_THAT(o.refused, testing::ElementsAre(HasSubstr("w0.5: accuracy 80.00 % is below the 90.00 % asked for")));
}

TEST_F(ScaleForm, WithoutFp32OnlyItsIntegerLevelsStay) {
  request_.precisions = {"int8"};
  EXPECT_THAT(ids(run()), testing::ElementsAre("source", "w0.5-int8"));
}

}  // namespace
}  // namespace rtmdl
