#include "model/exits.h"

#include "model/split.h"
#include "models.h"
#include "mutation.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

double sure(SureMeasure measure, std::vector<float> values, std::int64_t batch = 1, bool probabilities = false) {
  Tensor tensor(ElementType::f32, {batch, static_cast<std::int64_t>(values.size()) / batch});
  std::copy(values.begin(), values.end(), tensor.as<float>().begin());
  return confidence({"", measure, 0.5, probabilities}, tensor.view());
}

constexpr auto kAll = {SureMeasure::margin, SureMeasure::entropy, SureMeasure::max, SureMeasure::centroid};

TEST(Confidence, IsWhatTheMeasuresSay) {
  const std::vector<float> logits{std::log(0.7F), std::log(0.2F), std::log(0.1F)};
  EXPECT_THAT(sure(SureMeasure::margin, logits), DoubleNear(0.5, 1e-6));
  EXPECT_THAT(sure(SureMeasure::max, logits), DoubleNear(0.7, 1e-6));
  EXPECT_THAT(sure(SureMeasure::centroid, logits), DoubleNear(1 - 0.2 / 0.7, 1e-6));
  const double entropy = -(0.7 * std::log(0.7) + 0.2 * std::log(0.2) + 0.1 * std::log(0.1));
  EXPECT_THAT(sure(SureMeasure::entropy, logits), DoubleNear(1 - entropy / std::log(3), 1e-6));
  for (const SureMeasure m : kAll)
    EXPECT_THAT(sure(m, {0.7F, 0.2F, 0.1F}, 1, true), DoubleNear(sure(m, logits), 1e-6)) << sure_measure_name(m);
}

TEST(Confidence, OfCentroidsIsHowMuchNearerTheNearestIs) {
  // Distances² 1, 3 and 9, less a common 4.
  EXPECT_THAT(sure(SureMeasure::centroid, {3, 1, -5}), DoubleNear(1 - std::exp(-2.0), 1e-6));
  EXPECT_EQ(sure(SureMeasure::centroid, {3, 3, -5}), 0);
}

TEST(Confidence, LargeLogitsDoNotOverflow) {
  for (const SureMeasure m : kAll) EXPECT_EQ(sure(m, {1e30F, -1e30F, 0}), 1) << sure_measure_name(m);
}

TEST(Confidence, OfABatchIsThatOfItsLeastSureElement) {
  EXPECT_THAT(sure(SureMeasure::max, {9, 0, 1, 1, 0, 9}, 3), DoubleNear(0.5, 1e-6));
}

TEST(Confidence, NobodyIsSureOfWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const SureMeasure m : kAll)
    for (const std::vector<float>& values : {std::vector<float>{nan, 1}, {1, nan}, {inf, 1}, {-inf, -inf}, {1}, {}})
      EXPECT_FALSE(is_sure({"", m, 0, false}, sure(m, values))) << sure_measure_name(m);
}

TEST(Confidence, AtThreshold1NobodyLeavesAndAt0EverybodyDoes) {
  for (const SureMeasure m : kAll) {
    EXPECT_FALSE(is_sure({"", m, 1, false}, sure(m, {1e30F, 0, 0})));
    EXPECT_TRUE(is_sure({"", m, 0, false}, sure(m, {1, 1, 1, 1, 1, 1, 1})));
  }
}

/// x → trunk → head a; trunk → more → head b; → end
Model with_two_exits() {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4});
  const std::string trunk = m.node("Relu", {x});
  const std::string a = m.node("Gemm", {trunk, m.weights({4, 3})});
  const std::string more = m.node("Abs", {trunk});
  const std::string b = m.node("Gemm", {more, m.weights({4, 3})});
  const std::string end = m.node("Gemm", {m.node("Neg", {more}), m.weights({4, 3})});
  for (const std::string& name : {end, a, b}) m.output(name);
  Model model = m.model();
  write_exits(model, {{a, SureMeasure::margin, 0.25, false}, {b, SureMeasure::entropy, 0.5, true}});
  return model;
}

TEST(Exits, AreReadAsTheyWereWritten) {
  const Model model = with_two_exits();
  const std::vector<ExitRule> exits = read_exits(parse_model(serialize(model), "again.onnx"));
  ASSERT_EQ(exits.size(), 2U);
  EXPECT_EQ(exits[0], (ExitRule{model.graph().output(1).name(), SureMeasure::margin, 0.25, false}));
  EXPECT_EQ(exits[1], (ExitRule{model.graph().output(2).name(), SureMeasure::entropy, 0.5, true}));
}

TEST(Exits, AModelMayHaveNone) {
  Model model = with_two_exits();
  write_exits(model, {});
  EXPECT_TRUE(read_exits(model).empty());
  EXPECT_EQ(model.proto.metadata_props_size(), 0);
}

TEST(Exits, CutsAreBehindTheHeadsAndPartsGiveWhatExitsNeed) {
  const Model model = with_two_exits();
  const std::vector<int> cuts = exit_cuts(model, read_exits(model));
  EXPECT_THAT(cuts, ElementsAre(2, 4));
  const auto parts = split(model, cuts, [](const auto&) { return std::unordered_map<std::string, Tensor>(); });
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0].graph().output(0).name(), model.graph().output(1).name());
  EXPECT_EQ(parts[1].graph().output(0).name(), model.graph().output(2).name());
  EXPECT_EQ(parts[2].graph().output(0).name(), model.graph().output(0).name());
}

std::string complaint(const Model& model) {
  try {
    static_cast<void>(read_exits(model));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_input);
    return error.what();
  }
  return "";
}

std::string complaint(const std::string& note) {
  Model model = with_two_exits();
  model.proto.mutable_metadata_props(0)->set_value(note);
  return complaint(model);
}

TEST(Exits, ADamagedNoteIsOneLineThatSaysWhatIsWrong) {
  EXPECT_THAT(complaint("no list"), AllOf(HasSubstr("made.onnx"), HasSubstr("rtmdl.exits"), Not(HasSubstr("\n"))));
  EXPECT_THAT(complaint("[]"), HasSubstr("1 to 7"));
  EXPECT_THAT(complaint("[7]"), HasSubstr("7 is no exit"));
  const std::string output = with_two_exits().graph().output(1).name();
  const auto rule = [&](const std::string& rest) { return "[{\"output\":\"" + output + "\"," + rest + "}]"; };
  EXPECT_THAT(complaint(rule("\"measure\":\"margin\"")), HasSubstr("no 'threshold'"));
  EXPECT_THAT(complaint(rule("\"measure\":\"hope\",\"threshold\":0.5")), HasSubstr("margin, entropy, max, centroid"));
  EXPECT_THAT(complaint(rule("\"measure\":\"max\",\"threshold\":1.5")), HasSubstr("1.5"));
  EXPECT_THAT(complaint(rule("\"measure\":\"max\",\"threshold\":\"high\"")), HasSubstr("'threshold' is"));
  EXPECT_THAT(complaint("[{\"output\":\"x\",\"measure\":\"max\",\"threshold\":0.5}]"), HasSubstr("'x' is no output"));
}

TEST(Exits, HaveToBeInTheOrderOfTheGraph) {
  Model model = with_two_exits();
  std::vector<ExitRule> exits = read_exits(model);
  std::swap(exits[0], exits[1]);
  write_exits(model, exits);
  EXPECT_THAT(complaint(model), HasSubstr("no unit"));
  write_exits(model, {{model.graph().output(0).name(), SureMeasure::max, 0.5, false}});
  EXPECT_THAT(complaint(model), HasSubstr("no unit")) << "nothing is behind it";
}

TEST(Exits, WhateverStandsInTheNoteIsReadOrRefusedInOneLine) {
  Model model = with_two_exits();
  test::Mutator mutator(model.proto.metadata_props(0).value(),
                        {"\"", "[", "{", "}", "null", "1e999", "-1", "\"measure\":7", "\\u0000", "\n", "[[[[[["}, 7);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    model.proto.mutable_metadata_props(0)->set_value(mutator.next());
    const std::string message = complaint(model);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 300U) << message;
    refused += message.empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 2000);
}

}  // namespace
}  // namespace rtmdl
