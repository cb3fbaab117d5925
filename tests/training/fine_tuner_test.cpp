#include "training/fine_tuner.h"

#include "scaling/run_model.h"
#include "training/small_models.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <atomic>
#include <filesystem>
#include <fstream>

namespace rtmdl::test {
namespace {

using testing::HasSubstr;

FineTuneOptions quick(double epochs) {
  FineTuneOptions o;
  o.epochs = epochs;
  o.batch = 32;
  o.learning_rate = 0.05;
  o.threads = 1;
  return o;
}

struct Outcome {
  Model model;
  FineTuneResult result;
};

Outcome tuned(Model model, TrainingData& data, const FineTuneOptions& options, const Model* teacher = nullptr,
              const Context& context = {}, const std::filesystem::path& checkpoint = {}) {
  FineTuneRequest request;
  request.teacher = teacher;
  request.students.push_back({&model, {}, false, {}});
  request.data = &data;
  request.options = options;
  request.checkpoint = checkpoint;
  const FineTuneResult result = make_fine_tuner()->tune(request, context);
  return {std::move(model), result};
}

/// A classifier that has learnt something, made once.
const Model& teacher() {
  static const Model model = [] {
    Pictures data(600);
    FineTuneOptions o = quick(12);
    o.objective = Objective::labels;
    Outcome outcome = tuned(classifier(8, 16), data, o);
    EXPECT_LT(outcome.result.loss_after, 1.4);
    EXPECT_GT(outcome.result.loss_before, 1.8);
    return std::move(outcome.model);
  }();
  return model;
}

std::vector<std::int64_t> every_second() { return {0, 2, 4, 6, 8, 10, 12, 14}; }

TEST(FineTuner, LabelsTeachAPrunedClassifier) {
  Pictures data(600);
  FineTuneOptions o = quick(4);
  o.objective = Objective::labels;
  const auto [model, result] = tuned(narrowed(teacher(), every_second()), data, o);
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.steps, 4 * (552 / 32));
  EXPECT_LT(result.loss_after, 0.8 * result.loss_before);
}

TEST(FineTuner, ATeacherTeachesWithoutLabels) {
  Pictures data(600, false);
  const auto [model, result] = tuned(narrowed(teacher(), every_second()), data, quick(4), &teacher());
  EXPECT_TRUE(result.finished);
  EXPECT_LT(result.loss_after, 0.5 * result.loss_before);
}

TEST(FineTuner, MovedPicturesAndAdamwTeachToo) {
  Pictures data(600);
  FineTuneOptions o = quick(4);
  o.adamw = true;
  o.learning_rate = 0.005;
  o.augment_mirror = true;
  o.augment_shift = 1;
  const auto [model, result] = tuned(narrowed(teacher(), every_second()), data, o, &teacher());
  EXPECT_LT(result.loss_after, 0.7 * result.loss_before);
}

TEST(FineTuner, MixedPrecisionLearnsAsMuch) {
  Pictures data(600, false);
  FineTuneOptions o = quick(4);
  const double plain = tuned(narrowed(teacher(), every_second()), data, o, &teacher()).result.loss_after;
  o.mixed_precision = true;
  const double mixed = tuned(narrowed(teacher(), every_second()), data, o, &teacher()).result.loss_after;
  EXPECT_NEAR(mixed, plain, 0.2 * plain);
}

TEST(FineTuner, EqualRequestsGiveEqualModels) {
  Pictures data(200);
  const auto first = tuned(classifier(4, 8), data, quick(1));
  EXPECT_EQ(serialize(first.model), serialize(tuned(classifier(4, 8), data, quick(1)).model));
  FineTuneOptions other = quick(1);
  other.seed = 2;
  EXPECT_NE(serialize(first.model), serialize(tuned(classifier(4, 8), data, other).model));
}

TEST(FineTuner, WithoutEpochsOnlyStatisticsChange) {
  Pictures data(600, false);
  Model pruned = narrowed(teacher(), every_second());
  for (onnx::TensorProto& t : *pruned.graph().mutable_initializer()) {  // as after an edit upstream
    if (t.name() == "b.variance")
      t = make_tensor("b.variance", dims(t), std::span<const float>(std::vector<float>(8, 9.F)));
  }
  const auto [model, result] = tuned(pruned, data, quick(0), &teacher());
  EXPECT_EQ(result.steps, 0);
  EXPECT_LT(result.loss_after, result.loss_before);
  EXPECT_EQ(weights(model, "b.w"), weights(pruned, "b.w"));
  EXPECT_NE(weights(model, "b.variance"), weights(pruned, "b.variance"));
}

/// The first unit and the classifier are slices of the wide one's; normalisations are private.
struct Family {
  Model wide, narrow;
  FineTuneRequest request;
  explicit Family(TrainingData& data, double epochs, bool frozen = false)
      : wide(teacher()), narrow(narrowed(teacher(), every_second())) {
    SourceIndices shared = second_unit(every_second());
    for (const char* own : {"b.scale", "b.shift", "b.mean", "b.variance"}) shared.erase(own);
    shared["a.w"] = {{}, {}, {}, {}};
    request.teacher = &teacher();
    request.students.push_back({&wide, {}, false, {}});
    request.students.push_back({&narrow, shared, frozen, {}});
    request.data = &data;
    request.options = quick(epochs);
  }
};

TEST(FineTuner, SharedWeightsStaySlicesOfTheFirstStudents) {
  Pictures data(300);
  Family family(data, 2);
  const FineTuneResult result = make_fine_tuner()->tune(family.request, {});
  ASSERT_TRUE(result.finished);
  EXPECT_LT(result.loss_after, result.loss_before);
  EXPECT_NE(weights(family.wide, "a.w"), weights(teacher(), "a.w"));
  const Model expected = narrowed(family.wide, every_second());
  for (const char* name : {"a.w", "b.w", "fc.w"}) EXPECT_EQ(weights(family.narrow, name), weights(expected, name));
  for (const char* name : {"a.scale", "b.scale", "b.mean", "fc.b"})
    EXPECT_NE(weights(family.narrow, name), weights(expected, name)) << name;
}

TEST(FineTuner, FrozenWeightsStay) {
  Pictures data(300);
  Family family(data, 1, true);
  family.wide = teacher();
  const Model before = family.narrow;
  family.request.students[0].frozen = {"a.w", "b.w", "fc.w", "a.mean", "a.variance"};
  ASSERT_TRUE(make_fine_tuner()->tune(family.request, {}).finished);
  for (const char* name : {"a.w", "b.w", "fc.w"}) {
    EXPECT_EQ(weights(family.narrow, name), weights(before, name)) << name;
    EXPECT_EQ(weights(family.wide, name), weights(teacher(), name)) << name;
  }
  for (const char* name : {"a.mean", "a.variance"})
    EXPECT_EQ(weights(family.wide, name), weights(teacher(), name)) << name;
  EXPECT_NE(weights(family.narrow, "a.mean"), weights(before, "a.mean"));
  EXPECT_NE(weights(family.narrow, "b.scale"), weights(before, "b.scale"));
  EXPECT_NE(weights(family.wide, "b.scale"), weights(teacher(), "b.scale"));
}

TEST(FineTuner, AStoppedRunGoesOnToTheSameEnd) {
  const Folder folder;
  const std::filesystem::path checkpoint = folder.path() / "state";
  Pictures data(300);
  FineTuneOptions o = quick(3);
  o.augment_shift = 1;
  o.patience = 50;
  const std::string undisturbed = serialize(tuned(classifier(4, 8), data, o, &teacher()).model);

  std::atomic<bool> stop{false};
  int steps = 0;
  Context context;
  context.stop = &stop;
  context.progress = [&](const std::string& what, double) {
    if (what.starts_with("fine-tuning, epoch") && ++steps == 7) stop = true;
  };
  const Model start = classifier(4, 8);
  const auto stopped = tuned(start, data, o, &teacher(), context, checkpoint);
  EXPECT_FALSE(stopped.result.finished);
  EXPECT_EQ(stopped.result.steps, 7);
  EXPECT_EQ(serialize(stopped.model), serialize(start));
  ASSERT_TRUE(std::filesystem::exists(checkpoint));

  const auto resumed = tuned(start, data, o, &teacher(), {}, checkpoint);
  EXPECT_TRUE(resumed.result.finished);
  EXPECT_EQ(serialize(resumed.model), undisturbed);
  EXPECT_FALSE(std::filesystem::exists(checkpoint));
}

TEST(FineTuner, CheckpointsOfOtherRequestsAndDamagedOnesAreNotUsed) {
  const Folder folder;
  const std::filesystem::path checkpoint = folder.path() / "state";
  Pictures data(100);
  std::atomic<bool> stop{false};
  Context context;
  context.stop = &stop;
  context.progress = [&](const std::string& what, double) { stop = what.starts_with("fine-tuning, epoch"); };
  (void)tuned(classifier(4, 8), data, quick(1), nullptr, context, checkpoint);
  ASSERT_TRUE(std::filesystem::exists(checkpoint));
  std::vector<std::string> said;
  Context listening;
  listening.log = [&](LogLevel, const std::string& m) { said.push_back(m); };
  EXPECT_TRUE(tuned(classifier(4, 8), data, quick(2), nullptr, listening, checkpoint).result.finished);
  EXPECT_THAT(said, testing::Contains(HasSubstr("it is of another request")));

  std::ofstream(checkpoint) << std::string(200, 'x');
  EXPECT_TRUE(tuned(classifier(4, 8), data, quick(1), nullptr, listening, checkpoint).result.finished);
  EXPECT_THAT(said, testing::Contains(HasSubstr("it is damaged")));
}

TEST(FineTuner, ALossThatIsNoNumberStepsBack) {
  Pictures data(300);
  FineTuneOptions o = quick(1);
  o.warm_up = 0;
  o.learning_rate = 3e4;
  std::vector<std::string> warnings;
  Context context;
  context.log = [&](LogLevel level, const std::string& m) {
    if (level == LogLevel::warning) warnings.push_back(m);
  };
  GraphWriter w;  // no normalisation: an absurd rate blows it up
  w.input("image", {-1, 1, 28, 28});
  w.node("Flatten", {"image"}, {"flat"});
  w.node("MatMul", {"flat", w.weight("w1", {784, 32}, 0.05F)}, {"h"});
  w.node("Relu", {"h"}, {"r"});
  w.node("MatMul", {"r", w.weight("w2", {32, 10}, 0.2F)}, {"logits"});
  w.output("logits", {-1, 10});
  const Model start = w.take();
  o.learning_rate = 100;
  const auto outcome = tuned(start, data, o, nullptr, context);
  EXPECT_TRUE(outcome.result.finished);
  EXPECT_GT(outcome.result.halvings, 0);
  EXPECT_THAT(warnings, testing::Not(testing::IsEmpty()));
  o.learning_rate = 1e12;
  try {
    (void)tuned(start, data, o);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_THAT(e.what(), testing::AllOf(HasSubstr("small: "), HasSubstr("1000000000000 8 times")));
  }
}

/// Would take hours: the end of the call is what is tested.
TEST(FineTuner, TheScheduleIsFittedIntoTheBudget) {
  Pictures data(300);
  FineTuneOptions o = quick(10000);
  o.budget = from_seconds(1);
  double last = 0;
  Context context;
  context.progress = [&](const std::string&, double fraction) { last = fraction; };
  const auto [model, result] = tuned(classifier(4, 8), data, o, nullptr, context);
  EXPECT_TRUE(result.finished);
  EXPECT_GT(result.steps, 0);
  EXPECT_LT(result.steps, 80000);
  EXPECT_GT(last, 0.99);
}

TEST(FineTuner, StopsEarlyWithTheBestWeights) {
  Pictures data(60);
  FineTuneOptions o = quick(200);
  o.patience = 3;
  o.objective = Objective::labels;
  const auto [model, result] = tuned(classifier(8, 16), data, o);
  EXPECT_TRUE(result.stopped_early);
  EXPECT_LT(result.steps, 200);
  EXPECT_LT(result.loss_after, result.loss_before);
}

TEST(FineTuner, FixedBatchesAreRelaxed) {
  Pictures data(200);
  std::vector<std::string> said;
  Context context;
  context.log = [&](LogLevel, const std::string& m) { said.push_back(m); };
  const auto fixed = tuned(classifier(4, 8, 28, 1, 1), data, quick(1), nullptr, context);
  EXPECT_THAT(said, testing::IsEmpty());
  EXPECT_EQ(weights(fixed.model, "fc.w"), weights(tuned(classifier(4, 8), data, quick(1)).model, "fc.w"));
}

TEST(FineTuner, WhatMixesExamplesIsTrainedOneByOne) {
  GraphWriter w;
  w.input("image", {1, 1, 28, 28});
  w.unit("a", "image", 1, 4, 4);
  w.node("ReduceMean", {"a"}, {"mean"});  // over the batch too
  w.node("Sub", {"a", "mean"}, {"c"});
  w.node("GlobalAveragePool", {"c"}, {"g"});
  w.node("Flatten", {"g"}, {"f"});
  w.node("MatMul", {"f", w.weight("w", {4, 10}, 0.5F)}, {"logits"});
  w.output("logits", {1, 10});
  Pictures data(120);
  std::vector<std::string> said;
  Context context;
  context.log = [&](LogLevel, const std::string& m) { said.push_back(m); };
  const Model start = w.take();
  const auto [model, result] = tuned(start, data, quick(3), nullptr, context);
  EXPECT_THAT(said, testing::Contains(testing::StartsWith("trained one example at a time: output 'logits'")));
  EXPECT_EQ(result.steps, 3 * (110 / 32));
  EXPECT_LT(result.loss_after, result.loss_before);
  EXPECT_EQ(weights(model, "a.mean"), weights(start, "a.mean"));
}

TEST(FineTuner, SaysWhatDoesNotFit) {
  Pictures unlabelled(50, false), labelled(50);
  const auto refusal = [&](TrainingData& data, Objective objective, const Model& model) {
    FineTuneOptions o = quick(1);
    o.objective = objective;
    try {
      (void)tuned(model, data, o);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal(unlabelled, Objective::labels, classifier(4, 4)), "small: training on labels needs labelled data");
  EXPECT_EQ(refusal(unlabelled, Objective::automatic, classifier(4, 4)),
            "small: neither labels nor outputs of a teacher to train towards");
  EXPECT_EQ(refusal(labelled, Objective::labels, classifier(4, 4, 28, 1, -1, 7)),
            "small: labels up to 9 need a first output of [N, 10] or wider, this one is [4, 7]");
}

TEST(FineTuner, ImportanceFollowsWhatAChannelDoes) {
  Pictures data(200, false);
  Model model = teacher();
  for (onnx::TensorProto& t : *model.graph().mutable_initializer()) {
    if (t.name() != "fc.w") continue;  // channels 3 and 7 are read by nobody
    std::vector<float> values = floats(t).value();
    for (std::size_t row = 0; row < 10; ++row) values[row * 16 + 3] = values[row * 16 + 7] = 0;
    t = make_tensor("fc.w", dims(t), std::span<const float>(values));
  }
  ChannelGroups groups;
  groups.groups.emplace_back();
  for (std::int64_t c = 0; c < 16; ++c)
    groups.groups[0].channels.push_back(
        {{{"b.w", 0, {c}}, {"b.scale", 0, {c}}, {"b.shift", 0, {c}}, {"fc.w", 1, {c}}}});
  for (const bool labelled : {false, true}) {
    Pictures pictures(200, labelled);
    const auto importance = make_fine_tuner()->taylor_importance(model, nullptr, groups, pictures, 64, {});
    ASSERT_EQ(importance.size(), 1U);
    ASSERT_EQ(importance[0].size(), 16U);
    for (std::size_t c = 0; c < 16; ++c) {
      if (c == 3 || c == 7) EXPECT_EQ(importance[0][c], 0);
      else EXPECT_GT(importance[0][c], 0) << c;
    }
  }
}

}  // namespace
}  // namespace rtmdl::test
