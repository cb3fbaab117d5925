#include "fixtures.h"

#include "data/metric.h"
#include "data/random.h"

#include <limits>

#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using testing::HasSubstr;

Result classes(int k, std::vector<std::int32_t> values) {
  Result r;
  r.k = k;
  r.classes = std::move(values);
  return r;
}

Frame labelled(std::vector<std::int32_t> labels) {
  Frame frame;
  frame.batch = static_cast<int>(labels.size());
  frame.labels = std::move(labels);
  return frame;
}

TEST(TopK, CountsElementsAgainstLabels) {
  const auto top1 = make_metric("top1", "classes", 0), top5 = make_metric("top5", "classes", 0);
  const Result candidate = classes(2, {3, 1, 4, 2, 5, 0}), reference = classes(1, {9, 9, 9});
  const Frame frame = labelled({3, 2, 7});
  top1->add(candidate, reference, frame);
  top5->add(candidate, reference, frame);
  EXPECT_DOUBLE_EQ(top1->value(), 1.0 / 3);
  EXPECT_DOUBLE_EQ(top5->value(), 2.0 / 3);
  EXPECT_EQ(top1->count(), 1u);
}

TEST(TopK, FallsBackToTheReferenceWithoutLabels) {
  const auto metric = make_metric("top1", "classes", 0);
  metric->add(classes(1, {3}), classes(5, {3, 1, 2, 4, 0}), Frame{});
  metric->add(classes(1, {1}), classes(5, {3, 1, 2, 4, 0}), Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 0.5);
}

TEST(Agreement, OfClassifiersIgnoresLabels) {
  const auto metric = make_metric("agreement", "classes", 0);
  metric->add(classes(2, {3, 1, 4, 2}), classes(2, {3, 9, 2, 4}), labelled({0, 0}));
  EXPECT_DOUBLE_EQ(metric->value(), 0.5);
}

TEST(Metric, IsOneWhenNothingWasAddedAndAfterReset) {
  for (const char* kind : {"classes", "detections", "score_map", "segmentation", "lines", "scalar", "tensor", "ctc"}) {
    const auto metric = make_metric("agreement", kind, 0.1);
    EXPECT_DOUBLE_EQ(metric->value(), 1) << kind;
    EXPECT_EQ(metric->count(), 0u);
    metric->add(Result{}, Result{}, Frame{});
    EXPECT_DOUBLE_EQ(metric->value(), 1) << kind;  // both empty: full agreement
    EXPECT_EQ(metric->count(), 1u);
    metric->reset();
    EXPECT_EQ(metric->count(), 0u);
  }
}

TEST(Agreement, OfDetectionsIsMicroF1) {
  const auto metric = make_metric("agreement", "detections", 0);
  Result two, one, none;
  two.boxes = {{0, 0, 10, 10, 0.9f, 0}, {50, 50, 60, 60, 0.8f, 0}};
  one.boxes = {{1, 0, 11, 10, 0.9f, 0}};
  metric->add(one, two, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 2.0 / 3);
  for (int i = 0; i < 100; ++i) metric->add(none, none, Frame{});  // does not outweigh what was to be found
  EXPECT_DOUBLE_EQ(metric->value(), 2.0 / 3);
}

TEST(Agreement, NothingAgainstSomethingIsNone) {
  Result something;
  something.boxes = {{0, 0, 10, 10, 0.9f, 0}};
  something.lines = {{0, 0, 10, 10, 0.9f}};
  something.mask = {1};
  something.mask_width = something.mask_height = 1;
  something.scores = {1};
  something.text = "a";
  Result nothing;
  nothing.mask = {0};
  nothing.mask_width = nothing.mask_height = 1;
  for (const char* kind : {"detections", "score_map", "segmentation", "lines", "scalar", "tensor", "ctc"})
    for (const bool turned : {false, true}) {
      const auto metric = make_metric("agreement", kind, 0.1);
      metric->add(turned ? something : nothing, turned ? nothing : something, Frame{});
      EXPECT_DOUBLE_EQ(metric->value(), 0) << kind;
    }
}

TEST(Agreement, NanIsNeverAgreement) {
  Result nan;
  nan.scores = {std::numeric_limits<float>::quiet_NaN()};
  const auto metric = make_metric("agreement", "tensor", 1e9);
  metric->add(nan, nan, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 0);
}

TEST(Agreement, OfDetectionsTakesEachReferenceOnceAndMindsTheClass) {
  const auto metric = make_metric("agreement", "detections", 0);
  Result candidate, reference;
  candidate.boxes = {{0, 0, 10, 10, 0.9f, 0}, {0, 0, 10, 10, 0.8f, 0}, {20, 0, 30, 10, 0.7f, 1}};
  reference.boxes = {{0, 0, 10, 10, 0.9f, 0}, {20, 0, 30, 10, 0.9f, 0}};
  metric->add(candidate, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 2.0 / 5);
}

TEST(Agreement, OfSegmentationIsTheMeanIouOfItsClassesAlsoAcrossResolutions) {
  Result reference, other, half;
  reference.mask_width = reference.mask_height = 4;
  reference.mask.assign(16, 0);
  for (const std::size_t i : {0, 1, 4, 5}) reference.mask[i] = 9;
  other = reference;
  other.mask[0] = other.mask[1] = 7;
  half.mask_width = half.mask_height = 2;
  half.mask = {9, 0, 0, 0};
  const auto metric = make_metric("agreement", "segmentation", 0);
  metric->add(half, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 1);
  metric->add(other, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), (24.0 / 24 + 6.0 / 8 + 0.0 / 2) / 3);
  metric->reset();
  metric->add(Result{}, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), (12.0 / 16 + 0.0 / 4) / 2);
  EXPECT_EQ(metric->count(), 1u);
}

TEST(Agreement, OfMasksIsPixelF1AlsoAcrossResolutions) {
  Result reference, half, quarter;
  reference.mask_width = reference.mask_height = 4;
  reference.mask.assign(16, 0);
  for (const std::size_t i : {0, 1, 4, 5}) reference.mask[i] = 1;
  half = reference;
  half.mask[0] = half.mask[1] = 0;
  quarter.mask_width = quarter.mask_height = 2;
  quarter.mask = {1, 0, 0, 0};
  const auto metric = make_metric("agreement", "score_map", 0);
  metric->add(half, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 2.0 * 2 / (2 + 4));
  metric->reset();
  metric->add(quarter, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 1);
}

TEST(Agreement, OfLinesForgivesFivePercentOfTheDiagonalAndTheDirection) {
  Frame frame;
  frame.image = cv::Mat(300, 400, CV_8UC1);  // diagonal 500, 5 % is 25
  Result reference, near, far;
  reference.lines = {{0, 0, 100, 0, 1}};
  near.lines = {{100, 20, 10, 0, 1}};
  far.lines = {{0, 0, 100, 30, 1}};
  const auto metric = make_metric("agreement", "lines", 0);
  metric->add(near, reference, frame);
  EXPECT_DOUBLE_EQ(metric->value(), 1);
  metric->add(far, reference, frame);
  EXPECT_DOUBLE_EQ(metric->value(), 0.5);
}

TEST(Agreement, OfScalarsIsTheShareWithinTolerance) {
  Result candidate, reference;
  candidate.scores = {0.5f, 0.5f, 0.5f};
  reference.scores = {0.55f, 0.7f, 0.5f, 0.5f};
  const auto metric = make_metric("agreement", "scalar", 0.1);
  metric->add(candidate, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 0.5);  // a value that is missing is not within
}

TEST(Agreement, OfTextIsOneMinusEditDistanceInCharacters) {
  Result candidate, reference;
  candidate.text = "kitten";
  reference.text = "sitting";
  const auto metric = make_metric("agreement", "ctc", 0);
  metric->add(candidate, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 1 - 3.0 / 7);
  metric->reset();
  candidate.text = "ä";
  reference.text = "ö";
  metric->add(candidate, reference, Frame{});
  EXPECT_DOUBLE_EQ(metric->value(), 0);
}

TEST(Agreement, WithOneselfIsOne) {
  Random random(1);
  Frame frame;
  frame.image = cv::Mat(100, 100, CV_8UC1);
  Result r = classes(1, {1, 2});
  for (int i = 0; i < 20; ++i) {
    const auto x = static_cast<float>(random.below(80));
    r.boxes.push_back({x, x, x + 10, x + 10, 1, 0});
    r.lines.push_back({x, 0, 0, x, 1});
    r.scores.push_back(x);
  }
  r.mask = {1, 0, 0, 1};
  r.mask_width = r.mask_height = 2;
  r.text = "text";
  for (const char* kind : {"classes", "detections", "score_map", "segmentation", "lines", "scalar", "tensor", "ctc"}) {
    const auto metric = make_metric("agreement", kind, 0);
    metric->add(r, r, frame);
    EXPECT_DOUBLE_EQ(metric->value(), 1) << kind;
  }
}

TEST(Metric, RefusesWhatDoesNotExistOrFit) {
  EXPECT_THAT(test::complaint([] { (void)make_metric("top2", "classes", 0); }),
              HasSubstr("'top2' is not accepted; accepted are agreement, top1, top5, map50"));
  EXPECT_THAT(test::complaint([] { (void)make_metric("top1", "lines", 0); }), HasSubstr("not for 'lines'"));
  EXPECT_THAT(test::complaint([] { (void)make_metric("agreement", "pictures", 0); }), HasSubstr("'pictures'"));
}

}  // namespace
}  // namespace rtmdl
