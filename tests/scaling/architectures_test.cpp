/// Width and depth on graphs of real architectures, as PyTorch exports them.

#include "architectures.h"
#include "pruning.h"

#include <gmock/gmock.h>

#include <map>

namespace rtmdl {
namespace {

using test::Subject;

class Architectures : public testing::TestWithParam<std::string> {};

/// Zeros in one channel of a normalisation over channels move the mean of the others: only groups inside of residual
/// branches are free of that.
std::vector<std::size_t> independent_groups(const std::string& architecture, const ChannelGroups& groups) {
  const std::map<std::string, std::vector<const char*>> only{{"vit", {"attention/MatMul", "mlp"}},
                                                             {"vit_fused_qkv", {"attention", "mlp"}},
                                                             {"text_transformer", {"attention", "mlp"}},
                                                             {"group_norm", {"conv3"}}};
  std::vector<std::size_t> free;
  const auto it = only.find(architecture);
  for (std::size_t g = 0; g < groups.groups.size(); ++g) {
    bool in = it == only.end();
    for (const char* part : in ? std::vector<const char*>() : it->second) {
      in = in || groups.groups[g].name.find(part) != std::string::npos;
    }
    if (in) free.push_back(g);
  }
  return free;
}

TEST_P(Architectures, CanBePruned) {
  const test::Folder folder;
  const Subject subject(test::architecture(GetParam()), folder.path());
  const ChannelGroups groups = verified_channel_groups(test::engine(), subject.model, {}, folder.path());
  ASSERT_FALSE(groups.groups.empty());
  // Verification finds nothing that the analysis had not seen.
  EXPECT_EQ(groups.groups.size(), find_channel_groups(subject.model, subject.specs).groups.size());

  const auto by = importance(subject.model, groups, Importance::magnitude);
  std::int64_t before = model_cost(subject.model, subject.specs).macs;
  for (const double width : {0.75, 0.5, 0.25}) {
    const Kept kept = most_important(groups, by, std::vector<double>(groups.groups.size(), width));
    const Pruned pruned = prune(subject.model, subject.specs, groups, kept);
    test::expect_predicted(pruned.model, pruned.specs, {}, folder.path());
    const std::int64_t macs = model_cost(pruned.model, pruned.specs).macs;
    EXPECT_LT(macs, before) << width;
    before = macs;
  }
}

TEST_P(Architectures, StayTheSameWithAllChannels) {
  const test::Folder folder;
  const Subject subject(test::architecture(GetParam()), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  const Pruned whole = prune(subject.model, subject.specs, groups, keep_all(groups));
  EXPECT_TRUE(serialize(whole.model) == serialize(subject.model));  // too long to print
  EXPECT_TRUE(whole.indices.empty());

  const auto expected = test::answers(subject.model, {}, folder);
  const Pruned mixed = prune(subject.model, subject.specs, groups, test::shuffled(groups, 3));
  EXPECT_FALSE(serialize(mixed.model) == serialize(subject.model));
  EXPECT_LE(test::difference(expected, test::answers(mixed.model, {}, folder)), 1e-4);
}

TEST_P(Architectures, DoNotMissAChannelOfZeros) {
  const test::Folder folder;
  Subject subject(test::architecture(GetParam()), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  const auto chosen = independent_groups(GetParam(), groups);
  ASSERT_FALSE(chosen.empty());
  test::silence(subject.model, groups, chosen, 1);
  Kept kept = keep_all(groups);
  for (const std::size_t g : chosen) kept[g].erase(kept[g].begin() + 1);
  const Pruned pruned = prune(subject.model, subject.specs, groups, kept);
  EXPECT_LE(test::difference(test::answers(subject.model, {}, folder), test::answers(pruned.model, {}, folder)), 1e-5);
}

TEST_P(Architectures, CanBeMadeShallower) {
  struct Expected {
    int residual, plain;
  };
  static const std::map<std::string, Expected> kExpected{{"alexnet", {0, 1}},
                                                         {"bilstm", {0, 0}},
                                                         {"densenet", {0, 2}},
                                                         {"efficientnet_b0", {9, 3}},
                                                         {"googlenet", {0, 1}},
                                                         {"group_norm", {0, 1}},
                                                         {"gru", {0, 0}},
                                                         {"lstm", {0, 0}},
                                                         {"mobilenet_v2", {10, 3}},
                                                         {"mobilenet_v3_small", {6, 2}},
                                                         {"preact_resnet", {4, 0}},
                                                         {"regnet_y_400mf", {12, 4}},
                                                         {"resize_unet", {0, 0}},
                                                         {"resnet18", {5, 3}},
                                                         {"resnext", {1, 2}},
                                                         {"shufflenet_v1", {4, 0}},
                                                         {"shufflenet_v2_x0_5", {0, 48}},
                                                         {"squeezenet1_1", {0, 0}},
                                                         {"ssdlite320", {10, 14}},
                                                         {"super_resolution", {1, 0}},
                                                         {"text_transformer", {4, 0}},
                                                         {"unet", {0, 7}},
                                                         {"vgg11_bn", {0, 4}},
                                                         {"vit", {6, 0}},
                                                         {"vit_fused_qkv", {6, 0}}};
  const test::Folder folder;
  const Subject subject(test::architecture(GetParam()), folder.path());
  const auto blocks = find_blocks(subject.model, subject.specs);
  const auto residual = std::count_if(blocks.begin(), blocks.end(), [](const Block& b) { return b.residual; });
  ASSERT_TRUE(kExpected.contains(GetParam()));
  EXPECT_EQ(residual, kExpected.at(GetParam()).residual);
  EXPECT_EQ(static_cast<std::ptrdiff_t>(blocks.size()) - residual, kExpected.at(GetParam()).plain);

  std::set<std::string> gone;
  for (const auto& block : blocks) {
    for (const auto& node : block.nodes) EXPECT_TRUE(gone.insert(node).second) << node << " is in two blocks";
  }
  const std::int64_t whole = model_cost(subject.model, subject.specs).macs;
  std::vector<int> all;
  std::int64_t saved = 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    EXPECT_GT(blocks[b].macs, 0) << blocks[b].name;
    EXPECT_GT(blocks[b].weights, 0) << blocks[b].name;
    all.push_back(static_cast<int>(b));
    saved += blocks[b].macs;
    Model without = remove_blocks(subject.model, blocks, {static_cast<int>(b)});
    EXPECT_NO_THROW(check_model(without));
    EXPECT_EQ(model_cost(without, subject.specs).macs, whole - blocks[b].macs) << blocks[b].name;
    EXPECT_EQ(static_cast<std::size_t>(without.graph().node_size()) + blocks[b].nodes.size(),
              static_cast<std::size_t>(subject.model.graph().node_size()))
        << blocks[b].name;
  }
  const Model least = remove_blocks(subject.model, blocks, all);
  const TensorSpecs specs = specs_of(test::engine(), least, {}, folder.path());
  for (const auto& [name, spec] : specs) EXPECT_EQ(spec.shape, subject.specs.at(name).shape) << name;
  EXPECT_EQ(model_cost(least, specs).macs, whole - saved);
  if (!blocks.empty()) {  // one alone in the engine: the middle one
    const Model one = remove_blocks(subject.model, blocks, {static_cast<int>(blocks.size() / 2)});
    for (const auto& [name, spec] : specs_of(test::engine(), one, {}, folder.path())) {
      EXPECT_EQ(spec.shape, subject.specs.at(name).shape) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Architectures, testing::ValuesIn(test::architectures()),
                         [](const auto& i) { return i.param; });

/// The same on models that other converters made (Paddle, TensorFlow), with inputs of free size.
class PrunedDemoModels : public testing::TestWithParam<test::DemoModel> {};

TEST_P(PrunedDemoModels, RunAndStayTheSameWithAllChannels) {
  const auto path = test::demo_path(GetParam().name);
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there: run scripts/setup";
  const test::Folder folder;
  LoadRequest at;
  at.shapes = GetParam().shapes;
  const Subject subject(load_model(path), folder.path(), at);
  const ChannelGroups groups = verified_channel_groups(test::engine(), subject.model, at, folder.path());
  EXPECT_EQ(groups.groups.size(), find_channel_groups(subject.model, subject.specs).groups.size());
  EXPECT_GE(groups.groups.size(), 10U);
  EXPECT_LE(groups.whole.size(), 4U) << testing::PrintToString(test::names(groups.whole));
  const auto by = importance(subject.model, groups, Importance::bn_scale);
  const Kept half = most_important(groups, by, std::vector<double>(groups.groups.size(), 0.5));
  const Pruned pruned = prune(subject.model, subject.specs, groups, half);
  test::expect_predicted(pruned.model, pruned.specs, at, folder.path());
  const Pruned mixed = prune(subject.model, subject.specs, groups, test::shuffled(groups, 3));
  // Another order of sums is another rounding. Detectors keep a point where it equals its neighbourhood's maximum, so
  // that the last bit of an input moves some outputs by more than 1e-4: output by output, no more than that is allowed.
  const auto answers = [&](const Model& model, double noise) {
    LoadRequest request = at;
    request.model = folder.save(model, "answers.onnx");
    InputSet set = test::random_inputs(*test::engine().load(request), 7, GetParam().low, GetParam().high);
    std::mt19937 random(1);
    std::uniform_real_distribution<double> factor(1 - noise, 1 + noise);
    for (Tensor& tensor : set) {
      for (float& x : tensor.as<float>()) x = static_cast<float>(x * factor(random));
    }
    return test::outputs(request, set);
  };
  const auto expected = answers(subject.model, 0);
  const auto disturbed = answers(subject.model, 1e-6);
  const auto reordered = answers(mixed.model, 0);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double sensitivity = test::difference({expected[i]}, {disturbed[i]});
    EXPECT_LT(sensitivity, 0.05) << i;
    EXPECT_LE(test::difference({expected[i]}, {reordered[i]}), 1e-4 + 2 * sensitivity) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, PrunedDemoModels, testing::ValuesIn(test::demo_models()),
                         [](const auto& i) { return std::string(i.param.name); });

ChannelGroups groups_of(const std::string& name) {
  const test::Folder folder;
  const Subject subject(test::architecture(name), folder.path());
  return find_channel_groups(subject.model, subject.specs);
}

TEST(WholeChannels, AreThoseOfTheOutput) {
  for (const char* name : {"resnet18", "densenet", "efficientnet_b0", "vit", "lstm", "unet", "resnext"}) {
    const ChannelGroups groups = groups_of(name);
    ASSERT_EQ(groups.whole.size(), 1U) << name;
    EXPECT_EQ(groups.whole[0].reason, "they are an output of the model") << name;
  }
  EXPECT_EQ(groups_of("resnet18").whole[0].name, "/fc/Gemm");
  EXPECT_EQ(groups_of("resnet18").whole[0].channels, 10);
}

TEST(WholeChannels, OfDetectionHeadsAreTheAnchors) {
  const ChannelGroups groups = groups_of("ssdlite320");
  std::vector<std::string> expected{"/backbone/extra.3/extra.3.2/extra.3.2.0/Conv"};
  for (const char* head : {"regression", "classification"}) {
    for (int i = 0; i < 6; ++i)
      expected.push_back("/head/" + std::string(head) + "_head/module_list." + std::to_string(i) + "/module_list." +
                         std::to_string(i) + ".1/Conv");
  }
  EXPECT_EQ(test::names(groups.whole), expected);
  for (const WholeGroup& whole : groups.whole) EXPECT_EQ(whole.reason, "they are an output of the model") << whole.name;
}

TEST(WholeChannels, AreThoseThatAShuffleOfUnevenGroupsTiesTogether) {
  const ChannelGroups groups = groups_of("shufflenet_v1");
  ASSERT_EQ(groups.whole.size(), 5U);
  EXPECT_EQ(groups.whole[0].name, "/blocks1/blocks1.0/reduce/reduce.0/Conv");
  EXPECT_EQ(groups.whole[0].reason, "none of them can leave without the others");
}

const ChannelGroup& group(const ChannelGroups& groups, const std::string& name) {
  for (const auto& g : groups.groups) {
    if (g.name == name) return g;
  }
  ADD_FAILURE() << "no group " << name;
  return groups.groups.front();
}

TEST(GroupsOf, ResNetHoldTheStagesTogether) {
  const ChannelGroups groups = groups_of("resnet18");
  EXPECT_THAT(group(groups, "/conv1/Conv").makers,
              testing::ElementsAre("/conv1/Conv", "/layer1/layer1.0/conv2/Conv", "/layer1/layer1.1/conv2/Conv"));
  EXPECT_THAT(group(groups, "/layer1/layer1.0/conv1/Conv").readers,
              testing::ElementsAre("/layer1/layer1.0/conv2/Conv"));
}

TEST(GroupsOf, AttentionAreItsHeads) {
  const ChannelGroups fused = groups_of("vit_fused_qkv");
  const auto& heads = group(fused, "/blocks/blocks.0/attention/qkv/MatMul");
  EXPECT_EQ(heads.channels.size(), 6U);
  EXPECT_EQ(heads.multiple, 3 * 16);
  const ChannelGroups apart = groups_of("text_transformer");
  EXPECT_THAT(group(apart, "/blocks/blocks.0/attention/q/MatMul").makers,
              testing::ElementsAre("/blocks/blocks.0/attention/q/MatMul", "/blocks/blocks.0/attention/k/MatMul",
                                   "/blocks/blocks.0/attention/v/MatMul"));
}

TEST(GroupsOf, GroupNormalisationKeepTheGroupsEqual) {
  const ChannelGroups groups = groups_of("group_norm");
  EXPECT_EQ(group(groups, "/conv1/Conv").channels.size(), 4U);  // 32 channels in 8 groups
  EXPECT_EQ(group(groups, "/conv1/Conv").multiple, 8);
}

TEST(GroupsOf, BothDirectionsOfAnLstmAreTheSameUnits) {
  const ChannelGroups groups = groups_of("bilstm");
  const auto& units = group(groups, "/rnn/LSTM");
  EXPECT_EQ(units.channels.size(), 64U);
  EXPECT_THAT(units.readers, testing::ElementsAre("/dense/Gemm"));
}

}  // namespace
}  // namespace rtmdl
