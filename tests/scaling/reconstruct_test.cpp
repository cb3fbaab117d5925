/// What readers of removed channels take over from those that stay.

#include "scaling/reconstruct.h"

#include "../model/models.h"
#include "pruning.h"

#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::ModelMaker;
using test::Subject;

/// Channels 4..7 of the first layer are sums of the first four, so nothing is lost with them.
std::string redundant(ModelMaker& m, const std::string& x, std::int64_t inputs, const std::vector<float>& mix) {
  std::vector<float> w, bias;
  for (std::int64_t i = 0; i < 4 * inputs; ++i) w.push_back(static_cast<float>(m.draw(200)) / 100 - 1);
  for (int c = 0; c < 4; ++c) bias.push_back(static_cast<float>(m.draw(200)) / 100 - 1);
  for (std::size_t r = 0; r < 4; ++r) {
    bias.push_back(0.5F);
    for (std::size_t c = 0; c < 4; ++c) bias.back() += mix[r * 4 + c] * bias[c];
    for (std::size_t i = 0; i < static_cast<std::size_t>(inputs); ++i) {
      float sum = 0;
      for (std::size_t c = 0; c < 4; ++c) sum += mix[r * 4 + c] * w[c * static_cast<std::size_t>(inputs) + i];
      w.push_back(sum);
    }
  }
  return m.node("Conv", {x, m.constant({8, inputs, 1, 1}, w), m.constant({8}, bias)});
}

const std::vector<float> kMix{1, -1, 0.5F, 0, 0, 2, 1, -1, 0.25F, 0, 0, 1, -1, 0, 1, 1};

std::vector<InputSet> random_sets(const Subject& subject, const test::Folder& folder, std::uint32_t n) {
  LoadRequest at = subject.at;
  at.model = folder.save(subject.model, "sets.onnx");
  std::vector<InputSet> sets;
  for (std::uint32_t i = 0; i < n; ++i) sets.push_back(test::random_inputs(*test::engine().load(at), 100 + i, -1, 1));
  return sets;
}

/// Keeps the first four of every group of eight.
Pruned halved(const Subject& subject) {
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  Kept kept = keep_all(groups);
  for (auto& list : kept)
    if (list.size() == 8) list.resize(4);
  return prune(subject.model, subject.specs, groups, kept);
}

void expect_restored(ModelMaker& m, int layers) {
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  Pruned pruned = halved(subject);
  const auto sets = random_sets(subject, folder, 6);
  const auto before = test::answers(subject.model, subject.at, folder);
  ASSERT_EQ(reconstruct(test::engine(), subject.model, subject.specs, pruned, {}, Readers::all, subject.at, sets,
                        folder.path(), {}),
            layers);
  const auto after = test::answers(pruned.model, subject.at, folder);
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t o = 0; o < before.size(); ++o) {
    ASSERT_EQ(before[o].size(), after[o].size());
    for (std::size_t i = 0; i < before[o].size(); ++i) ASSERT_NEAR(before[o][i], after[o][i], 0.02) << o << " " << i;
  }
}

TEST(Reconstruction, OfConvolutionsIsExactWhereNothingIsLost) {
  ModelMaker m;
  const std::string x = redundant(m, m.input("x", {2, 3, 12, 12}), 3, kMix);
  m.output(
      m.node("Conv", {x, m.weights({5, 8, 3, 3}), m.weights({5})}));  // unpadded: the constant part holds everywhere
  expect_restored(m, 1);
}

TEST(Reconstruction, GivesABiasWhereThereIsNone) {
  ModelMaker m;
  const std::string x = redundant(m, m.input("x", {2, 3, 12, 12}), 3, kMix);
  m.output(m.node("Conv", {x, m.weights({5, 8, 3, 3})}));
  m.output(m.node("ConvTranspose", {x, m.weights({8, 3, 1, 1})}));
  expect_restored(m, 2);
}

TEST(Reconstruction, OfGemmAndOfBothAtOnce) {
  for (const std::int64_t transposed : {0, 1}) {
    ModelMaker m;
    const std::string x = redundant(m, m.input("x", {64, 3, 1, 1}), 3, kMix);
    const std::string w = transposed == 1 ? m.weights({5, 8}) : m.weights({8, 5});
    m.output(m.node("Gemm", {m.node("Flatten", {x}), w, m.weights({5})}));
    set_attribute(m.model().graph().mutable_node(m.model().graph().node_size() - 1)[0], "transB", transposed);
    m.output(m.node("Conv", {x, m.weights({6, 8, 1, 1})}));
    expect_restored(m, 2);
  }
}

TEST(Reconstruction, LeavesWhatIsExempt) {
  ModelMaker m;
  const std::string x = redundant(m, m.input("x", {2, 3, 12, 12}), 3, kMix);
  const std::string w = m.weights({5, 8, 3, 3});
  m.output(m.node("Conv", {x, w, m.weights({5})}));
  const test::Folder folder;
  const Subject subject(m.model(), folder.path());
  Pruned pruned = halved(subject);
  const std::string before = serialize(pruned.model);
  EXPECT_EQ(reconstruct(test::engine(), subject.model, subject.specs, pruned, {w}, Readers::all, subject.at,
                        random_sets(subject, folder, 6), folder.path(), {}),
            0);
  EXPECT_EQ(serialize(pruned.model), before);
}

/// The outputs of a whole network with random weights, half of every group removed, come nearer to what they were.
TEST(Reconstruction, BringsANetworkNearerToItsSource) {
  const test::Folder folder;
  const Subject subject(test::resnet18(2), folder.path());
  const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
  Kept kept = keep_all(groups);
  for (auto& list : kept) list.resize(list.size() * 3 / 4);
  const Pruned pruned = prune(subject.model, subject.specs, groups, kept);
  Pruned better = pruned;
  ASSERT_GT(reconstruct(test::engine(), subject.model, subject.specs, better, {}, Readers::all, subject.at,
                        random_sets(subject, folder, 32), folder.path(), {}),
            10);
  const auto error = [&](const Model& model) {
    const auto a = test::answers(subject.model, subject.at, folder), b = test::answers(model, subject.at, folder);
    double sum = 0;
    for (std::size_t i = 0; i < a[0].size(); ++i) sum += std::pow(a[0][i] - b[0][i], 2);
    return sum;
  };
  EXPECT_LT(error(better.model), 0.7 * error(pruned.model));
}

}  // namespace
}  // namespace rtmdl
