#include "training/detection_loss.h"

#include <gmock/gmock.h>
#include <rtmdl/error.h>

#include <cmath>

namespace rtmdl::training {
namespace {

using testing::HasSubstr;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Pictures of 128 x 96 pixels, cells of 32, two anchors, three classes.
DetectorTarget yolo_target() {
  DetectorTarget t;
  t.loss = DetectorTarget::Loss::yolo;
  t.grids = {{32, 3, 4, {10, 20, 40, 30}}};
  t.rows = 96;
  t.columns = 128;
  t.classes = 3;
  return t;
}

/// Pictures of 64 x 64, 4 x 4 cells of two anchors and 1 cell of one.
DetectorTarget ssd_target() {
  DetectorTarget t;
  t.loss = DetectorTarget::Loss::ssd;
  t.grids = {{16, 4, 4, {16, 16, 24, 12}}, {64, 1, 1, {48, 48}}};
  t.rows = t.columns = 64;
  t.classes = 2;
  return t;
}

constexpr int kPlaces = 33;

/// Gradient descent on the outputs themselves.
template <typename Loss>
double descend(std::vector<at::Tensor> outputs, const Loss& loss, int steps, double rate) {
  double last = 0;
  for (int i = 0; i < steps; ++i) {
    const at::Tensor l = loss();
    last = l.template item<double>();
    l.backward();
    for (at::Tensor& o : outputs) {
      const at::NoGradGuard no_grad;
      o.sub_(o.grad(), rate);
      o.mutable_grad().zero_();
    }
  }
  return last;
}

TEST(YoloLoss, DescendsToTheBoxesThemselves) {
  const DetectorTarget target = yolo_target();
  const std::vector<std::vector<LabelledBox>> truth = {{{40, 40, 84, 68, 2}, {4, 70, 12, 90, 0}}, {}};
  at::Tensor grid = at::zeros({2, 2 * 8, 3, 4}).requires_grad_(true);
  descend(
      {grid}, [&] { return yolo_loss(grid, target, truth); }, 4000, 0.3);
  const at::Tensor raw = grid.detach().view({2, 2, 8, 3, 4});
  const auto at = raw.accessor<float, 5>();
  // The first box: centre (62, 54), cell column 1, row 1; 44 x 28 is most like the second anchor.
  EXPECT_NEAR((1 + sigmoid(at[0][1][0][1][1])) * 32, 62, 0.5);
  EXPECT_NEAR((1 + sigmoid(at[0][1][1][1][1])) * 32, 54, 0.5);
  EXPECT_NEAR(40 * std::exp(at[0][1][2][1][1]), 44, 0.5);
  EXPECT_NEAR(30 * std::exp(at[0][1][3][1][1]), 28, 0.5);
  EXPECT_GT(sigmoid(at[0][1][4][1][1]), 0.9);
  EXPECT_GT(at[0][1][7][1][1], at[0][1][5][1][1] + 3);
  // The second: centre (8, 80), cell column 0, row 2, the first anchor.
  EXPECT_NEAR(sigmoid(at[0][0][0][2][0]) * 32, 8, 0.5);
  EXPECT_NEAR(10 * std::exp(at[0][0][2][2][0]), 8, 0.3);
  EXPECT_GT(sigmoid(at[0][0][4][2][0]), 0.9);
  EXPECT_GT(at[0][0][5][2][0], at[0][0][6][2][0] + 3);
  for (int x = 0; x < 4; ++x) EXPECT_LT(sigmoid(at[1][0][4][1][x]), 0.02) << "nothing is in the second picture";
}

TEST(YoloLoss, WhoOverlapsABoxWellIsNotToldThatNothingIsThere) {
  const DetectorTarget target = yolo_target();
  // Both anchors of a cell at the place of one box: the other one is let alone.
  const std::vector<std::vector<LabelledBox>> truth = {{{28, 33, 68, 63, 1}}};
  at::Tensor grid = at::zeros({1, 16, 3, 4});
  auto at = grid.accessor<float, 4>();
  at[0][2][1][1] = std::log(4.0F);  // the small anchor has grown to 40 x 30
  at[0][3][1][1] = std::log(1.5F);
  grid.requires_grad_(true);
  yolo_loss(grid, target, truth).backward();
  EXPECT_EQ(grid.grad()[0][4][1][1].item<float>(), 0) << "overlap of 1";
  EXPECT_GT(grid.grad()[0][4][0][0].item<float>(), 0) << "elsewhere there is nothing";
  EXPECT_NE(grid.grad()[0][12][1][1].item<float>(), 0) << "who answers for the box";
}

TEST(YoloLoss, BoxesToBeIgnoredAreNeitherLearntNorNothing) {
  const DetectorTarget target = yolo_target();
  LabelledBox crowd{28, 33, 68, 63, 1};
  crowd.ignore = true;
  at::Tensor grid = at::zeros({1, 16, 3, 4}).requires_grad_(true);
  yolo_loss(grid, target, std::vector<std::vector<LabelledBox>>{{crowd}}).backward();
  EXPECT_EQ(grid.grad()[0][12][1][1].item<float>(), 0);
  EXPECT_GT(grid.grad()[0][12][0][0].item<float>(), 0);
}

TEST(SsdLoss, DescendsToTheBoxesThemselves) {
  const DetectorTarget target = ssd_target();
  const std::vector<std::vector<LabelledBox>> truth = {{{17, 2, 29, 16, 1}}, {{6, 4, 60, 52, 0}}};
  at::Tensor boxes = at::zeros({2, kPlaces, 4}).requires_grad_(true);
  at::Tensor scores = at::zeros({2, kPlaces, 3}).requires_grad_(true);
  descend(
      {boxes, scores}, [&] { return ssd_loss(boxes, scores, target, truth); }, 3000, 1);
  // The first box fits the square anchor of cell (row 0, column 1): centre (24, 8), place 2.
  const auto b = boxes.accessor<float, 3>();
  EXPECT_NEAR(24 + 0.1 * b[0][2][0] * 16, 23, 0.2);
  EXPECT_NEAR(8 + 0.1 * b[0][2][1] * 16, 9, 0.2);
  EXPECT_NEAR(16 * std::exp(0.2 * b[0][2][2]), 12, 0.2);
  EXPECT_NEAR(16 * std::exp(0.2 * b[0][2][3]), 14, 0.2);
  EXPECT_NEAR(48 * std::exp(0.2 * b[1][32][2]), 54, 0.2);
  const at::Tensor best = scores.argmax(2);
  EXPECT_EQ(best[0][2].item<int>(), 1);
  EXPECT_EQ(best[1][32].item<int>(), 0);
  EXPECT_EQ(best[0][32].item<int>(), 2) << "background";
  EXPECT_EQ(best[1][2].item<int>(), 2);
}

TEST(SsdLoss, CountsTheThreeWorstOthersForEveryMatch) {
  const DetectorTarget target = ssd_target();
  // Only one anchor fits, and not by half: it is the best there is.
  const std::vector<std::vector<LabelledBox>> truth = {{{20, 4, 28, 12, 0}}};
  at::Tensor boxes = at::zeros({1, kPlaces, 4}).requires_grad_(true);
  at::Tensor scores = at::zeros({1, kPlaces, 3});
  for (const int bad : {5, 11, 20}) scores[0][bad][1] = 2.0F;
  scores.requires_grad_(true);
  ssd_loss(boxes, scores, target, truth).backward();
  std::vector<int> counted;
  for (int place = 0; place < kPlaces; ++place)
    if (scores.grad()[0][place].abs().sum().item<double>() > 0) counted.push_back(place);
  EXPECT_THAT(counted, testing::ElementsAre(2, 5, 11, 20));
  EXPECT_EQ((boxes.grad().abs().sum(2) > 0).sum().item<int>(), 1);
}

TEST(SsdLoss, APictureWithNothingInItTeachesBackground) {
  const DetectorTarget target = ssd_target();
  at::Tensor boxes = at::zeros({1, kPlaces, 4}).requires_grad_(true);
  at::Tensor scores = at::zeros({1, kPlaces, 3}).requires_grad_(true);
  const at::Tensor loss = ssd_loss(boxes, scores, target, std::vector<std::vector<LabelledBox>>(1));
  EXPECT_NEAR(loss.item<double>(), std::log(3), 1e-5);
  loss.backward();
  EXPECT_EQ((scores.grad().abs().sum(2) > 0).sum().item<int>(), 1);
}

TEST(DetectionLoss, NamesShapesThatDoNotFit) {
  const at::Tensor wrong = at::zeros({1, 15, 3, 4});
  try {
    (void)detection_loss(std::vector{wrong}, yolo_target(), std::vector<std::vector<LabelledBox>>(1));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("is [1, 15, 3, 4], its anchors and classes ask for [1, 16, 3, 4]"));
  }
}

}  // namespace
}  // namespace rtmdl::training
