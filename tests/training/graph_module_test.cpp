#include "training/graph_module.h"

#include "architectures.h"
#include "model/edit.h"
#include "scaling/run_model.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <filesystem>

namespace rtmdl::test {
namespace {

using training::GraphModule;
using training::NamedInputs;

at::Tensor to_torch(const Tensor& t) {
  switch (t.type) {
    case ElementType::f32: return at::from_blob(const_cast<std::byte*>(t.bytes.data()), t.shape, at::kFloat).clone();
    case ElementType::i64: return at::from_blob(const_cast<std::byte*>(t.bytes.data()), t.shape, at::kLong).clone();
    case ElementType::i32: return at::from_blob(const_cast<std::byte*>(t.bytes.data()), t.shape, at::kInt).clone();
    default: throw std::runtime_error("an element type that no test feeds");
  }
}

std::vector<std::vector<float>> to_floats(const std::vector<at::Tensor>& tensors) {
  std::vector<std::vector<float>> all;
  for (const at::Tensor& t : tensors) {
    const at::Tensor plain = t.detach().to(at::kFloat).contiguous();
    all.emplace_back(plain.data_ptr<float>(), plain.data_ptr<float>() + plain.numel());
  }
  return all;
}

NamedInputs named(const Executable& executable, const InputSet& set) {
  NamedInputs inputs;
  for (std::size_t i = 0; i < set.size(); ++i) inputs[executable.inputs()[i].name] = to_torch(set[i]);
  return inputs;
}

/// Between the interpreter and ONNX Runtime, on one random input.
double apart(const Model& model, const LoadRequest& request, float low, float high) {
  const auto executable = engine().load(request);
  const InputSet set = random_inputs(*executable, 3, low, high);
  GraphModule module(model);
  const at::NoGradGuard no_grad;
  return difference(outputs(request, set), to_floats(module.forward(named(*executable, set), false)));
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

INSTANTIATE_TEST_SUITE_P(All, Architectures, testing::ValuesIn(architectures()), [](const auto& p) { return p.param; });

struct Demo {
  const char* name;
  Shapes shapes;
  float low, high;
};

class DemoModels : public testing::TestWithParam<Demo> {};

TEST_P(DemoModels, AreComputedAsOnnxRuntimeDoes) {
  const Demo& demo = GetParam();
  const Model model = load_model(demo_path(demo.name));
  ASSERT_EQ(GraphModule::refuses(model), std::nullopt);
  EXPECT_LT(apart(model, test::at(demo_path(demo.name), demo.shapes), demo.low, demo.high), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(All, DemoModels,
                         testing::Values(Demo{"blazeface_128", {}, -1, 1}, Demo{"blazeface_256", {}, -1, 1},
                                         Demo{"mlsd_320", {}, 0, 255}, Demo{"mlsd_512", {}, 0, 255},
                                         Demo{"ppocr_cls", {{"x", {1, 3, 48, 192}}}, -1, 1},
                                         Demo{"ppocr_det", {{"x", {1, 3, 160, 224}}}, -2, 2},
                                         Demo{"ppocr_rec", {{"x", {1, 3, 48, 160}}}, -1, 1}),
                         [](const auto& p) { return std::string(p.param.name); });

}  // namespace
}  // namespace rtmdl::test
