#include "profiling/training_data.h"

#include "base/hash.h"
#include "data/pipeline.h"
#include "data/source.h"
#include "profiling/task_folder.h"
#include "profiling/text_engine.h"

#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string idx(std::initializer_list<std::uint32_t> dimensions, const std::string& items) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(dimensions.size())};
  for (const std::uint32_t d : dimensions)
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(d >> shift);
  return bytes + items;
}

struct TrainingDataTest : testing::Test {
  TrainingDataTest() {
    folder.write("picture.model", "1 0 picture");
    folder.write("row.model", "1 0");
  }
  TaskSpec task(const std::string& data, const std::string& model = "picture.model",
                const std::string& more = "") const {
    return folder.parse("tasks: [{name: t, model: " + model + ", data: " + data + ", period: 10 ms" + more + "}]")
        .tasks[0];
  }
  /// Pictures of 4 × 4 pixels, each pixel a function of the picture's number; label = number modulo 7.
  void write_idx(const std::string& stem, std::uint32_t count, std::uint32_t first) const {
    std::string pixels, labels;
    for (std::uint32_t i = first; i < first + count; ++i) {
      for (std::uint32_t k = 0; k < 16; ++k) pixels += static_cast<char>((i * 31 + k * k * 7) & 255);
      labels += static_cast<char>(i % 7);
    }
    folder.write(stem + "-images-idx3-ubyte", idx({count, 4, 4}, pixels));
    folder.write(stem + "-labels-idx1-ubyte", idx({count}, labels));
  }
  void write_pictures(int count) const {
    std::filesystem::create_directories(folder.path() / "p");
    for (int i = 0; i < count; ++i) {
      cv::Mat picture(40, 40, CV_8UC3);
      cv::RNG(static_cast<std::uint64_t>(i) + 1).fill(picture, cv::RNG::UNIFORM, 0, 256);
      cv::imwrite((folder.path() / "p" / fmt::format("{}.png", i)).string(), picture);
    }
  }
  /// Examples are what the runtime's pre-processing writes for the same frames, in whatever order they are asked for.
  void expect_as_in_a_run(const TaskSpec& spec, const std::vector<std::size_t>& frames) {
    Pipeline pipeline(engine, spec, load_request(spec, spec.model));
    const auto data =
        open_training_data(spec, {pipeline.executable().inputs().begin(), pipeline.executable().inputs().end()}, 5);
    const auto source = open_source(spec.data, 5);
    ASSERT_EQ(data->size(), source->size(Split::training));
    for (const std::size_t i : frames) {
      const Frame frame = source->read(Split::training, i);
      ASSERT_TRUE(pipeline.pre(frame));
      const std::vector<Tensor> wanted = pipeline.inputs();
      const Example example = data->at(i);
      ASSERT_EQ(example.inputs.size(), 1u);
      EXPECT_EQ(example.inputs[0].shape, wanted[0].shape);
      EXPECT_EQ(example.inputs[0].type, wanted[0].type);
      EXPECT_EQ(example.inputs[0].bytes, wanted[0].bytes) << i;
      EXPECT_EQ(example.labels, frame.labels);
    }
  }
  /// No input of the evaluation split, as the model sees it, is learnt from.
  void expect_disjoint(const TaskSpec& spec, std::size_t most) {
    Pipeline pipeline(engine, spec, load_request(spec, spec.model));
    const auto data =
        open_training_data(spec, {pipeline.executable().inputs().begin(), pipeline.executable().inputs().end()}, 5);
    const auto hash = [](const Tensor& t) {
      return sha256({reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size()});
    };
    std::set<std::string> learnt;
    for (std::size_t i = 0; i < std::min(most, data->size()); ++i) learnt.insert(hash(data->at(i).inputs[0]));
    const auto source = open_source(spec.data, 5);
    for (std::size_t i = 0; i < source->size(Split::evaluation); ++i) {
      ASSERT_TRUE(pipeline.pre(source->read(Split::evaluation, i)));
      ASSERT_FALSE(learnt.contains(hash(pipeline.inputs()[0]))) << i;
    }
  }
  TaskFolder folder;
  TextEngine engine;
};

TEST_F(TrainingDataTest, ExamplesOfIdxAreWhatARunWouldGiveTheModel) {
  write_idx("train", 90, 0);
  write_idx("t10k", 10, 90);
  const TaskSpec spec =
      task("{source: idx, path: ., batch: 1}", "picture.model", ", pre: {scale: 1/255, mean: 0.3, std: 0.2}");
  expect_as_in_a_run(spec, {89, 0, 17, 17, 44});
  expect_disjoint(spec, 90);
  const auto data = open_training_data(spec, {{"x", ElementType::f32, {1, 1, 2, 2}}}, 5);
  EXPECT_TRUE(data->labelled());
  EXPECT_EQ(data->classes(), 7);
  for (const std::size_t i : {0u, 8u, 89u})
    EXPECT_EQ(data->at(i).labels, std::vector<std::int32_t>{static_cast<std::int32_t>(i % 7)});
}

TEST_F(TrainingDataTest, ExamplesOfPicturesAreWhatARunWouldGiveTheModel) {
  for (const int pictures : {2, 12}) {
    write_pictures(pictures);
    const TaskSpec spec = task("{source: images, path: p}", "picture.model", ", pre: {scale: 1/255}");
    expect_as_in_a_run(spec, {0, 3000, 11, 4095});
    expect_disjoint(spec, 500);
    const auto data = open_training_data(spec, {{"x", ElementType::f32, {1, 1, 2, 2}}}, 5);
    EXPECT_FALSE(data->labelled());
    EXPECT_EQ(data->classes(), 0);
    EXPECT_TRUE(data->at(3).labels.empty());
  }
}

TEST_F(TrainingDataTest, ExamplesOfTensorsAreCopied) {
  const TaskSpec spec = task("{source: synthetic, shape: [1, 4]}", "row.model");
  expect_as_in_a_run(spec, {5, 0, 2047});
  expect_disjoint(spec, 2048);
}

TEST_F(TrainingDataTest, DrawnDataHaveOthersThatNothingHasLearntFrom) {
  const std::vector<TensorSpec> inputs{{"x", ElementType::f32, {1, 3, 32, 32}}};
  const TaskSpec spec = task("{source: signs, count: {training: 90}}");
  const auto learnt = open_training_data(spec, inputs, 5);
  std::set<std::string> fingerprints{learnt->fingerprint()};
  for (const std::uint64_t draw : {0, 1}) {
    const auto unseen = open_unseen_data(spec, inputs, 5, draw);
    ASSERT_TRUE(unseen);
    EXPECT_EQ(unseen->size(), 90U);
    EXPECT_TRUE(fingerprints.insert(unseen->fingerprint()).second);
    EXPECT_NE(unseen->at(3).inputs[0].bytes, learnt->at(3).inputs[0].bytes);
    EXPECT_EQ(unseen->at(3).inputs[0].bytes, open_unseen_data(spec, inputs, 5, draw)->at(3).inputs[0].bytes);
  }
  write_idx("train", 90, 0);
  write_idx("t10k", 10, 90);
  EXPECT_FALSE(open_unseen_data(task("{source: idx, path: ., batch: 1}"), inputs, 5, 0));
}

TEST_F(TrainingDataTest, ABatchOfTheSourceIsOneExample) {
  write_idx("train", 90, 0);
  write_idx("t10k", 10, 90);
  const TaskSpec spec = task("{source: idx, path: ., batch: 8}");
  const auto data = open_training_data(spec, {{"x", ElementType::f32, {-1, 1, 4, 4}}}, 5);
  EXPECT_EQ(data->size(), 11u);
  const Example example = data->at(2);
  EXPECT_EQ(example.inputs[0].shape, (std::vector<std::int64_t>{8, 1, 4, 4}));
  EXPECT_EQ(example.labels, (std::vector<std::int32_t>{2, 3, 4, 5, 6, 0, 1, 2}));
}

TEST_F(TrainingDataTest, ConstantInputsAreNoPartOfAnExample) {
  const TaskSpec spec = task("{source: synthetic, shape: [1, 4]}", "row.model", ", inputs: {rate: 16000}");
  const auto data = open_training_data(spec, {{"rate", ElementType::i64, {}}, {"x", ElementType::f32, {1, 4}}}, 5);
  EXPECT_EQ(data->at(0).inputs.size(), 1u);
  EXPECT_EQ(data->at(0).inputs[0].shape, (std::vector<std::int64_t>{1, 4}));
}

TEST_F(TrainingDataTest, TheFingerprintChangesWithDataPreprocessingShapeAndSeed) {
  write_idx("train", 90, 0);
  write_idx("t10k", 10, 90);
  std::set<std::string> seen;
  const TensorSpec input{"x", ElementType::f32, {1, 1, 2, 2}}, larger{"x", ElementType::f32, {1, 1, 4, 4}};
  const TaskSpec spec = task("{source: idx, path: ., batch: 1}");
  const auto fingerprint = [](const TaskSpec& of, const TensorSpec& in, std::uint64_t seed) {
    return open_training_data(of, {in}, seed)->fingerprint();
  };
  EXPECT_EQ(fingerprint(spec, input, 1), fingerprint(spec, input, 1));
  seen.insert(fingerprint(spec, input, 1));
  seen.insert(fingerprint(spec, input, 2));
  seen.insert(fingerprint(spec, larger, 1));
  seen.insert(fingerprint(task("{source: idx, path: ., batch: 1}", "picture.model", ", pre: {scale: 2}"), input, 1));
  write_idx("train", 91, 0);
  seen.insert(fingerprint(spec, input, 1));
  EXPECT_EQ(seen.size(), 5u);
}

TEST_F(TrainingDataTest, RefusesModelsThatItCannotFillWithOneLine) {
  const TensorSpec x{"x", ElementType::f32, {1, 4}}, y{"y", ElementType::f32, {1, 4}};
  const std::string data = "{source: synthetic, shape: [1, 4]}";
  EXPECT_THAT(
      error_of([&] { static_cast<void>(open_training_data(task(data, "row.model", ", state: {hn: h}"), {x}, 1)); }),
      AllOf(HasSubstr("tasks.yaml:1"), HasSubstr("state: 'hn' is fed back to 'h'"), HasSubstr("sequences")));
  EXPECT_THAT(error_of([&] {
                static_cast<void>(open_training_data(task(data, "row.model"), {x, y}, 1));
              }),
              AllOf(HasSubstr("2 inputs to fill (x, y)"), HasSubstr("`inputs:`")));
  EXPECT_THAT(error_of([&] {
                static_cast<void>(open_training_data(task(data, "row.model"), {{"x", ElementType::f32, {1, -1}}}, 1));
              }),
              AllOf(HasSubstr("'x' has free dimensions [1, -1]"), HasSubstr("shapes")));
  EXPECT_THAT(error_of([&] {
                static_cast<void>(open_training_data(task(data, "row.model"), {{"x", ElementType::f32, {1, 5}}}, 1));
              }),
              AllOf(HasSubstr("data: frame 0, a tensor f32 [1, 4], does not fit"), HasSubstr("'x' f32 [1, 5]")));
}

}  // namespace
}  // namespace rtmdl
