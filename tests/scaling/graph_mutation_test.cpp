// Broken models, seeded, with shapes that are right or not: what looks for channels, blocks and units finds something
// or nothing, and edits refuse or give a model, but nothing ends otherwise. fuzz/onnx_model.cpp searches further.
#include "made_up_specs.h"
#include "model/edit.h"
#include "model/models.h"
#include "mutation.h"
#include "run_model.h"
#include "scaling/blocks.h"
#include "scaling/prune.h"
#include "scaling/units.h"

#include <gtest/gtest.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <string>
#include <vector>

namespace rtmdl {
namespace {

/// Residual, depthwise, concatenated, flattened, split and reshaped: whatever rules there are for channels.
Model seed_model() {
  test::ModelMaker m(13);
  const std::string x = m.input("x", {1, 3, 16, 16});
  const std::string a = m.node("Relu", {m.batch_norm(m.conv(x, 3, 8, 3, 1, 1, false), 8)});
  const std::string b = m.node("Add", {m.conv(m.node("Relu", {m.conv(a, 8, 8, 3)}), 8, 8, 3), a});
  const std::string c = m.node("Clip", {m.conv(b, 8, 8, 3, 1, 8), m.constant({}, {0}), m.constant({}, {6})});
  const std::string d = m.node("Concat", {c, b});
  set_attribute(m.last(), "axis", std::int64_t{1});
  const std::string e = m.node("Reshape", {d, m.integers({1, 2, 8, 16, 16})});
  const std::string f = m.node("Transpose", {e});
  set_attribute(m.last(), "perm", std::vector<std::int64_t>{0, 2, 1, 3, 4});
  const std::string g = m.node("Reshape", {f, m.integers({1, 16, 16, 16})});
  const std::string h = m.node("Flatten", {m.node("GlobalAveragePool", {m.conv(g, 16, 8, 1)})});
  m.output(m.node("Gemm", {h, m.weights({8, 10}), m.weights({10})}));
  return m.model();
}

void break_a_node(onnx::GraphProto& graph, test::Mutator& random) {
  static const std::vector<const char*> kOperators{"Conv",          "Gemm",
                                                   "MatMul",        "Add",
                                                   "Mul",           "BatchNormalization",
                                                   "Reshape",       "Concat",
                                                   "Split",         "Slice",
                                                   "Gather",        "Transpose",
                                                   "Pad",           "Resize",
                                                   "LSTM",          "TopK",
                                                   "Softmax",       "Expand",
                                                   "Squeeze",       "LayerNormalization",
                                                   "ConvTranspose", "DepthToSpace",
                                                   "Flatten"};
  auto& nodes = *graph.mutable_node();
  auto& node = nodes[static_cast<int>(random.random(static_cast<std::size_t>(nodes.size())))];
  const auto number = static_cast<std::int64_t>(random.random(20)) - 4;
  const auto input = static_cast<int>(random.random(static_cast<std::size_t>(std::max(1, node.input_size()))));
  switch (random.random(8)) {
    case 0:
    case 1: node.set_op_type(kOperators[random.random(kOperators.size())]); break;
    case 2:
      if (node.input_size() > 0) {
        const auto& other = nodes[static_cast<int>(random.random(static_cast<std::size_t>(nodes.size())))];
        node.set_input(input, random.random(2) == 0 || other.input_size() == 0 ? other.output(0) : other.input(0));
      }
      break;
    case 3:
      if (node.input_size() > 1) node.mutable_input()->RemoveLast();
      break;
    case 4: node.add_input(node.input_size() > 0 ? node.input(input) : std::string()); break;
    case 5:
      for (auto& a : *node.mutable_attribute()) {
        a.set_i(number);
        for (auto& i : *a.mutable_ints()) i = random.random(3) == 0 ? number : i;
      }
      break;
    case 6: {
      auto& w = *graph.mutable_initializer(
          static_cast<int>(random.random(static_cast<std::size_t>(graph.initializer_size()))));
      const auto ints = integers(w);
      if (ints && !ints->empty()) {
        auto values = *ints;
        values[random.random(values.size())] = number;
        w = make_tensor(w.name(), dims(w), std::span<const std::int64_t>(values));
      } else if (w.dims_size() > 1) {
        w.mutable_dims()->SwapElements(0, 1);
      }
      break;
    }
    default: node.mutable_attribute()->Clear();
  }
}

Model mutant(const Model& seed, test::Mutator& random) {
  Model model = seed;
  for (std::size_t edits = 1 + random.random(3); edits > 0; --edits) break_a_node(model.graph(), random);
  return parse_model(model.proto.SerializeAsString(), "broken.onnx");
}

/// Every required input is there: what ONNX Runtime makes sure of before anything here sees a model.
bool complete(const Model& model) {
  return std::all_of(model.graph().node().begin(), model.graph().node().end(), [](const auto& node) {
    return node.input_size() >= 2 || is_op(node, "Relu") || is_op(node, "GlobalAveragePool") || is_op(node, "Flatten");
  });
}

TEST(GraphMutation, WithShapesThatFitOrNotFindsSomethingOrRefuses) {
  const Model seed = seed_model();
  test::Mutator random("x", {"x"}, 11);
  int with_groups = 0, pruned = 0;
  for (int i = 0; i < 1500; ++i) {
    try {
      Model model = mutant(seed, random);
      normalise(model);
      check_model(model);
      const TensorSpecs specs = test::made_up_specs(model, [&](std::size_t n) { return random.random(n); });
      EXPECT_FALSE(model.graph().node_size() > 0 && find_units(model).empty());
      if (!complete(model)) continue;
      for (const Block& block : find_blocks(model, specs)) EXPECT_FALSE(block.nodes.empty());
      const ChannelGroups groups = find_channel_groups(model, specs);
      with_groups += groups.groups.empty() ? 0 : 1;
      for (const ChannelGroup& g : groups.groups) EXPECT_FALSE(g.channels.empty());
      (void)prune(model, specs, groups, keep_all(groups));
      ++pruned;
    } catch (const Error&) {  // no model, or shapes that no run of it gives
    }
  }
  EXPECT_GT(with_groups, 30);
  EXPECT_GT(pruned, 30);
}

/// Models that nobody meant, but that run: what is found of them can go, and the rest runs.
TEST(GraphMutation, ThatStillRunsCanBePruned) {
  const test::Folder folder;
  const Model seed = seed_model();
  test::Mutator random("x", {"x"}, 5);
  int ran = 0, narrower = 0, shorter = 0;
  for (int i = 0; i < 1000; ++i) {
    Model model;
    LoadRequest at;
    TensorSpecs specs;
    try {
      model = mutant(seed, random);
      normalise(model);
      check_model(model);
      specs = specs_of(test::engine(), model, at, folder.path());
    } catch (const Error&) {
      continue;  // no model, or one that ONNX Runtime refuses
    }
    ++ran;
    const ChannelGroups all = find_channel_groups(model, specs);
    EXPECT_EQ(serialize(prune(model, specs, all, keep_all(all)).model), serialize(model)) << i;
    const ChannelGroups groups = verified_channel_groups(test::engine(), model, at, folder.path());
    EXPECT_EQ(groups.groups.size(), all.groups.size()) << i << ": one could not go: " << groups.whole.back().reason;
    if (!groups.groups.empty()) {
      const std::vector<double> half(groups.groups.size(), 0.5);
      const auto kept = most_important(groups, importance(model, groups, Importance::magnitude), half, 1);
      EXPECT_NO_THROW((void)specs_of(test::engine(), prune(model, specs, groups, kept).model, at, folder.path())) << i;
      ++narrower;
    }
    const std::vector<Block> blocks = find_blocks(model, specs);
    if (blocks.empty()) continue;
    EXPECT_NO_THROW((void)specs_of(test::engine(), remove_blocks(model, blocks, {0}), at, folder.path())) << i;
    ++shorter;
  }
  EXPECT_GT(ran, 150);
  EXPECT_GT(narrower, 100);
  EXPECT_GT(shorter, 50);
}

TEST(GraphMutation, KeepingEverythingChangesNothing) {
  Model model = seed_model();
  normalise(model);
  const TensorSpecs specs = test::made_up_specs(model, [](std::size_t n) { return n - 1; });  // never odd
  const ChannelGroups groups = find_channel_groups(model, specs);
  EXPECT_GE(groups.groups.size(), 3U);
  EXPECT_EQ(serialize(prune(model, specs, groups, keep_all(groups)).model), serialize(model));
}

}  // namespace
}  // namespace rtmdl
