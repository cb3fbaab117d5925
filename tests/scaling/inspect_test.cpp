#include "scaling/inspect.h"

#include "model/edit.h"
#include "model/models.h"
#include "run_model.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <filesystem>
#include <optional>

namespace rtmdl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Inspection inspected(const std::filesystem::path& path, const Shapes& shapes = {}) {
  InspectRequest request;
  request.model = path;
  request.shapes = shapes;
  return inspect(test::engine(), request, {});
}

const Ability& ability(const Inspection& seen, const std::string& dimension) {
  const auto found = std::find_if(seen.abilities.begin(), seen.abilities.end(),
                                  [&](const Ability& a) { return a.dimension == dimension; });
  if (found == seen.abilities.end()) throw std::out_of_range(dimension);
  return *found;
}

std::string refusal(const Model& model, const Shapes& given = {}) {
  try {
    std::vector<std::string> assumed;
    (void)assumed_shapes(model, given, assumed);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "accepted";
}

TEST(Inspect, CountsWhatAModelIsMadeOf) {
  const test::Folder folder;
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 3, 32, 32});
  const std::string a = m.node("Relu", {m.conv(x, 3, 8, 3)});
  const std::string flat = m.node("Flatten", {m.node("GlobalAveragePool", {a})});
  m.output(m.node("Gemm", {flat, m.weights({8, 10}), m.weights({10})}));
  m.model().proto.set_producer_name("maker");
  m.model().proto.set_producer_version("1.2");
  const auto path = folder.save(m.model(), "made.onnx");
  const Inspection seen = inspected(path);
  EXPECT_EQ(seen.producer, "maker 1.2");
  EXPECT_EQ(seen.opset, 17);
  EXPECT_EQ(seen.ir_version, 8);
  EXPECT_EQ(seen.file_bytes, static_cast<std::int64_t>(std::filesystem::file_size(path)));
  EXPECT_EQ(seen.parameters, 3 * 8 * 9 + 8 + 8 * 10 + 10);
  EXPECT_EQ(seen.weight_bytes, 4 * seen.parameters);
  EXPECT_EQ(seen.macs, 32 * 32 * 8 * 27 + 80);
  EXPECT_EQ(seen.activation_bytes, 2 * 4 * 8 * 32 * 32) << "convolved and rectified";
  EXPECT_FALSE(seen.control_flow);
  EXPECT_THAT(seen.assumed, IsEmpty());
  ASSERT_EQ(seen.inputs.size(), 1U);
  EXPECT_THAT(seen.inputs[0].shape, ElementsAre(1, 3, 32, 32));
  ASSERT_EQ(seen.outputs.size(), 1U);
  EXPECT_THAT(seen.outputs[0].shape, ElementsAre(1, 10));
  ASSERT_EQ(seen.layers.size(), 5U);
  EXPECT_EQ(seen.layers[0].op, "Conv");
  EXPECT_THAT(seen.layers[0].shape, ElementsAre(1, 8, 32, 32));
  EXPECT_EQ(seen.layers[0].weights, 4 * (3 * 8 * 9 + 8));
  EXPECT_TRUE(seen.layers[0].carries_weights);
  EXPECT_FALSE(seen.layers[1].carries_weights);
}

TEST(Inspect, GivesTheCutsWithTheirCost) {
  const test::Folder folder;
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4, 16, 16});
  const std::string a = m.conv(x, 4, 4, 3);
  const std::string b = m.node("MaxPool", {a});
  set_attribute(m.last(), "kernel_shape", std::vector<std::int64_t>{2, 2});
  set_attribute(m.last(), "strides", std::vector<std::int64_t>{2, 2});
  const std::string c = m.conv(b, 4, 4, 3);
  m.output(m.node("Relu", {c}));
  const Inspection seen = inspected(folder.save(m.model(), "made.onnx"));
  ASSERT_EQ(seen.cuts.size(), 3U);
  EXPECT_EQ(seen.cuts[0].tensor, a);
  EXPECT_FALSE(seen.cuts[0].best) << "the pooled one is smaller and no later in cost";
  EXPECT_EQ(seen.cuts[1].tensor, b);
  EXPECT_TRUE(seen.cuts[1].best);
  EXPECT_EQ(seen.cuts[1].bytes, 4 * 4 * 8 * 8);
  EXPECT_DOUBLE_EQ(seen.cuts[1].macs_share, 0.8);
  EXPECT_TRUE(seen.cuts[2].best);
  EXPECT_DOUBLE_EQ(seen.cuts[2].macs_share, 1);
}

TEST(Inspect, SaysWhatCannotBeScaledAndWhy) {
  const test::Folder folder;
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 16});
  m.output(m.node("Relu", {x}));
  const Inspection seen = inspected(folder.save(m.model(), "made.onnx"));
  EXPECT_FALSE(ability(seen, "precision").possible);
  EXPECT_THAT(ability(seen, "precision").why,
              HasSubstr("no convolution or matrix product with constant float weights"));
  EXPECT_FALSE(ability(seen, "resolution").possible);
  EXPECT_EQ(ability(seen, "resolution").why, "no input, or more than one, looks like an image");
  EXPECT_THROW(ability(seen, "training"), std::out_of_range) << "there is no fine-tuner to ask";
}

TEST(Inspect, TriesASmallerResolution) {
  const test::Folder folder;
  test::ModelMaker m;
  const std::string x = m.input("x", {-1, 3, -1, -1});
  const std::string a = m.conv(x, 3, 8, 3);
  m.output(m.node("GlobalAveragePool", {a}));
  const Inspection free = inspected(folder.save(m.model(), "free.onnx"));
  EXPECT_TRUE(ability(free, "resolution").possible) << ability(free, "resolution").why;
  EXPECT_THAT(ability(free, "resolution").why, HasSubstr("it runs at 1x3x128x128"));
  EXPECT_THAT(free.assumed, ElementsAre("input 'x' (?x3x?x?) was taken at 1x3x224x224; --shape says otherwise"));
  EXPECT_FALSE(ability(inspected(folder.path() / "free.onnx", {{"x", {1, 3, 32, 32}}}), "resolution").possible);

  const std::string flat = m.node("Flatten", {a});
  m.output(m.node("Gemm", {flat, m.weights({8 * 64 * 64, 2})}));  // declared free, but it is not
  const auto path = folder.save(m.model(), "bound.onnx");
  const Inspection bound = inspected(path, {{"x", {1, 3, 64, 64}}});
  EXPECT_FALSE(ability(bound, "resolution").possible);
  EXPECT_THAT(ability(bound, "resolution").why, HasSubstr("it does not run at 1x3x32x32: "));
}

TEST(Inspect, AsksTheFineTuner) {
  class Refusing final : public FineTuner {
   public:
    std::optional<std::string> refuses(const Model&) const override { return "operator 'Loop' has no counterpart"; }
    FineTuneResult tune(const FineTuneRequest&, const Context&) override { return {}; }
    std::vector<std::vector<double>> taylor_importance(const Model&, const Model*, const ChannelGroups&, TrainingData&,
                                                       std::size_t, const Context&) override {
      return {};
    }
  } tuner;
  const test::Folder folder;
  test::ModelMaker m;
  m.output(m.node("Relu", {m.input("x", {1, 16})}));
  InspectRequest request;
  request.model = folder.save(m.model(), "made.onnx");
  request.tuner = &tuner;
  const Inspection seen = inspect(test::engine(), request, {});
  EXPECT_FALSE(ability(seen, "training").possible);
  EXPECT_EQ(ability(seen, "training").why, "operator 'Loop' has no counterpart");
}

TEST(Inspect, DescribesGroupsAndBlocksByWhatTheyCost) {
  Inspection seen;
  seen.macs = 100;
  seen.layers = {{"a", "Conv", {}, 50, 0, true}, {"b", "Conv", {}, 30, 0, true}, {"c", "Conv", {}, 20, 0, true}};
  ChannelGroup first{"a", {"a"}, {"b"}, std::vector<Channel>(8), 1},
      second{"b", {"b"}, {"c"}, std::vector<Channel>(4), 2};
  Block block;
  block.name = "b";
  block.nodes = {"b", "relu"};
  block.macs = 30;
  block.weights = 12;
  describe_scaling({{first, second}, {{"c", 10, "they are an output of the model"}}}, {block}, seen);
  ASSERT_EQ(seen.groups.size(), 2U);
  EXPECT_EQ(seen.groups[0].channels, 8);
  EXPECT_DOUBLE_EQ(seen.groups[0].macs_share, 0.8);
  EXPECT_DOUBLE_EQ(seen.groups[1].macs_share, 0.5);
  EXPECT_EQ(seen.groups[1].multiple, 2);
  ASSERT_EQ(seen.blocks.size(), 1U);
  EXPECT_EQ(seen.blocks[0].nodes, 2U);
  EXPECT_EQ(ability(seen, "width").why, "2 groups of 12 channels, in layers with 100 % of the multiply-accumulates");
  EXPECT_EQ(ability(seen, "depth").why, "1 block with 30 % of the multiply-accumulates can be left out");

  Inspection none;
  describe_scaling({{}, {{"c", 10, "they are an output of the model"}}}, {}, none);
  EXPECT_EQ(ability(none, "width").why, "every channel has to stay: 'c': they are an output of the model");
  EXPECT_FALSE(ability(none, "depth").possible);
}

TEST(AssumedShapes, AreOneImageOfAUsualSize) {
  test::ModelMaker m;
  m.output(m.node("Relu", {m.input("x", {-1, 3, -1, -1})}));
  std::vector<std::string> assumed;
  EXPECT_THAT(assumed_shapes(m.model(), {}, assumed).at("x"), ElementsAre(1, 3, 224, 224));
  EXPECT_EQ(assumed.size(), 1U);
  assumed.clear();
  EXPECT_THAT(assumed_shapes(m.model(), {{"x", {2, 3, 96, 64}}}, assumed).at("x"), ElementsAre(2, 3, 96, 64));
  EXPECT_THAT(assumed, IsEmpty());
}

TEST(AssumedShapes, TakeChannelsLast) {
  test::ModelMaker m;
  m.output(m.node("Relu", {m.input("x", {-1, -1, -1, 3})}));
  std::vector<std::string> assumed;
  EXPECT_THAT(assumed_shapes(m.model(), {}, assumed).at("x"), ElementsAre(1, 224, 224, 3));
}

TEST(AssumedShapes, TakeChannelsAndFeaturesFromTheFirstLayer) {
  test::ModelMaker m;
  const std::string x = m.input("x", {-1, -1, -1, -1});
  m.output(m.conv(x, 6, 8, 3, 1, 2));
  const std::string y = m.input("y", {-1, -1});
  m.output(m.node("Gemm", {y, m.weights({10, 40})}));
  set_attribute(m.last(), "transB", std::int64_t{1});
  std::vector<std::string> assumed;
  const Shapes shapes = assumed_shapes(m.model(), {}, assumed);
  EXPECT_THAT(shapes.at("x"), ElementsAre(1, 6, 224, 224));
  EXPECT_THAT(shapes.at("y"), ElementsAre(1, 40));
  EXPECT_EQ(assumed.size(), 2U);
}

TEST(AssumedShapes, AreNotGuessedWhereNothingTells) {
  test::ModelMaker m;
  m.output(m.node("Relu", {m.input("x", {-1, -1, 40})}));
  EXPECT_EQ(refusal(m.model()),
            "made.onnx: dimension 1 of input 'x' (?x?x40) is free, and nothing tells what it should be: give --shape "
            "x=1x?x40");
  EXPECT_EQ(refusal(m.model(), {{"x", {1, 7, 41}}}), "made.onnx: input 'x': dimension 2 is fixed at 40, 41 was given");
  EXPECT_EQ(refusal(m.model(), {{"y", {1}}}), "made.onnx: has no input 'y'");
  m.model().graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  EXPECT_EQ(refusal(m.model()), "made.onnx: input 'x' declares no shape, not even how many dimensions it has");
}

TEST(Inspect, KnowsTheDemosModels) {
  for (const auto& [name, shapes, low, high] : test::demo_models()) {
    const auto path = test::demo_path(name);
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " was not fetched";
    const Inspection seen = inspected(path, shapes);
    EXPECT_GT(seen.macs, 10'000'000) << name;
    EXPECT_GT(seen.weight_bytes, seen.file_bytes / 2) << name;
    EXPECT_LE(seen.weight_bytes, seen.file_bytes) << name;
    EXPECT_TRUE(ability(seen, "precision").possible) << name;
    for (const Layer& layer : seen.layers) EXPECT_FALSE(layer.op == "Conv" && layer.shape.empty()) << layer.name;
  }
}

}  // namespace
}  // namespace rtmdl
