#include "model/cut_points.h"

#include "architectures.h"
#include "model/edit.h"
#include "models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <random>
#include <set>

namespace rtmdl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::set<std::string> cut_tensors(const Model& model) {
  const auto cuts = find_cut_points(model);
  return {cuts.tensors.begin(), cuts.tensors.end()};
}

/// What the header promises, from the graph alone: of what nodes behind cut k read, only tensors[k] is made before it
/// or comes in from outside.
void expect_one_tensor_crosses(const Model& model, const CutPoints& cuts) {
  const Links links(model);
  const auto constant = constant_nodes(model);
  std::set<int> constants(constant.begin(), constant.end());
  for (int i = 0; i < model.graph().node_size(); ++i) {  // shape arithmetic
    const auto& node = model.graph().node(i);
    const auto inputs = reads(node);
    const bool follows = std::all_of(inputs.begin(), inputs.end(), [&](const auto& name) {
      return links.constant(name) != nullptr || constants.contains(links.producer(name));
    });
    if (is_op(node, "Shape") || follows) constants.insert(i);
  }
  ASSERT_EQ(cuts.part.size(), static_cast<std::size_t>(model.graph().node_size()));
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const int part = cuts.part[static_cast<std::size_t>(i)];
    ASSERT_GE(part, 0);
    ASSERT_LE(part, static_cast<int>(cuts.tensors.size()));
    if (part == 0 || constants.contains(i)) continue;
    for (const auto& name : reads(model.graph().node(i))) {
      const int p = links.producer(name);
      if (links.constant(name) != nullptr || constants.contains(p)) continue;
      if (p >= 0 && cuts.part[static_cast<std::size_t>(p)] == part) continue;
      EXPECT_EQ(name, cuts.tensors[static_cast<std::size_t>(part - 1)]) << describe(model.graph().node(i));
    }
  }
  for (const auto& tensor : cuts.tensors) EXPECT_GE(links.producer(tensor), 0) << tensor;
}

TEST(CutPoints, LieBetweenEveryTwoLayersOfAChain) {
  test::ModelMaker m;
  std::string x = m.input("x", {1, 3, 32, 32});
  std::vector<std::string> made;
  std::int64_t in = 3;
  for (const std::int64_t width : {8, 16, 32}) {  // as VGG
    for (int i = 0; i < 2; ++i) {
      made.push_back(m.conv(x, in, width, 3));
      made.push_back(x = m.node("Relu", {made.back()}));
      in = width;
    }
    made.push_back(x = m.node("MaxPool", {x}));
  }
  made.push_back(x = m.node("Flatten", {x}));
  m.output(m.node("Gemm", {x, m.weights({512, 10})}));
  const auto cuts = find_cut_points(m.model());
  EXPECT_EQ(cuts.tensors, made);
  for (std::size_t i = 0; i < cuts.part.size(); ++i) EXPECT_EQ(cuts.part[i], static_cast<int>(i));
  expect_one_tensor_crosses(m.model(), cuts);
}

TEST(CutPoints, OfAResNetLieBehindItsAddsAndNeverInsideABlock) {
  Model model = test::resnet18(1);
  normalise(model);
  const auto cuts = find_cut_points(model);
  expect_one_tensor_crosses(model, cuts);
  const Links links(model);
  const std::set<std::string> tensors(cuts.tensors.begin(), cuts.tensors.end());
  int adds = 0;
  for (const auto& node : model.graph().node()) {
    if (!is_op(node, "Add")) continue;
    ++adds;
    EXPECT_TRUE(tensors.contains(node.output(0)));
    const auto& relu = model.graph().node(links.consumers(node.output(0)).front());
    EXPECT_TRUE(tensors.contains(relu.output(0)));
    for (std::string inside = node.input(0); inside != "";) {  // up the long branch: none until the block's input
      EXPECT_FALSE(tensors.contains(inside)) << inside;
      const auto& above = model.graph().node(links.producer(inside));
      inside = above.input(0);
      if (links.consumers(inside).size() > 1) break;
    }
  }
  EXPECT_EQ(adds, 8);
  EXPECT_EQ(cuts.tensors.size(), 3U /* stem */ + 2 * 8 + 2 /* pooled, flat */);
}

TEST(CutPoints, ATensorThatIsReadAgainLaterStaysLive) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4, 8, 8});
  const std::string a = m.conv(x, 4, 4, 3);
  const std::string b = m.conv(a, 4, 4, 3);
  const std::string c = m.conv(b, 4, 4, 3);
  const std::string d = m.node("Concat", {a, c});
  set_attribute(m.last(), "axis", std::int64_t{1});
  m.output(m.conv(d, 8, 4, 1));
  EXPECT_THAT(find_cut_points(m.model()).tensors, ElementsAre(a, d));
}

TEST(CutPoints, AnInputThatIsReadLateLeavesNone) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4});
  const std::string h = m.input("h", {1, 4});
  const std::string a = m.node("Relu", {m.node("Relu", {x})});
  const std::string sum = m.node("Add", {a, h});
  m.output(m.node("Relu", {sum}));
  EXPECT_THAT(find_cut_points(m.model()).tensors, ElementsAre(sum));
}

TEST(CutPoints, FollowTheTrunkPastOutputsOfTheirOwn) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4, 8, 8});
  const std::string f1 = m.conv(x, 4, 4, 3);
  const std::string head = m.conv(f1, 4, 2, 1);
  m.output(m.node("Sigmoid", {head}));
  const std::string f2 = m.conv(f1, 4, 4, 3);
  const std::string f3 = m.conv(f2, 4, 4, 3);
  m.output(m.node("Relu", {f3}));
  const auto cuts = find_cut_points(m.model());
  EXPECT_THAT(cuts.tensors, ElementsAre(f1, f2, f3));
  EXPECT_THAT(cuts.part, ElementsAre(0, 1, 1, 1, 2, 3)) << "the head belongs to the part behind f1";
}

TEST(CutPoints, ShapeArithmeticIsNoTensorThatLives) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4, 8, 8});
  const std::string shape = m.node("Shape", {x});
  const std::string a = m.conv(x, 4, 4, 3);
  const std::string b = m.node("Relu", {a});
  const std::string y = m.node("Reshape", {b, shape});
  m.output(m.node("Relu", {y}));
  const auto cuts = find_cut_points(m.model());
  EXPECT_THAT(cuts.tensors, ElementsAre(a, b, y));
  EXPECT_EQ(cuts.part[0], 2) << "it is computed where it is read";
}

TEST(CutPoints, AShapeThatValuesDecideLives) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 64});
  const std::string found = m.node("NonZero", {x});
  const std::string shape = m.node("Shape", {found});
  const std::string a = m.node("Relu", {x});
  m.output(m.node("Add", {a, m.node("Cast", {shape})}));
  EXPECT_THAT(find_cut_points(m.model()).tensors, IsEmpty());
}

TEST(CutPoints, SeeWhatSubgraphsCapture) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4});
  const std::string a = m.node("Relu", {x});
  const std::string condition = m.node("Cast", {m.node("ReduceMax", {a})});
  const std::string y = test::relu_or_neg(m, condition, a);
  m.output(m.node("Relu", {y}));
  EXPECT_THAT(find_cut_points(m.model()).tensors, ElementsAre(a, y));
}

TEST(CutPoints, OfRealModelsKeepTheirPromise) {
  const std::map<std::string, std::size_t> at_least{
      {"blazeface_128", 20}, {"mlsd_320", 5}, {"ppocr_cls", 30}, {"ppocr_det", 5}, {"ppocr_rec", 20}};
  for (const auto& [name, least] : at_least) {
    const auto path = std::filesystem::path(RTMDL_SOURCE_DIR) / "assets/models" / (name + ".onnx");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " was not fetched";
    Model model = load_model(path);
    normalise(model);
    const auto cuts = find_cut_points(model);
    expect_one_tensor_crosses(model, cuts);
    EXPECT_GE(cuts.tensors.size(), least) << name;
    EXPECT_TRUE(std::is_sorted(cuts.tensors.begin(), cuts.tensors.end(), [&](const auto& a, const auto& b) {
      const Links links(model);
      return links.producer(a) < links.producer(b);
    })) << name;
  }
}

TEST(CutPoints, OfRealArchitecturesKeepTheirPromise) {
  for (const auto& name : test::architectures()) {
    Model model = test::architecture(name);
    normalise(model);
    const auto cuts = find_cut_points(model);
    expect_one_tensor_crosses(model, cuts);
    const Links links(model);
    const std::set<std::string> tensors(cuts.tensors.begin(), cuts.tensors.end());
    if (name == "vgg11_bn" || name == "alexnet") {  // a chain: between every two nodes
      EXPECT_EQ(tensors.size() + 1, static_cast<std::size_t>(model.graph().node_size())) << name;
    }
    if (!name.starts_with("resn")) continue;  // resnet18, resnext: behind every Add, inside no block
    int adds = 0;
    for (const auto& node : model.graph().node()) {
      if (!is_op(node, "Add")) continue;
      ++adds;
      EXPECT_TRUE(tensors.contains(node.output(0))) << name;
      EXPECT_FALSE(tensors.contains(node.input(0))) << name;
    }
    EXPECT_GE(adds, 5) << name;
  }
}

/// Against the definition, on random graphs: a tensor is a cut if no node that depends on it reads anything else from
/// before; of those, the chain leaves out only what lies on side branches.
TEST(CutPoints, OfRandomGraphsAreThoseOfTheDefinition) {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    test::ModelMaker m(17, seed);
    std::vector<std::string> tensors{m.input("x", {1, 4})};
    const auto recent = [&] {
      const auto back = std::min<std::size_t>(tensors.size(), 1 + m.draw(3));
      return tensors[tensors.size() - back];
    };
    for (int i = 0; i < 12; ++i) {
      const std::string a = recent();
      tensors.push_back(m.draw(3) == 0 ? m.node("Add", {a, recent()}) : m.node("Relu", {a}));
    }
    m.output(tensors.back());
    normalise(m.model());
    const Links links(m.model());
    std::set<std::string> expected;
    for (const auto& node : m.model().graph().node()) {
      const std::string& t = node.output(0);
      std::set<std::string> after{t};
      bool alone = true;
      for (const auto& other : m.model().graph().node()) {
        const auto inputs = reads(other);
        const auto inside = [&](const std::string& n) { return after.contains(n); };
        if (!std::any_of(inputs.begin(), inputs.end(), inside)) continue;
        alone = alone && std::all_of(inputs.begin(), inputs.end(), inside);
        after.insert(other.output(0));
      }
      if (alone && after.size() > 1) expected.insert(t);
    }
    EXPECT_EQ(cut_tensors(m.model()), expected) << seed;  // one output: no side branches
  }
}

TEST(PeakActivationBytes, IsWhatLivesAtOnce) {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 4});
  const std::string a = m.node("Relu", {x});
  const std::string b = m.node("Relu", {a});
  const std::string c = m.node("Add", {a, b});
  m.output(c);
  const auto spec = [](const std::string& name, std::int64_t n) { return TensorSpec{name, ElementType::f32, {1, n}}; };
  TensorSpecs specs{{x, spec(x, 100)}, {a, spec(a, 10)}, {b, spec(b, 10)}, {c, spec(c, 10)}};
  EXPECT_EQ(peak_activation_bytes(m.model(), specs), 440) << "x and a";
  specs[x] = spec(x, 1);
  EXPECT_EQ(peak_activation_bytes(m.model(), specs), 120) << "a, b and c";
  specs[b].shape = {std::int64_t{1} << 62, 4};
  EXPECT_GT(peak_activation_bytes(m.model(), specs), 0) << "no overflow";
}

}  // namespace
}  // namespace rtmdl
