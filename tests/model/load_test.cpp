#include "base/atomic_file.h"
#include "model/edit.h"
#include "models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rtmdl/error.h>
#include <unistd.h>

#include <filesystem>

namespace rtmdl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Load : public testing::Test {
 protected:
  Load() { std::filesystem::create_directories(folder_); }
  ~Load() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& bytes) {
    const auto path = folder_ / "model.onnx";
    write_file_atomically(path, bytes);
    return path;
  }
  std::string refusal(const std::filesystem::path& path) {
    try {
      (void)load_model(path);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::bad_input);
      EXPECT_THAT(e.what(), StartsWith(path.string() + ": "));
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      return std::string(e.what()).substr(path.string().size() + 2);
    }
    return "accepted";
  }
  std::string refusal(const Model& model) { return refusal(write(model.proto.SerializeAsString())); }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("rtmdl_load_" + std::to_string(::getpid()));
};

Model chain() {
  test::ModelMaker m;
  const std::string x = m.input("x", {1, 2, 8, 8});
  m.output(m.node("Relu", {m.conv(x, 2, 64, 3)}));
  return m.model();
}

TEST_F(Load, GivesBackWhatWasSaved) {
  const Model model = chain();
  save_model(model, folder_ / "a.onnx");
  EXPECT_EQ(serialize(load_model(folder_ / "a.onnx")), serialize(model));
}

TEST_F(Load, SaysThatTheFileIsMissing) {
  EXPECT_EQ(refusal(folder_ / "none.onnx"), "cannot read: No such file or directory");
}

TEST_F(Load, SaysThatTheFileIsEmpty) { EXPECT_EQ(refusal(write("")), "not an ONNX model: the file is empty"); }

TEST_F(Load, SaysHowMuchOfATruncatedFileIsThere) {
  const std::string bytes = chain().proto.SerializeAsString();
  const std::string text = refusal(write(bytes.substr(0, bytes.size() / 2)));
  EXPECT_THAT(text, StartsWith("truncated: its graph needs "));
  EXPECT_THAT(text, HasSubstr(" bytes from byte "));
}

TEST_F(Load, TellsOtherKindsOfFileFromModels) {
  EXPECT_EQ(refusal(write("\x89PNG\r\n\x1a\n and so on")), "not an ONNX model");
  EXPECT_EQ(refusal(write("weights: 12\nlayers: 3\n")), "not an ONNX model");
  EXPECT_EQ(refusal(write(std::string(1000, '\0'))), "not an ONNX model");
}

TEST_F(Load, NeedsAGraph) {
  Model model;
  model.proto.set_ir_version(8);
  model.proto.add_opset_import()->set_version(17);
  EXPECT_EQ(refusal(model), "not an ONNX model: it holds no graph");
}

TEST_F(Load, NamesANodeOfACycle) {
  Model model = chain();
  model.graph().mutable_node(0)->set_input(0, model.graph().node(1).output(0));
  EXPECT_EQ(refusal(model), "the graph has a cycle: node 't2' (Conv) waits for its own output");
}

TEST_F(Load, NamesWhatNothingDefines) {
  Model model = chain();
  model.graph().mutable_node(0)->set_input(0, "ghost");
  EXPECT_EQ(refusal(model), "node 't2' (Conv) reads 'ghost', which nothing defines");
}

TEST_F(Load, NamesWhatIsDefinedTwice) {
  Model model = chain();
  *model.graph().add_node() = model.graph().node(1);
  EXPECT_EQ(refusal(model), "node 't3' (Relu) writes 't3', which is defined before");
}

TEST_F(Load, NamesWeightsOfAnotherLengthThanTheirShape) {
  Model model = chain();
  model.graph().mutable_initializer(0)->mutable_raw_data()->resize(100);
  EXPECT_EQ(refusal(model), "weights 'w0': 100 bytes where the shape needs 4608");
}

TEST_F(Load, NamesMissingExternalData) {
  Model model = chain();
  auto& tensor = *model.graph().mutable_initializer(0);
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto_DataLocation_EXTERNAL);
  auto& entry = *tensor.add_external_data();
  entry.set_key("location");
  entry.set_value("weights.bin");
  EXPECT_EQ(refusal(model), "weights 'w0' are in " + (folder_ / "weights.bin").string() + ", which is not there");

  write_file_atomically(folder_ / "weights.bin", std::string(100, 'x'));
  EXPECT_THAT(refusal(model), HasSubstr("100 bytes where the shape needs 4608"));
  write_file_atomically(folder_ / "weights.bin", std::string(4608, 'x'));
  EXPECT_EQ(refusal(model), "accepted");
  entry.set_value("../weights.bin");
  EXPECT_EQ(refusal(model),
            "weights 'w0' are in the file '../weights.bin'; a name relative to the model's folder is needed");
}

TEST_F(Load, PullsInExternalDataOfSubgraphsAndCountsItsFiles) {
  test::ModelMaker m;
  const std::string x = m.input("x", {2});
  const std::string y = test::relu_or_neg(m, m.node("Cast", {m.node("ReduceMax", {x})}), x);
  m.output(y);
  Model& model = m.model();
  auto& branch = *model.graph().mutable_node(2)->mutable_attribute(0)->mutable_g();
  auto& tensor = *branch.add_initializer();
  tensor = make_tensor("inner", std::vector<std::int64_t>{2}, std::span<const float>(std::vector<float>{1, 2}));
  const std::string bytes = tensor.raw_data();
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto_DataLocation_EXTERNAL);
  for (const auto& [key, value] :
       {std::pair{"location", "weights.bin"}, std::pair{"offset", "4"}, std::pair{"length", "8"}}) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  write_file_atomically(folder_ / "weights.bin", "head" + bytes + "tail");
  const auto path = write(model.proto.SerializeAsString());
  const Model loaded = load_model(path);
  EXPECT_EQ(loaded.graph().node(2).attribute(0).g().initializer(0).raw_data(), bytes);
  EXPECT_EQ(model_files(path), (std::vector<std::filesystem::path>{path, folder_ / "weights.bin"}));
  EXPECT_EQ(model_bytes(path), static_cast<std::int64_t>(std::filesystem::file_size(path)) + 16);
}

TEST_F(Load, PutsNodesIntoOrder) {
  Model model = chain();
  model.graph().mutable_node()->SwapElements(0, 1);
  const Model sorted = load_model(write(model.proto.SerializeAsString()));
  EXPECT_EQ(sorted.graph().node(0).op_type(), "Conv");
  EXPECT_EQ(sorted.graph().node(1).op_type(), "Relu");
}

TEST_F(Load, SurvivesEveryTruncation) {
  const std::string bytes = chain().proto.SerializeAsString();
  for (std::size_t n = 1; n < bytes.size(); n += 37) EXPECT_NE(refusal(write(bytes.substr(0, n))), "") << n;
}

TEST(Shapes, AreFixedOnlyWhereTheyAreFree) {
  test::ModelMaker m;
  m.output(m.node("Relu", {m.input("x", {-1, 3, -1, -1})}));
  Model& model = m.model();
  ASSERT_TRUE(spatial_input(model));
  EXPECT_TRUE(spatial_input(model)->free);
  EXPECT_THROW(set_input_shape(model, "x", {1, 4, 32, 32}), Error);
  EXPECT_THROW(set_input_shape(model, "y", {1, 3, 32, 32}), Error);
  set_input_shape(model, "x", {1, 3, 32, 64});
  EXPECT_EQ(model_inputs(model)[0].shape, (std::vector<std::int64_t>{1, 3, 32, 64}));
  EXPECT_FALSE(spatial_input(model)->free);
}

TEST(Normalise, TidiesConstantsIdentitiesAndDeadNodes) {
  test::ModelMaker m(11);
  const std::string x = m.input("x", {1, 2, 8, 8});
  auto& constant = *m.model().graph().add_node();
  constant.set_op_type("Constant");
  constant.add_output("two");
  auto& value = *constant.add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto_AttributeType_TENSOR);
  *value.mutable_t() = make_scalar("", 2);
  m.node("Relu", {x});  // dead
  m.output(m.node("Mul", {m.node("Dropout", {m.node("Identity", {x})}), "two"}));
  normalise(m.model());
  ASSERT_EQ(m.model().graph().node_size(), 1);
  EXPECT_EQ(m.model().graph().node(0).input(0), "x");
  ASSERT_EQ(m.model().graph().initializer_size(), 1);
  EXPECT_EQ(floats(m.model().graph().initializer(0)).value(), std::vector<float>{2});
  EXPECT_FALSE(m.model().graph().node(0).name().empty());
}

TEST(Normalise, DropsADropoutThatIsSwitchedOffOrDropsNothing) {
  for (const bool off : {false, true}) {
    test::ModelMaker m(13);
    auto& training = *m.model().graph().add_initializer();
    training.set_name("training");
    training.set_data_type(onnx::TensorProto_DataType_BOOL);
    training.set_raw_data(std::string(1, off ? '\0' : '\1'));
    const std::string y = m.node("Dropout", {m.input("x", {1, 4}), m.constant({}, {off ? 0.5F : 0.0F}), "training"});
    m.last().add_output("mask");
    m.output(m.node("Relu", {y}));
    normalise(m.model());
    ASSERT_EQ(m.model().graph().node_size(), 1) << off;
    EXPECT_EQ(m.model().graph().node(0).input(0), "x");
  }
}

TEST(Normalise, SubgraphsReadWhatAnIdentityRead) {
  test::ModelMaker m(11);
  const std::string x = m.input("x", {1, 2});
  const std::string condition = m.node("Cast", {m.node("ReduceMax", {x})});
  m.output(test::relu_or_neg(m, condition, m.node("Identity", {x})));
  normalise(m.model());
  EXPECT_EQ(m.model().graph().node_size(), 3);
  for (const auto& branch : m.model().graph().node(2).attribute()) EXPECT_EQ(branch.g().node(0).input(0), "x");
}

}  // namespace
}  // namespace rtmdl
