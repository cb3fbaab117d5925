#include "training/graph_module.h"

#include "architectures.h"
#include "model/edit.h"
#include "scaling/run_model.h"
#include "training/compare.h"
#include "training/small_models.h"
#include "training/trainable.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <filesystem>

namespace rtmdl::test {
namespace {

using training::GraphModule;
using training::NamedInputs;

at::Tensor random_tensor(const std::vector<std::int64_t>& shape, std::uint64_t seed = 1) {
  at::manual_seed(seed);
  return at::randn(shape);
}

class Architectures : public testing::TestWithParam<std::string> {};

TEST_P(Architectures, AreComputedAsOnnxRuntimeDoes) {
  const Folder folder;
  const Model model = architecture(GetParam());
  ASSERT_EQ(GraphModule::refuses(model), std::nullopt);
  LoadRequest request;
  request.model = folder.save(model, "model.onnx");
  EXPECT_LT(apart(model, request, -1, 1), 1e-4);
}

/// Every operator on the way has a gradient in that type, and results are those of f32 but for its few digits.
TEST_P(Architectures, AreTrainedInBfloat16) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512bf16")) GTEST_SKIP() << "this CPU does not multiply bfloat16";
#else
  GTEST_SKIP() << "this CPU does not multiply bfloat16";
#endif
  const Model model = architecture(GetParam());
  GraphModule module(model);
  NamedInputs inputs;
  for (const TensorSpec& spec : model_inputs(model))
    inputs[spec.name] = spec.type == ElementType::f32 ? random_tensor(spec.shape) : at::ones(spec.shape, at::kLong);
  const std::vector<at::Tensor> exact = module.forward(inputs, false);
  training::Pass pass;
  pass.bfloat16 = true;
  const std::vector<at::Tensor> near = module.forward(inputs, pass);
  at::Tensor sum;
  for (std::size_t o = 0; o < near.size(); ++o) {
    if (!near[o].is_floating_point()) continue;
    EXPECT_LT((near[o] - exact[o]).norm().item<double>(), 0.2 * exact[o].norm().item<double>());
    sum = sum.defined() ? sum + near[o].sum() : near[o].sum();
  }
  sum.backward();
  for (const training::NamedTensor& p : module.parameters())
    EXPECT_TRUE(!p.value.grad().defined() || p.value.grad().isfinite().all().item<bool>()) << p.name;
}

INSTANTIATE_TEST_SUITE_P(All, Architectures, testing::ValuesIn(architectures()), [](const auto& p) { return p.param; });

struct Demo {
  const char* name;
  Shapes shapes;
  float low, high;
};

class DemoModels : public testing::TestWithParam<Demo> {};

TEST_P(DemoModels, AreComputedAsOnnxRuntimeDoes) {
  const Demo& demo = GetParam();
  Model model = load_model(demo_path(demo.name));
  ASSERT_EQ(GraphModule::refuses(model), std::nullopt);
  // A score of mlsd stays if it equals the largest of its neighbourhood: ties fall either way.
  if (std::string(demo.name).starts_with("mlsd")) model = with_outputs(model, {"offsets"});
  const Folder folder;
  EXPECT_LT(apart(model, test::at(folder.save(model, "model.onnx"), demo.shapes), demo.low, demo.high), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, DemoModels,
                         testing::Values(Demo{"blazeface_128", {}, -1, 1}, Demo{"blazeface_256", {}, -1, 1},
                                         Demo{"mlsd_320", {}, 0, 255}, Demo{"mlsd_512", {}, 0, 255},
                                         Demo{"ppocr_cls", {{"x", {1, 3, 48, 192}}}, -1, 1},
                                         Demo{"ppocr_det", {{"x", {1, 3, 160, 224}}}, -2, 2},
                                         Demo{"ppocr_rec", {{"x", {1, 3, 48, 160}}}, -1, 1}),
                         [](const auto& p) { return std::string(p.param.name); });

/// A graph with one of each kind of weight, in training mode: analytic against numeric derivatives.
TEST(GraphModule, GradientsAreThoseOfFiniteDifferences) {
  GraphWriter w;
  w.input("x", {4, 2, 6, 6});
  w.unit("a", "x", 2, 3, 1);
  w.node("PRelu", {"a.n", w.weight("slope", {3, 1, 1}, 0.1F, 0.2F)}, {"p"});
  onnx::NodeProto& up = w.node("ConvTranspose", {"p", w.weight("up.w", {3, 2, 2, 2}, 0.5F)}, {"up"});
  set_attribute(up, "strides", std::vector<std::int64_t>{2, 2});
  w.node("GlobalAveragePool", {"up"}, {"g"});
  w.node("Flatten", {"g"}, {"f"});
  w.node("MatMul", {"f", w.weight("mm.w", {2, 4}, 0.7F)}, {"m"});
  w.node("Add", {"m", w.weight("mm.b", {4}, 0.3F)}, {"s"});
  w.node("LayerNormalization", {"s", w.weight("ln.w", {4}, 0.1F, 1), w.weight("ln.b", {4}, 0.1F)}, {"y"});
  w.output("y", {4, 4});
  GraphModule module(w.take());
  const NamedInputs inputs{{"x", random_tensor({4, 2, 6, 6})}};
  const at::Tensor direction = random_tensor({4, 4}, 2);
  training::Pass pass;
  pass.batch_statistics = true;
  pass.running_share = 0;
  const auto value = [&] { return (module.forward(inputs, pass)[0] * direction).sum(); };
  value().backward();
  ASSERT_EQ(module.parameters().size(), 9U);
  const at::NoGradGuard no_grad;
  for (training::NamedTensor& p : module.parameters()) {
    ASSERT_TRUE(p.value.grad().defined()) << p.name;
    const at::Tensor d = random_tensor(p.value.sizes().vec(), 3);
    constexpr double kStep = 2e-3;
    p.value.add_(d, kStep);
    const double above = value().item<double>();
    p.value.add_(d, -2 * kStep);
    const double below = value().item<double>();
    p.value.add_(d, kStep);
    const double expected = (p.value.grad() * d).sum().item<double>();
    EXPECT_NEAR((above - below) / (2 * kStep), expected, 0.02 * std::abs(expected) + 0.02) << p.name;
  }
}

TEST(GraphModule, WrittenBackModelIsWhatTheInterpreterComputes) {
  const Folder folder;
  for (const bool normalised : {false, true}) {
    Model model = architecture("mobilenet_v3_small");
    if (normalised) normalise(model);
    GraphModule module(model);
    const std::vector<TensorSpec> specs = model_inputs(model);
    NamedInputs inputs{{specs[0].name, random_tensor(specs[0].shape)}};
    inputs.begin()->second = inputs.begin()->second.repeat({4, 1, 1, 1});
    module.relax_batch({{specs[0].name, random_tensor(specs[0].shape)}});
    module.forward(inputs, true)[0].square().sum().backward();
    {
      const at::NoGradGuard no_grad;
      for (training::NamedTensor& p : module.parameters()) {
        if (p.value.grad().defined()) p.value.add_(p.value.grad(), -1e-4);
      }
    }
    const std::string before = serialize(model);
    module.write_back(model);
    EXPECT_NE(before, serialize(model));
    LoadRequest request;
    request.model = folder.save(model, "written.onnx");
    const auto executable = engine().load(request);
    const InputSet set = random_inputs(*executable, 5, -1, 1);
    const at::NoGradGuard no_grad;
    EXPECT_LT(difference(outputs(request, set), to_floats(module.forward(named(*executable, set), false))), 1e-4);
  }
}

TEST(GraphModule, StatisticsThatNodesSharedBecomeTheirOwn) {
  GraphWriter w;
  w.input("x", {-1, 2});
  for (const char* part : {"s", "b", "m"}) w.weight(part, {2}, 0);
  w.weight("v", {2}, 0, 1);
  w.node("BatchNormalization", {"x", "s", "b", "m", "v"}, {"y"});
  w.node("BatchNormalization", {"y", "s", "b", "m", "v"}, {"z"});
  w.output("z", {-1, 2});
  Model model = w.take();
  GraphModule module(model);
  EXPECT_EQ(module.statistics().size(), 4U);
  (void)module.forward({{"x", random_tensor({8, 2}) * 3 + 1}}, true);
  EXPECT_FALSE(at::equal(module.statistics()[0].value, module.statistics()[2].value));
  module.write_back(model);
  EXPECT_NE(model.graph().node(0).input(3), model.graph().node(1).input(3));
  const int initializers = model.graph().initializer_size();
  module.write_back(model);  // again: into the same ones
  EXPECT_EQ(model.graph().initializer_size(), initializers);
  check_model(model);
}

TEST(GraphModule, RefusesByNameWhatItDoesNotKnow) {
  GraphWriter w;
  w.input("x", {1, 2});
  w.node("Relu", {"x"}, {"y"});
  w.node("Multinomial", {"y"}, {"drawn"});
  w.output("drawn", {1, 1});
  const Model model = w.take();
  EXPECT_EQ(GraphModule::refuses(model),
            "operator 'Multinomial' (node 'drawn_Multinomial') has no counterpart in training");
  EXPECT_THROW(GraphModule{model}, Error);
  EXPECT_THAT(GraphModule::refuses(load_model(demo_path("silero_vad"))).value_or(""),
              testing::HasSubstr("operator 'If' (node "));
  GraphWriter pool;
  pool.input("x", {1, 1, 4, 4});
  pool.node("MaxPool", {"x"}, {"y", "where"});
  pool.output("y", {1, 1, 3, 3});
  EXPECT_EQ(GraphModule::refuses(pool.take()),
            "operator 'MaxPool' (node 'y_MaxPool') with indices as an output has no counterpart in training");
}

TEST(GraphModule, NamesTheNodeWhoseOperandsDoNotFit) {
  GraphModule module(classifier(4, 4));
  try {
    (void)module.forward({{"image", random_tensor({1, 3, 28, 28})}}, false);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    EXPECT_THAT(e.what(), testing::HasSubstr("small: 'a.c_Conv' (Conv): "));
  }
}

/// Models whose batch is fixed give for two examples what they give for each.
class RelaxedBatch : public testing::TestWithParam<std::string> {};

TEST_P(RelaxedBatch, TwoTogetherAreEachAlone) {
  const std::string name = GetParam();
  const bool demo = std::filesystem::exists(demo_path(name));
  const Model model = demo ? load_model(demo_path(name)) : architecture(name);
  GraphModule module(model);
  const at::NoGradGuard no_grad;
  const TensorSpec spec = model_inputs(model).at(0);
  const NamedInputs a{{spec.name, random_tensor(spec.shape, 1)}}, b{{spec.name, random_tensor(spec.shape, 2)}};
  module.relax_batch(a);
  const auto first = module.forward(a, false), second = module.forward(b, false);
  const auto both = module.forward({{spec.name, at::cat({a.at(spec.name), b.at(spec.name)})}}, false);
  for (std::size_t o = 0; o < both.size(); ++o)
    EXPECT_LT((at::cat({first[o], second[o]}) - both[o]).abs().max().item<double>(),
              1e-4 * both[o].abs().max().item<double>() + 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Fixed, RelaxedBatch,
                         testing::Values("blazeface_128", "mobilenet_v2", "shufflenet_v2_x0_5", "shufflenet_v1", "vit",
                                         "vit_fused_qkv", "regnet_y_400mf", "ssdlite320", "unet"),
                         [](const auto& p) { return p.param; });

TEST(TrainableWeights, AreWhatLayersReadAndNothingElse) {
  GraphWriter w;
  w.input("x", {1, 2, 4, 4});
  w.unit("a", "x", 2, 3, 1);
  w.node("Mul", {"a", w.weight("half", {}, 0, 0.5F)}, {"scaled"});
  w.node("Add", {"scaled", w.weight("anchors", {3, 4, 4}, 1)}, {"boxes"});
  w.node("Conv", {"boxes", w.weight("c.w", {5, 3, 1, 1}, 1)}, {"c"});
  w.node("Add", {"c", w.weight("c.b", {5, 1, 1}, 1)}, {"y"});
  w.output("y", {1, 5, 4, 4});
  EXPECT_THAT(training::trainable_weights(w.take()), testing::ElementsAre("a.w", "a.scale", "a.shift", "c.w", "c.b"));
}

TEST(TrainableWeights, HoldTheTokensOfTransformers) {
  for (const char* name : {"vit", "vit_fused_qkv"}) {
    const Model model = architecture(name);
    const std::vector<std::string> names = training::trainable_weights(model);
    int tokens = 0, embeddings = 0;
    for (const onnx::TensorProto& t : model.graph().initializer()) {
      if (std::find(names.begin(), names.end(), t.name()) == names.end() || t.dims_size() != 3) continue;
      (t.dims(1) == 1 ? tokens : embeddings) += 1;
    }
    EXPECT_EQ(tokens, 1) << name;
    EXPECT_EQ(embeddings, 1) << name;
  }
}

}  // namespace
}  // namespace rtmdl::test
