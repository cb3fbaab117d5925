#include "report/inspect_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace rtmdl {
namespace {

using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

Inspection small() {
  Inspection seen;
  seen.model = "nets/small.onnx";
  seen.producer = "maker 1.2";
  seen.opset = 13;
  seen.ir_version = 7;
  seen.file_bytes = 20'000;
  seen.parameters = 12'345;
  seen.weight_bytes = 49'380;
  seen.macs = 2'000'000;
  seen.activation_bytes = 65'536;
  seen.inputs = {{"image", ElementType::f32, {1, 3, 32, 32}}};
  seen.outputs = {{"logits", ElementType::f32, {1, 10}}};
  seen.assumed = {"input 'image' (?x3x32x32) was taken at 1x3x32x32; --shape says otherwise"};
  seen.layers = {{"model/net/conv1", "Conv", {1, 8, 32, 32}, 1'500'000, 900, true},
                 {"model/net/relu1", "Relu", {1, 8, 32, 32}, 0, 0, false},
                 {"model/net/conv2", "Conv", {1, 8, 32, 32}, 500'000, 300, true}};
  seen.groups = {{"model/net/conv1", 8, 1, 1.0, {"model/net/conv1"}, {"model/net/conv2", "x", "y", "z", "u"}}};
  seen.whole = {{"model/net/conv2", 8, "they are an output of the model"},
                {"model/net/conv3", 4, "they are an output of the model"}};
  seen.blocks = {{"model/net/conv2", true, 2, 0.25, 300}};
  seen.cuts = {{"t1", {1, 8, 32, 32}, 32'768, 0.75, false}, {"t2", {1, 8, 16, 16}, 8'192, 0.75, true}};
  seen.abilities = {{"width", true, "1 group"}, {"depth", false, "nothing repeats"}};
  return seen;
}

TEST(InspectTable, SaysWhatTheModelIs) {
  const std::string text = inspect_table(small());
  for (const char* line :
       {"nets/small.onnx\n", "operator set 13 (IR version 7), written by maker 1.2\n",
        "20.0 kB on disk, 12.3 k parameters in 49.4 kB\n",
        "2.00 M multiply-accumulates, about 65.5 kB of activations live at once\n", "input  'image' f32 1x3x32x32\n",
        "output 'logits' f32 1x10\n", "was taken at 1x3x32x32; --shape says otherwise\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST(InspectTable, LeavesOutWhatCostsNothingUnlessAsked) {
  const std::string brief = inspect_table(small()), all = inspect_table(small(), true);
  EXPECT_THAT(brief, Not(HasSubstr("relu1")));
  EXPECT_THAT(brief, HasSubstr("and 1 node without weights and multiply-accumulates; -v lists them"));
  EXPECT_THAT(brief, Not(HasSubstr("t1")));
  EXPECT_THAT(brief, HasSubstr("1 of 2 places; -v lists all"));
  EXPECT_THAT(all, HasSubstr("relu1"));
  EXPECT_THAT(all, HasSubstr("t1"));
  EXPECT_THAT(all, Not(HasSubstr("-v lists")));
}

TEST(InspectTable, SaysTheCommonPrefixOnce) {
  const std::string text = inspect_table(small());
  EXPECT_THAT(text, HasSubstr("layers (… stands for model/net/)\n"));
  EXPECT_THAT(text, HasSubstr("\n…conv1  Conv"));
  Inspection other = small();
  other.layers[1].name = "relu";
  EXPECT_THAT(inspect_table(other), HasSubstr("\nmodel/net/conv1  Conv"));
}

TEST(InspectTable, GivesGroupsBlocksAndReasons) {
  const std::string text = inspect_table(small());
  EXPECT_THAT(text, HasSubstr("…conv2, x, y and 2 more"));
  EXPECT_THAT(text, HasSubstr("…conv2 (8), …conv3 (4): they are an output of the model\n"));
  EXPECT_THAT(text, HasSubstr("residual"));
  EXPECT_THAT(text, HasSubstr("depth      no   nothing repeats\n"));
}

TEST(InspectTable, OfNothingIsStillText) {
  const std::string text = inspect_table({});
  EXPECT_THAT(text, HasSubstr("nowhere"));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
}

TEST(InspectTable, ThinsOutCutsByCost) {
  Inspection seen = small();
  seen.cuts.clear();
  for (int i = 1; i <= 100; ++i) seen.cuts.push_back({"t" + std::to_string(i), {1}, 4, i / 100.0, true});
  const std::string text = inspect_table(seen);
  EXPECT_THAT(text, HasSubstr("12 of 100 places"));
  EXPECT_THAT(text, HasSubstr("\nt46 "));
}

TEST(InspectJson, HoldsEverything) {
  const Json json = Json::parse(inspect_json({{"faces", small()}, {"", {}}}));
  ASSERT_EQ(json["models"].size(), 2U);
  const Json& one = json["models"][0];
  EXPECT_EQ(one["name"], "faces");
  EXPECT_EQ(one["path"], "nets/small.onnx");
  EXPECT_EQ(one["macs"], 2'000'000);
  EXPECT_EQ(one["inputs"][0]["shape"], Json({1, 3, 32, 32}));
  EXPECT_EQ(one["layers"].size(), 3U);
  EXPECT_EQ(one["layers"][0]["operator"], "Conv");
  EXPECT_EQ(one["groups"][0]["readers"].size(), 5U);
  EXPECT_EQ(one["whole"][1]["reason"], "they are an output of the model");
  EXPECT_EQ(one["blocks"][0]["macs_share"], 0.25);
  EXPECT_EQ(one["cuts"].size(), 2U);
  EXPECT_EQ(one["scaling"]["width"]["possible"], true);
  EXPECT_EQ(one["scaling"]["depth"]["why"], "nothing repeats");
  EXPECT_TRUE(json["models"][1]["layers"].empty());
}

TEST(InspectJson, RepairsNamesThatAreNoText) {
  Inspection seen;
  seen.layers = {{"\xff\xfe", "Conv", {}, 0, 0, false}};
  EXPECT_EQ(Json::parse(inspect_json({{"", seen}}))["models"][0]["layers"].size(), 1U);
}

}  // namespace
}  // namespace rtmdl
