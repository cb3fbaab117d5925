// One row per kind of model that is not as it should be: `inspect` and `scale` say what is wrong in one line, with exit
// status 2, or work.
#include "base/atomic_file.h"
#include "command.h"
#include "model/models.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <unistd.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtmdl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

Model small_net(std::int64_t opset = 17, const std::vector<std::int64_t>& input = {1, 3, 32, 32}) {
  test::ModelMaker m(opset);
  const std::string x = m.input("x", input);
  const std::string a = m.node("Relu", {m.batch_norm(m.conv(x, 3, 8, 3), 8)});
  const std::string b = m.node("Add", {a, m.node("Relu", {m.conv(a, 8, 8, 3)})});
  m.node("Gemm", {m.node("Flatten", {m.node("GlobalAveragePool", {b})}), m.weights({8, 4}), m.weights({4})});
  m.last().set_output(0, "y");
  m.output("y");
  return m.model();
}

onnx::TensorShapeProto& input_shape(Model& model) {
  return *model.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
}

/// Weights, input and output in another floating-point type.
Model retyped(int type) {
  Model model = small_net();
  for (auto& w : *model.graph().mutable_initializer()) {
    std::string bytes;
    for (const float f : *floats(w)) {
      const double d = f;
      std::uint32_t bits = 0;
      std::memcpy(&bits, &f, sizeof bits);
      const auto brain = static_cast<std::uint16_t>(bits >> 16);  // bfloat16: the upper half
      const int exponent = static_cast<int>(bits >> 23 & 255) - 112;
      const auto half =
          static_cast<std::uint16_t>((bits >> 16 & 0x8000) | (exponent > 0 ? exponent << 10 | (bits >> 13 & 1023) : 0));
      if (type == onnx::TensorProto_DataType_DOUBLE) bytes.append(reinterpret_cast<const char*>(&d), sizeof d);
      else bytes.append(reinterpret_cast<const char*>(type == onnx::TensorProto_DataType_FLOAT16 ? &half : &brain), 2);
    }
    w.set_raw_data(bytes);
    w.set_data_type(type);
  }
  for (auto* value : {model.graph().mutable_input(0), model.graph().mutable_output(0)})
    value->mutable_type()->mutable_tensor_type()->set_elem_type(type);
  return model;
}

class BadModel : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / fmt::format("rtmdl-bad-model-{}", ::getpid());
    fs::create_directories(folder_ / "pictures");
    fs::copy(fs::path(RTMDL_SOURCE_DIR) / "assets/data/pictures/astronaut.png", folder_ / "pictures");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string save(const Model& model, const std::string& name = "model.onnx") {
    write_file_atomically(path(name), model.proto.SerializeAsString());
    return path(name);
  }

  static std::string refused(const std::string& arguments) {
    const CommandResult r = run_rtmdl(arguments);
    EXPECT_EQ(r.status, 2) << arguments << "\n" << r.err;
    EXPECT_EQ(r.out, "");
    const auto at = r.err.find("rtmdl: ");
    if (at == std::string::npos) return r.err;
    const std::string line = r.err.substr(at);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << r.err;
    EXPECT_THAT(line, Not(HasSubstr("onnxruntime_src")));
    EXPECT_LT(line.size(), 600U);
    return line;
  }
  std::string scale_command(const std::string& model) {
    write_file_atomically(
        folder_ / "tasks.yaml",
        fmt::format("tasks:\n  - name: t\n    model: {}\n    data: {{source: images, path: pictures}}\n"
                    "    pre: {{resize: [32, 32], layout: NCHW, scale: 0.00784, shift: -1}}\n"
                    "    shapes: {{x: [1, 3, 32, 32]}}\n    period: 100 ms\n",
                    model));
    return fmt::format("scale --quick --budget 1s '{}' --workspace '{}'", path("tasks.yaml"), path("w"));
  }
  /// Both verbs refuse it, for this reason.
  void expect_refused(const std::string& model, const std::string& reason) {
    EXPECT_THAT(refused("inspect '" + model + "'"), HasSubstr(reason));
    EXPECT_THAT(refused(scale_command(model)), HasSubstr(reason));
  }
  static std::string inspected(const std::string& model) {
    const CommandResult r = run_rtmdl("inspect '" + model + "'");
    EXPECT_EQ(r.status, 0) << r.err;
    EXPECT_EQ(r.err, "");
    return r.out;
  }

  fs::path folder_;
};

TEST_F(BadModel, IsNoModel) {
  const std::string bytes = small_net().proto.SerializeAsString();
  write_file_atomically(path("cut.onnx"), bytes.substr(0, bytes.size() * 2 / 3));
  expect_refused(path("cut.onnx"), "cut.onnx: truncated: its graph needs ");
  write_file_atomically(path("text.onnx"), "weights: 12\nlayers: 3\n");
  expect_refused(path("text.onnx"), "text.onnx: not an ONNX model");
  write_file_atomically(path("empty.onnx"), "");
  expect_refused(path("empty.onnx"), "empty.onnx: not an ONNX model: the file is empty");
  fs::create_directories(path("folder.onnx"));
  EXPECT_THAT(refused("inspect '" + path("folder.onnx") + "'"), HasSubstr("folder.onnx: cannot read: it is a folder"));
  EXPECT_THAT(refused("inspect '" + path("none.onnx") + "'"), HasSubstr("none.onnx: cannot read: No such file"));
}

TEST_F(BadModel, IsLargerThanTheFormatAllows) {
  std::ofstream(path("large.onnx")).put('x');
  fs::resize_file(path("large.onnx"), std::uintmax_t{3} << 30);  // sparse: takes no room, and is not read
  EXPECT_THAT(refused("inspect '" + path("large.onnx") + "'"), HasSubstr("large.onnx: larger than 2 GB"));
}

TEST_F(BadModel, HasAGraphThatIsNone) {
  const auto expect = [&](const std::function<void(onnx::GraphProto&)>& edit, const std::string& reason) {
    Model model = small_net();
    edit(model.graph());
    expect_refused(save(model), reason);
  };
  expect([](auto& g) { g.mutable_node(0)->set_input(0, g.node(2).output(0)); }, "the graph has a cycle: node ");
  expect([](auto& g) { g.mutable_node(0)->set_input(0, "ghost"); }, "reads 'ghost', which nothing defines");
  expect([](auto& g) { *g.add_input() = g.input(0); }, "two inputs named 'x'");
  expect([](auto& g) { *g.add_output() = g.output(0); }, "two outputs named 'y'");
  expect([](auto& g) { g.clear_output(); }, "has no output");
  expect([](auto& g) { g.mutable_initializer(0)->set_dims(0, std::int64_t{1} << 40); },
         "864 bytes where the shape needs");
}

TEST_F(BadModel, HasAnInputOfSizeZero) {
  Model model = small_net();
  input_shape(model).mutable_dim(0)->set_dim_value(0);
  expect_refused(save(model), "input 'x': dimension 0 is 0, which leaves nothing to compute");
}

TEST_F(BadModel, LacksItsExternalData) {
  Model model = small_net();
  auto& w = *model.graph().mutable_initializer(0);
  w.clear_raw_data();
  w.set_data_location(onnx::TensorProto_DataLocation_EXTERNAL);
  auto& entry = *w.add_external_data();
  entry.set_key("location");
  entry.set_value("weights.bin");
  expect_refused(save(model), "weights.bin, which is not there");
}

TEST_F(BadModel, HasOperatorsThatOnnxRuntimeDoesNotKnow) {
  Model model = small_net();
  model.graph().mutable_node(1)->set_op_type("Frobnicate");
  expect_refused(save(model), "No Op registered for Frobnicate");
  model.graph().mutable_node(1)->set_domain("com.acme");
  auto& import = *model.proto.add_opset_import();
  import.set_domain("com.acme");
  import.set_version(1);
  expect_refused(save(model), "com.acme:Frobnicate");
}

TEST_F(BadModel, IsOfAnotherAge) {
  for (const std::int64_t opset : {7, 10, 13, 18, 23})
    EXPECT_THAT(inspected(save(small_net(opset))), HasSubstr(fmt::format("operator set {} (", opset)));
  expect_refused(save(small_net(6)), "BatchNormalization");
  expect_refused(save(small_net(99)), "Opset 99");
  Model model = small_net();
  model.proto.set_ir_version(99);
  expect_refused(save(model), "Unsupported model IR version: 99");
  model.proto.set_ir_version(8);
  model.proto.clear_opset_import();
  expect_refused(save(model), "imports no version of the ONNX operator set");
}

TEST_F(BadModel, LeavesEveryDimensionFree) {
  EXPECT_THAT(inspected(save(small_net(17, {-1, -1, -1, -1}))),
              HasSubstr("input 'x' (?x?x?x?) was taken at 1x3x224x224; --shape says otherwise"));
  test::ModelMaker m;
  m.output(m.node("Relu", {m.input("tokens", {-1, -1})}));
  EXPECT_THAT(
      refused("inspect '" + save(m.model()) + "'"),
      HasSubstr("dimension 1 of input 'tokens' (?x?) is free, and nothing tells what it should be: give --shape "
                "tokens=1x?"));
  Model model = small_net();
  model.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
  EXPECT_THAT(refused("inspect '" + save(model) + "'"), HasSubstr("input 'x' declares no shape"));
}

TEST_F(BadModel, NeedsMoreMemoryThanThereIs) {
  EXPECT_THAT(refused("inspect '" + save(small_net(17, {1, 3, 1'000'000, 1'000'000})) + "'"), HasSubstr("memory"));
}

TEST_F(BadModel, HasWeightsInOtherTypes) {
  EXPECT_THAT(inspected(save(retyped(onnx::TensorProto_DataType_FLOAT16))), HasSubstr("input  'x' f16 1x3x32x32"));
  expect_refused(save(retyped(onnx::TensorProto_DataType_DOUBLE)), "Could not find an implementation for Conv");
  expect_refused(save(retyped(onnx::TensorProto_DataType_BFLOAT16)), "bfloat16");
}

TEST_F(BadModel, HasInputsThatAreNoTensors) {
  Model model = small_net();
  model.graph().mutable_input(0)->mutable_type()->mutable_sequence_type();
  EXPECT_THAT(refused("inspect '" + save(model) + "'"), HasSubstr("input 'x' is not a tensor"));
}

TEST_F(BadModel, HasSubgraphs) {
  test::ModelMaker m;
  const std::string a = m.conv(m.input("x", {1, 3, 32, 32}), 3, 8, 3);
  const std::string most = m.node("ReduceMax", {a});
  set_attribute(m.last(), "keepdims", std::int64_t{0});
  const std::string flag = m.node("Cast", {most});
  set_attribute(m.last(), "to", std::int64_t{onnx::TensorProto_DataType_BOOL});
  m.output(m.node("GlobalAveragePool", {m.conv(test::relu_or_neg(m, flag, a), 8, 8, 3)}));
  EXPECT_THAT(inspected(save(m.model())), HasSubstr("(those inside If and Loop are not counted)"));
}

TEST_F(BadModel, DefinesWeightsTwiceAndWorksWithTheLast) {
  Model model = small_net();
  *model.graph().add_initializer() = model.graph().initializer(0);
  static_cast<void>(inspected(save(model)));
}

}  // namespace
}  // namespace rtmdl
