#include "profiling/accuracy.h"

#include "profiling/task_folder.h"
#include "profiling/text_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct AccuracyTest : testing::Test {
  AccuracyTest() {
    folder.write("source.model", "1 0");
    folder.write("same.model", "1 0");
    folder.write("near.model", "1.001 0");
    folder.write("far.model", "3 0");
  }
  TaskSpec task(const std::string& more = "", const std::string& data = "{source: synthetic, shape: [1, 4]}") const {
    return folder.parse("tasks: [{name: t, model: source.model, data: " + data + ", period: 10 ms" + more + "}]")
        .tasks[0];
  }
  LoadRequest model(const TaskSpec& spec, const char* name) const { return load_request(spec, folder.path() / name); }
  TaskFolder folder;
  TextEngine engine;
};

TEST_F(AccuracyTest, AgreementOfTheSourceIsOneWithoutRunningIt) {
  const TaskSpec spec = task();
  AccuracyEvaluator evaluator(engine, spec, 1);
  EXPECT_EQ(evaluator(model(spec, "source.model")), 1);
  EXPECT_EQ(engine.loaded(), 0);
}

TEST_F(AccuracyTest, ComparesWithTheSourceOnAtLeast200InputsAndRunsItOnce) {
  const TaskSpec spec = task();
  AccuracyEvaluator evaluator(engine, spec, 1);
  EXPECT_GE(evaluator.size(Split::evaluation), 200u);
  EXPECT_EQ(evaluator(model(spec, "same.model")), 1);
  EXPECT_EQ(evaluator(model(spec, "near.model")), 1);
  const double far = evaluator(model(spec, "far.model"));
  EXPECT_LT(far, 0.3);
  EXPECT_GT(far, 0);  // small values are within the tolerance whatever the factor
  EXPECT_EQ(engine.loads["source.model"], 1);
  EXPECT_EQ(engine.runs, static_cast<int>(4 * evaluator.size(Split::evaluation)));
}

TEST_F(AccuracyTest, StopsInTheMiddle) {
  const TaskSpec spec = task();
  AccuracyEvaluator evaluator(engine, spec, 1);
  std::atomic<bool> stop{true};
  Context context;
  context.stop = &stop;
  EXPECT_THROW((void)evaluator(model(spec, "near.model"), context), Stopped);
  EXPECT_EQ(engine.runs, 0);
}

TEST_F(AccuracyTest, LabelsAreNeededForTopOne) {
  const TaskSpec spec = task(", accuracy: {metric: top1}");
  EXPECT_THAT(error_of([&] { AccuracyEvaluator evaluator(engine, spec, 1); }),
              AllOf(HasSubstr("tasks.yaml:1"), HasSubstr("accuracy.metric"), HasSubstr("top1"), HasSubstr("labels"),
                    HasSubstr("agreement")));
}

TEST_F(AccuracyTest, TopFiveNeedsFiveClassesKept) {
  const TaskSpec spec = task(", post: {kind: classes, k: 3}, accuracy: {metric: top5}");
  EXPECT_THAT(error_of([&] { AccuracyEvaluator evaluator(engine, spec, 1); }),
              AllOf(HasSubstr("post.k: 3 is too few"), HasSubstr("top5")));
}

TEST_F(AccuracyTest, LabelsThatAreNoneOfTheModelsClassesAreRefused) {
  folder.write("picture.model", "1 0 picture");  // 2 x 2 outputs: 4 classes
  const auto idx = [](const std::string& dimensions, const std::string& items) {
    return std::string("\0\0\x08", 3) + static_cast<char>(dimensions.size()) + [&] {
      std::string words;
      for (const char d : dimensions) words += std::string(3, '\0') + d;
      return words;
    }() + items;
  };
  for (const char* stem : {"train", "t10k"}) {
    folder.write(std::string(stem) + "-images-idx3-ubyte", idx("\2\2\2", "abcdefgh"));
    folder.write(std::string(stem) + "-labels-idx1-ubyte", idx("\2", stem[1] == 'r' ? "\1\4" : "\1\3"));
  }
  const auto spec = [&](const std::string& metric) {
    TaskSpec t =
        task(", post: {kind: classes}, accuracy: {metric: " + metric + "}", "{source: idx, path: ., batch: 1}");
    t.model = folder.path() / "picture.model";
    return t;
  };
  const TaskSpec by_labels = spec("top1"), by_agreement = spec("agreement");
  AccuracyEvaluator evaluator(engine, by_labels, 1);
  EXPECT_THAT(
      error_of([&] { static_cast<void>(evaluator(model(by_labels, "picture.model"))); }),
      AllOf(HasSubstr("tasks.yaml:1: "), HasSubstr("data: the label 4 is none of the model's 4 classes (0 to 3)")));
  AccuracyEvaluator agreement(engine, by_agreement, 1);
  EXPECT_EQ(agreement(model(by_agreement, "picture.model")), 1);  // nobody looks at the labels
}

TEST_F(AccuracyTest, MeanAveragePrecisionNeedsBoxesAndDetections) {
  const TaskSpec no_boxes = task(", post: {kind: detections}, accuracy: {metric: map50}");
  EXPECT_THAT(error_of([&] { AccuracyEvaluator evaluator(engine, no_boxes, 1); }),
              AllOf(HasSubstr("accuracy.metric: map50 needs boxes, and the data has none"), HasSubstr("agreement")));
}

TEST_F(AccuracyTest, AVariantThatGivesNanAgreesWithNothingAndASourceThatDoesIsBadInput) {
  folder.write("nan.model", "nan 0");
  const TaskSpec spec = task();
  AccuracyEvaluator evaluator(engine, spec, 1);
  EXPECT_EQ(evaluator(model(spec, "nan.model")), 0);
  TaskSpec broken = task();
  broken.model = folder.path() / "nan.model";
  AccuracyEvaluator against_nan(engine, broken, 1);
  EXPECT_THAT(error_of([&] { static_cast<void>(against_nan(model(spec, "source.model"))); }), HasSubstr("hold NaN"));
}

TEST_F(AccuracyTest, ReferencesOfTheStreamAreTheSourcesResults) {
  const TaskSpec spec = task();
  AccuracyEvaluator evaluator(engine, spec, 1);
  const Result& last = evaluator.reference(Split::stream, 5);
  const Result& first = evaluator.reference(Split::stream, 0);
  EXPECT_EQ(engine.runs, 2);
  EXPECT_EQ(evaluator.frame(Split::stream, 5).tensor.as<float>()[2], last.scores[2]);
  EXPECT_EQ(evaluator.frame(Split::stream, 0).tensor.as<float>()[2], first.scores[2]);
  EXPECT_EQ(&evaluator.reference(Split::stream, 5), &last);
  EXPECT_EQ(engine.runs, 2);
}

TEST_F(AccuracyTest, CalibrationInputsAreNotThoseOfTheEvaluation) {
  const TaskSpec spec = task();
  AccuracyEvaluator evaluator(engine, spec, 1);
  const std::vector<InputSet> sets = evaluator.calibration_inputs(16);
  ASSERT_EQ(sets.size(), 16u);
  EXPECT_EQ(engine.runs, 0);
  for (const InputSet& set : sets) {
    ASSERT_EQ(set.size(), 1u);
    for (std::size_t i = 0; i < evaluator.size(Split::evaluation); ++i)
      EXPECT_NE(set[0].bytes, evaluator.frame(Split::evaluation, i).tensor.bytes);
  }
}

}  // namespace
}  // namespace rtmdl
