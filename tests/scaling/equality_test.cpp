/// Upgrading the operator set and folding keep what a model computes, on the demo's models and on every converted
/// operator.

#include "model/edit.h"
#include "model/fold.h"
#include "model/opset.h"
#include "run_model.h"
#include "scaling/prepare.h"
#include "scaling/prune.h"

#include "../model/models.h"

#include <functional>
#include <tuple>

namespace rtmdl {
namespace {

using test::ModelMaker;

void expect_same(const Model& before, const Model& after, double tolerance = 1e-5) {
  const test::Folder folder;
  const auto a = test::at(folder.save(before, "before.onnx"));
  const auto b = test::at(folder.save(after, "after.onnx"));
  const InputSet set = test::random_inputs(*test::engine().load(a), 7, -2, 2);
  EXPECT_LE(test::difference(test::outputs(a, set), test::outputs(b, set)), tolerance);
}

class DemoModels : public testing::TestWithParam<test::DemoModel> {};

TEST_P(DemoModels, StayTheSameThroughUpgradeAndFolding) {
  const auto path = test::demo_path(GetParam().name);
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there: run scripts/setup";
  const test::Folder folder;
  const auto before = test::at(path, GetParam().shapes);
  const Prepared prepared = prepare(test::engine(), load_model(path), before, folder.path());
  EXPECT_EQ(prepared.not_upgraded, std::nullopt);
  EXPECT_GE(prepared.model.opset(), kWorkingOpset);
  const auto after = test::at(folder.save(prepared.model, "after.onnx"), GetParam().shapes);
  for (const std::uint32_t seed : {1U, 2U}) {
    const InputSet set = test::random_inputs(*test::engine().load(before), seed, GetParam().low, GetParam().high);
    EXPECT_LE(test::difference(test::outputs(before, set), test::outputs(after, set)), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(All, DemoModels, testing::ValuesIn(test::demo_models()),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(Opset, AModelWithABranchStaysAsItIs) {
  const auto path = test::demo_path("silero_vad");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there: run scripts/setup";
  Model model = load_model(path);
  for (auto& import : *model.proto.mutable_opset_import()) import.set_version(12);
  const std::string before = serialize(model);
  EXPECT_EQ(upgrade_opset(model), "operator 'If' has a subgraph");
  EXPECT_EQ(serialize(model), before);
}

TEST(Opset, AnUnknownOperatorIsNamed) {
  ModelMaker m(9);
  m.output(m.node("Imaginary", {m.input("x", {1, 2})}));
  normalise(m.model());
  EXPECT_EQ(upgrade_opset(m.model()),
            "'t0' (Imaginary): operator 'Imaginary' is not known to mean the same at opset 9 and 13");
  EXPECT_EQ(m.model().opset(), 9);
}

struct Old {
  const char* name;
  std::int64_t opset;
  std::function<std::string(ModelMaker&, const std::string&)> make;  ///< on x of 1×4×6×8
};

class OldOperators : public testing::TestWithParam<Old> {};

TEST_P(OldOperators, GiveTheSameAtTheWorkingOpset) {
  ModelMaker m(GetParam().opset);
  const std::string x = m.input("x", {1, 4, 6, 8});
  m.output(GetParam().make(m, x));
  Model after = m.model();
  normalise(after);
  ASSERT_EQ(upgrade_opset(after), std::nullopt);
  EXPECT_EQ(after.opset(), kWorkingOpset);
  expect_same(m.model(), after);
}

using Ints = std::vector<std::int64_t>;
std::string with(ModelMaker& m, const std::string& y, const char* name, const Ints& values) {
  set_attribute(m.last(), name, values);
  return y;
}

const std::vector<Old> kOld{
    {"Clip", 7,
     [](auto& m, auto& x) {
       auto y = m.node("Clip", {x});
       set_attribute(m.last(), "min", -0.5F);
       set_attribute(m.last(), "max", 0.7F);
       return y;
     }},
    {"ClipOneSided", 10,
     [](auto& m, auto& x) {
       auto y = m.node("Clip", {x});
       set_attribute(m.last(), "max", 0.7F);
       return y;
     }},
    {"Pad", 10,
     [](auto& m, auto& x) {
       auto y = m.node("Pad", {x});
       set_attribute(m.last(), "value", 0.3F);
       return with(m, y, "pads", {0, 1, 1, 2, 0, 0, 2, 1});
     }},
    {"Slice", 9,
     [](auto& m, auto& x) {
       auto y = with(m, m.node("Slice", {x}), "starts", {1, -5});
       with(m, y, "ends", {3, 9});
       return with(m, y, "axes", {1, 3});
     }},
    {"Squeeze", 11, [](auto& m, auto& x) { return with(m, m.node("Squeeze", {x}), "axes", {0}); }},
    {"SqueezeAll", 11, [](auto& m, auto& x) { return m.node("Squeeze", {x}); }},
    {"Unsqueeze", 12,
     [](auto& m, auto& x) {
       return with(m, m.node("Unsqueeze", {x}), "axes", {1, 3});
     }},
    {"ReduceSum", 12,
     [](auto& m, auto& x) {
       return with(m, m.node("ReduceSum", {x}), "axes", {2, 3});
     }},
    {"Split", 11,
     [](auto& m, auto& x) {
       auto y = with(m, m.node("Split", {x}), "split", {1, 3});
       set_attribute(m.last(), "axis", std::int64_t{1});
       m.last().add_output("rest");
       return m.node("Add", {y, "rest"});
     }},
    {"Upsample7", 7,
     [](auto& m, auto& x) {
       auto y = m.node("Upsample", {x});
       auto& a = *m.last().add_attribute();
       a.set_name("scales");
       a.set_type(onnx::AttributeProto_AttributeType_FLOATS);
       for (float s : {1.F, 1.F, 2.F, 2.F}) a.add_floats(s);
       return y;
     }},
    {"Upsample9", 9,
     [](auto& m, auto& x) {
       return m.node("Upsample", {x, m.constant({4}, {1, 1, 2, 3})});
     }},
    {"Upsample9Linear", 9,
     [](auto& m, auto& x) {
       auto y = m.node("Upsample", {x, m.constant({4}, {1, 1, 2, 2})});
       set_attribute(m.last(), "mode", "linear");
       return y;
     }},
    {"Resize10Up", 10,
     [](auto& m, auto& x) {
       return m.node("Resize", {x, m.constant({4}, {1, 1, 1.5F, 2})});
     }},
    {"Resize10Down", 10,
     [](auto& m, auto& x) {
       return m.node("Resize", {x, m.constant({4}, {1, 1, 0.5F, 0.5F})});
     }},
    {"SoftmaxDefault", 11, [](auto& m, auto& x) { return m.node("Softmax", {x}); }},
    {"SoftmaxLast", 12,
     [](auto& m, auto& x) {
       auto y = m.node("Softmax", {x});
       set_attribute(m.last(), "axis", std::int64_t{3});
       return y;
     }},
    {"LogSoftmax", 9,
     [](auto& m, auto& x) {
       auto y = m.node("LogSoftmax", {x});
       set_attribute(m.last(), "axis", std::int64_t{2});
       return y;
     }},
    {"BatchNormalization", 7, [](auto& m, auto& x) { return m.batch_norm(x, 4); }},
    {"Dropout", 7,
     [](auto& m, auto& x) {
       auto y = m.node("Dropout", {x});
       set_attribute(m.last(), "ratio", 0.4F);
       return m.node("Relu", {y});
     }},
    {"TopK", 9,
     [](auto& m, auto& x) {
       auto y = m.node("TopK", {x});
       set_attribute(m.last(), "k", std::int64_t{3});
       m.last().add_output("places");
       return y;
     }},
};

INSTANTIATE_TEST_SUITE_P(All, OldOperators, testing::ValuesIn(kOld),
                         [](const auto& i) { return std::string(i.param.name); });

int folded(ModelMaker& m) {
  Model after = m.model();
  normalise(after);
  const int before = after.graph().node_size();
  fold_all(after);
  check_model(after);
  expect_same(m.model(), after);
  return before - after.graph().node_size();
}

TEST(Fold, BatchNormalizationGoesIntoConvolutions) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 4, 6, 8});
  std::string y = m.batch_norm(m.conv(x, 4, 8, 3, 2, 2, false), 8);
  y = m.node("ConvTranspose", {m.node("Relu", {y}), m.weights({8, 3, 2, 2})});
  set_attribute(m.last(), "group", std::int64_t{2});
  m.output(m.batch_norm(y, 6));
  EXPECT_EQ(folded(m), 2);
}

TEST(Fold, ScaleAndShiftGoIntoWhatIsBeforeThem) {
  ModelMaker m;
  std::string y = m.conv(m.input("x", {1, 4, 6, 8}), 4, 8, 3);
  y = m.node("Mul", {m.weights({1, 8, 1, 1}), y});
  y = m.node("Add", {y, m.weights({8, 1, 1})});
  y = m.node("Sub", {m.constant({1}, {0.3F}), y});
  y = m.node("Div", {y, m.constant({}, {2})});
  m.output(y);
  EXPECT_EQ(folded(m), 4);
}

TEST(Fold, AConstantAlongTheWidthIsNoChannel) {
  ModelMaker m;
  const std::string y = m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 3);
  m.output(m.node("Mul", {y, m.weights({8})}));
  EXPECT_EQ(folded(m), 0);
}

TEST(Fold, AValueThatIsReadTwiceStays) {
  ModelMaker m;
  const std::string y = m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 3);
  m.output(m.node("Add", {m.node("Mul", {y, m.constant({1}, {2})}), m.node("Relu", {y})}));
  EXPECT_EQ(folded(m), 0);
}

TEST(Fold, ShiftPassesUnpaddedConvolutionsOnly) {
  for (const std::int64_t kernel : {1, 3}) {
    ModelMaker m;
    std::string y = m.node("Relu", {m.input("x", {1, 4, 8, 8})});
    y = m.node("Add", {m.node("Mul", {y, m.constant({1}, {1.5F})}), m.constant({1}, {0.7F})});
    m.output(m.conv(y, 4, 8, kernel));
    EXPECT_EQ(folded(m), kernel == 1 ? 2 : 1) << kernel;
  }
}

TEST(Fold, PaddingGoesIntoConvolutions) {
  ModelMaker m;
  const std::string y = m.node("Pad", {m.input("x", {1, 4, 8, 8}), m.integers({0, 0, 0, 1, 0, 0, 2, 1})});
  m.output(m.conv(y, 4, 8, 3, 2));
  EXPECT_EQ(folded(m), 1);
}

TEST(Fold, HardSwishAndHardSigmoidAreRecognised) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 3);
  const auto ramp = [&](const std::string& v) {
    return m.node("Clip", {m.node("Add", {v, m.constant({1}, {3})}), m.constant({}, {0}), m.constant({}, {6})});
  };
  const std::string swish = m.node("Div", {m.node("Mul", {x, ramp(x)}), m.constant({1}, {6})});
  const std::string gate = m.node("Mul", {ramp(m.node("GlobalAveragePool", {swish})), m.constant({1}, {1.0F / 6})});
  m.output(m.node("Mul", {swish, gate}));
  EXPECT_EQ(folded(m), 4);
}

TEST(Fold, ARampThatIsNoSigmoidKeepsItsFactor) {
  ModelMaker m;
  const std::string x = m.node("Relu", {m.input("x", {1, 4, 8, 8})});
  m.output(m.node("Clip", {m.node("Add", {x, m.constant({1}, {-1})}), m.constant({}, {0}), m.constant({}, {4})}));
  EXPECT_EQ(folded(m), 0);
}

TEST(Fold, ABranchMayReadWhatWasFolded) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 4, 8, 8});
  const std::string y = m.batch_norm(m.conv(x, 4, 8, 3), 8);
  m.node("ReduceMax", {x});
  set_attribute(m.last(), "keepdims", std::int64_t{0});
  m.output(test::relu_or_neg(m, m.node("Greater", {m.last().output(0), m.constant({}, {0.5F})}), y));
  EXPECT_EQ(folded(m), 1);
}

TEST(Prepare, LeavesSequencesAlone) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 4, 8, 8});
  const std::string both = m.node("SequenceConstruct", {m.weights({1, 4, 1, 1}), m.weights({1, 4, 1, 1})});
  const std::string c = m.node("ConcatFromSequence", {both});
  set_attribute(m.last(), "axis", std::int64_t{2});
  m.output(m.node("Add", {x, m.node("ReduceMax", {c})}));
  const test::Folder folder;
  const auto at = test::at(folder.save(m.model(), "source.onnx"));
  expect_same(m.model(), prepare(test::engine(), load_model(at.model), at, folder.path()).model);
}

/// One convolution, given by its kernel, stride, dilation and padding, on a map of `size`.
Model one_convolution(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                      std::int64_t pad) {
  ModelMaker m;
  m.output(m.conv(m.input("image", {1, 4, size, size}), 4, 8, kernel, stride));
  set_attribute(m.last(), "dilations", std::vector<std::int64_t>{dilation, dilation});
  set_attribute(m.last(), "pads", std::vector<std::int64_t>(4, pad));
  return m.model();
}

TEST(UnusedTaps, GoAndTheOutputsStay) {
  for (const auto& [size, kernel, stride, dilation, pad, left] : {std::tuple{1, 3, 1, 1, 1, 1},
                                                                  {2, 3, 1, 1, 1, 3},
                                                                  {2, 5, 1, 1, 2, 3},
                                                                  {1, 5, 2, 1, 2, 1},
                                                                  {3, 3, 1, 4, 4, 1},
                                                                  {2, 3, 2, 1, 1, 2},
                                                                  {8, 3, 1, 1, 1, 3},
                                                                  {4, 3, 1, 1, 0, 3}}) {
    SCOPED_TRACE(testing::Message() << size << " " << kernel << " " << stride << " " << dilation << " " << pad);
    const Model before = one_convolution(size, kernel, stride, dilation, pad);
    const test::Folder folder;
    Model after = before;
    const auto specs = specs_of(test::engine(), after, test::at(folder.save(after, "m.onnx")), folder.path());
    EXPECT_EQ(cut_unused_taps(after, specs), left < kernel ? 1 : 0);
    check_model(after);
    for (const auto& node : after.graph().node()) {
      if (!is_op(node, "Conv")) continue;
      EXPECT_EQ(dims(*Links(after).constant(node.input(1)))[2], left);
    }
    expect_same(before, after, 1e-6);
  }
}

}  // namespace
}  // namespace rtmdl
