/// Edits of weights before they are rounded keep what a model computes, and do what they are for.

#include "scaling/equalise.h"
#include "architectures.h"
#include "run_model.h"
#include "scaling/bias_correction.h"
#include "scaling/channel_padding.h"
#include "scaling/decompose.h"
#include "scaling/precision.h"
#include "scaling/prepare.h"
#include "scaling/quantize.h"

#include "../model/models.h"

#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::ModelMaker;

/// A prepared model with inputs and what was seen of its linear layers.
struct Seen {
  test::Folder folder;
  LoadRequest at;
  std::vector<InputSet> sets;
  Prepared prepared;
  std::vector<Unit> units;
  Observed observed;

  explicit Seen(const Model& model, float low = -1, float high = 1) : at(test::at(folder.save(model, "source.onnx"))) {
    const auto executable = test::engine().load(at);
    for (std::uint32_t seed = 1; seed <= 3; ++seed) sets.push_back(test::random_inputs(*executable, seed, low, high));
    prepared = prepare(test::engine(), load_model(at.model), at, folder.path());
    units = find_units(prepared.model);
    observed = observe_all(prepared.model);
  }

  Observed observe_all(const Model& m) const {
    std::vector<std::string> tensors;
    ChannelAxes axes;
    for (const Unit& unit : units) {
      if (unit.kind != UnitKind::linear) continue;
      for (const auto& name : {unit.inputs.front(), unit.outputs.front()}) {
        if (axes.emplace(name, is_op(m.graph().node(unit.node), "Conv") ? 1 : -1).second) tensors.push_back(name);
      }
    }
    return observe(test::engine(), m, at, tensors, sets, folder.path(), Context(), axes);
  }

  double difference(const Model& other) const {
    const auto a = test::at(folder.save(prepared.model, "a.onnx"));
    const auto b = test::at(folder.save(other, "b.onnx"));
    double worst = 0;
    for (const InputSet& set : sets)
      worst = std::max(worst, test::difference(test::outputs(a, set), test::outputs(b, set)));
    return worst;
  }
};

class Equalise : public testing::TestWithParam<const char*> {};

TEST_P(Equalise, KeepsTheOutputs) {
  const Seen seen(test::architecture(GetParam()));
  for (const Equalisation method : {Equalisation::weights, Equalisation::activations}) {
    const Equalised e = equalise(seen.prepared.model, seen.observed.channels, method);
    EXPECT_GT(e.scaled, 0) << equalisation_name(method);
    EXPECT_LT(seen.difference(e.model), 1e-4) << equalisation_name(method);
    EXPECT_EQ(find_units(e.model).size(), seen.units.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, Equalise,
                         testing::Values("mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf", "resnet18",
                                         "shufflenet_v2_x0_5", "squeezenet1_1", "unet"),
                         [](const auto& i) { return std::string(i.param); });

/// conv – Relu6 – depthwise – Relu6 – conv whose channels in between differ a thousandfold, and all matter alike.
Model unequal() {
  ModelMaker m;
  const auto clip = [&](const std::string& x) { return m.node("Clip", {x, m.constant({}, {0}), m.constant({}, {6})}); };
  std::string x = clip(m.conv(m.input("x", {1, 4, 12, 12}), 4, 16, 1));
  x = clip(m.conv(x, 16, 16, 3, 1, 16));
  m.output(m.conv(x, 16, 4, 1));
  const auto scale = [](std::size_t c) { return std::pow(10.0F, -3.0F * static_cast<float>(c) / 15); };
  const auto rescale = [&](int node, int place, auto factor) {
    const std::string name = m.model().graph().node(node).input(place);
    for (auto& tensor : *m.model().graph().mutable_initializer()) {
      if (tensor.name() != name) continue;
      auto values = floats(tensor).value();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] *= factor(i, values.size());
      tensor = make_tensor(name, dims(tensor), std::span<const float>(values));
    }
  };
  const auto row = [&](std::size_t i, std::size_t n) { return scale(i / (n / 16)); };
  rescale(0, 1, row);
  rescale(0, 2, row);
  rescale(2, 2, row);
  rescale(4, 1, [&](std::size_t i, std::size_t) { return 1 / scale(i % 16); });
  return m.model();
}

TEST(Equalise, BringsTheChannelsToOneSize) {
  const Seen seen(unequal());
  const auto spread = [](const ChannelStats& s) {
    float least = 1e9F;
    float most = 0;
    for (std::size_t c = 0; c < s.low.size(); ++c) {
      if (s.peak(c) < 1e-9F) continue;
      least = std::min(least, s.peak(c));
      most = std::max(most, s.peak(c));
    }
    return most / least;
  };
  const std::string between = seen.units[0].outputs.front();
  const Equalised e = equalise(seen.prepared.model, seen.observed.channels, Equalisation::activations);
  EXPECT_EQ(e.scaled, 2);
  EXPECT_LT(seen.difference(e.model), 1e-4);
  EXPECT_GT(spread(seen.observed.channels.at(between)), 50);
  EXPECT_LT(spread(seen.observe_all(e.model).channels.at(between)), 2);
}

TEST(Equalise, AClipThatCutsAChannelOffKeepsItsPlace) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 1);
  const std::string clipped = m.node("Clip", {x, m.constant({}, {0}), m.constant({}, {0.2F})});
  m.output(m.conv(clipped, 8, 4, 1));
  const Seen seen(m.model());
  const Equalised e = equalise(seen.prepared.model, seen.observed.channels, Equalisation::weights);
  EXPECT_LT(seen.difference(e.model), 1e-4);
}

TEST(Equalise, WhatIsReadElsewhereStays) {
  ModelMaker m;
  const std::string x = m.node("Relu", {m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 1)});
  m.output(m.conv(x, 8, 4, 1));
  m.output(m.node("Exp", {m.node("Neg", {x})}));
  const Seen seen(m.model());
  EXPECT_EQ(equalise(seen.prepared.model, seen.observed.channels, Equalisation::weights).scaled, 0);
}

TEST(Equalise, ABiasThatKeepsAChannelAboveZeroGoesOn) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 1);
  std::vector<float> high(8, 0);
  high[2] = 9;
  high[5] = 4;
  const std::string relu = m.node("Relu", {m.node("Add", {x, m.constant({8, 1, 1}, high)})});
  m.output(m.conv(relu, 8, 4, 1));
  const Seen seen(m.model());
  const Equalised e = equalise(seen.prepared.model, seen.observed.channels, Equalisation::activations);
  EXPECT_EQ(e.absorbed, 1);
  EXPECT_LT(seen.difference(e.model), 1e-4);
}

/// Bad scales of channels are what 8 bits do not survive, and what equalisation is for.
TEST(Equalise, IsChosenWhereItLowersTheError) {
  Seen seen(unequal());
  Int8Builder with(test::engine(), seen.prepared.model, seen.at, seen.sets, seen.folder.path(), Context());
  Int8Options plain;
  plain.edit_weights = false;
  Int8Builder without(test::engine(), seen.prepared.model, seen.at, seen.sets, seen.folder.path(), Context(), plain);
  const OutputError error = with.judge(seen.sets);
  with.choose_calibration(error, Context());
  without.choose_calibration(error, Context());
  EXPECT_THAT(with.calibration(), testing::HasSubstr("equalised"));
  EXPECT_LT(with.error(with.possible(), error), 0.7 * without.error(without.possible(), error));
}

TEST(BiasCorrection, TakesTheMeanShiftAway) {
  ModelMaker m;
  const std::string x = m.node("Relu", {m.conv(m.input("x", {1, 4, 16, 16}), 4, 16, 3)});
  m.output(m.conv(x, 16, 8, 3));
  const Seen seen(m.model());
  const std::vector<bool> last{false, true};
  ASSERT_EQ(seen.units.size(), 2U);
  const std::string y = seen.units[1].outputs.front();
  const Observed all = observe(test::engine(), seen.prepared.model, seen.at, {seen.units[0].inputs[0], x, y}, seen.sets,
                               seen.folder.path(), Context(), {{y, 1}});
  // Activations cut off at a third: a shift that one can see.
  auto params =
      choose_params(seen.prepared.model, seen.units, all.histograms, {Calibration::min_max, Calibration::min_max});
  params.at(seen.units[1].inputs[0]).read.scale /= 3;
  const auto scales = weight_scales(seen.prepared.model, seen.units, last, params, false);
  WeightForm corrected;
  corrected.shifts = measure_bias_shifts(test::engine(), seen.prepared.model, seen.at, seen.units, last, params, scales,
                                         seen.sets, seen.folder.path(), Context());
  ASSERT_EQ(corrected.shifts.size(), 1U);
  const auto shift = [&](const WeightForm& form) {
    const Model q = quantize(seen.prepared.model, seen.units, last, params, all.specs, form);
    const Observed o = observe(test::engine(), q, seen.at, {y}, seen.sets, seen.folder.path(), Context(), {{y, 1}});
    double sum = 0;
    for (std::size_t c = 0; c < 8; ++c) sum += std::fabs(o.channels.at(y).mean[c] - all.channels.at(y).mean[c]);
    return sum / 8;
  };
  EXPECT_GT(shift({}), 0.01);
  EXPECT_LT(shift(corrected), 0.1 * shift({}));
}

TEST(ChannelPadding, DepthwiseLayersGetWholeBlocksAndOutputsStay) {
  for (const char* name : {"mobilenet_v3_small", "ssdlite320"}) {
    const Seen seen(test::architecture(name));
    Model padded = seen.prepared.model;
    EXPECT_GT(pad_depthwise_channels(padded), 0) << name;
    for (const auto& node : padded.graph().node()) {
      const std::int64_t group = is_op(node, "Conv") ? attribute_or(node, "group", std::int64_t{1}) : 1;
      if (group > 48) {
        EXPECT_EQ(group % kDepthwiseChannels, 0) << describe(node);
      }
    }
    EXPECT_LT(seen.difference(padded), 1e-5) << name;
    EXPECT_EQ(pad_depthwise_channels(padded), 0);
  }
}

TEST(ChannelPadding, ChannelsThatLeaveTheModelStay) {
  ModelMaker m;
  m.output(m.conv(m.conv(m.input("x", {1, 4, 8, 8}), 4, 40, 1), 40, 40, 3, 1, 40));
  EXPECT_EQ(pad_depthwise_channels(m.model()), 0);
}

TEST(Decompose, KeepsTheOutputs) {
  ModelMaker m(18);
  std::string x = m.node("HardSwish", {m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 3)});
  x = m.node("Sum", {x, m.node("PRelu", {x, m.constant({8, 1, 1}, std::vector<float>(8, 0.3F))})});
  m.node("ReduceMean", {x, m.integers({-1, 2})});
  set_attribute(m.last(), "keepdims", std::int64_t{0});
  m.output(m.last().output(0));
  Model made = m.model();
  EXPECT_EQ(decompose(made), 4);
  std::vector<std::string> ops;
  for (const auto& node : made.graph().node()) ops.push_back(node.op_type());
  EXPECT_THAT(ops,
              testing::ElementsAre("Conv", "HardSigmoid", "Mul", "LeakyRelu", "Add", "GlobalAveragePool", "Flatten"));
  const test::Folder folder;
  const auto a = test::at(folder.save(m.model(), "a.onnx"));
  const auto b = test::at(folder.save(made, "b.onnx"));
  const InputSet set = test::random_inputs(*test::engine().load(a), 1, -4, 4);
  EXPECT_LT(test::difference(test::outputs(a, set), test::outputs(b, set)), 1e-5);
}

}  // namespace
}  // namespace rtmdl
