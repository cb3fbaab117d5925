#include "training/onnx_export.h"

#include "training/train.h"

#include <gmock/gmock.h>
#include <onnx/onnx_pb.h>

#include <map>
#include <set>

namespace rtmdl::training {
namespace {

onnx::ModelProto exported(const Network& network) {
  std::int64_t size = 0;
  for (const ParameterSpec& spec : parameters(network)) size += spec.size();
  std::vector<float> weights(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i);
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(to_onnx(network, weights, {1, 28, 28, "about"})));
  return model;
}

std::vector<std::int64_t> dims(const onnx::TensorProto& tensor) { return {tensor.dims().begin(), tensor.dims().end()}; }

TEST(OnnxExport, HeaderInputAndOutputAreAsPromised) {
  const onnx::ModelProto model = exported(resnet18({4, 4, 8, 8}, 1, 10));
  EXPECT_EQ(model.ir_version(), 8);
  ASSERT_EQ(model.opset_import_size(), 1);
  EXPECT_EQ(model.opset_import(0).version(), 17);
  EXPECT_EQ(model.producer_name(), "rtmdl");
  EXPECT_EQ(model.doc_string(), "about");
  ASSERT_EQ(model.graph().input_size(), 1);
  ASSERT_EQ(model.graph().output_size(), 1);
  const auto& image = model.graph().input(0);
  EXPECT_EQ(image.name(), "image");
  const auto& shape = image.type().tensor_type().shape();
  ASSERT_EQ(shape.dim_size(), 4);
  EXPECT_EQ(shape.dim(0).dim_param(), "N");
  EXPECT_EQ(shape.dim(1).dim_value(), 1);
  EXPECT_EQ(shape.dim(3).dim_value(), 28);
  const auto& logits = model.graph().output(0);
  EXPECT_EQ(logits.name(), "logits");
  EXPECT_EQ(logits.type().tensor_type().shape().dim(0).dim_param(), "N");
  EXPECT_EQ(logits.type().tensor_type().shape().dim(1).dim_value(), 10);
}

TEST(OnnxExport, EveryValueIsDefinedOnceBeforeItsUseAndUsed) {
  const onnx::GraphProto graph = exported(resnet18({4, 6, 8, 10}, 1, 10)).graph();
  std::set<std::string> defined{"image"};
  std::set<std::string> used{"logits"};
  for (const auto& tensor : graph.initializer()) EXPECT_TRUE(defined.insert(tensor.name()).second) << tensor.name();
  for (const auto& node : graph.node()) {
    for (const std::string& input : node.input()) {
      EXPECT_TRUE(defined.count(input)) << node.name() << " reads " << input;
      used.insert(input);
    }
    for (const std::string& output : node.output()) EXPECT_TRUE(defined.insert(output).second) << output;
  }
  EXPECT_EQ(defined, used);
}

TEST(OnnxExport, KeepsBatchNormalisationsResidualsAndStrides) {
  const onnx::GraphProto graph = exported(resnet18({4, 4, 8, 8}, 1, 10)).graph();
  std::map<std::string, int> count;
  int strided = 0;
  for (const auto& node : graph.node()) {
    count[node.op_type()] += 1;
    for (const auto& attribute : node.attribute()) strided += attribute.name() == "strides" && attribute.ints(0) == 2;
  }
  const std::map<std::string, int> expected{{"Conv", 20}, {"BatchNormalization", 20}, {"Relu", 17},
                                            {"Add", 8},   {"GlobalAveragePool", 1},   {"Flatten", 1},
                                            {"Gemm", 1}};
  EXPECT_EQ(count, expected);
  EXPECT_EQ(strided, 6) << "a block's first convolution and its shortcut, in three stages";
}

TEST(OnnxExport, WeightsAreInTheOrderOfTheParameters) {
  const Network network = resnet18({4, 4, 8, 8}, 1, 10);
  const onnx::GraphProto graph = exported(network).graph();
  const auto specs = parameters(network);
  ASSERT_EQ(static_cast<std::size_t>(graph.initializer_size()), specs.size());
  float next = 0;
  for (int i = 0; i < graph.initializer_size(); ++i) {
    const auto& spec = specs[static_cast<std::size_t>(i)];
    const auto& tensor = graph.initializer(i);
    EXPECT_EQ(tensor.name(), spec.name);
    EXPECT_EQ(dims(tensor), spec.shape);
    ASSERT_EQ(tensor.raw_data().size(), static_cast<std::size_t>(spec.size()) * sizeof(float));
    EXPECT_EQ(reinterpret_cast<const float*>(tensor.raw_data().data())[0], next);
    next += static_cast<float>(spec.size());
  }
}

TEST(OnnxExport, TheStandardNetworkFitsIntoTwoMegabytes) {
  const Network network = resnet18(TrainOptions{}.widths, 1, 10);
  EXPECT_LE(exported(network).ByteSizeLong(), 2'000'000U);
}

}  // namespace
}  // namespace rtmdl::training
