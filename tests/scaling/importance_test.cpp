/// Which channels stay, and how many of each group.

#include "pruning.h"

#include "../model/models.h"

#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::ModelMaker;
using test::Subject;
using testing::ElementsAre;

/// Two convolutions of 1×1 with known weights, a batch normalisation after the first.
Model two_layers() {
  ModelMaker m;
  const std::string w = m.constant({4, 1, 1, 1}, {3, -1, 0, 2});
  const std::string x = m.node("Conv", {m.input("x", {1, 1, 4, 4}), w});
  const std::string scale = m.constant({4}, {1, -5, 1, 1});
  const std::string zero = m.constant({4}, {0, 0, 0, 0});
  const std::string y = m.node("BatchNormalization", {x, scale, zero, zero, m.constant({4}, {1, 1, 1, 1})});
  m.output(m.node("Conv", {y, m.weights({2, 4, 1, 1})}));
  return m.model();
}

TEST(ImportanceOfChannels, IsTheNormOfTheirMakersWeights) {
  const test::Folder folder;
  const Subject subject(two_layers(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 1U);
  EXPECT_THAT(importance(subject.model, groups, Importance::magnitude)[0], ElementsAre(3, 1, 0, 2));
  EXPECT_THAT(importance(subject.model, groups, Importance::bn_scale)[0], ElementsAre(3, 5, 0, 2));
}

TEST(ImportanceOfChannels, AddsUpOverWhatASumJoins) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 1, 4, 4});
  const std::string a = m.node("Conv", {x, m.constant({2, 1, 1, 1}, {3, 1})});
  const std::string b = m.node("Conv", {x, m.constant({2, 1, 1, 1}, {4, 0})});
  m.output(m.conv(m.node("Relu", {m.node("Add", {a, b})}), 2, 2, 1));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 1U);
  EXPECT_THAT(importance(subject.model, groups, Importance::magnitude)[0], ElementsAre(5, 1));
}

/// A group of so many channels; nothing else about it matters here.
ChannelGroups of_width(std::size_t n, int multiple = 1) {
  ChannelGroups groups;
  groups.groups.push_back({"g", {}, {}, std::vector<Channel>(n), multiple});
  return groups;
}

std::vector<double> rising(std::size_t n) {
  std::vector<double> values(n);
  std::iota(values.begin(), values.end(), 1);
  return values;
}

std::size_t kept_of(std::size_t n, double ratio, int multiple = 1, int block = kChannelBlock) {
  return most_important(of_width(n, multiple), {rising(n)}, {ratio}, block)[0].size();
}

TEST(MostImportant, KeepsWholeBlocks) {
  EXPECT_EQ(kept_of(64, 0.5), 32U);
  EXPECT_EQ(kept_of(64, 0.55), 32U);
  EXPECT_EQ(kept_of(64, 0.57), 40U);
  EXPECT_EQ(kept_of(64, 0.01), 8U);
  EXPECT_EQ(kept_of(64, 1), 64U);
  EXPECT_EQ(kept_of(22, 0.99), 22U);  // 24 are not there
  EXPECT_EQ(kept_of(12, 0.5), 6U);    // too narrow for blocks
  EXPECT_EQ(kept_of(3, 0.01), 1U);
  EXPECT_EQ(kept_of(6, 0.5, 64), 3U);  // heads
  EXPECT_EQ(kept_of(12, 0.5, 2), 8U);  // 24 wide: 12 are rounded to 16
  EXPECT_EQ(kept_of(64, 0.3, 1, 1), 19U);
}

TEST(MostImportant, InTheirOrderOrSorted) {
  const std::vector<double> values{2, 9, 1, 9, 5};
  EXPECT_THAT(most_important(of_width(5), {values}, {0.6})[0], ElementsAre(1, 3, 4));
  EXPECT_THAT(most_important(of_width(5), {values}, {1}, 8, true)[0], ElementsAre(1, 3, 4, 0, 2));
}

/// Three convolutions in a row: two groups of 32 whose cuts save about the same.
struct Chain {
  test::Folder folder;
  Subject subject;
  ChannelGroups groups;
  std::vector<std::vector<double>> equal;

  Chain() : subject(model(), folder.path()), groups(find_channel_groups(subject.model, subject.specs)) {
    for (const auto& group : groups.groups) equal.emplace_back(group.channels.size(), 1.0);
  }
  static Model model() {
    ModelMaker m;
    const std::string a = m.node("Relu", {m.conv(m.input("x", {1, 16, 4, 4}), 16, 32, 3)});
    const std::string b = m.node("Relu", {m.conv(a, 32, 32, 3)});
    m.output(m.conv(b, 32, 16, 3));
    return m.model();
  }
  /// Of the whole model after these ratios.
  double share(const std::vector<double>& ratios) const {
    const Pruned pruned = prune(subject.model, subject.specs, groups, most_important(groups, equal, ratios));
    return static_cast<double>(model_cost(pruned.model, pruned.specs).macs) /
           static_cast<double>(model_cost(subject.model, subject.specs).macs);
  }
  std::vector<double> ratios(const std::vector<std::vector<double>>& harm, double share, double least = 0.125) const {
    return ratios_for(subject.model, subject.specs, groups, equal, harm, {0.75, 0.5, 0.25}, share, least);
  }
};

TEST(Ratios, CutWhereItDoesNoHarm) {
  const Chain chain;
  ASSERT_EQ(chain.groups.groups.size(), 2U);
  EXPECT_THAT(chain.ratios({{0.1, 0.2, 0.3}, {0, 0, 0}}, 0.5), ElementsAre(1, 0.25));
  EXPECT_THAT(chain.ratios({{0, 0, 0}, {0.1, 0.2, 0.3}}, 0.7), ElementsAre(0.5, 1));  // no further than asked for
  EXPECT_THAT(chain.ratios({{0, 0, 0}, {0, 0, 0}}, 0, 0.5), ElementsAre(0.5, 0.5));   // never below `least`
  EXPECT_THAT(chain.ratios({{1, 1, 1}, {1, 1, 1}}, 1), ElementsAre(1, 1));
}

TEST(Ratios, ReachTheShare) {
  const Chain chain;
  const std::vector<std::vector<double>> harm{{0.01, 0.05, 0.4}, {0.02, 0.06, 0.3}};
  double before = 1;
  for (const double share : {0.9, 0.7, 0.5, 0.3, 0.2}) {
    const double reached = chain.share(chain.ratios(harm, share));
    EXPECT_LE(reached, share);
    EXPECT_LE(reached, before);
    before = reached;
  }
}

TEST(Ratios, KnowWhatRecurrentLayersAndEinsumSave) {
  ModelMaker m;
  const std::string x = m.input("x", {12, 1, 8});
  const std::string y = m.node("LSTM", {x, m.weights({1, 4 * 64, 8}), m.weights({1, 4 * 64, 64})});
  set_attribute(m.last(), "hidden_size", std::int64_t{64});
  const std::string z = m.node("Einsum", {y, m.weights({64, 48})});
  set_attribute(m.last(), "equation", "tdbh,hk->tdbk");
  m.output(m.node("MatMul", {m.node("Relu", {z}), m.weights({48, 4})}));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  ASSERT_EQ(groups.groups.size(), 2U);
  const std::vector<std::vector<double>> equal{std::vector<double>(64, 1), std::vector<double>(48, 1)};
  const std::vector<std::vector<double>> harm(2, {0, 0, 0});
  EXPECT_THAT(ratios_for(subject.model, subject.specs, groups, equal, harm, {0.75, 0.5, 0.25}, 0.01),
              ElementsAre(0.25, 0.25));
}

}  // namespace
}  // namespace rtmdl
