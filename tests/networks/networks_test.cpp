#include "networks/networks.h"

#include "data/postprocess.h"
#include "engine/engine.h"
#include "model/cost.h"
#include "model/edit.h"
#include "networks/detector.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>
#include <unistd.h>

#include <algorithm>
#include <set>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Engine& engine() {
  static const auto one = make_onnxruntime_engine();
  return *one;
}

/// Loaded with the batch given; the file is gone again.
std::unique_ptr<Executable> load(const Model& model, std::int64_t batch) {
  const auto path = std::filesystem::temp_directory_path() / ("rtmdl_networks_" + std::to_string(::getpid()));
  save_model(model, path);
  LoadRequest request;
  request.model = path;
  for (auto input : model_inputs(model)) {
    input.shape[0] = batch;
    request.shapes[input.name] = input.shape;
  }
  auto executable = engine().load(request);
  std::filesystem::remove(path);
  for (std::size_t i = 0; i < executable->inputs().size(); ++i) {
    auto values = executable->input(i).as<float>();
    for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(k % 97) / 97;
  }
  return executable;
}

std::vector<std::vector<std::int64_t>> output_shapes(const Model& model, std::int64_t batch) {
  const auto executable = load(model, batch);
  EXPECT_TRUE(executable->run()) << executable->last_error();
  std::vector<std::vector<std::int64_t>> shapes;
  for (std::size_t i = 0; i < executable->outputs().size(); ++i) {
    const TensorView view = executable->output(i);
    shapes.emplace_back(view.shape.begin(), view.shape.end());
    for (const float v : view.as<float>()) EXPECT_TRUE(std::isfinite(v)) << executable->outputs()[i].name;
  }
  return shapes;
}

double million_macs(const Model& model) {
  std::vector<std::string> tensors;
  for (const auto& node : model.graph().node()) tensors.push_back(node.output(0));
  const auto executable = load(with_outputs(model, tensors), 1);
  TensorSpecs specs;
  for (const auto& spec : executable->outputs()) specs[spec.name] = spec;
  for (const auto& spec : executable->inputs()) specs[spec.name] = spec;
  return static_cast<double>(model_cost(model, specs).macs) * 1e-6;
}

NetworkOptions sized(double width, double depth = 1) {
  NetworkOptions o;
  o.width = width;
  o.depth = depth;
  return o;
}

NetworkOptions pictures(int side, int classes) {
  NetworkOptions o;
  o.rows = o.columns = side;
  o.classes = classes;
  return o;
}

std::string network_refusal(std::string_view name, const NetworkOptions& options) {
  try {
    (void)network(name, options, 1);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::bad_input);
    return e.what();
  }
  return "";
}

class EveryNetwork : public testing::TestWithParam<std::string_view> {};

INSTANTIATE_TEST_SUITE_P(Networks, EveryNetwork, testing::ValuesIn([] {
                           std::vector<std::string_view> names;
                           for (const NetworkInfo& one : network_catalogue()) names.push_back(one.name);
                           return names;
                         }()),
                         [](const auto& tested) {
                           std::string name(tested.param);
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(EveryNetwork, RunsOnAnyBatchAndGivesTheShapesItDeclares) {
  const Model model = network(GetParam(), sized(0.25), 1);
  std::vector<std::vector<std::int64_t>> declared;
  for (const auto& output : model.graph().output()) {
    const auto& shape = output.type().tensor_type().shape();
    EXPECT_EQ(shape.dim(0).dim_param(), "N");
    declared.push_back({3});
    for (int d = 1; d < shape.dim_size(); ++d) declared.back().push_back(shape.dim(d).dim_value());
  }
  EXPECT_EQ(output_shapes(model, 3), declared);
  EXPECT_EQ(output_shapes(model, 1).size(), declared.size());
}

TEST_P(EveryNetwork, DefinesEveryValueOnceBeforeItsUse) {
  const Model model = network(GetParam(), sized(0.25), 1);
  EXPECT_EQ(model.opset(), 17);
  std::set<std::string> defined{model.graph().input(0).name()};
  for (const auto& tensor : model.graph().initializer()) EXPECT_TRUE(defined.insert(tensor.name()).second);
  for (const auto& node : model.graph().node()) {
    for (const std::string& input : node.input()) EXPECT_TRUE(defined.contains(input)) << node.name() << ' ' << input;
    for (const std::string& output : node.output()) EXPECT_TRUE(defined.insert(output).second) << output;
  }
  Model checked = model;
  EXPECT_NO_THROW(check_model(checked));
  Model tidy = model;
  normalise(tidy);
  EXPECT_EQ(parameter_count(tidy), parameter_count(model)) << "nothing was dead";
}

TEST_P(EveryNetwork, DependsOnTheSeedAlone) {
  const NetworkOptions options = sized(0.25);
  const std::string first = serialize(network(GetParam(), options, 1));
  EXPECT_EQ(first, serialize(network(GetParam(), options, 1)));
  EXPECT_NE(first, serialize(network(GetParam(), options, 2)));
}

TEST_P(EveryNetwork, IsCheaperWhenItIsNarrower) {
  if (GetParam() == "lstm") GTEST_SKIP() << "its multiplications are not counted";
  const double wide = million_macs(network(GetParam(), sized(0.5), 1));
  const double narrow = million_macs(network(GetParam(), sized(0.25), 1));
  EXPECT_LT(narrow, 0.5 * wide);
  EXPECT_GT(narrow, 0.1 * wide);
}

// What the papers and the usual reference implementations say; convolutions before a batch normalisation have no bias
// here, so theirs are taken off where the published figure counts them.
TEST(Networks, HaveThePublishedNumbersOfParameters) {
  const auto count = [](std::string_view name, const NetworkOptions& o = {}) {
    return parameter_count(network(name, o, 1));
  };
  EXPECT_EQ(count("alexnet"), 23'272'266);
  EXPECT_EQ(count("vgg11"), 9'231'114 - 2'752);
  EXPECT_EQ(count("vgg13"), 9'416'010 - 2'944);
  EXPECT_EQ(count("vgg16"), 14'728'266 - 4'224);
  EXPECT_EQ(count("vgg19"), 20'040'522 - 5'504);
  EXPECT_EQ(count("resnet18"), 11'173'962);
  EXPECT_EQ(count("resnet34"), 21'282'122);
  EXPECT_EQ(count("resnet18", pictures(224, 1000)), 11'689'512);
  EXPECT_EQ(count("mobilenetv2"), 2'236'682);
  EXPECT_EQ(count("mobilenetv2", pictures(224, 1000)), 3'504'872);
  EXPECT_EQ(count("sbcnn"), 241'434);
  // Redmon's file tiny-yolo-voc.weights: 63 471 556 bytes, of which a header of 16, and 3 056 running means and
  // variances.
  EXPECT_EQ(count("tiny-yolo"), (63'471'556 - 16) / 4 - 2 * 3'056);
  NetworkOptions coco;
  coco.rows = coco.columns = 320;
  coco.classes = 80;
  EXPECT_NEAR(static_cast<double>(count("ssdlite", coco)), 4.3e6, 0.1e6) << "Sandler et al. 2018, table 6";
  // Four gates, each with weights of the input and of the state and two biases; a scale and a shift for each feature.
  EXPECT_EQ(count("lstm"), 4 * 128 * (40 + 128 + 2) + 4 * 128 * (128 + 128 + 2) + 128 * 8 + 8 + 2 * 40);
}

TEST(Networks, AlexNetOfLargePicturesIsTheOneOfImageNet) {
  NetworkOptions o = pictures(224, 10);
  o.width = 0.25;
  const Model model = network("alexnet", o, 1);
  EXPECT_THAT(output_shapes(model, 1), ElementsAre(ElementsAre(1, 10)));
  // At width 1, 61 100 840 with 1000 classes; here 16, 48, 96, 64, 64 channels and 1024 neurons.
  EXPECT_EQ(parameter_count(model), (16 * 3 * 121 + 16) + (48 * 16 * 25 + 48) + (96 * 48 * 9 + 96) +
                                        (64 * 96 * 9 + 64) + (64 * 64 * 9 + 64) + (64 * 36 * 1024 + 1024) +
                                        (1024 * 1024 + 1024) + 10250);
}

TEST(Networks, HaveThePublishedCosts) {
  EXPECT_NEAR(million_macs(network("resnet18", {}, 1)), 556, 2) << "He et al.'s form for CIFAR at 64 channels";
  EXPECT_NEAR(million_macs(network("mobilenetv2", pictures(224, 1000), 1)), 300, 10) << "Sandler et al. 2018, table 4";
  EXPECT_NEAR(million_macs(network("tiny-yolo", {}, 1)), 6.97e3 / 2, 60) << "6.97 billion operations at 416 x 416";
  NetworkOptions coco;
  coco.rows = coco.columns = 320;
  coco.classes = 80;
  EXPECT_NEAR(million_macs(network("ssdlite", coco, 1)), 800, 80) << "Sandler et al. 2018, table 6";
}

TEST(Networks, WidthRoundsToEightAndDepthKeepsOneOfEach) {
  EXPECT_EQ(parameter_count(network(
                "mobilenetv2",
                [] {
                  NetworkOptions o = pictures(224, 1000);
                  o.width = 0.5;
                  return o;
                }(),
                1)),
            1'968'680)
      << "the published MobileNetV2 0.5";
  const auto convolutions = [](std::string_view name, double depth) {
    const Model model = network(name, sized(0.1, depth), 1);
    return std::count_if(model.graph().node().begin(), model.graph().node().end(),
                         [](const auto& node) { return is_op(node, "Conv"); });
  };
  EXPECT_EQ(convolutions("vgg19", 1), 16);
  EXPECT_EQ(convolutions("vgg19", 0.5), 8);
  EXPECT_EQ(convolutions("vgg19", 0.01), 5);
  EXPECT_EQ(convolutions("resnet18", 1), 20);
  EXPECT_EQ(convolutions("resnet18", 0.5), 12) << "a block a stage, three with shortcuts";
  EXPECT_EQ(convolutions("resnet34", 1), 36);
  EXPECT_EQ(convolutions("tiny-yolo", 0.5), 8);
  EXPECT_EQ(convolutions("mobilenetv2", 0.5) < convolutions("mobilenetv2", 1), true);
}

TEST(Networks, ResNetsTakeTheChannelsOfTheirStages) {
  NetworkOptions o;
  o.widths = {64, 64, 48, 48};
  o.channels = 1;
  o.rows = o.columns = 28;
  const Model model = network("resnet18", o, 1);
  EXPECT_EQ(parameter_count(model), 480'490) << "examples/edge-box/models/README.md";
  EXPECT_EQ(model.graph().initializer(0).name(), "stem.weight");
  EXPECT_EQ(model.graph().output(0).name(), "logits");
}

TEST(Networks, SmallPicturesAreEnoughForVggAndAlexNet) {
  for (const auto* name : {"vgg11", "alexnet"}) {
    NetworkOptions o = pictures(28, 10);
    o.width = 0.25;
    o.channels = 1;
    EXPECT_THAT(output_shapes(network(name, o, 1), 2), ElementsAre(ElementsAre(2, 10))) << name;
  }
}

TEST(Networks, InitialWeightsKeepTheScaleOfTheSignal) {
  for (const auto* name : {"alexnet", "resnet18", "sbcnn"}) {
    const auto executable = load(network(name, sized(0.5), 1), 1);
    ASSERT_TRUE(executable->run());
    float most = 0;
    for (const float v : executable->output(0).as<float>()) most = std::max(most, std::fabs(v));
    EXPECT_GT(most, 1e-3) << name;
    EXPECT_LT(most, 1e3) << name;
  }
}

TEST(Networks, RefuseWhatTheyCannotBe) {
  EXPECT_THAT(network_refusal("vgg", {}), AllOf(HasSubstr("network 'vgg' is unknown, accepted: alexnet, vgg11, vgg13"),
                                                HasSubstr("resnet18"), HasSubstr("ssdlite, sbcnn, lstm")));
  EXPECT_THAT(network_refusal("vgg11", sized(0)), HasSubstr("width 0 of vgg11, accepted: above 0 to 8"));
  EXPECT_THAT(network_refusal("vgg11", sized(1, -1)), HasSubstr("depth -1 of vgg11, accepted: above 0 to 8"));
  EXPECT_THAT(network_refusal("resnet18", pictures(4, 10)), HasSubstr("4 rows, accepted: 8 to"));
  EXPECT_THAT(network_refusal("tiny-yolo", pictures(100, 3)),
              HasSubstr("input of 100 x 100, accepted: multiples of 32"));
  EXPECT_THAT(network_refusal("tiny-yolo", pictures(64, 20)), HasSubstr("20 places, too few"));
  EXPECT_THAT(network_refusal("sbcnn", pictures(32, 10)), HasSubstr("too small"));
  NetworkOptions o;
  o.widths = {8, 8};
  EXPECT_THAT(network_refusal("resnet18", o), HasSubstr("widths 8,8: resnet18 takes four"));
  o.widths = {8, 8, 8, 8};
  EXPECT_THAT(network_refusal("vgg11", o), HasSubstr("they are for the ResNets"));
  o.width = 0.5;
  EXPECT_THAT(network_refusal("resnet18", o), HasSubstr("width 0.5 and widths 8,8,8,8"));
}

}  // namespace
}  // namespace rtmdl
