/// What counts as a block, on graphs small enough to see.

#include "pruning.h"

#include "../model/models.h"

#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::ModelMaker;
using test::Subject;
using testing::ElementsAre;

std::string residual(ModelMaker& m, const std::string& x) {
  return m.node("Add", {x, m.conv(m.node("Relu", {m.conv(x, 4, 4, 3)}), 4, 4, 3)});
}

std::vector<Block> blocks_of(const Subject& subject) { return find_blocks(subject.model, subject.specs); }

TEST(Blocks, ThatAreAnOutputLeaveItsName) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 4, 3);
  const std::string y = residual(m, residual(m, x));
  m.output(y);
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const auto blocks = blocks_of(subject);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_EQ(blocks[0].input, x);
  EXPECT_EQ(blocks[1].input, blocks[0].output);
  EXPECT_EQ(blocks[1].output, y);
  Model none = remove_blocks(subject.model, blocks, {0, 1});
  check_model(none);
  EXPECT_EQ(none.graph().output(0).name(), y);
  EXPECT_EQ(none.graph().node_size(), 2);  // the first convolution and Identity
  EXPECT_EQ(specs_of(test::engine(), none, {}, folder.path()).at(y).shape, subject.specs.at(y).shape);
  EXPECT_EQ(serialize(remove_blocks(subject.model, blocks, {})), serialize(subject.model));
}

TEST(Blocks, InsideOfOthersComeFirst) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 4, 3);
  const std::string inner = residual(m, residual(m, x));
  m.output(m.conv(m.node("Add", {x, m.conv(inner, 4, 4, 3)}), 4, 2, 1));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const auto blocks = blocks_of(subject);
  ASSERT_EQ(blocks.size(), 2U);
  for (const auto& block : blocks) EXPECT_EQ(block.nodes.size(), 4U);
}

TEST(Blocks, NeedAnIdentity) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 4, 3);
  const std::string projected = m.conv(x, 4, 4, 1);
  const std::string y = m.node("Add", {projected, m.conv(m.node("Sigmoid", {m.conv(x, 4, 6, 3)}), 6, 4, 3)});
  m.output(m.conv(y, 4, 2, 1));
  const test::Folder folder;
  EXPECT_TRUE(blocks_of(Subject(m.model(), folder.path())).empty());
}

TEST(Blocks, WithSqueezeAndExciteAreOne) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 4, 3);
  const std::string wide = m.node("Relu", {m.batch_norm(m.conv(x, 4, 8, 1), 8)});
  const std::string gate = m.node("Sigmoid", {m.conv(m.node("GlobalAveragePool", {wide}), 8, 8, 1)});
  const std::string y = m.node("Add", {m.conv(m.node("Mul", {wide, gate}), 8, 4, 1), x});
  m.output(m.conv(y, 4, 2, 1));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const auto blocks = blocks_of(subject);
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_TRUE(blocks[0].residual);
  EXPECT_EQ(blocks[0].nodes.size(), 9U);
  EXPECT_EQ(blocks[0].macs, 36 * 4 * 8 + 8 * 8 + 36 * 8 * 4);
  EXPECT_EQ(blocks[0].weights, 4 * (4 * 8 + 8 + 4 * 8 + 8 * 8 + 8 + 8 * 4 + 4));
}

/// Runs of equal shapes end with whatever activation the exporter has spelt.
TEST(Blocks, RunsTakeTheirActivationAlong) {
  ModelMaker m;
  std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 4, 3);
  x = m.node("Relu", {m.batch_norm(m.conv(x, 4, 4, 3), 4)});
  x = m.conv(x, 4, 4, 3);
  x = m.node("Mul", {x, m.node("Sigmoid", {x})});
  x = m.conv(x, 4, 4, 3);
  const std::string clipped =
      m.node("Clip", {m.node("Add", {x, m.constant({}, {3})}), m.constant({}, {0}), m.constant({}, {6})});
  x = m.node("Div", {m.node("Mul", {x, clipped}), m.constant({}, {6})});
  m.output(m.conv(x, 4, 4, 1));  // nothing after it
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const auto blocks = blocks_of(subject);
  ASSERT_EQ(blocks.size(), 3U);
  EXPECT_THAT((std::vector{blocks[0].nodes.size(), blocks[1].nodes.size(), blocks[2].nodes.size()}),
              ElementsAre(3, 3, 5));
  EXPECT_EQ(blocks[2].output, x);
}

TEST(Blocks, RunsThatOthersReadInsideStay) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 3, 6, 6}), 3, 4, 3);
  const std::string inside = m.conv(x, 4, 4, 3);
  const std::string y = m.node("Relu", {inside});
  const std::string both = m.node("Concat", {inside, y});
  set_attribute(m.last(), "axis", std::int64_t{1});
  m.output(m.conv(both, 8, 2, 1));
  const test::Folder folder;
  EXPECT_TRUE(blocks_of(Subject(m.model(), folder.path())).empty());
}

}  // namespace
}  // namespace rtmdl
