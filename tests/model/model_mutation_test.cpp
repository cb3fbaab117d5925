// Broken models, seeded: they are refused with one short line, or whatever reads and edits graphs copes with them.
// fuzz/onnx_model.cpp searches further.
#include "base/atomic_file.h"
#include "made_up_specs.h"
#include "model/cut_points.h"
#include "model/edit.h"
#include "model/fold.h"
#include "model/opset.h"
#include "models.h"
#include "mutation.h"

#include <gtest/gtest.h>
#include <rtmdl/error.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace rtmdl {
namespace {

/// Everything that this folder does with a graph.
void use(Model model, test::Mutator& random) {
  normalise(model);
  check_model(model);
  (void)spatial_input(model);
  TensorSpecs specs = test::made_up_specs(model, [&](std::size_t n) { return random.random(n); });
  for (auto& [name, spec] : specs) {
    if (!spec.shape.empty() && random.random(50) == 0) spec.shape[0] = std::int64_t{1} << 50;
  }
  EXPECT_GE(model_cost(model, specs).macs, 0);
  EXPECT_GE(peak_activation_bytes(model, specs), 0);
  const CutPoints cuts = find_cut_points(model);
  EXPECT_EQ(cuts.part.size(), static_cast<std::size_t>(model.graph().node_size()));
  (void)upgrade_opset(model);
  normalise(model);
  fold_all(model);
  check_model(model);
  Model again = parse_model(serialize(model), "again.onnx");
  EXPECT_EQ(serialize(again), serialize(model));
}

struct Counts {
  int accepted = 0, refused = 0;
};

void try_one(const std::string& bytes, test::Mutator& random, Counts& counts) {
  try {
    use(parse_model(bytes, "broken.onnx", "/nonexistent"), random);
    ++counts.accepted;
  } catch (const Error& e) {
    ++counts.refused;
    const std::string message = e.what();
    EXPECT_EQ(e.code(), ErrorCode::bad_input) << message;
    EXPECT_TRUE(message.starts_with("broken.onnx: ")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 700U) << message;
  }
}

/// Tags and lengths of the format, and operators that edits look for.
const std::vector<std::string> kPieces{std::string(1, '\0'),
                                       "\xff\xff\xff\xff\x07",
                                       "\x0a",
                                       "\x12",
                                       "\x3a\x04",
                                       "\x22\x04"
                                       "Conv",
                                       "\x22\x08"
                                       "Identity",
                                       "\x22\x08"
                                       "Constant",
                                       "\x22\x02"
                                       "If",
                                       "\x08\x01",
                                       "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"};

TEST(ModelMutation, OfBytesIsRefusedInOneShortLineOrHarmless) {
  test::ModelMaker m(11);
  const std::string x = m.input("x", {-1, 3, 16, 16});
  const std::string a = m.node("Relu", {m.batch_norm(m.conv(x, 3, 4, 3, 1, 1, false), 4)});
  const std::string b = m.node("Clip", {m.conv(a, 4, 4, 3), m.constant({}, {0}), m.constant({}, {6})});
  const std::string flag = m.node("Cast", {m.node("ReduceMax", {a})});
  m.output(m.node("Add", {test::relu_or_neg(m, flag, a), b}));
  std::vector<std::pair<std::string, int>> seeds{{serialize(m.model()), 3000}};
  const auto real = std::filesystem::path(RTMDL_SOURCE_DIR) / "assets/models/blazeface_128.onnx";
  if (std::filesystem::exists(real)) seeds.emplace_back(read_file(real), 100);
  for (const auto& [bytes, rounds] : seeds) {
    test::Mutator mutator(bytes, kPieces);
    Counts counts;
    for (int i = 0; i < rounds; ++i) try_one(mutator.next(), mutator, counts);
    EXPECT_GT(counts.refused, rounds / 4);
    EXPECT_EQ(counts.accepted + counts.refused, rounds);
  }
}

/// What bytes seldom hit: a well-formed file whose graph is wrong.
void break_graph(onnx::GraphProto& graph, test::Mutator& random) {
  static const std::vector<const char*> kOperators{
      "Conv",    "Gemm", "MatMul",   "Add",   "Mul",   "BatchNormalization", "Reshape", "Clip", "Identity",
      "Dropout", "Pad",  "Upsample", "Shape", "Split", "Constant",           "Softmax", "Loop", "Squeeze"};
  const auto any = [&](auto& repeated) -> auto& {
    return repeated[static_cast<int>(random.random(static_cast<std::size_t>(repeated.size())))];
  };
  auto& nodes = *graph.mutable_node();
  auto& weights = *graph.mutable_initializer();
  if (nodes.empty()) return;
  auto& node = any(nodes);
  const auto written = [&] {
    const auto& other = any(nodes);
    return other.output_size() > 0 ? other.output(0) : "x";
  };
  const std::int64_t number = static_cast<std::int64_t>(random.random(12)) - 3;
  switch (random.random(14)) {
    case 0: node.set_op_type(kOperators[random.random(kOperators.size())]); break;
    case 1:
      if (!node.input().empty()) any(*node.mutable_input()) = written();
      break;
    case 2:
      if (!node.input().empty()) node.mutable_input()->RemoveLast();
      break;
    case 3:
      if (!node.input().empty()) any(*node.mutable_input()).clear();
      break;
    case 4: node.mutable_output()->Clear(); break;
    case 5: *node.add_output() = "extra" + std::to_string(random.random(100)); break;
    case 6: node.mutable_attribute()->Clear(); break;
    case 7:
      if (!node.attribute().empty()) {
        auto& a = any(*node.mutable_attribute());
        a.set_i(number);
        for (auto& i : *a.mutable_ints()) i = number;
        if (random.random(2) == 0) a.set_type(onnx::AttributeProto_AttributeType_FLOAT);
      }
      break;
    case 8:
      if (!weights.empty()) any(weights).set_data_type(static_cast<int>(random.random(18)));
      break;
    case 9:
      if (!weights.empty()) {
        auto& w = any(weights);
        if (w.dims_size() > 0) w.set_dims(0, random.random(3) == 0 ? std::int64_t{1} << 61 : number);
      }
      break;
    case 10:
      if (!weights.empty()) {
        auto& w = any(weights);
        if (random.random(2) == 0) w.clear_raw_data();
        else w.mutable_dims()->Clear(), w.mutable_raw_data()->resize(4);
      }
      break;
    case 11: *graph.add_node() = node; break;
    case 12:
      if (nodes.size() > 1)
        nodes.SwapElements(0, static_cast<int>(random.random(static_cast<std::size_t>(nodes.size()))));
      break;
    default:
      for (auto& a : *node.mutable_attribute()) {
        if (a.has_g()) break_graph(*a.mutable_g(), random);
      }
      graph.mutable_output()->Clear();
      graph.add_output()->set_name(written());
  }
}

TEST(ModelMutation, OfTheGraphIsRefusedInOneShortLineOrHarmless) {
  std::vector<std::pair<Model, int>> seeds{{test::resnet18(1), 300}};
  test::ModelMaker m(9);
  const std::string x = m.input("x", {1, 3, 16, 16});
  const std::string a = m.node("Relu", {m.batch_norm(m.conv(x, 3, 4, 3, 1, 1, false), 4)});
  const std::string padded = m.node("Pad", {a});
  set_attribute(m.last(), "pads", std::vector<std::int64_t>{0, 0, 1, 1, 0, 0, 1, 1});
  const std::string b = m.node("Mul", {m.conv(padded, 4, 4, 3), m.constant({}, {0.5F})});
  const std::string c = m.node("Clip", {m.node("Add", {b, m.constant({}, {3})})});
  set_attribute(m.last(), "min", 0.0F);
  set_attribute(m.last(), "max", 6.0F);
  const std::string pooled = m.node("Reshape", {m.node("GlobalAveragePool", {c}), m.integers({1, -1})});
  m.node("Gemm", {pooled, m.weights({4, 10}), m.weights({10})});
  const std::string logits = m.last().output(0);
  const std::string flag = m.node("Cast", {m.node("ReduceMax", {logits})});
  m.output(test::relu_or_neg(m, flag, logits));
  seeds.emplace_back(m.model(), 4000);
  const auto real = std::filesystem::path(RTMDL_SOURCE_DIR) / "assets/models/blazeface_128.onnx";
  if (std::filesystem::exists(real)) seeds.emplace_back(load_model(real), 100);
  for (const auto& [model, rounds] : seeds) {
    test::Mutator random("x", kPieces, 7);
    Counts counts;
    for (int i = 0; i < rounds; ++i) {
      Model broken = model;
      for (std::size_t edits = 1 + random.random(4); edits > 0; --edits) break_graph(broken.graph(), random);
      try_one(broken.proto.SerializeAsString(), random, counts);
    }
    EXPECT_GT(counts.refused, rounds / 10);
    EXPECT_GT(counts.accepted, rounds / 10);
  }
}

}  // namespace
}  // namespace rtmdl
