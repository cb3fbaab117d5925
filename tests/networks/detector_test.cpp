#include "networks/detector.h"

#include "data/postprocess.h"
#include "engine/engine.h"
#include "model/edit.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>

namespace rtmdl {
namespace {

Geometry input_of(int columns, int rows) {
  Geometry g;
  g.input_width = g.frame_width = columns;
  g.input_height = g.frame_height = rows;
  return g;
}

Result decoded(const std::string& settings, std::vector<TensorSpec> specs, std::vector<Tensor> tensors,
               const Geometry& geometry) {
  const auto post = make_postprocess(ConfigNode::parse(settings), specs);
  std::vector<TensorView> views;
  for (Tensor& t : tensors) views.push_back(t.view());
  Result result;
  EXPECT_TRUE(post->run(views, geometry, result));
  return result;
}

TEST(Detector, SsdGridsAreThePlacesThatPostProcessingExpects) {
  const NetworkInfo& info = network_info("ssdlite");
  NetworkOptions o;
  o.rows = 240;
  o.columns = 300;
  o.classes = 3;
  std::size_t places = 0;
  for (const AnchorGrid& grid : ssd_grids(o.rows, o.columns)) places += static_cast<std::size_t>(grid.count());
  const auto n = static_cast<std::int64_t>(places);
  Tensor boxes(ElementType::f32, {1, n, 4});
  Tensor scores(ElementType::f32, {1, n, 4});
  for (std::size_t i = 0; i < places; ++i) scores.as<float>()[4 * i + 3] = 9;  // background
  // The second square in row 4, column 6 of the second grid (8 rows, 10 columns of stride 32).
  const auto at = static_cast<std::size_t>(ssd_grids(o.rows, o.columns)[0].count() + (4 * 10 + 6) * 6 + 5);
  scores.as<float>()[4 * at + 2] = 20;
  const Result result = decoded(post_settings(info, o),
                                {{"boxes", ElementType::f32, boxes.shape}, {"scores", ElementType::f32, scores.shape}},
                                {boxes, scores}, input_of(300, 240));
  ASSERT_EQ(result.boxes.size(), 1U);
  const auto& box = result.boxes[0];
  EXPECT_EQ(box.label, 2);
  EXPECT_NEAR((box.x0 + box.x1) / 2, 300 * 6.5 / 10, 0.5);
  EXPECT_NEAR((box.y0 + box.y1) / 2, 240 * 4.5 / 8, 0.5);
  EXPECT_NEAR(box.x1 - box.x0, 240 * std::sqrt(0.35 * 0.5), 0.2);
}

TEST(Detector, SsdLiteGivesAsManyRowsAsItHasAnchors) {
  for (const auto& [rows, columns] : {std::pair{300, 300}, {320, 320}, {96, 160}}) {
    NetworkOptions o;
    o.rows = rows;
    o.columns = columns;
    o.width = 0.25;
    o.classes = 2;
    const Model model = network("ssdlite", o, 1);
    const auto path = std::filesystem::temp_directory_path() / ("rtmdl_ssd_" + std::to_string(::getpid()));
    save_model(model, path);
    LoadRequest request;
    request.model = path;
    request.shapes["image"] = {1, 3, rows, columns};
    const auto executable = make_onnxruntime_engine()->load(request);
    std::filesystem::remove(path);
    ASSERT_TRUE(executable->run()) << executable->last_error();
    std::int64_t places = 0;
    for (const AnchorGrid& grid : ssd_grids(rows, columns)) places += grid.count();
    EXPECT_EQ(executable->output(0).shape[1], places) << rows << " x " << columns;
  }
}

/// The decoding nodes against the formulas, through the post-processing that tasks use.
TEST(Detector, TinyYoloDecodesItsGrid) {
  NetworkOptions o;
  o.rows = 96;
  o.columns = 128;
  o.classes = 3;
  o.width = 0.25;
  o.anchors = {10, 20, 40, 30};
  Model model = network("tiny-yolo", o, 1);
  // The last convolution as a constant map: weights 0, one bias for each value of an anchor.
  for (auto& tensor : *model.graph().mutable_initializer()) {
    if (tensor.name() == "grid.weight") tensor.mutable_raw_data()->assign(tensor.raw_data().size(), '\0');
    if (tensor.name() != "grid.bias") continue;
    std::vector<float> bias(16, 0);
    bias[4] = -8;                // the first anchor sees nothing
    bias[8] = 1.5F;              // x of the second
    bias[9] = -1;                // y
    bias[10] = std::log(0.25F);  // w
    bias[11] = std::log(0.5F);   // h
    bias[12] = 4;                // objectness
    bias[14] = 6;                // class 1
    *tensor.mutable_raw_data() = std::string(reinterpret_cast<const char*>(bias.data()), 64);
  }
  const auto path = std::filesystem::temp_directory_path() / ("rtmdl_yolo_" + std::to_string(::getpid()));
  save_model(model, path);
  LoadRequest request;
  request.model = path;
  request.shapes["image"] = {1, 3, 96, 128};
  const auto executable = make_onnxruntime_engine()->load(request);
  std::filesystem::remove(path);
  ASSERT_TRUE(executable->run()) << executable->last_error();
  const TensorView view = executable->output(0);
  Tensor output(ElementType::f32, {view.shape.begin(), view.shape.end()});
  std::copy(view.bytes.begin(), view.bytes.end(), output.bytes.begin());
  std::string settings = post_settings(network_info("tiny-yolo"), o);
  settings.insert(settings.size() - 1, ", nms: none");
  const Result result =
      decoded(settings, {{"detections", ElementType::f32, output.shape}}, {output}, input_of(128, 96));
  ASSERT_EQ(result.boxes.size(), 12U) << "one in each of 3 x 4 cells";
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  std::size_t seen = 0;
  for (const auto& box : result.boxes) {
    EXPECT_EQ(box.label, 1);
    EXPECT_NEAR(box.score, sigmoid(4) / (1 + 2 * std::exp(-6)), 1e-4);
    const double x = (box.x0 + box.x1) / 2;
    const double y = (box.y0 + box.y1) / 2;
    EXPECT_NEAR(std::fmod(x, 32), 32 * sigmoid(1.5), 1e-2);
    EXPECT_NEAR(std::fmod(y, 32), 32 * sigmoid(-1), 1e-2);
    EXPECT_NEAR(box.x1 - box.x0, 40 * 0.25, 1e-2);
    EXPECT_NEAR(box.y1 - box.y0, 30 * 0.5, 1e-2);
    seen |= std::size_t{1} << (static_cast<int>(y / 32) * 4 + static_cast<int>(x / 32));
  }
  EXPECT_EQ(seen, 0xfffU) << "every cell once";
}

}  // namespace
}  // namespace rtmdl
