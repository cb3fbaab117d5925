#include "model/edit.h"
#include "model/fold.h"
#include "run_model.h"
#include "scaling/precision.h"
#include "scaling/prepare.h"
#include "scaling/unit_times.h"

#include "../model/models.h"

#include <numeric>

namespace rtmdl {
namespace {

using test::ModelMaker;

TEST(Histogram, KeepsTheExtremesAndFindsThePercentiles) {
  Histogram h;
  std::vector<float> values(10'000);
  std::iota(values.begin(), values.end(), 0.0F);
  h.add(std::vector<float>{0.5F});
  h.add(values);
  EXPECT_EQ(h.range(Calibration::min_max).high, 9999);
  EXPECT_EQ(h.range(Calibration::min_max).low, 0);
  EXPECT_NEAR(h.range(Calibration::percentile_999).high, 9995, 10);
}

TEST(Histogram, LeastSquaresCutsOffALonelyOutlier) {
  Histogram h;
  std::mt19937 random(1);
  std::normal_distribution<float> draw;
  std::vector<float> values(20'000);
  for (int run = 0; run < 10; ++run) {
    for (float& v : values) v = draw(random);
    if (run == 3) values.front() = 40;
    h.add(values);
  }
  EXPECT_EQ(h.range(Calibration::min_max).high, 40);
  EXPECT_LT(h.range(Calibration::mse).high, 36);
}

TEST(Histogram, RefusesWhatIsNotANumber) {
  Histogram h;
  h.add(std::vector<float>{1, NAN});
  EXPECT_FALSE(h.usable());
}

TEST(Cover, HasZeroOnTheGridAndSpansTheRange) {
  for (const Range r : {Range{0, 6}, Range{-1, 3}, Range{-0.001F, 12}, Range{-5, 0}, Range{0, 0}}) {
    const QuantParams p = cover(r);
    EXPECT_LE(-static_cast<float>(p.zero) * p.scale, r.low + 0.51F * p.scale);
    EXPECT_GE((255.0F - p.zero) * p.scale, r.high - 0.51F * p.scale);
    if (r.low == 0) {
      EXPECT_EQ(p.zero, 0);
    }
  }
}

TEST(ChooseParams, NothingIsSpentOnWhatAHardSwishMakesZero) {
  ModelMaker m;
  const std::string x = m.conv(m.input("x", {1, 4, 8, 8}), 4, 8, 1);
  const std::string swish = m.node("Mul", {x, m.node("HardSigmoid", {x})});
  set_attribute(m.last(), "alpha", 0.2F);
  m.output(swish);
  const auto params = [&](const Model& model) {
    std::unordered_map<std::string, Histogram> histograms;
    histograms[x].add(std::vector<float>{-20, 5});
    const auto units = find_units(model);
    return choose_params(model, units, histograms, std::vector(units.size(), Calibration::min_max)).at(x).read;
  };
  const QuantParams p = params(m.model());
  EXPECT_LE(-p.zero * p.scale, -2.5);  // where the ramp of slope 0.2 begins
  EXPECT_GE(-p.zero * p.scale, -2.5 - 2 * p.scale);
  EXPECT_NEAR((255 - p.zero) * p.scale, 5, p.scale);
  m.output(m.node("Exp", {x}));
  const QuantParams all = params(m.model());
  EXPECT_NEAR(-all.zero * all.scale, -20, all.scale);
}

struct Built {
  test::Folder folder;
  Prepared prepared;
  LoadRequest reference;
  std::vector<InputSet> sets;
  std::unique_ptr<Int8Builder> builder;
  std::unique_ptr<OutputError> error;

  explicit Built(const std::filesystem::path& path, const Shapes& shapes = {}, float low = -1, float high = 1)
      : reference(test::at(path, shapes)) {
    begin(low, high);
  }
  explicit Built(const Model& model) : reference(test::at(folder.save(model, "source.onnx"))) { begin(-1, 1); }

 private:
  void begin(float low, float high) {
    const auto executable = test::engine().load(reference);
    for (std::uint32_t seed = 1; seed <= 6; ++seed) sets.push_back(test::random_inputs(*executable, seed, low, high));
    prepared = prepare(test::engine(), load_model(reference.model), reference, folder.path());
    builder = std::make_unique<Int8Builder>(test::engine(), prepared.model, reference, sets, folder.path(), Context());
    error = std::make_unique<OutputError>(builder->judge({sets.begin(), sets.begin() + 2}));
  }
};

/// How often ONNX Runtime executes each operator of the all-integer form.
UnitTimes profile(Built& built, const Model& model) {
  return profile_units(test::engine(), model, built.reference, built.builder->units().size(), built.sets[0], 2,
                       built.folder.path());
}

TEST(Int8, NoUnitIntegerIsTheModelItself) {
  Built b(test::resnet18(1));
  EXPECT_LT(b.builder->error(std::vector<bool>(b.builder->units().size(), false), *b.error), 1e-9);
}

TEST(Int8, AResidualNetworkStaysClose) {
  Built b(test::resnet18(2));
  EXPECT_EQ(b.builder->count_linear(b.builder->possible()), 21);
  b.builder->choose_calibration(*b.error, Context());
  EXPECT_LT(b.builder->error(b.builder->possible(), *b.error), 0.02);
}

/// ONNX Runtime would round the float layer's weights on one scale, which a depthwise layer with unequal channels does
/// not survive.
TEST(Int8, AFloatLayerBetweenIntegerOnesKeepsItsWeights) {
  ModelMaker m;
  const std::string x = m.node("Relu", {m.conv(m.input("x", {1, 4, 16, 16}), 4, 8, 1)});
  const std::string y = m.conv(x, 8, 8, 3, 1, 8);
  auto& weights = *m.model().graph().mutable_initializer(2);
  const std::string name = weights.name();
  auto values = floats(weights).value();
  for (std::size_t i = 0; i < 9; ++i) values[i] *= 300;  // one channel, which the clipping keeps in range
  weights = make_tensor(name, dims(weights), std::span<const float>(values));
  m.output(m.conv(m.node("Clip", {y, m.constant({}, {0}), m.constant({}, {1})}), 8, 4, 1));
  Built b(m.model());
  ASSERT_EQ(b.builder->units().size(), 3U);
  EXPECT_LT(b.builder->error({true, false, true}, *b.error), 5e-3);
}

TEST(Int8, WeightsAreStoredInBytes) {
  Built b(test::resnet18(1));
  const auto fp32 = serialize(b.prepared.model).size();
  EXPECT_LT(serialize(b.builder->build(b.builder->possible())).size(), fp32 / 3);
}

TEST(Int8, EveryKindOfUnitKeepsItsMeaning) {
  ModelMaker m;
  const std::string image = m.input("x", {1, 3, 16, 16});
  std::string x = m.conv(image, 3, 8, 3);
  const auto ramp = [&](const std::string& v) {
    return m.node("Clip", {m.node("Add", {v, m.constant({1}, {3})}), m.constant({}, {0}), m.constant({}, {6})});
  };
  x = m.node("Div", {m.node("Mul", {x, ramp(x)}), m.constant({1}, {6})});
  x = m.node("Add", {m.node("Mul", {x, m.constant({1}, {1.3F})}),
                     m.constant({1}, {-0.4F})});  // a shift that padding must not see
  x = m.conv(x, 8, 8, 3, 1, 8);
  const std::string gate = m.node("HardSigmoid", {m.conv(m.node("GlobalAveragePool", {x}), 8, 8, 1)});
  x = m.node("Mul", {x, gate});
  const std::string relu6 = m.node("Clip", {m.conv(x, 8, 8, 3), m.constant({}, {0}), m.constant({}, {6})});
  x = m.node("Concat", {relu6, m.node("Relu", {m.conv(x, 8, 4, 1)})});
  set_attribute(m.last(), "axis", std::int64_t{1});
  x = m.node("MaxPool", {x});
  set_attribute(m.last(), "kernel_shape", std::vector<std::int64_t>{2, 2});
  set_attribute(m.last(), "strides", std::vector<std::int64_t>{2, 2});
  x = m.node("Resize", {x, "", m.constant({4}, {1, 1, 2, 2})});
  x = m.node("Add", {m.conv(x, 12, 3, 3), image});
  x = m.node("MatMul", {m.node("Flatten", {m.node("Relu", {x})}), m.weights({768, 20}, -0.05F, 0.05F)});
  x = m.node("Sigmoid", {m.node("Gemm", {x, m.weights({20, 10}), m.weights({10})})});
  m.output(x);

  Built b(m.model());
  for (std::size_t u = 0; u < b.builder->units().size(); ++u) {
    std::vector<bool> one(b.builder->units().size(), false);
    if (!b.builder->possible()[u]) continue;
    one[u] = true;
    EXPECT_LT(b.builder->error(one, *b.error), 1e-3)
        << describe(b.prepared.model.graph().node(b.builder->units()[u].node));
  }
  EXPECT_LT(b.builder->error(b.builder->possible(), *b.error), 0.02);
}

TEST(Int8, OnnxRuntimeRunsAllOfItInIntegers) {
  Built b(test::resnet18(1));
  const UnitTimes times = profile(b, b.builder->build(b.builder->possible()));
  EXPECT_EQ(times.unknown, 0);
  EXPECT_EQ(times.conversion.size(), 2U);  // one at the input, one at the output: nothing between
  EXPECT_TRUE(times.conversion.contains("image"));
  EXPECT_TRUE(times.conversion.contains("logits"));
}

TEST(UnitTimes, OfTheFloatModelAreTracedThroughFusion) {
  Built b(test::resnet18(1));
  const UnitTimes times = profile(b, b.builder->build(std::vector<bool>(b.builder->units().size(), false)));
  EXPECT_EQ(times.unknown, 0);
  for (std::size_t u = 0; u < times.unit.size(); ++u) {
    if (b.builder->units()[u].kind != UnitKind::linear) continue;
    EXPECT_GT(times.unit[u], 0) << u;
  }
}

/// Any mixture of integer and float regions loads and means the same.
TEST(Int8, RandomGraphsInRandomMixturesStayClose) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    ModelMaker m(13 + seed % 5, seed);
    std::vector<std::string> tensors{m.input("x", {1, 4, 8, 8})};
    const int nodes = 3 + static_cast<int>(m.draw(8));
    for (int i = 0; i < nodes; ++i) {
      const std::string a = tensors[m.draw(static_cast<std::uint32_t>(tensors.size()))];
      const std::string b = tensors[m.draw(static_cast<std::uint32_t>(tensors.size()))];
      switch (m.draw(8)) {
        case 0: tensors.push_back(m.conv(a, 4, 4, 3)); break;
        case 1: tensors.push_back(m.node("Relu", {m.conv(a, 4, 4, 1)})); break;
        case 2: tensors.push_back(m.node("Add", {a, b})); break;
        case 3: tensors.push_back(m.node("Mul", {m.node("Sigmoid", {a}), b})); break;
        case 4: tensors.push_back(m.node("Mul", {a, m.constant({1}, {0.5F})})); break;
        case 5: tensors.push_back(m.node("HardSigmoid", {a})); break;
        case 6: tensors.push_back(m.conv(m.node("Add", {a, m.constant({}, {0.25F})}), 4, 4, 3, 1, 4)); break;
        default: tensors.push_back(m.batch_norm(m.conv(a, 4, 4, 1), 4));
      }
    }
    m.output(m.conv(tensors.back(), 4, 2, 1));
    Built b(m.model());
    for (int mixture = 0; mixture < 3; ++mixture) {
      std::vector<bool> integer = b.builder->possible();
      for (std::size_t u = 0; u < integer.size(); ++u) integer[u] = integer[u] && (mixture == 0 || m.draw(2) == 0);
      EXPECT_LT(b.builder->error(integer, *b.error), 0.05) << "seed " << seed << " mixture " << mixture;
    }
  }
}

class Int8Demo : public testing::TestWithParam<test::DemoModel> {};

TEST_P(Int8Demo, HaveASaneAllIntegerForm) {
  const auto path = test::demo_path(GetParam().name);
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there: run scripts/setup";
  Built b(path, GetParam().shapes, GetParam().low, GetParam().high);
  const Model model = b.builder->build(b.builder->possible());
  const UnitTimes times = profile(b, model);
  EXPECT_EQ(times.unknown, 0);
  const auto request = test::at(b.folder.save(model, "int8.onnx"), GetParam().shapes);
  for (const auto& output : test::outputs(request, b.sets[0])) {
    for (const float v : output) ASSERT_TRUE(std::isfinite(v));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Int8Demo, testing::ValuesIn(test::demo_models()),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(UnitTimes, NamesMayHoldQuotes) {
  ModelMaker m;
  const std::string x = m.node("Relu", {m.conv(m.input("x", {1, 4, 32, 32}), 4, 64, 3)});
  m.conv(x, 64, 64, 3);
  m.last().set_output(0, R"(a "strange\name" of a tensor)");
  m.output(m.node("Relu", {m.last().output(0)}));
  Built b(m.model());
  const UnitTimes times = profile(b, b.builder->build(std::vector<bool>(b.builder->units().size(), false)));
  EXPECT_GT(times.total, 0);
  for (const double time : times.unit) EXPECT_GT(time, 0);
}

}  // namespace
}  // namespace rtmdl
