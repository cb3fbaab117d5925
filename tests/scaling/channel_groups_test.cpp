/// What the operators make of channels, one by one.

#include "pruning.h"

#include "../model/models.h"

#include <gmock/gmock.h>

#include <rtmdl/error.h>

#include <functional>

namespace rtmdl {
namespace {

using test::ModelMaker;
using test::Subject;
using testing::SizeIs;
using Ints = std::vector<std::int64_t>;

std::string perm(ModelMaker& m, const std::string& x, const Ints& order) {
  const std::string y = m.node("Transpose", {x});
  set_attribute(m.last(), "perm", order);
  return y;
}

struct Operator {
  const char* name;
  std::int64_t opset;
  std::size_t groups;                                                ///< of the whole model
  std::function<std::string(ModelMaker&, const std::string&)> make;  ///< on a map of 1×8×6×6; gives one of rank 4
};

std::vector<Operator> operators() {
  const auto axis = [](ModelMaker& m, std::int64_t value) { set_attribute(m.last(), "axis", value); };
  return {
      {"SplitEvenly13", 13, 4,
       [=](ModelMaker& m, const std::string& x) {
         const std::string a = m.node("Split", {x});
         axis(m, 1);
         m.last().add_output("half");
         return m.node("Add", {m.conv(a, 4, 8, 1), m.conv("half", 4, 8, 1)});
       }},
      {"SplitEvenly11", 11, 4,
       [=](ModelMaker& m, const std::string& x) {
         const std::string a = m.node("Split", {x});
         axis(m, 1);
         m.last().add_output("half");
         return m.node("Add", {m.conv(a, 4, 8, 1), m.conv("half", 4, 8, 1)});
       }},
      {"SplitSizes11", 11, 4,
       [=](ModelMaker& m, const std::string& x) {
         const std::string a = m.node("Split", {x});
         axis(m, 1);
         set_attribute(m.last(), "split", Ints{5, 3});
         m.last().add_output("rest");
         return m.node("Add", {m.conv(a, 5, 8, 1), m.conv("rest", 3, 8, 1)});
       }},
      {"Slice9", 9, 3,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("Slice", {x});
         set_attribute(m.last(), "starts", Ints{2, 0});
         set_attribute(m.last(), "ends", Ints{-1, 5});
         set_attribute(m.last(), "axes", Ints{1, 2});
         return y;
       }},
      {"Pad10", 10, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("Pad", {x});
         set_attribute(m.last(), "pads", Ints{0, 1, 0, 1, 0, 2, 1, 0});
         return y;
       }},
      {"PadAndAdd", 13, 3,  // zeros of the shorter branch leave with the channels of the longer one
       [](ModelMaker& m, const std::string& x) {
         const std::string padded = m.node("Pad", {x, m.integers({0, 0, 0, 0, 0, 4, 0, 0})});
         return m.node("Add", {padded, m.conv(x, 8, 12, 3)});
       }},
      {"ResizeToSizes", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         return m.node("Resize", {x, "", "", m.integers({1, 8, 12, 12})});
       }},
      {"ResizeByScales", 11, 2,
       [](ModelMaker& m, const std::string& x) {
         return m.node("Resize", {x, m.constant({0}, {}), m.constant({4}, {1, 1, 2, 2})});
       }},
      {"Expand", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string one = m.node("ReduceMean", {x});
         set_attribute(m.last(), "axes", Ints{1});
         return m.node("Mul", {x, m.node("Expand", {one, m.integers({1, 8, 6, 6})})});
       }},
      {"ExpandToShape", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string one = m.node("ReduceMean", {x});
         set_attribute(m.last(), "axes", Ints{1});
         return m.node("Mul", {x, m.node("Expand", {one, m.node("Shape", {x})})});
       }},
      {"ConstantOfShape", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         return m.node("Add", {x, m.node("ConstantOfShape", {m.integers({1, 8, 1, 1})})});
       }},
      {"ReshapeToAComputedSize", 13, 4,  // heads times what another tensor has, as attention computes it
       [](ModelMaker& m, const std::string& x) {
         const std::string other = m.conv("x", 3, 16, 1);
         const std::string channels = m.node("Gather", {m.node("Shape", {x}), m.integers({1})});
         const std::string to = m.node("Concat", {m.integers({1, 2}), channels, m.integers({36})});
         set_attribute(m.last(), "axis", std::int64_t{0});
         const std::string heads = m.node("Reshape", {other, to});
         const std::string y = m.node("Reshape", {m.node("Relu", {heads}), m.integers({1, -1, 6, 6})});
         return m.node("Add", {m.conv(y, 16, 4, 1), m.conv(x, 8, 4, 1)});
       }},
      {"ReshapeToBatchTimesHeads", 13, 3,
       [](ModelMaker& m, const std::string& x) {
         const std::string batch = m.node("Gather", {m.node("Shape", {x}), m.integers({0})});
         const std::string rows = m.node("Mul", {batch, m.integers({8})});
         const std::string to = m.node("Concat", {rows, m.integers({36})});
         set_attribute(m.last(), "axis", std::int64_t{0});
         const std::string flat = m.node("Relu", {m.node("Reshape", {x, to})});
         return m.conv(m.node("Reshape", {flat, m.integers({1, -1, 6, 6})}), 8, 4, 1);
       }},
      {"MergedAndSplitAgain", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string rows = m.node("Relu", {m.node("Reshape", {x, m.integers({48, 6})})});
         const std::string mean = m.node("ReduceMean", {m.node("Reshape", {rows, m.integers({8, 36})})});
         set_attribute(m.last(), "axes", Ints{1});
         return m.node("Mul", {x, m.node("Reshape", {mean, m.integers({1, -1, 1, 1})})});
       }},
      {"SplitByCount18", 18, 4,
       [=](ModelMaker& m, const std::string& x) {
         const std::string a = m.node("Split", {m.node("Relu", {m.conv(x, 8, 7, 1)})});
         axis(m, 1);
         set_attribute(m.last(), "num_outputs", std::int64_t{2});
         m.last().add_output("rest");
         const std::string y = m.node("Concat", {"rest", a});
         axis(m, 1);
         return y;
       }},
      {"AttentionAcrossChannels", 13, 3,  // heads may leave: what is compared within them may not
       [](ModelMaker& m, const std::string& x) {
         const auto heads = [&] { return m.node("Reshape", {m.conv(x, 8, 8, 1), m.integers({1, 4, 2, 36})}); };
         const std::string q = heads(), k = heads(), v = heads();
         const std::string a = m.node("Softmax", {m.node("MatMul", {q, perm(m, k, {0, 1, 3, 2})})});
         return m.node("Reshape", {m.node("MatMul", {a, v}), m.integers({1, 8, 6, 6})});
       }},
      {"MaskOfADropout", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("Dropout", {x});
         m.last().add_output("mask");
         return m.node("Where", {"mask", y, m.weights({8, 1, 1})});
       }},
      {"SqueezeWithoutAxes", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string flat = m.node("Squeeze", {m.node("GlobalAveragePool", {x})});
         return m.node("Mul", {x, m.node("Unsqueeze", {flat, m.integers({0, 2, 3})})});
       }},
      {"Tile", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         return m.node("Tile", {x, m.integers({1, 1, 2, 1})});
       }},
      {"Einsum", 13, 3,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("Einsum", {x, m.weights({8, 10})});
         set_attribute(m.last(), "equation", "bchw, cd -> bdhw");
         return y;
       }},
      {"GroupedTransposed", 13, 3,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("ConvTranspose", {x, m.weights({8, 3, 2, 2}), m.weights({6})});
         set_attribute(m.last(), "group", std::int64_t{2});
         return y;
       }},
      {"DepthwiseTransposed", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("ConvTranspose", {x, m.weights({8, 1, 2, 2}), m.weights({8})});
         set_attribute(m.last(), "group", std::int64_t{8});
         return y;
       }},
      {"DepthwiseTwice", 13, 2, [](ModelMaker& m, const std::string& x) { return m.conv(x, 8, 16, 3, 1, 8); }},
      {"GroupNormalization21", 21, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("GroupNormalization", {x, m.weights({8}), m.weights({8})});
         set_attribute(m.last(), "num_groups", std::int64_t{2});
         return y;
       }},
      {"GroupNormalization18", 18, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("GroupNormalization", {x, m.weights({2}), m.weights({2})});
         set_attribute(m.last(), "num_groups", std::int64_t{2});
         return y;
       }},
      {"Where", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         return m.node("Where", {m.node("Greater", {x, m.constant({}, {0.1F})}), x, m.weights({8, 1, 1})});
       }},
      {"ArgMaxOverWidth", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("ArgMax", {x});
         set_attribute(m.last(), "axis", std::int64_t{3});
         const std::string f = m.node("Cast", {y});
         set_attribute(m.last(), "to", std::int64_t{onnx::TensorProto::FLOAT});
         return f;
       }},
      {"TransposedWeights", 13, 3,  // a weight matrix that the graph turns
       [](ModelMaker& m, const std::string& x) {
         const std::string w = perm(m, m.weights({10, 8}), {1, 0});
         return perm(m, m.node("MatMul", {perm(m, x, {0, 2, 3, 1}), w}), {0, 3, 1, 2});
       }},
      {"WeightsOnTheLeft", 13, 3,
       [](ModelMaker& m, const std::string& x) {
         const std::string flat = m.node("Reshape", {x, m.integers({1, 8, 36})});
         const std::string y = m.node("MatMul", {m.weights({10, 8}), flat});
         return m.node("Reshape", {y, m.integers({1, 10, 6, 6})});
       }},
      {"RnnWithStates", 14, 3,
       [](ModelMaker& m, const std::string& x) {  // the height is the time
         const std::string rows = perm(m, m.node("Reshape", {x, m.integers({8, 6, 6})}), {1, 2, 0});
         const std::string state = m.node("ConstantOfShape", {m.integers({2, 6, 5})});
         const std::string y =
             m.node("RNN", {rows, m.weights({2, 5, 8}), m.weights({2, 5, 5}), m.weights({2, 10}), "", state});
         set_attribute(m.last(), "hidden_size", std::int64_t{5});
         set_attribute(m.last(), "direction", "bidirectional");
         const std::string wide = m.node("Reshape", {perm(m, y, {0, 2, 1, 3}), m.integers({6, 6, -1})});
         return m.node("Unsqueeze", {perm(m, wide, {2, 0, 1}), m.integers({0})});
       }},
      {"Flatten", 13, 3,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("Gemm", {m.node("Flatten", {x}), m.weights({288, 9})});
         return m.node("Unsqueeze", {y, m.integers({2, 3})});
       }},
      {"RankFiveAndBack", 13, 2,
       [](ModelMaker& m, const std::string& x) {
         const std::string y = m.node("Unsqueeze", {x, m.integers({2})});
         return m.node("Squeeze", {m.node("Relu", {y}), m.integers({2})});
       }},
      {"DequantisedPerChannel", 13, 2,
       [=](ModelMaker& m, const std::string& x) {
         const std::string scale = m.weights({8}, 0.01F, 0.02F);
         const std::string q = m.node("QuantizeLinear", {x, scale});
         axis(m, 1);
         const std::string y = m.node("DequantizeLinear", {q, scale});
         axis(m, 1);
         return y;
       }},
  };
}

class Operators : public testing::TestWithParam<Operator> {};

TEST_P(Operators, LetChannelsLeave) {
  ModelMaker m(GetParam().opset);
  const std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 8, 3);
  const std::string y = GetParam().make(m, x);
  const test::Folder folder;
  ModelMaker measure = m;
  measure.output(y);
  const auto shape = specs_of(test::engine(), measure.model(), {}, folder.path()).at(y).shape;
  ASSERT_EQ(shape.size(), 4U);
  const std::string z = m.node("Relu", {m.conv(y, shape[1], 4, 1)});
  m.output(m.conv(z, 4, 2, 1));

  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), GetParam().groups) << testing::PrintToString(test::names(groups.whole));
  EXPECT_THAT(groups.whole, SizeIs(1));  // the output
  const auto expected = test::answers(subject.model, {}, folder);
  const Pruned mixed = prune(subject.model, subject.specs, groups, test::shuffled(groups, 5));
  EXPECT_LE(test::difference(expected, test::answers(mixed.model, {}, folder)), 1e-4);
  Kept least;
  for (const auto& group : groups.groups) least.push_back({static_cast<int>(group.channels.size()) - 1});
  for (const Kept& kept : {test::random_part(groups, 1), test::random_part(groups, 2), least}) {
    const Pruned pruned = prune(subject.model, subject.specs, groups, kept);
    test::expect_predicted(pruned.model, pruned.specs, {}, folder.path());
  }
}

INSTANTIATE_TEST_SUITE_P(All, Operators, testing::ValuesIn(operators()), [](const auto& i) { return i.param.name; });

// ---- what stays whole, and why

/// Reason for the channels of the first convolution, 8 of them, on which `make` does something.
std::string reason(const std::function<std::string(ModelMaker&, const std::string&)>& make) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 8, 3);
  const std::string y = make(m, x);
  if (!y.empty()) m.output(y);
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  for (const auto& whole : groups.whole) {
    if (whole.name == x) return whole.reason;
  }
  return "none";
}

TEST(WholeChannel, SaysWhy) {
  EXPECT_EQ(reason([](ModelMaker& m, const std::string& x) { return m.node("Relu", {x}); }),
            "they are an output of the model");
  EXPECT_EQ(reason([](ModelMaker& m, const std::string& x) {
              const std::string y = m.node("Softmax", {x});
              set_attribute(m.last(), "axis", std::int64_t{1});
              return m.conv(y, 8, 2, 1);
            }),
            "'t3' (Softmax) works along them");
}

TEST(WholeChannel, UnknownOperatorsAreNamed) {
  EXPECT_EQ(reason([](ModelMaker& m, const std::string& x) {
              const std::string y = m.node("ReverseSequence", {x, m.integers({8})});
              set_attribute(m.last(), "batch_axis", std::int64_t{0});
              set_attribute(m.last(), "time_axis", std::int64_t{1});
              return m.conv(y, 8, 2, 1);
            }),
            "operator 'ReverseSequence' (node 't4') is not understood");
}

TEST(WholeChannel, OfAGraphInsideANode) {
  EXPECT_EQ(reason([](ModelMaker& m, const std::string& x) {
              const std::string sum = m.node("ReduceSum", {x});
              set_attribute(m.last(), "keepdims", std::int64_t{0});
              const std::string condition = m.node("Greater", {sum, m.constant({}, {0})});
              return m.conv(test::relu_or_neg(m, condition, x), 8, 2, 1);
            }),
            "operator 'If' (node 't6') has a graph of its own");
}

TEST(WholeChannel, WhereTheShapeOfAnotherTensorDecides) {
  EXPECT_EQ(reason([](ModelMaker& m, const std::string& x) {
              const std::string other = m.conv("x", 3, 8, 1);
              m.output(m.conv(other, 8, 2, 1));
              return m.conv(m.node("Reshape", {x, m.node("Shape", {other})}), 8, 2, 1);
            }),
            "'t10' (Reshape): its shape is computed");
}

TEST(WholeChannel, WhereAReshapeMixesThem) {
  EXPECT_EQ(reason([](ModelMaker& m, const std::string& x) {
              return m.conv(m.node("Reshape", {x, m.integers({1, 9, 8, 4})}), 9, 2, 1);
            }),
            "'t4' (Reshape) mixes them");
}

// ---- weights

TEST(Groups, OffsetsOfConcatAndPositionsOfFlattenAreInTheSlices) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 3, 2, 2});
  const std::string a = m.conv(x, 3, 4, 1, 1, 1, false);
  const std::string b = m.conv(x, 3, 6, 1, 1, 1, false);
  const std::string both = m.node("Concat", {a, b});
  set_attribute(m.last(), "axis", std::int64_t{1});
  const std::string w = m.weights({40, 5});
  m.output(m.node("Gemm", {m.node("Flatten", {both}), w}));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 2U);
  const auto& slices = groups.groups[1].channels[2].weights;
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(slices[1].tensor, w);
  EXPECT_EQ(slices[1].axis, 0);
  EXPECT_THAT(slices[1].indices, testing::ElementsAre(24, 25, 26, 27));
  EXPECT_THAT(groups.groups[1].makers, testing::ElementsAre(b));

  const Pruned pruned = prune(subject.model, subject.specs, groups, {{3, 1}, {0, 1, 2, 3, 4, 5}});
  EXPECT_THAT(pruned.indices.at(w)[0],
              testing::ElementsAreArray({12, 13, 14, 15, 4,  5,  6,  7,  16, 17, 18, 19, 20, 21, 22, 23,
                                         24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39}));
  EXPECT_TRUE(pruned.indices.at(w)[1].empty());
}

TEST(Groups, VectorsThatHappenToBeSharedAreSplitInTwo) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 3, 4, 4});
  const std::string scale = m.weights({8}, 0.5F, 1.5F);
  const std::string zero = m.weights({8});
  const std::string a = m.conv(x, 3, 8, 1, 1, 1, false);
  const std::string na = m.node("Relu", {m.node("BatchNormalization", {a, scale, zero, zero, scale})});
  const std::string b = m.conv(na, 8, 8, 1, 1, 1, false);
  const std::string nb = m.node("Relu", {m.node("BatchNormalization", {b, scale, zero, zero, scale})});
  m.output(m.conv(nb, 8, 2, 1));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 2U);
  const auto weights = subject.model.graph().initializer_size();
  const Pruned pruned = prune(subject.model, subject.specs, groups, {{0, 1, 2}, {4, 5, 6, 7}});
  EXPECT_EQ(pruned.model.graph().initializer_size(), weights + 2);
  test::expect_predicted(pruned.model, pruned.specs, {}, folder.path());
  const Pruned alike = prune(subject.model, subject.specs, groups, {{0, 1, 2}, {0, 1, 2}});
  EXPECT_EQ(alike.model.graph().initializer_size(), weights);
}

TEST(Groups, MatricesThatAreSharedStayShared) {
  ModelMaker m;
  const std::string w = m.weights({8, 3, 1, 1});
  const std::string a = m.node("Relu", {m.node("Conv", {m.input("x", {1, 3, 4, 4}), w})});
  const std::string b = m.node("Relu", {m.node("Conv", {m.input("y", {1, 3, 4, 4}), w})});
  m.output(m.node("Sub", {m.conv(a, 8, 2, 1), m.conv(b, 8, 2, 1)}));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 1U);
  EXPECT_EQ(groups.groups[0].makers.size(), 2U);
  const Pruned pruned = prune(subject.model, subject.specs, groups, {{5, 0}});
  EXPECT_EQ(pruned.model.graph().initializer_size(), subject.model.graph().initializer_size());
  test::expect_predicted(pruned.model, pruned.specs, {}, folder.path());
}

TEST(Groups, DepthwiseAndGroupedConvolutionsKeepTheirKind) {
  ModelMaker m;
  const std::string a = m.conv(m.input("x", {1, 3, 4, 4}), 3, 8, 1);
  const std::string depthwise = m.conv(a, 8, 8, 3, 1, 8);
  const std::string grouped = m.conv(depthwise, 8, 12, 3, 1, 2);
  m.output(m.conv(grouped, 12, 2, 1));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 2U);
  EXPECT_EQ(groups.groups[0].channels.size(), 4U);
  EXPECT_EQ(groups.groups[0].multiple, 2);
  EXPECT_EQ(groups.groups[1].channels.size(), 6U);
  const Pruned pruned = prune(subject.model, subject.specs, groups, {{1, 2, 3}, {0, 5}});
  const auto group = [&](int n) { return attribute_or(pruned.model.graph().node(n), "group", std::int64_t{1}); };
  EXPECT_EQ(group(1), 6);
  EXPECT_EQ(group(2), 2);
  test::expect_predicted(pruned.model, pruned.specs, {}, folder.path());
}

TEST(Prune, RefusesWhatIsNoSelection) {
  ModelMaker m;
  m.output(m.conv(m.conv(m.input("x", {1, 3, 4, 4}), 3, 8, 1), 8, 2, 1));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 1U);
  for (const Kept& kept : {Kept{}, Kept{{}}, Kept{{0, 0}}, Kept{{8}}, Kept{{-1}}}) {
    try {
      (void)prune(subject.model, subject.specs, groups, kept);
      FAIL() << testing::PrintToString(kept);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::internal);
    }
  }
}

}  // namespace
}  // namespace rtmdl
