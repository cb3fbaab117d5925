/// Heads written into graphs, and exits attached to a small classifier whose times are made up.

#include "scaling/exits.h"

#include "architectures.h"
#include "run_model.h"
#include "scaling/exit_heads.h"
#include "scaling/prune.h"

#include "../model/models.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <numeric>

namespace rtmdl {
namespace {

using std::chrono::microseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t kCells = 1024;

std::vector<float> some_weights(std::size_t count) {
  std::vector<float> weights(count);
  for (std::size_t i = 0; i < count; ++i) weights[i] = 0.01F * static_cast<float>(i % 7);
  return weights;
}

LinearClassifier some_classifier(std::size_t features, std::size_t classes) {
  return {features, classes, some_weights(features * classes), std::vector<float>(classes, 0.5F)};
}

/// Linear, and with a hidden layer where there can be one.
std::vector<ExitHead> some_heads(const ExitPlace& place, std::size_t classes) {
  const ExitReading coarse = coarse_reading(place, kCells);
  std::vector<ExitHead> heads{{coarse, some_classifier(coarse.features(), classes), {}}};
  if (const auto fine = fine_reading(place)) {
    constexpr std::size_t kHidden = 3;
    const auto cells = static_cast<std::size_t>(fine->grid[0] * fine->grid[1]);
    const auto channels = static_cast<std::size_t>(place.shape[1]);
    const HeadConvolution convolution{kHidden, 1, some_weights(kHidden * channels * 9), {0.1F, 0, -0.1F}};
    heads.push_back({*fine, some_classifier(kHidden * cells, classes), convolution});
  }
  return heads;
}

class ExitHeads : public testing::TestWithParam<std::string> {};

/// Whole and unit by unit, the network's own answer is what it was.
TEST_P(ExitHeads, LeaveTheNetworksOwnAnswerAsItWas) {
  const test::Folder folder;
  const Model model = test::architecture(GetParam());
  if (model.graph().output_size() != 1) GTEST_SKIP() << "several outputs";
  const LoadRequest source = test::at(folder.save(model, "source.onnx"));
  const auto executable = test::engine().load(source);
  if (executable->outputs()[0].shape.size() != 2) GTEST_SKIP() << "no classifier";
  const InputSet set = test::random_inputs(*executable, 1, 0, 1);
  const auto places = find_exit_places(model, specs_of(test::engine(), model, source, folder.path()));
  if (places.empty()) GTEST_SKIP() << "no place";
  std::vector<ExitHead> heads;
  const auto classes = static_cast<std::size_t>(executable->outputs()[0].shape[1]);
  for (std::size_t k = 0; k < 3 && k < places.size(); ++k) {
    const ExitPlace& place = places[k * (places.size() - 1) / 2];
    if (!heads.empty() && place.node <= heads.back().reading.place.node) continue;
    for (ExitHead& head : some_heads(place, classes)) heads.push_back(std::move(head));
  }
  std::vector<HeadSpan> spans;
  Model with = with_heads(model, heads, true, spans);
  std::vector<ExitRule> rules;
  for (const HeadSpan& span : spans) rules.push_back({span.output, SureMeasure::max, 0.5, true});
  write_exits(with, rules);
  LoadRequest request = test::at(folder.save(with, "exits.onnx"));
  const auto whole = test::outputs(request, set);
  request.cuts = exit_cuts(load_model(request.model), rules);
  const auto in_units = test::outputs(request, set);
  const auto wanted = test::outputs(source, set);
  ASSERT_EQ(in_units.size(), 1 + heads.size());
  EXPECT_LT(test::difference(wanted, {whole[0]}), 1e-5);
  EXPECT_LT(test::difference(wanted, {in_units[0]}), 1e-5);
  for (std::size_t k = 1; k < in_units.size(); ++k) {
    EXPECT_LT(test::difference({whole[k]}, {in_units[k]}), 1e-4) << k;
    EXPECT_NEAR(std::accumulate(in_units[k].begin(), in_units[k].end(), 0.0), 1, 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExitHeads, testing::ValuesIn(test::architectures()),
                         [](const auto& test) { return test.param; });

/// Pictures of one channel whose class is which quarter is bright; some are nearly dark all over.
class BrightQuarters : public TrainingData {
 public:
  explicit BrightQuarters(std::size_t n) : n_(n) {}
  std::size_t size() const override { return n_; }
  Example at(std::size_t i) override {
    std::mt19937 random(static_cast<std::uint32_t>(i));
    std::normal_distribution<float> noise(0, 0.3F);
    Example example;
    Tensor& x = example.inputs.emplace_back(ElementType::f32, std::vector<std::int64_t>{1, 1, 16, 16});
    const std::size_t quarter = i % 4;
    const float bright = i % 3 == 0 ? 0.15F : 1.0F;
    for (std::size_t p = 0; p < 256; ++p) {
      const bool here = (p / 128) * 2 + (p % 16) / 8 == quarter;
      x.as<float>()[p] = (here ? bright : 0) + noise(random);
    }
    example.labels = {static_cast<std::int32_t>(quarter)};
    return example;
  }
  bool labelled() const override { return true; }
  int classes() const override { return 4; }
  std::string fingerprint() const override { return "quarters"; }

 private:
  std::size_t n_;
};

/// conv → relu, three times, then the mean of each quarter is its logit.
Model quarters(bool softmax = false, bool second_output = false) {
  test::ModelMaker m;
  std::string x = m.input("x", {1, 1, 16, 16});
  std::string t = x;
  for (int layer = 0; layer < 3; ++layer) {
    std::vector<float> pass(9, 0.0F);
    pass[4] = 1;  // the identity, so that the class stays to be seen
    t = m.node("Conv", {t, m.constant({1, 1, 3, 3}, pass)});
    set_attribute(m.last(), "pads", std::vector<std::int64_t>(4, 1));
    t = m.node("Relu", {t});
  }
  t = m.node("AveragePool", {t});
  set_attribute(m.last(), "kernel_shape", std::vector<std::int64_t>{8, 8});
  set_attribute(m.last(), "strides", std::vector<std::int64_t>{8, 8});
  t = m.node("Flatten", {t});
  const std::string w = m.constant({4, 4}, {40, 0, 0, 0, 0, 40, 0, 0, 0, 0, 40, 0, 0, 0, 0, 40});
  t = m.node("Gemm", {t, w});
  if (softmax) t = m.node("Softmax", {t});
  m.output(t);
  if (second_output) m.output(m.node("Neg", {t}));
  return m.model();
}

struct ExitsTest : testing::Test {
  ExitsTest() {
    request.data = &data;
    request.folder = folder.path();
    request.labels = true;
    request.pass = std::chrono::milliseconds(200);
    request.segment_times = [](const LoadRequest& r) {  // trunk and heads alike
      return std::vector<Duration>(r.cuts.size() + 1, microseconds(r.cuts.empty() ? 1000 : 900 / (r.cuts.size() + 1)));
    };
  }
  ExitsOutcome attach(const Model& model) {
    request.at.model = folder.save(model, "m.onnx");
    return attach_exits(test::engine(), request, Context());
  }
  test::Folder folder;
  BrightQuarters data{2000};
  ExitsRequest request;
};

TEST_F(ExitsTest, AreAttachedWithRulesThatTheFileSays) {
  for (const bool softmax : {false, true}) {
    const Model model = quarters(softmax);
    const ExitsOutcome outcome = attach(model);
    ASSERT_THAT(outcome.levels, testing::Not(IsEmpty())) << testing::PrintToString(outcome.refused);
    for (const ExitsLevel& level : outcome.levels) {
      const Model read = parse_model(serialize(level.model), "level");
      EXPECT_EQ(read_exits(read), level.rules);
      EXPECT_EQ(exit_cuts(read, level.rules), level.cuts);
      EXPECT_EQ(level.rules.front().probabilities, softmax);
      EXPECT_EQ(read.graph().output(0).name(), model.graph().output(0).name());
      EXPECT_EQ(level.unit_seconds.size(), level.rules.size() + 1);
    }
  }
}

TEST_F(ExitsTest, JobsThatAreSureAreRight) {
  const ExitsOutcome outcome = attach(quarters());
  ASSERT_FALSE(outcome.levels.empty());
  const ExitsLevel& level = outcome.levels.front();
  LoadRequest at = test::at(folder.save(level.model, "level.onnx"));
  at.cuts = level.cuts;
  const auto executable = test::engine().load(at);
  int left = 0, wrong = 0;
  for (std::size_t i = 5000; i < 5400; ++i) {
    const Example example = data.at(i);
    feed(*executable, example.inputs);
    ASSERT_TRUE(executable->run_segment(0));
    const TensorView answer = executable->output(1);
    if (!is_sure(level.rules[0], confidence(level.rules[0], answer))) continue;
    ++left;
    const auto values = answer.as<float>();
    wrong += std::max_element(values.begin(), values.end()) - values.begin() != example.labels[0];
  }
  EXPECT_GT(left, 200);
  EXPECT_LT(wrong, 8);
}

TEST_F(ExitsTest, ThresholdsAreOfWhatTheNetworkHasNotSeenIfThereIsSuch) {
  struct Noted : BrightQuarters {
    using BrightQuarters::BrightQuarters;
    Example at(std::size_t i) override {
      ++read;
      return BrightQuarters::at(i);
    }
    std::size_t read = 0;
  } unseen{700};
  request.unseen = &unseen;
  EXPECT_THAT(attach(quarters()).levels, testing::Not(IsEmpty()));
  EXPECT_EQ(unseen.read, 700U);
}

TEST_F(ExitsTest, AreMadeTheSameAgain) {
  const ExitsOutcome first = attach(quarters()), second = attach(quarters());
  ASSERT_EQ(first.levels.size(), second.levels.size());
  for (std::size_t k = 0; k < first.levels.size(); ++k)
    EXPECT_EQ(serialize(first.levels[k].model), serialize(second.levels[k].model));
}

TEST_F(ExitsTest, ModelsThatCannotHaveThemAreRefusedWithOneReason) {
  const auto reason = [&](const Model& model) {
    const ExitsOutcome outcome = attach(model);
    EXPECT_THAT(outcome.levels, IsEmpty());
    EXPECT_THAT(outcome.refused, SizeIs(1));
    return outcome.refused.empty() ? "" : outcome.refused.front();
  };
  EXPECT_THAT(reason(quarters(false, true)), HasSubstr("2 outputs"));
  test::ModelMaker map;
  map.output(map.conv(map.conv(map.input("x", {1, 1, 16, 16}), 1, 4, 3), 4, 2, 3));
  EXPECT_THAT(reason(map.model()), HasSubstr("whose output is f32 [N, classes]"));
  test::ModelMaker flat;
  flat.output(flat.node("Gemm", {flat.node("Flatten", {flat.input("x", {1, 1, 16, 16})}), flat.weights({256, 4})}));
  EXPECT_THAT(reason(flat.model()), HasSubstr("no place for an exit"));
  Model old = quarters();
  old.proto.mutable_opset_import(0)->set_version(8);
  EXPECT_THAT(reason(old), HasSubstr("operator set 8"));
  BrightQuarters few{100};
  request.data = &few;
  EXPECT_THAT(reason(quarters()), HasSubstr("100 examples"));
}

TEST_F(ExitsTest, ThatSaveNoTimeAreRefused) {
  request.segment_times = [](const LoadRequest& r) {
    return std::vector<Duration>(r.cuts.size() + 1, microseconds(1000));
  };
  EXPECT_THAT(attach(quarters()).refused, testing::Each(testing::AnyOf(HasSubstr("no exit"), HasSubstr("as fast as"))));
}

TEST_F(ExitsTest, AStoppedCallLeavesNothing) {
  std::atomic<bool> stop{true};
  Context context;
  context.stop = &stop;
  request.at.model = folder.save(quarters(), "m.onnx");
  const ExitsOutcome outcome = attach_exits(test::engine(), request, context);
  EXPECT_FALSE(outcome.finished);
  EXPECT_THAT(outcome.levels, IsEmpty());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace rtmdl
