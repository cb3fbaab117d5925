/// Which forms are made, in which order; what a form is made from; that it is found again.

#include "scaling/slim.h"

#include "../architectures.h"
#include "no_examples.h"
#include "run_model.h"
#include "scaling/source_indices.h"

#include <atomic>

#include <gmock/gmock.h>
#include <rtmdl/error.h>

namespace rtmdl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> ids(const std::vector<SlimLevel>& levels) {
  std::vector<std::string> all;
  for (const SlimLevel& level : levels) all.push_back(level.id());
  return all;
}

TEST(SlimLevels, TheHalfComesFirstThenWhatIsFarthestFromAllBefore) {
  EXPECT_THAT(ids(slim_levels({1, 0.75, 0.5, 0.35, 0.25}, {1})), ElementsAre("w0.5", "w0.25", "w0.35", "w0.75"));
  EXPECT_THAT(ids(slim_levels({1}, {1})), ElementsAre());
  EXPECT_THAT(ids(slim_levels({1, 0.5}, {1, 0.5})), testing::UnorderedElementsAre("w0.5", "d0.5", "w0.5-d0.5"));
  EXPECT_THAT(ids(slim_levels({0.5, 0.5}, {})), ElementsAre("w0.5"));
}

TEST(SourceIndices, ComposeOverTwoPrunings) {
  const SourceIndices first{{"w", {{0, 2, 4, 6}, {}}}, {"b", {{1, 3}}}};
  const SourceIndices second{{"w", {{1, 3}, {5, 7}}}, {"v", {{0}}}};
  const SourceIndices both = compose(first, second);
  EXPECT_THAT(both.at("w").at(0), ElementsAre(2, 6));
  EXPECT_THAT(both.at("w").at(1), ElementsAre(5, 7));
  EXPECT_THAT(both.at("b").at(0), ElementsAre(1, 3));
  EXPECT_THAT(both.at("v").at(0), ElementsAre(0));
}

TEST(SourceIndices, SurviveTheFile) {
  Model model;
  const SourceIndices indices{
      {"layer one;weight", {{0, 1, 2, 3, 7}, {}}}, {"x", {{}, {}, {4}}}, {"unsorted", {{5, 4, 3, 9, 10}}}};
  write_indices(model, indices);
  write_indices(model, indices);
  EXPECT_EQ(model.proto.metadata_props_size(), 1);
  EXPECT_EQ(read_indices(model), indices);
  model.proto.mutable_metadata_props(0)->set_value("0-x name\n");
  EXPECT_THROW((void)read_indices(model), Error);
  EXPECT_TRUE(read_indices(Model()).empty());
}

/// Counts calls, and halves nothing: what scaling asks of a training library.
class FakeTuner : public FineTuner {
 public:
  std::optional<std::string> refuses(const Model&) const override { return why; }
  FineTuneResult tune(const FineTuneRequest& request, const Context& context) override {
    tuned.push_back(request.checkpoint.stem().string());
    frozen = request.students.front().frozen.size();
    FineTuneResult result;
    result.finished = !context.stopping() && !stop_in_tune;
    result.steps = 7;
    result.loss_before = 1;
    result.loss_after = loss_after;
    for (const Student& student : request.students) student.model->graph().set_name("tuned");
    return result;
  }
  std::vector<std::vector<double>> taylor_importance(const Model& model, const Model*, const ChannelGroups& groups,
                                                     TrainingData&, std::size_t, const Context&) override {
    return importance(model, groups, Importance::magnitude);
  }
  std::optional<std::string> why;
  std::vector<std::string> tuned;
  std::size_t frozen = 0;
  bool stop_in_tune = false;
  double loss_after = 0.5;
};

class Slim : public testing::Test {
 protected:
  Slim() {
    request_.model = folder_.save(test::architecture("resnet18"), "source.onnx");
    request_.folder = folder_.path();
    const auto executable = test::engine().load(test::at(request_.model));
    request_.calibration.push_back(test::random_inputs(*executable, 1, 0, 1));
  }
  Slimmer slimmer() { return {test::engine(), request_, &tuner_, &data_, options_, folder_.path() / "forms"}; }
  std::int64_t macs(const Model& model) {
    return model_cost(model, specs_of(test::engine(), model, test::at(request_.model), folder_.path())).macs;
  }

  test::Folder folder_;
  ScaleRequest request_;
  SlimOptions options_;
  FakeTuner tuner_;
  test::NoExamples data_;
};

TEST_F(Slim, AFormHasTheShareOfTheMultiplicationsThatItsWidthAsksFor) {
  Slimmer s = slimmer();
  const auto half = s.make({0.5, 1}, Context());
  ASSERT_TRUE(half.form) << half.refused;
  const double all = static_cast<double>(macs(load_model(request_.model)));
  EXPECT_NEAR(static_cast<double>(macs(half.form->model)) / all, 0.25, 0.06);
  EXPECT_EQ(half.form->id, "w0.5");
  EXPECT_THAT(half.form->note,
              testing::AllOf(HasSubstr("of the multiply-accumulates"), HasSubstr("7 steps of fine-tuning")));
  const auto quarter = s.make({0.25, 1}, Context());
  ASSERT_TRUE(quarter.form) << quarter.refused;
  EXPECT_NEAR(static_cast<double>(macs(quarter.form->model)) / all, 0.0625, 0.03);
  EXPECT_FALSE(read_indices(quarter.form->model).empty());
  EXPECT_THAT(tuner_.tuned, ElementsAre("w0.5", "w0.25"));
}

TEST_F(Slim, AShallowerFormHasFewerNodesAndTheSameOutputs) {
  Slimmer s = slimmer();
  const auto form = s.make({1, 0.5}, Context()).form;
  ASSERT_TRUE(form);
  const Model source = load_model(request_.model);
  EXPECT_LT(form->model.graph().node_size(), source.graph().node_size());
  EXPECT_THAT(form->note, HasSubstr("blocks"));
  const auto path = folder_.save(form->model, "form.onnx");
  const auto executable = test::engine().load(test::at(path));
  EXPECT_EQ(executable->outputs()[0].shape, test::engine().load(test::at(request_.model))->outputs()[0].shape);
}

TEST_F(Slim, TuningThatGainsNothingIsUndone) {
  const auto gained = slimmer().make({1, 0.75}, Context());
  EXPECT_EQ(gained.form->model.graph().name(), "tuned");
  std::filesystem::remove_all(folder_.path() / "forms");
  tuner_.loss_after = 1.5;
  const auto lost = slimmer().make({1, 0.75}, Context());
  EXPECT_NE(lost.form->model.graph().name(), "tuned");
  EXPECT_THAT(lost.form->note, HasSubstr("nothing gained by 7 steps"));
}

TEST_F(Slim, WithoutATrainingLibraryFormsAreReconstructed) {
  for (std::uint32_t i = 2; i < 9; ++i)
    request_.calibration.push_back(test::random_inputs(*test::engine().load(test::at(request_.model)), i, 0, 1));
  options_.why_not_tuned = "no libtorch here";
  Slimmer s(test::engine(), request_, nullptr, nullptr, options_, folder_.path() / "forms");
  const auto form = s.make({1, 0.75}, Context());
  ASSERT_TRUE(form.form) << form.refused;
  EXPECT_THAT(form.form->note,
              testing::AllOf(HasSubstr("reconstructed, not fine-tuned"), testing::Not(HasSubstr("("))));
}

TEST_F(Slim, WhatIsThereIsNotMadeAgain) {
  const auto first = slimmer().make({0.5, 1}, Context());
  const auto second = slimmer().make({0.5, 1}, Context());
  EXPECT_EQ(tuner_.tuned.size(), 1U);
  EXPECT_EQ(serialize(first.form->model), serialize(second.form->model));
  EXPECT_EQ(first.form->note, second.form->note);
}

TEST_F(Slim, AStoppedTuningLeavesNoForm) {
  std::atomic<bool> stop{false};
  Context context;
  context.stop = &stop;
  stop = true;
  EXPECT_FALSE(slimmer().make({0.5, 1}, context).finished);
  stop = false;
  EXPECT_TRUE(slimmer().make({0.5, 1}, context).form);
}

TEST_F(Slim, SharedLayersAreFrozen) {
  options_.shared = 0.5;
  ASSERT_TRUE(slimmer().make({0.5, 1}, Context()).form);
  EXPECT_GT(tuner_.frozen, 5U);
}

TEST_F(Slim, AModelThatCannotBeTrainedIsStillCutAndSaysSo) {
  tuner_.why = "operator 'Loop' (node 'x') has no counterpart in training";
  const auto outcome = slimmer().make({0.5, 1}, Context());
  ASSERT_TRUE(outcome.form);
  EXPECT_THAT(outcome.form->note, HasSubstr("not fine-tuned (operator 'Loop'"));
  EXPECT_TRUE(tuner_.tuned.empty());
}

}  // namespace
}  // namespace rtmdl
