#include "engine/same_outputs.h"

#include "model/models.h"
#include "model/split.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace rtmdl::test {

void fill(Executable& model, std::uint32_t seed) {
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < model.inputs().size(); ++i) {
    const TensorView view = model.input(i);
    if (view.type == ElementType::f32)
      for (float& x : view.as<float>()) x = static_cast<float>(random()) / 4294967296.0F;
    if (view.type == ElementType::i64)
      for (std::int64_t& x : view.as<std::int64_t>()) x = static_cast<std::int64_t>(random() % 5);
    if (view.type == ElementType::i32)
      for (std::int32_t& x : view.as<std::int32_t>()) x = static_cast<std::int32_t>(random() % 5);
  }
}

void expect_equal_outputs(Executable& whole, Executable& other, const std::string& what, float tolerance) {
  ASSERT_EQ(whole.inputs().size(), other.inputs().size()) << what;
  ASSERT_EQ(whole.outputs().size(), other.outputs().size()) << what;
  for (std::size_t i = 0; i < whole.inputs().size(); ++i) EXPECT_EQ(whole.inputs()[i].name, other.inputs()[i].name);
  for (std::size_t o = 0; o < whole.outputs().size(); ++o) {
    EXPECT_EQ(whole.outputs()[o].name, other.outputs()[o].name) << what;
    const TensorView a = whole.output(o), b = other.output(o);
    ASSERT_TRUE(std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(), b.shape.end())) << what;
    ASSERT_EQ(a.bytes.size(), b.bytes.size()) << what;
    if (a.type != ElementType::f32) {
      EXPECT_TRUE(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin())) << what;
      continue;
    }
    float largest = 0;
    for (const float x : a.as<float>()) largest = std::max(largest, std::abs(x));
    float worst = 0;
    for (std::size_t i = 0; i < a.as<float>().size(); ++i) {
      const float x = a.as<float>()[i], y = b.as<float>()[i];
      worst = std::max(worst, std::isfinite(x) && !std::isfinite(y) ? HUGE_VALF : std::abs(x - y));
    }
    EXPECT_LE(worst, tolerance * std::max(1.0F, largest)) << what << " " << whole.outputs()[o].name;
  }
}

std::vector<int> some_cuts(const Model& model, std::size_t n) {
  const std::vector<Seam> seams = find_seams(model, 4);
  std::vector<int> cuts;
  for (std::size_t k = 1; k <= n; ++k) {
    const std::size_t at = k * seams.size() / (n + 1);
    if (at < seams.size() && (cuts.empty() || seams[at].node > cuts.back())) cuts.push_back(seams[at].node);
  }
  return cuts;
}

LoadRequest model_with_state(const std::filesystem::path& folder) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 64}), before = m.input("before", {1, 64});
  std::string y = m.node("Tanh", {m.node("Add", {x, before})});
  m.output(m.node("Sin", {y}));
  y = m.node("Cos", {y});
  m.last().set_output(0, "after");
  m.output("after");
  LoadRequest request;
  request.model = folder / "state.onnx";
  save_model(m.model(), request.model);
  request.state = {{"after", "before"}};
  return request;
}

}  // namespace rtmdl::test
