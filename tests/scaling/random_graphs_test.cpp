/// Pruning graphs that nobody designed: whatever the analysis says may leave does so without breaking the model.

#include "pruning.h"

#include "../model/models.h"

#include <functional>

namespace rtmdl {
namespace {

using test::ModelMaker;
using test::Subject;

/// Draws graphs of convolutions and everything that joins, cuts, mixes and reshapes channels.
class RandomGraph {
 public:
  explicit RandomGraph(std::uint32_t seed) : m_(17, seed) {
    batch_ = 1 + pick(2);
    maps_.push_back(conv({m_.input("x", {batch_, 3, 8, 8}), 3, 8}, 8, 3));
    const int steps = 6 + static_cast<int>(pick(8));
    for (int i = 0; i < steps; ++i) step();
    finish();
  }
  Model model() { return m_.model(); }

 private:
  /// Batch × channels × size × size.
  struct Map {
    std::string name;
    std::int64_t channels, size;
  };

  std::int64_t pick(std::uint32_t below) { return m_.draw(below); }
  Map& any() { return maps_[static_cast<std::size_t>(pick(static_cast<std::uint32_t>(maps_.size())))]; }
  Map conv(const Map& x, std::int64_t out, std::int64_t kernel, std::int64_t group = 1) {
    return {m_.conv(x.name, x.channels, out, kernel, 1, group), out, x.size};
  }
  std::string scalars(float value) { return m_.constant({}, {value}); }
  static void axis(ModelMaker& m, std::int64_t value) { set_attribute(m.last(), "axis", value); }

  void step() {
    const Map x = any();
    static const std::vector<Map (RandomGraph::*)(const Map&)> kSteps{
        &RandomGraph::plain,    &RandomGraph::plain,   &RandomGraph::grouped,    &RandomGraph::depthwise,
        &RandomGraph::norm,     &RandomGraph::act,     &RandomGraph::residual,   &RandomGraph::residual,
        &RandomGraph::join,     &RandomGraph::join,    &RandomGraph::halves,     &RandomGraph::slice,
        &RandomGraph::shuffle,  &RandomGraph::squeeze, &RandomGraph::pad,        &RandomGraph::permute,
        &RandomGraph::pool,     &RandomGraph::spatial, &RandomGraph::group_norm, &RandomGraph::to_space,
        &RandomGraph::to_depth, &RandomGraph::last,    &RandomGraph::attention,  &RandomGraph::transposed,
        &RandomGraph::slope,    &RandomGraph::chunk};
    maps_.push_back((this->*kSteps[static_cast<std::size_t>(pick(static_cast<std::uint32_t>(kSteps.size())))])(x));
    if (maps_.size() > 5) maps_.erase(maps_.begin());
  }

  Map plain(const Map& x) {
    static constexpr std::array<std::int64_t, 5> kWidths{4, 6, 8, 12, 16};
    return conv(x, kWidths[static_cast<std::size_t>(pick(5))], pick(2) == 0 ? 1 : 3);
  }
  Map grouped(const Map& x) {
    const std::int64_t groups = x.channels % 4 == 0 && pick(2) == 0 ? 4 : 2;
    return x.channels % groups == 0 ? conv(x, 2 * groups * (1 + pick(3)), 3, groups) : plain(x);
  }
  Map depthwise(const Map& x) { return conv(x, x.channels * (1 + pick(2)), 3, x.channels); }
  Map transposed(const Map& x) {
    const std::int64_t out = 4 + 2 * pick(4);
    const std::string w = m_.weights({x.channels, out, 1, 1});
    return {m_.node("ConvTranspose", {x.name, w, m_.weights({out})}), out, x.size};
  }
  Map norm(const Map& x) { return {m_.batch_norm(x.name, x.channels), x.channels, x.size}; }
  Map act(const Map& x) {
    if (pick(2) == 0) return {m_.node("Relu", {x.name}), x.channels, x.size};
    return {m_.node("Mul", {x.name, m_.node("Sigmoid", {x.name})}), x.channels, x.size};
  }
  Map slope(const Map& x) { return {m_.node("PRelu", {x.name, m_.weights({x.channels, 1, 1})}), x.channels, x.size}; }
  Map residual(const Map& x) {
    for (const Map& other : maps_) {
      if (other.name != x.name && other.channels == x.channels && other.size == x.size) {
        return {m_.node("Add", {other.name, x.name}), x.channels, x.size};
      }
    }
    return {m_.node("Add", {x.name, conv(act(conv(x, 8, 1)), x.channels, 3).name}), x.channels, x.size};
  }
  Map join(const Map& x) {
    for (const Map& other : maps_) {
      if (other.size != x.size || other.channels + x.channels > 40) continue;
      const std::string y = m_.node("Concat", {x.name, other.name});
      axis(m_, 1);
      return {y, x.channels + other.channels, x.size};
    }
    return x;
  }
  /// Split, a convolution on one half, joined the other way round.
  Map halves(const Map& x) {
    if (x.channels < 2) return plain(x);
    const std::int64_t first = 1 + pick(static_cast<std::uint32_t>(x.channels - 1));
    const std::string a = m_.node("Split", {x.name, m_.integers({first, x.channels - first})});
    axis(m_, 1);
    const std::string b = a + "b";
    m_.last().add_output(b);
    const Map changed = conv({a, first, x.size}, first, 1);
    const std::string y = m_.node("Concat", {b, changed.name});
    axis(m_, 1);
    return {y, x.channels, x.size};
  }
  /// The same in the way of exporters: bounds from the number of channels.
  Map chunk(const Map& x) {
    if (x.channels % 2 != 0) return slice(x);
    const std::string channels = m_.node("Gather", {m_.node("Shape", {x.name}), m_.integers({1})});
    const std::string half = m_.node("Div", {channels, m_.integers({2})});
    const std::string y = m_.node("Slice", {x.name, half, channels, m_.integers({1})});
    return {y, x.channels / 2, x.size};
  }
  Map slice(const Map& x) {
    const std::int64_t begin = pick(static_cast<std::uint32_t>(x.channels));
    const std::int64_t end = begin + 1 + pick(static_cast<std::uint32_t>(x.channels - begin));
    const std::int64_t from = pick(2) == 0 ? begin : begin - x.channels;
    return {m_.node("Slice", {x.name, m_.integers({from}), m_.integers({end}), m_.integers({1})}), end - begin, x.size};
  }
  Map shuffle(const Map& x) {
    const std::int64_t groups = x.channels % 3 == 0 ? 3 : 2;
    if (x.channels % groups != 0) return x;
    const std::int64_t each = x.channels / groups;
    const bool computed = pick(2) == 0;
    std::string target;
    if (computed) {
      const std::string channels = m_.node("Gather", {m_.node("Shape", {x.name}), m_.integers({1})});
      const std::string left = m_.node("Div", {channels, m_.integers({groups})});
      target = m_.node("Concat", {m_.integers({batch_, groups}), left, m_.integers({x.size, x.size})});
      axis(m_, 0);
    } else {
      target = m_.integers({batch_, groups, each, x.size, -1});
    }
    const std::string split = m_.node("Reshape", {x.name, target});
    const std::string mixed = m_.node("Transpose", {split});
    set_attribute(m_.last(), "perm", std::vector<std::int64_t>{0, 2, 1, 3, 4});
    return {m_.node("Reshape", {mixed, m_.integers({0, pick(2) == 0 ? -1 : x.channels, x.size, x.size})}), x.channels,
            x.size};
  }
  Map squeeze(const Map& x) {
    const Map pooled{m_.node("GlobalAveragePool", {x.name}), x.channels, 1};
    const Map gate = conv(act(conv(pooled, 4, 1)), x.channels, 1);
    return {m_.node("Mul", {x.name, m_.node("Sigmoid", {gate.name})}), x.channels, x.size};
  }
  Map pad(const Map& x) {
    const std::int64_t before = pick(3);
    const std::int64_t after = pick(3);
    const std::string y = m_.node("Pad", {x.name, m_.integers({0, before, 0, 0, 0, after, 0, 0})});
    return {y, x.channels + before + after, x.size};
  }
  Map permute(const Map& x) {
    std::vector<std::int64_t> order;
    const std::int64_t count = 2 + pick(static_cast<std::uint32_t>(x.channels));
    for (std::int64_t i = 0; i < count; ++i)
      order.push_back(pick(static_cast<std::uint32_t>(x.channels)) - (i == 0 ? x.channels : 0));
    const std::string y = m_.node("Gather", {x.name, m_.integers(order)});
    axis(m_, 1);
    return {y, count, x.size};
  }
  Map pool(const Map& x) {
    if (x.size < 4) return x;
    const std::string y = m_.node("MaxPool", {x.name});
    set_attribute(m_.last(), "kernel_shape", std::vector<std::int64_t>{2, 2});
    set_attribute(m_.last(), "strides", std::vector<std::int64_t>{2, 2});
    return {y, x.channels, x.size / 2};
  }
  Map spatial(const Map& x) {
    const std::string mean = m_.node("ReduceMean", {x.name});
    set_attribute(m_.last(), "axes", std::vector<std::int64_t>{1});
    return {m_.node("Mul", {x.name, m_.node("Sigmoid", {mean})}), x.channels, x.size};
  }
  Map group_norm(const Map& x) {
    if (x.channels % 2 != 0) return norm(x);
    const std::string flat = m_.node("Reshape", {x.name, m_.integers({0, 2, -1})});
    const std::string normal =
        m_.node("InstanceNormalization", {flat, m_.constant({2}, {1, 1}), m_.constant({2}, {0, 0})});
    const std::string y = m_.node("Reshape", {normal, m_.node("Shape", {x.name})});
    return {m_.node("Mul", {y, m_.weights({x.channels, 1, 1})}), x.channels, x.size};
  }
  Map to_space(const Map& x) {
    if (x.channels % 4 != 0 || x.size > 8) return x;
    const std::string y = m_.node("DepthToSpace", {x.name});
    set_attribute(m_.last(), "blocksize", std::int64_t{2});
    set_attribute(m_.last(), "mode", pick(2) == 0 ? "CRD" : "DCR");
    return {y, x.channels / 4, x.size * 2};
  }
  Map to_depth(const Map& x) {
    if (x.size % 2 != 0 || x.channels > 8) return x;
    const std::string y = m_.node("SpaceToDepth", {x.name});
    set_attribute(m_.last(), "blocksize", std::int64_t{2});
    return {y, x.channels * 4, x.size / 2};
  }
  /// Channels last: a bias along the last axis, or a normalisation over it.
  Map last(const Map& x) {
    std::string y = m_.node("Transpose", {x.name});
    set_attribute(m_.last(), "perm", std::vector<std::int64_t>{0, 2, 3, 1});
    if (pick(2) == 0) y = m_.node("Add", {y, m_.weights({x.channels})});
    else y = m_.node("LayerNormalization", {y, m_.weights({x.channels}), m_.weights({x.channels})});
    y = m_.node("Transpose", {y});
    set_attribute(m_.last(), "perm", std::vector<std::int64_t>{0, 3, 1, 2});
    return {y, x.channels, x.size};
  }
  Map attention(const Map& x) {
    const std::int64_t heads = 2 + pick(3);
    const std::int64_t width = heads * 4;
    std::string tokens = m_.node("Reshape", {x.name, m_.integers({batch_, x.channels, -1})});
    tokens = m_.node("Transpose", {tokens});
    set_attribute(m_.last(), "perm", std::vector<std::int64_t>{0, 2, 1});
    const auto project = [&](std::vector<std::int64_t> perm) {
      const std::string y = m_.node("MatMul", {tokens, m_.weights({x.channels, width})});
      const std::string split = m_.node("Reshape", {y, m_.integers({0, 0, heads, 4})});
      const std::string turned = m_.node("Transpose", {split});
      set_attribute(m_.last(), "perm", perm);
      return turned;
    };
    const std::string q = project({0, 2, 1, 3});
    const std::string scores = m_.node("Softmax", {m_.node("MatMul", {q, project({0, 2, 3, 1})})});
    std::string y = m_.node("MatMul", {scores, project({0, 2, 1, 3})});
    y = m_.node("Transpose", {y});
    set_attribute(m_.last(), "perm", std::vector<std::int64_t>{0, 2, 1, 3});
    y = m_.node("Reshape", {y, m_.integers({0, 0, width})});
    y = m_.node("Transpose", {m_.node("MatMul", {y, m_.weights({width, x.channels})})});
    set_attribute(m_.last(), "perm", std::vector<std::int64_t>{0, 2, 1});
    y = m_.node("Reshape", {y, m_.node("Shape", {x.name})});
    return {m_.node("Add", {x.name, y}), x.channels, x.size};
  }

  void finish() {
    const Map x = maps_.back();
    std::string flat = x.name;
    std::int64_t width = x.channels * x.size * x.size;
    if (pick(3) == 0) {
      flat = m_.node("GlobalAveragePool", {flat});
      width = x.channels;
    }
    flat = pick(2) == 0 ? m_.node("Flatten", {flat}) : m_.node("Reshape", {flat, m_.integers({batch_, width})});
    std::string y = m_.node("Relu", {m_.node("Gemm", {flat, m_.weights({width, 12}), m_.weights({12})})});
    y = m_.node("Gemm", {y, m_.weights({5, 12})});
    set_attribute(m_.last(), "transB", std::int64_t{1});
    m_.output(y);
    if (pick(3) == 0 && any().name != x.name) m_.output(conv(any(), 3, 1).name);
  }

  ModelMaker m_;
  std::int64_t batch_;
  std::vector<Map> maps_;
};

/// Every weight that changed is what `indices` says of the weight of the same name before.
void expect_slices(const Model& before, const Pruned& after) {
  const Links old(before);
  const Links now(after.model);
  for (const auto& [name, sources] : after.indices) {
    const auto* from = old.constant(name);
    const auto* to = now.constant(name);
    ASSERT_NE(to, nullptr) << name;
    const auto values = floats(*to);
    if (from == nullptr || !values) continue;  // a copy; indices
    const auto all = floats(*from).value();
    const auto shape = dims(*to);
    for (std::size_t i = 0; i < values->size(); ++i) {
      std::size_t rest = i;
      std::size_t at = 0;
      std::size_t stride = 1;
      for (std::size_t k = shape.size(); k-- > 0;) {
        const std::size_t place = rest % static_cast<std::size_t>(shape[k]);
        rest /= static_cast<std::size_t>(shape[k]);
        at += stride * (sources[k].empty() ? place : static_cast<std::size_t>(sources[k][place]));
        stride *= static_cast<std::size_t>(from->dims(static_cast<int>(k)));
      }
      ASSERT_EQ((*values)[i], all[at]) << name << " " << i;
    }
  }
}

class RandomGraphs : public testing::TestWithParam<int> {};

TEST_P(RandomGraphs, CanBePruned) {
  const test::Folder folder;
  std::size_t groups_seen = 0;
  for (int i = 0; i < 12; ++i) {
    const auto seed = static_cast<std::uint32_t>(100 * GetParam() + i);
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const Subject subject(RandomGraph(seed).model(), folder.path());
    const ChannelGroups groups = find_channel_groups(subject.model, subject.specs);
    groups_seen += groups.groups.size();
    const Pruned whole = prune(subject.model, subject.specs, groups, keep_all(groups));
    EXPECT_EQ(serialize(whole.model), serialize(subject.model));
    const Pruned mixed = prune(subject.model, subject.specs, groups, test::shuffled(groups, seed));
    EXPECT_LE(test::difference(test::answers(subject.model, {}, folder), test::answers(mixed.model, {}, folder)), 1e-4);
    const Pruned part = prune(subject.model, subject.specs, groups, test::random_part(groups, seed));
    test::expect_predicted(part.model, part.specs, {}, folder.path());
    expect_slices(subject.model, part);
    if (HasFailure()) break;
  }
  EXPECT_GT(groups_seen, 12U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGraphs, testing::Range(0, 5));

}  // namespace
}  // namespace rtmdl
