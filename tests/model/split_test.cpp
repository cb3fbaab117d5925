#include "model/split.h"

#include "architectures.h"
#include "model/fixed_nodes.h"
#include "models.h"

#include <rtmdl/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace rtmdl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<std::string> inputs_of(const Model& part) {
  std::vector<std::string> names;
  for (const auto& input : part.graph().input()) names.push_back(input.name());
  return names;
}

std::vector<std::string> outputs_of(const Model& part) {
  std::vector<std::string> names;
  for (const auto& output : part.graph().output()) names.push_back(output.name());
  return names;
}

std::unordered_map<std::string, Tensor> no_values(const std::vector<std::string>& names) {
  EXPECT_THAT(names, IsEmpty());
  return {};
}

/// x → Relu a → Abs b → Add(b, a) c → Neg d
Model skip(std::vector<std::string>& names) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4});
  const std::string a = m.node("Relu", {x}), b = m.node("Abs", {a});
  const std::string c = m.node("Add", {b, a}), d = m.node("Neg", {c});
  m.output(d);
  names = {x, a, b, c, d};
  return m.model();
}

TEST(Seams, SayWhatCrosses) {
  std::vector<std::string> n;
  const Model model = skip(n);
  const auto seams = find_seams(model, 2);
  ASSERT_EQ(seams.size(), 3U);
  EXPECT_EQ(seams[0].node, 1);
  EXPECT_THAT(seams[0].crossing, ElementsAre(n[1]));
  EXPECT_THAT(seams[1].crossing, UnorderedElementsAre(n[1], n[2]));
  EXPECT_THAT(seams[2].crossing, ElementsAre(n[3]));
  EXPECT_EQ(find_seams(model, 1).size(), 2U);
}

TEST(Seams, AnInputThatIsReadLaterCrosses) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4});
  const std::string a = m.node("Relu", {x});
  m.output(m.node("Add", {a, x}));
  const auto seams = find_seams(m.model(), 4);
  ASSERT_EQ(seams.size(), 1U);
  EXPECT_THAT(seams[0].crossing, UnorderedElementsAre(x, a));
}

TEST(Split, PartsReadWhatEarlierOnesMake) {
  std::vector<std::string> n;
  const Model model = skip(n);
  const auto parts = split(model, {1, 2, 3}, no_values);
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_THAT(inputs_of(parts[0]), ElementsAre(n[0]));
  EXPECT_THAT(outputs_of(parts[0]), ElementsAre(n[1]));
  EXPECT_THAT(inputs_of(parts[1]), ElementsAre(n[1]));
  EXPECT_THAT(outputs_of(parts[1]), ElementsAre(n[2]));
  EXPECT_THAT(inputs_of(parts[2]), UnorderedElementsAre(n[1], n[2]));
  EXPECT_THAT(outputs_of(parts[3]), ElementsAre(n[4]));
}

TEST(Split, OutputsStayWhereTheyAreMade) {
  test::ModelMaker m;
  const std::string a = m.node("Relu", {m.input("x", {1, 4})});
  const std::string b = m.node("Abs", {a});
  m.output(b);
  const std::string c = m.node("Neg", {b});
  m.output(c);
  m.output(m.node("Sin", {a}));
  const auto parts = split(m.model(), {2}, no_values);
  EXPECT_THAT(outputs_of(parts[0]), ElementsAre(b, a));
  EXPECT_EQ(parts[1].graph().output_size(), 2);
}

TEST(Split, WeightsGoWhereTheyAreRead) {
  test::ModelMaker m;
  const std::string w = m.weights({1, 4}), v = m.weights({1, 4});
  const std::string a = m.node("Add", {m.input("x", {1, 4}), w});
  m.output(m.node("Mul", {m.node("Add", {a, w}), v}));
  const auto parts = split(m.model(), {1}, no_values);
  EXPECT_EQ(parts[0].graph().initializer_size(), 1);
  EXPECT_EQ(parts[1].graph().initializer_size(), 2);
}

TEST(Split, AShapeOfWhatIsOutOfReachIsAValue) {
  test::ModelMaker m;
  const std::string x = m.input("x", {2, 4});
  const std::string a = m.node("Relu", {x}), b = m.node("Abs", {a});
  const std::string shape = m.node("Shape", {x});
  m.output(m.node("Reshape", {b, shape}));
  const Model& model = m.model();
  EXPECT_EQ(find_seams(model, 1).size(), 2U) << "a shape does not cross";
  std::vector<std::string> asked;
  const auto parts = split(model, {2}, [&](const std::vector<std::string>& names) {
    asked = names;
    Tensor value(ElementType::i64, {2});
    value.as<std::int64_t>()[0] = 2;
    value.as<std::int64_t>()[1] = 4;
    return std::unordered_map<std::string, Tensor>{{shape, value}};
  });
  EXPECT_THAT(asked, ElementsAre(shape));
  EXPECT_THAT(inputs_of(parts[1]), ElementsAre(b));
  EXPECT_EQ(parts[1].graph().node_size(), 1);
  EXPECT_EQ(parts[1].graph().initializer_size(), 1);
  EXPECT_THROW(
      static_cast<void>(split(model, {2}, [](const auto&) { return std::unordered_map<std::string, Tensor>{}; })),
      Error);
}

TEST(Split, BranchesTakeWhatTheyCapture) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4});
  const std::string a = m.node("Abs", {x}), b = m.node("Neg", {x});
  const std::string greater = m.node("Greater", {m.node("ReduceSum", {b}), m.weights({1})});
  m.output(test::relu_or_neg(m, greater, a));
  const Model& model = m.model();
  const auto parts = split(model, {model.graph().node_size() - 1}, no_values);
  EXPECT_THAT(inputs_of(parts[1]), UnorderedElementsAre(a, greater));
}

TEST(Split, EveryNodeThatRunsIsInOnePart) {
  for (const std::string& name : test::architectures()) {
    const Model model = test::architecture(name);
    const std::vector<bool> fixed = fixed_nodes(model).fixed;
    std::vector<int> cuts;
    for (const Seam& seam : find_seams(model, 3)) cuts.push_back(seam.node);
    const auto parts = split(model, cuts, [](const std::vector<std::string>& names) {
      std::unordered_map<std::string, Tensor> values;
      for (const std::string& n : names) values.emplace(n, Tensor(ElementType::i64, {1}));
      return values;
    });
    ASSERT_EQ(parts.size(), cuts.size() + 1) << name;
    std::multiset<std::string> made;
    for (const Model& part : parts)
      for (const auto& node : part.graph().node()) made.insert(node.output(0));
    for (int i = 0; i < model.graph().node_size(); ++i)
      if (!fixed[static_cast<std::size_t>(i)]) {
        EXPECT_EQ(made.count(model.graph().node(i).output(0)), 1U) << name;
      }
  }
}

TEST(Split, AnInputGetsItsType) {
  std::vector<std::string> n;
  auto parts = split(skip(n), {2}, no_values);
  set_input_type(parts[1], {n[2], ElementType::i32, {3, 5}});
  for (const auto& input : parts[1].graph().input()) {
    if (input.name() != n[2]) continue;
    EXPECT_EQ(input.type().tensor_type().elem_type(), onnx::TensorProto_DataType_INT32);
    EXPECT_EQ(input.type().tensor_type().shape().dim(1).dim_value(), 5);
  }
}

TEST(Seams, NothingCrossesWhoseShapeDependsOnData) {
  test::ModelMaker m;
  const std::string a = m.node("Relu", {m.input("x", {2, 3})});
  const std::string b = m.node("Abs", {a});
  const std::string found = m.node("NonZero", {b});
  m.output(m.node("Cast", {m.node("Neg", {found})}));
  const auto seams = find_seams(m.model(), 4);
  ASSERT_EQ(seams.size(), 2U);
  EXPECT_THAT(seams[0].crossing, ElementsAre(a));
  EXPECT_THAT(seams[1].crossing, ElementsAre(b));
}

TEST(Split, WeightsThatAreDequantisedFirstStayIntegers) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4}), scale = m.weights({});
  std::vector<std::string> weights;
  for (int k = 0; k < 2; ++k) weights.push_back(m.node("DequantizeLinear", {m.weights({1, 4}), scale}));
  const std::string a = m.node("Add", {x, weights[0]});
  m.output(m.node("Add", {a, weights[1]}));
  const auto parts = split(m.model(), {3}, no_values);
  for (const Model& part : parts) {
    EXPECT_EQ(part.graph().node_size(), 2);
    EXPECT_EQ(part.graph().node(0).op_type(), "DequantizeLinear");
    EXPECT_EQ(part.graph().initializer_size(), 2);
  }
}

TEST(Split, WeightsThatAreInputsToo) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4}), w = m.weights({1, 4});
  const std::string a = m.node("Relu", {x});
  m.output(m.node("Add", {a, w}));
  Model model = m.model();
  *model.graph().add_input() = model.graph().input(0);
  model.graph().mutable_input(1)->set_name(w);
  const auto parts = split(model, {1}, no_values);
  EXPECT_THAT(inputs_of(parts[0]), ElementsAre(x));
  EXPECT_EQ(parts[1].graph().initializer_size(), 1);
}

TEST(FixedNodes, ABranchThatDrawsIsNot) {
  test::ModelMaker m;
  const std::string condition = m.weights({});
  const std::string y = m.node("If", {condition});
  for (const char* branch : {"then_branch", "else_branch"}) {
    auto& attribute = *m.last().add_attribute();
    attribute.set_name(branch);
    attribute.set_type(onnx::AttributeProto_AttributeType_GRAPH);
    auto& node = *attribute.mutable_g()->add_node();
    node.set_op_type("RandomNormal");
    node.add_output("r");
    attribute.mutable_g()->add_output()->set_name("r");
  }
  m.output(m.node("Add", {m.input("x", {1}), y}));
  EXPECT_FALSE(fixed_nodes(m.model()).fixed[0]);
}

}  // namespace
}  // namespace rtmdl
