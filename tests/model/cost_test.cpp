#include "model/cost.h"

#include "models.h"

#include <gtest/gtest.h>

#include <limits>

namespace rtmdl {
namespace {

NodeCost cost_of_last(const Model& model, const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  TensorSpecs specs;
  for (const auto& [name, shape] : shapes) specs[name] = {name, ElementType::f32, shape};
  return node_cost(model.graph().node(model.graph().node_size() - 1), Links(model), specs);
}

TEST(Cost, OfAConvolutionIsPerOutputPixel) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4, 8, 8});
  const std::string y = m.conv(x, 4, 6, 3, 2, 2, false);
  const NodeCost cost = cost_of_last(m.model(), {{x, {1, 4, 8, 8}}, {y, {1, 6, 4, 4}}});
  EXPECT_EQ(cost.macs, 6 * 4 * 4 * (4 / 2) * 9);
  EXPECT_EQ(cost.bytes, 4 * (4 * 64 + 6 * 2 * 9 + 6 * 16));
}

TEST(Cost, OfAnLstmIsEveryGatesWeightsInEachStep) {
  test::ModelMaker m;
  const std::string x = m.input("x", {20, 2, 8});
  const std::string w = m.weights({1, 4 * 16, 8}), r = m.weights({1, 4 * 16, 16});
  m.node("LSTM", {x, w, r});
  m.last().set_output(0, "");  // only its last state is used
  m.last().add_output("last");
  EXPECT_EQ(cost_of_last(m.model(), {{x, {20, 2, 8}}, {"last", {1, 2, 16}}}).macs, 20 * 2 * 4 * 16 * (8 + 16));
}

TEST(Cost, OfAnEinsumIsPerOutputElement) {
  test::ModelMaker m;
  const std::string x = m.input("x", {2, 5, 8}), w = m.weights({8, 3, 4});
  const std::string y = m.node("Einsum", {x, w});
  set_attribute(m.last(), "equation", "bnd, dhe -> bhne");
  EXPECT_EQ(cost_of_last(m.model(), {{x, {2, 5, 8}}, {y, {2, 3, 5, 4}}}).macs, 2 * 3 * 5 * 4 * 8);
  set_attribute(m.last(), "equation", "...d,dhe->...he");
  EXPECT_EQ(cost_of_last(m.model(), {{x, {2, 5, 8}}, {y, {2, 5, 3, 4}}}).macs, 2 * 3 * 5 * 4 * 8);
}

TEST(Cost, DoesNotOverflow) {
  test::ModelMaker m;
  const std::string a = m.input("a", {1, 1}), b = m.input("b", {1, 1});
  const std::string y = m.node("MatMul", {a, b});
  const std::int64_t huge = std::int64_t{1} << 40;
  EXPECT_EQ(cost_of_last(m.model(), {{a, {huge, huge}}, {b, {huge, huge}}, {y, {huge, huge}}}).macs,
            std::numeric_limits<std::int64_t>::max());
}

}  // namespace
}  // namespace rtmdl
