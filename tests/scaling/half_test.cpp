#include "scaling/half.h"

#include "architectures.h"
#include "run_model.h"
#include "scaling/precision.h"
#include "scaling/prepare.h"

#include "../model/models.h"

#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::ModelMaker;

TEST(HalfBits, AreTheNearestWithTiesToEven) {
  EXPECT_EQ(to_half_bits(0), 0);
  EXPECT_EQ(to_half_bits(-0.0F), 0x8000);
  EXPECT_EQ(to_half_bits(1), 0x3C00);
  EXPECT_EQ(to_half_bits(-2), 0xC000);
  EXPECT_EQ(to_half_bits(65504), 0x7BFF);
  EXPECT_EQ(to_half_bits(65519), 0x7BFF);
  EXPECT_EQ(to_half_bits(65520), 0x7C00);
  EXPECT_EQ(to_half_bits(1 + 0x1p-11F), 0x3C00);      // half way: the even one
  EXPECT_EQ(to_half_bits(1 + 3 * 0x1p-11F), 0x3C02);  // half way: the even one
  EXPECT_EQ(to_half_bits(0x1p-24F), 1);
  EXPECT_EQ(to_half_bits(0x1p-26F), 0);
  EXPECT_EQ(to_half_bits(0x1p-14F - 0x1p-26F), 0x0400);
  EXPECT_EQ(to_half_bits(std::numeric_limits<float>::infinity()), 0x7C00);
  EXPECT_EQ(to_half_bits(std::nanf("")) & 0x7FFF, 0x7E00);
}

TEST(HalfBits, AgreeWithReadingThemBack) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto_DataType_FLOAT16);
  tensor.add_dims(0x7C00);
  for (int i = 0; i < 0x7C00; ++i) tensor.add_int32_data(i);
  const auto values = floats(tensor).value();
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(to_half_bits(values[i]), i);
}

struct Halved {
  test::Folder folder;
  LoadRequest at;
  std::vector<InputSet> sets;
  Prepared prepared;
  HalfModel half;

  explicit Halved(const Model& model) : at(test::at(folder.save(model, "source.onnx"))) {
    const auto executable = test::engine().load(at);
    for (std::uint32_t seed = 1; seed <= 2; ++seed) sets.push_back(test::random_inputs(*executable, seed, -1, 1));
    prepared = prepare(test::engine(), load_model(at.model), at, folder.path());
    half = to_half(test::engine(), prepared.model, at, sets, folder.path(), Context());
  }
  double difference() const {
    const auto b = test::at(folder.save(half.model, "half.onnx"));
    return test::difference(test::outputs(at, sets[0]), test::outputs(b, sets[0]));
  }
};

class Half : public testing::TestWithParam<const char*> {};

TEST_P(Half, IsCloseAndHalfAsLarge) {
  const Halved h(test::architecture(GetParam()));
  EXPECT_GT(h.half.half, 0);
  EXPECT_LT(h.difference(), 1e-2);
  const auto bytes = [](const Model& m) {
    std::size_t sum = 0;
    for (const auto& t : m.graph().initializer()) sum += t.raw_data().size();
    return static_cast<double>(sum);
  };
  EXPECT_LT(bytes(h.half.model), 0.52 * bytes(h.prepared.model));
  EXPECT_THAT(h.half.kept, testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Architectures, Half,
                         testing::Values("efficientnet_b0", "mobilenet_v2", "mobilenet_v3_small", "resnet18",
                                         "shufflenet_v2_x0_5", "unet", "vit"),
                         [](const auto& i) { return std::string(i.param); });

TEST(Half, WhatIsTooLargeStaysAndIsNamed) {
  ModelMaker m;
  std::string x = m.node("Relu", {m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 3)});
  x = m.node("Mul", {x, m.constant({}, {70'000})});   // a constant that f16 does not hold
  const std::string big = m.conv(x, 8, 8, 1);         // values that it does not hold
  x = m.node("Mul", {big, m.constant({}, {1e-5F})});  // values that come back
  m.output(m.node("Softmax", {m.conv(x, 8, 4, 1)}));
  const test::Folder folder;
  const auto at = test::at(folder.save(m.model(), "large.onnx"));
  const std::vector<InputSet> sets{test::random_inputs(*test::engine().load(at), 1, -1, 1)};
  const HalfModel half = to_half(test::engine(), m.model(), at, sets, folder.path(), Context());
  EXPECT_THAT(half.kept, testing::Contains(testing::HasSubstr("reach 70000, f16 ends at 65504")));
  EXPECT_THAT(half.kept, testing::Contains(testing::HasSubstr("(Conv): values reach ")));
  const auto b = test::at(folder.save(half.model, "half.onnx"));
  EXPECT_LT(test::difference(test::outputs(at, sets[0]), test::outputs(b, sets[0])), 1e-2);
}

TEST(Half, AModelThatIsSmallerStillKeepsItsInputsAndOutputs) {
  const Halved h(test::architecture("mobilenet_v2"));
  ASSERT_EQ(h.half.model.graph().input_size(), 1);
  EXPECT_EQ(h.half.model.graph().input(0).type().tensor_type().elem_type(), onnx::TensorProto_DataType_FLOAT);
  EXPECT_EQ(h.half.model.graph().output(0).name(), h.prepared.model.graph().output(0).name());
  EXPECT_EQ(h.half.casts, 2);
}

TEST(Half, NormalisationsKeepTheirStatistics) {
  ModelMaker m(15);
  const std::string x = m.node("MaxPool", {m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 3)});
  set_attribute(m.last(), "kernel_shape", std::vector<std::int64_t>{2, 2});
  m.output(m.conv(m.node("Relu", {m.batch_norm(x, 8)}), 8, 4, 3));
  const Halved h(m.model());
  EXPECT_EQ(h.half.casts, 2);
  for (const auto& node : h.half.model.graph().node()) {
    if (!is_op(node, "BatchNormalization")) continue;
    EXPECT_EQ(Links(h.half.model).constant(node.input(3))->data_type(), onnx::TensorProto_DataType_FLOAT);
  }
  EXPECT_LT(h.difference(), 1e-2);
}

TEST(Half, StateAndConstantInputsMayMeetIt) {
  ModelMaker m;
  const std::string state = m.input("state", {1, 8});
  std::string x = m.node("Gemm", {m.input("x", {1, 4}), m.weights({4, 8})});
  x = m.node("Tanh", {m.node("Add", {x, state})});
  m.last().set_output(0, "next");
  m.output("next");
  const test::Folder folder;
  LoadRequest at = test::at(folder.save(m.model(), "state.onnx"));
  at.state = {{"next", "state"}};
  const std::vector<InputSet> sets{test::random_inputs(*test::engine().load(at), 1, -1, 1)};
  const HalfModel half = to_half(test::engine(), m.model(), at, sets, folder.path(), Context());
  LoadRequest b = test::at(folder.save(half.model, "half.onnx"));
  b.state = at.state;
  EXPECT_LT(test::difference(test::outputs(at, sets[0]), test::outputs(b, sets[0])), 1e-2);
}

/// As converters leave them: all weights and values in f16, inputs and outputs too.
TEST(Widen, AModelInHalvesBecomesOneThatInt8Takes) {
  const Halved h(test::architecture("mobilenet_v2"));
  Model source = h.half.model;  // f32 at the borders, Cast inside
  const auto at = test::at(h.folder.save(source, "halves.onnx"));
  const Prepared p = prepare(test::engine(), load_model(at.model), at, h.folder.path());
  EXPECT_GT(p.widened, 50);
  for (const auto& t : p.model.graph().initializer()) EXPECT_NE(t.data_type(), onnx::TensorProto_DataType_FLOAT16);
  Int8Builder builder(test::engine(), p.model, at, h.sets, h.folder.path(), Context());
  EXPECT_EQ(builder.count_linear(builder.possible()), 53);
  const OutputError error = builder.judge(h.sets);
  EXPECT_LT(builder.error(std::vector<bool>(builder.units().size(), false), error), 1e-4);
  EXPECT_LT(builder.error(builder.possible(), error), 0.05);
}

TEST(Widen, InputsAndOutputsInHalvesKeepTheirTypes) {
  ModelMaker m;
  m.output(m.node("Relu", {m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 3)}));
  Model half = m.model();
  const std::string y = half.graph().output(0).name();
  for (auto* value : {half.graph().mutable_input(0), half.graph().mutable_output(0)})
    value->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto_DataType_FLOAT16);
  for (auto& t : *half.graph().mutable_initializer()) {
    const auto values = floats(t).value();
    const auto shape = dims(t);
    t.clear_raw_data();
    t.set_data_type(onnx::TensorProto_DataType_FLOAT16);
    for (const float v : values) t.add_int32_data(to_half_bits(v));
  }
  const test::Folder folder;
  const auto at = test::at(folder.save(half, "half.onnx"));
  const Prepared p = prepare(test::engine(), load_model(at.model), at, folder.path());
  EXPECT_EQ(p.widened, 2);
  const auto executable = test::engine().load(test::at(folder.save(p.model, "wide.onnx")));
  EXPECT_EQ(executable->inputs()[0].type, ElementType::f16);
  EXPECT_EQ(executable->outputs()[0].type, ElementType::f16);
  EXPECT_EQ(executable->outputs()[0].name, y);
  InputSet set;
  set.emplace_back(ElementType::f16, std::vector<std::int64_t>{1, 4, 8, 8});
  for (std::size_t i = 0; i < 256; ++i)
    set[0].as<std::uint16_t>()[i] = to_half_bits(0.01F * static_cast<float>(i % 90));
  const std::vector<InputSet> sets{set};
  Int8Builder builder(test::engine(), p.model, at, sets, folder.path(), Context());
  EXPECT_EQ(builder.count_linear(builder.possible()), 1);
  const OutputError error = builder.judge(sets);
  const double e = builder.error(builder.possible(), error);
  EXPECT_GT(e, 1e-9);
  EXPECT_LT(e, 0.01);
}

}  // namespace
}  // namespace rtmdl
