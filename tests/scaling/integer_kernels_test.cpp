/// On graphs of real architectures: what ONNX Runtime makes of the all-integer form, and families of int8 weights.

#include "architectures.h"
#include "base/atomic_file.h"
#include "run_model.h"
#include "scaling/precision.h"
#include "scaling/prepare.h"

#include "../model/models.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <map>

namespace rtmdl {
namespace {

using test::ModelMaker;

struct Quantised {
  test::Folder folder;
  LoadRequest at;
  std::vector<InputSet> sets;
  Prepared prepared;
  std::unique_ptr<Int8Builder> builder;

  explicit Quantised(const Model& model, Int8Options options = {}) : at(test::at(folder.save(model, "source.onnx"))) {
    const auto executable = test::engine().load(at);
    for (std::uint32_t seed = 1; seed <= 2; ++seed) sets.push_back(test::random_inputs(*executable, seed, -1, 1));
    prepared = prepare(test::engine(), load_model(at.model), at, folder.path());
    builder = std::make_unique<Int8Builder>(test::engine(), prepared.model, at, sets, folder.path(), Context(),
                                            std::move(options));
  }

  double error() const { return builder->error(builder->possible(), builder->judge(sets)); }

  /// How often each kernel runs in the all-integer form.
  std::map<std::string, int> kernels() const {
    LoadRequest request = at;
    request.model = folder.save(builder->build(builder->possible()), "int8.onnx");
    request.profile = folder.path() / "profile";
    const auto executable = test::engine().load(request);
    feed(*executable, sets[0]);
    EXPECT_TRUE(executable->run()) << executable->last_error();
    const auto events = nlohmann::json::parse(read_file(executable->finish_profile()));
    std::map<std::string, std::string> nodes;
    for (const auto& event : events) {
      const std::string name = event.value("name", "");
      if (event.value("cat", "") == "Node" && name.ends_with("_kernel_time"))
        nodes[name] = event.at("args").value("op_name", "");
    }
    std::map<std::string, int> count;
    for (const auto& [name, op] : nodes) ++count[op];
    return count;
  }
};

struct Expectation {
  const char* name;
  std::vector<std::string> integer;  ///< kernels that must be there
  std::vector<std::string> no;       ///< kernels that must not
  double error;
};
void PrintTo(const Expectation& e, std::ostream* out) { *out << e.name; }

class IntegerKernels : public testing::TestWithParam<Expectation> {};

TEST_P(IntegerKernels, AreTakenThroughout) {
  const Quantised q(test::architecture(GetParam().name));
  const auto kernels = q.kernels();
  for (const auto& op : GetParam().integer) EXPECT_TRUE(kernels.contains(op)) << op;
  for (const auto& op : GetParam().no) EXPECT_FALSE(kernels.contains(op)) << op << " x" << kernels.at(op);
  EXPECT_LT(q.error(), GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
    Architectures, IntegerKernels,
    testing::Values(
        Expectation{"mobilenet_v2", {"QLinearConv", "QLinearAdd", "QGemm"}, {"Conv", "FusedConv"}, 0.02},
        Expectation{"mobilenet_v3_small",
                    {"QLinearConv", "QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool", "QGemm"},
                    {"Conv", "FusedConv", "HardSigmoid", "Mul"},
                    0.02},
        Expectation{"efficientnet_b0",
                    {"QLinearConv", "QLinearSigmoid", "QLinearMul", "QLinearGlobalAveragePool"},
                    {"Conv", "FusedConv", "QuickGelu", "Sigmoid", "Mul"},
                    0.02},
        Expectation{"shufflenet_v2_x0_5",
                    {"QLinearConv", "QLinearConcat", "Transpose", "Split"},
                    {"Conv", "FusedConv", "Concat", "ReduceMean"},
                    0.02},
        Expectation{"squeezenet1_1", {"QLinearConv", "QLinearConcat", "NhwcMaxPool"}, {"Conv", "Concat"}, 0.02},
        Expectation{"resize_unet", {"QLinearConv", "QLinearConcat"}, {"Conv", "FusedConv"}, 0.02},
        Expectation{"unet", {"QLinearConv", "QLinearConcat"}, {"Conv", "FusedConv", "ConvTranspose"}, 0.02},
        Expectation{"densenet", {"QLinearConv", "QLinearConcat"}, {"Conv", "FusedConv", "BatchNormalization"}, 0.02},
        Expectation{"super_resolution", {"QLinearConv"}, {"Conv", "DepthToSpace"}, 0.02},
        Expectation{"vit", {"QLinearMatMul", "QLinearSoftmax"}, {"MatMul"}, 0.1}),
    [](const auto& i) { return std::string(i.param.name); });

TEST(IntegerKernels, OfWhatOnlyMovesOrClips) {
  ModelMaker m;
  std::string x = m.node("Relu", {m.conv(m.input("x", {1, 4, 8, 8}), 4, 16, 3)});
  x = m.node("DepthToSpace", {x});
  set_attribute(m.last(), "blocksize", std::int64_t{2});
  x = m.node("SpaceToDepth", {m.node("Pad", {x, m.integers({0, 0, 1, 1, 0, 0, 1, 1})})});
  set_attribute(m.last(), "blocksize", std::int64_t{3});
  const std::string clipped = m.node("Clip", {x, m.constant({}, {0}), m.constant({}, {0.7F})});
  const std::string both = m.node("Concat", {clipped, m.node("Neg", {x})});
  set_attribute(m.last(), "axis", std::int64_t{1});
  m.output(m.conv(m.node("Relu", {both}), 72, 4, 1));
  const Quantised q(m.model());
  const auto kernels = q.kernels();
  EXPECT_EQ(kernels.at("QLinearConv"), 2);
  EXPECT_EQ(kernels.at("QLinearLeakyRelu"), 2);
  for (const char* op : {"DepthToSpace", "SpaceToDepth", "Relu", "Clip"}) EXPECT_FALSE(kernels.contains(op)) << op;
  EXPECT_LT(q.error(), 0.01);
}

TEST(IntegerKernels, OfProductsOfTwoActivations) {
  ModelMaker m;
  const std::string x = m.input("x", {1, 12, 32});
  const std::string a = m.node("MatMul", {x, m.weights({32, 32})});
  const std::string b = m.node("Transpose", {m.node("MatMul", {x, m.weights({32, 32})})});
  set_attribute(m.last(), "perm", std::vector<std::int64_t>{0, 2, 1});
  m.output(m.node("MatMul", {m.node("Softmax", {m.node("MatMul", {a, b})}), x}));
  const Quantised q(m.model());
  const auto kernels = q.kernels();
  EXPECT_EQ(kernels.at("QLinearMatMul"), 4);
  EXPECT_EQ(kernels.at("QLinearSoftmax"), 1);
  EXPECT_LT(q.error(), 0.02);
}

TEST(IntegerKernels, AreNotForASoftmaxAtTheEnd) {
  ModelMaker m;
  const std::string x = m.node("GlobalAveragePool", {m.node("Relu", {m.conv(m.input("x", {1, 4, 8, 8}), 4, 16, 3)})});
  const std::string logits = m.node("Gemm", {m.node("Flatten", {x}), m.weights({16, 2}, -9, 9)});
  m.output(m.node("Softmax", {logits}));
  const Quantised q(m.model());
  EXPECT_FALSE(q.kernels().contains("QLinearSoftmax"));
  EXPECT_LT(q.error(), 0.01);
}

const onnx::TensorProto& weights_of(const Model& model, const std::string& name) {
  for (const auto& t : model.graph().initializer()) {
    if (t.name() == name) return t;
  }
  throw std::runtime_error("no tensor " + name);
}

/// conv – Relu – depthwise – Relu – conv, the two channel counts given; weights are slices of one whole.
Model sliced(std::int64_t first, std::int64_t classes) {
  constexpr std::int64_t kFirst = 24;
  constexpr std::int64_t kClasses = 8;
  ModelMaker m;
  std::string x = m.node("Relu", {m.conv(m.input("x", {1, 4, 10, 10}), 4, kFirst, 3)});
  x = m.node("Relu", {m.conv(x, kFirst, kFirst, 3, 1, kFirst)});
  m.output(m.conv(x, kFirst, kClasses, 1));
  Model model = m.model();
  const std::vector<std::vector<std::int64_t>> kept{{first, 4, 3, 3},       {first},  {first, 1, 3, 3}, {first},
                                                    {classes, first, 1, 1}, {classes}};
  for (int i = 0; i < model.graph().initializer_size(); ++i) {
    auto& t = *model.graph().mutable_initializer(i);
    const auto shape = dims(t);
    const auto& to = kept[static_cast<std::size_t>(i)];
    const auto values = floats(t).value();
    const std::size_t row = values.size() / static_cast<std::size_t>(shape[0]);
    const std::size_t cut = element_count(to) / static_cast<std::size_t>(to[0]);
    std::vector<float> out;
    for (std::int64_t o = 0; o < to[0]; ++o) {  // filters, then a prefix of each (input channels come first)
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(o) * row);
      out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(cut));
    }
    t = make_tensor(t.name(), to, std::span<const float>(out));
  }
  set_attribute(*model.graph().mutable_node(2), "group", first);
  return model;
}

TEST(NestedInt8, ANarrowModelOnTheWideOnesScalesHasSlicesOfItsWeights) {
  Int8Options options;
  options.edit_weights = false;
  const Quantised wide(sliced(24, 8), options);
  const WeightScales scales = wide.builder->weight_scales();
  ASSERT_EQ(scales.size(), 3U);
  for (const auto& [name, list] : scales) {
    const auto n = static_cast<std::size_t>(name == wide.prepared.model.graph().node(4).input(1) ? 6 : 16);
    options.weight_scales[name].assign(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(n));
  }
  const Quantised narrow(sliced(16, 6), options);
  const Model a = wide.builder->build(wide.builder->possible());
  const Model b = narrow.builder->build(narrow.builder->possible());
  int compared = 0;
  for (const Unit& unit : wide.builder->units()) {
    const std::string name = unit.outputs.front() + "/weights";
    const auto& whole = weights_of(a, name);
    const auto& part = weights_of(b, name);
    ASSERT_EQ(part.data_type(), onnx::TensorProto_DataType_INT8);
    const auto n = static_cast<std::size_t>(part.dims(0));
    const std::size_t row = whole.raw_data().size() / static_cast<std::size_t>(whole.dims(0));
    const std::size_t cut = part.raw_data().size() / n;
    for (std::size_t o = 0; o < n; ++o)
      EXPECT_EQ(part.raw_data().substr(o * cut, cut), whole.raw_data().substr(o * row, cut));
    EXPECT_EQ(weights_of(b, name + "/scale").raw_data(),
              weights_of(a, name + "/scale").raw_data().substr(0, n * sizeof(float)));
    ++compared;
  }
  EXPECT_EQ(compared, 3);
  EXPECT_LT(narrow.error(), 0.01);
}

}  // namespace
}  // namespace rtmdl
