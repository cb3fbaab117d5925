#include "fixtures.h"

#include "allocation_count.h"
#include "data/non_maximum_suppression.h"
#include "data/postprocess.h"
#include "data/random.h"

#include <cmath>
#include <limits>
#include <utility>

#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Outputs of a model that is not there.
struct Outputs {
  std::vector<TensorSpec> specs;
  std::vector<Tensor> tensors;

  std::span<float> add(const std::string& name, std::vector<std::int64_t> shape) {
    specs.push_back({name, ElementType::f32, shape});
    tensors.emplace_back(ElementType::f32, std::move(shape));
    return tensors.back().as<float>();
  }
  std::vector<TensorView> views() {
    std::vector<TensorView> result;
    for (Tensor& t : tensors) result.push_back(t.view());
    return result;
  }
};

/// The frame is twice the input in x, four times in y.
constexpr Geometry stretched(int input) { return {0.5f, 0.25f, 0, 0, 2 * input, 4 * input, input, input}; }

Result run(const std::string& post, Outputs& outputs, const Geometry& geometry, bool* sound = nullptr) {
  const auto step = make_postprocess(test::config(post), outputs.specs);
  Result result;
  step->prepare(result);
  const bool ok = step->run(outputs.views(), geometry, result);
  if (sound) *sound = ok;
  else EXPECT_TRUE(ok);
  return result;
}

std::string complaint(const std::string& post, const Outputs& outputs) {
  return test::complaint([&] { (void)make_postprocess(test::config(post), outputs.specs); });
}

TEST(Classes, GivesTheBestOfEachElement) {
  Outputs outputs;
  const auto logits = outputs.add("y", {2, 4});
  for (const auto& [i, v] : {std::pair{1, 3.0f}, {3, 1.0f}, {4, 2.0f}, {7, 5.0f}})
    logits[static_cast<std::size_t>(i)] = v;
  const Result r = run("{kind: classes, k: 2}", outputs, {});
  EXPECT_EQ(r.k, 2);
  EXPECT_EQ(r.classes, (std::vector<std::int32_t>{1, 3, 3, 0}));
  const float sum = std::exp(0.0f) * 2 + std::exp(3.0f) + std::exp(1.0f);
  EXPECT_NEAR(r.scores[0], std::exp(3.0f) / sum, 1e-6);
  EXPECT_NEAR(r.scores[1], std::exp(1.0f) / sum, 1e-6);
}

TEST(Classes, EqualsASortForRandomLogits) {
  Random random(1);
  for (int round = 0; round < 50; ++round) {
    Outputs outputs;
    const auto logits = outputs.add("y", {1, 30});
    for (float& v : logits) v = static_cast<float>(random.below(10));
    std::vector<std::int32_t> order(30);
    for (std::size_t i = 0; i < 30; ++i) order[i] = static_cast<std::int32_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    order.resize(7);
    EXPECT_EQ(run("{kind: classes, k: 7, softmax: false}", outputs, {}).classes, order);
  }
}

TEST(Classes, HasNoMoreThanThereAre) {
  Outputs outputs;
  outputs.add("y", {1, 3, 1, 1});
  EXPECT_EQ(run("{kind: classes, k: 5}", outputs, {}).k, 3);
}

TEST(Suppression, KeepsTheBestOfEachHeap) {
  std::vector<Box> boxes{
      {0, 0, 10, 10, 0.6f, 0}, {1, 0, 11, 10, 0.9f, 0}, {50, 50, 60, 60, 0.7f, 0}, {1, 0, 11, 10, 0.8f, 1}};
  suppress(boxes, Suppression::greedy, 0.3f, 64);
  ASSERT_EQ(boxes.size(), 3u);
  EXPECT_FLOAT_EQ(boxes[0].score, 0.9f);
  EXPECT_EQ(boxes[1].label, 1);  // another class is not silenced
  EXPECT_FLOAT_EQ(boxes[2].x0, 50);
}

TEST(Suppression, WeightedTakesTheMean) {
  std::vector<Box> boxes{{0, 0, 10, 10, 0.5f, 0}, {2, 0, 12, 10, 0.5f, 0}};
  suppress(boxes, Suppression::weighted, 0.3f, 64);
  ASSERT_EQ(boxes.size(), 1u);
  EXPECT_FLOAT_EQ(boxes[0].x0, 1);
  EXPECT_FLOAT_EQ(boxes[0].x1, 11);
}

TEST(Suppression, LeavesNoOverlapLosesNothingElseAndForgetsTheOrderOfInput) {
  Random random(4);
  for (int round = 0; round < 100; ++round) {
    std::vector<Box> boxes;
    for (int i = 0; i < 40; ++i) {
      const auto x = static_cast<float>(random.below(60)), y = static_cast<float>(random.below(60));
      boxes.push_back({x, y, x + 5 + static_cast<float>(random.below(20)), y + 5 + static_cast<float>(random.below(20)),
                       static_cast<float>(1 + random.below(20)) / 20, static_cast<std::int32_t>(random.below(2))});
    }
    std::vector<Box> kept = boxes, shuffled(boxes.rbegin(), boxes.rend());
    suppress(kept, Suppression::greedy, 0.4f, 1000);
    suppress(shuffled, Suppression::greedy, 0.4f, 1000);
    ASSERT_EQ(kept.size(), shuffled.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
      EXPECT_EQ(kept[i].x0, shuffled[i].x0);
      for (std::size_t j = 0; j < i; ++j)
        if (kept[i].label == kept[j].label) {
          EXPECT_LE(intersection_over_union(kept[i], kept[j]), 0.4f);
        }
    }
    for (const Box& b : boxes) {  // each is kept, or overlaps a kept one that is at least as good
      const bool explained = std::any_of(kept.begin(), kept.end(), [&](const Box& k) {
        return k.label == b.label && k.score >= b.score &&
               (intersection_over_union(k, b) > 0.4f || (k.x0 == b.x0 && k.y0 == b.y0 && k.x1 == b.x1 && k.y1 == b.y1));
      });
      EXPECT_TRUE(explained);
    }
  }
}

/// BlazeFace's front model: 16 × 16 × 2 and 8 × 8 × 6 anchors.
Outputs blazeface(float quiet = -10) {
  Outputs outputs;
  for (float& v : outputs.add("Identity:0", {1, 512, 1})) v = quiet;
  for (float& v : outputs.add("Identity_1:0", {1, 384, 1})) v = quiet;
  outputs.add("Identity_2:0", {1, 512, 16});
  outputs.add("Identity_3:0", {1, 384, 16});
  return outputs;
}

TEST(Detections, DecodesBlazeFace) {
  Outputs outputs = blazeface();
  const std::size_t cell = (5 * 16 + 3) * 2 + 1;  // row 5, column 3: centre (28, 44)
  outputs.tensors[0].as<float>()[cell] = 2;
  const auto box = outputs.tensors[2].as<float>().subspan(cell * 16, 4);
  box[0] = 2, box[1] = -4, box[2] = 20, box[3] = 10;  // centre (30, 40)
  const Result r = run("{kind: detections}", outputs, stretched(128));
  ASSERT_EQ(r.boxes.size(), 1u);
  EXPECT_FLOAT_EQ(r.boxes[0].x0, 40);
  EXPECT_FLOAT_EQ(r.boxes[0].x1, 80);
  EXPECT_FLOAT_EQ(r.boxes[0].y0, 140);
  EXPECT_FLOAT_EQ(r.boxes[0].y1, 180);
  EXPECT_NEAR(r.boxes[0].score, 1 / (1 + std::exp(-2.0)), 1e-6);
}

TEST(Detections, ContinuesTheAnchorsInTheSecondOutput) {
  Outputs outputs = blazeface();
  outputs.tensors[1].as<float>()[(7 * 8 + 7) * 6 + 5] = 200;  // clipped, not infinite
  outputs.tensors[3].as<float>()[((7 * 8 + 7) * 6 + 5) * 16 + 2] = 8;
  outputs.tensors[3].as<float>()[((7 * 8 + 7) * 6 + 5) * 16 + 3] = 8;
  const Result r = run("{kind: detections}", outputs, stretched(128));
  ASSERT_EQ(r.boxes.size(), 1u);
  EXPECT_FLOAT_EQ(r.boxes[0].x0, 2 * (120 - 4));
  EXPECT_FLOAT_EQ(r.boxes[0].score, 1);
}

TEST(Detections, RefusesOutputsThatDoNotFitTheAnchors) {
  Outputs outputs = blazeface();
  bool sound = true;
  (void)run("{kind: detections, anchors: {strides: [8], per_cell: [2]}}", outputs, stretched(128), &sound);
  EXPECT_FALSE(sound);
}

TEST(Detections, DecodesSsd) {
  Outputs outputs;
  const auto boxes = outputs.add("boxes", {1, 4, 4});
  const auto scores = outputs.add("scores", {1, 4, 3});
  for (std::size_t i = 0; i < 4; ++i) scores[3 * i] = 5;  // background
  scores[3 * 3 + 2] = 8;
  boxes[12] = 1, boxes[15] = 5 * std::log(2.0f);
  const Result r = run("{kind: detections, decoder: ssd, background: 0, anchors: {strides: [16], sizes: [[10, 10]]}}",
                       outputs, stretched(32));
  ASSERT_EQ(r.boxes.size(), 1u);
  EXPECT_EQ(r.boxes[0].label, 2);
  EXPECT_NEAR(r.boxes[0].x0, 2 * (24 + 1 - 5), 1e-4);
  EXPECT_NEAR(r.boxes[0].y0, 4 * (24 - 10), 1e-3);
}

TEST(Detections, ReadsDecodedBoxes) {
  Outputs outputs;
  const auto scores = outputs.add("confidences", {1, 2, 2});
  const auto boxes = outputs.add("boxes", {1, 2, 4});
  scores[3] = 0.9f;
  boxes[4] = 0.25f, boxes[5] = 0.25f, boxes[6] = 0.5f, boxes[7] = 0.5f;
  const Result r = run("{kind: detections, decoder: boxes, format: corners_fraction}", outputs, stretched(100));
  ASSERT_EQ(r.boxes.size(), 1u);
  EXPECT_EQ(r.boxes[0].label, 1);
  EXPECT_FLOAT_EQ(r.boxes[0].x0, 50);
  EXPECT_FLOAT_EQ(r.boxes[0].y1, 200);
}

TEST(Detections, DecodesYoloInBothLayouts) {
  Outputs v8;
  const auto a = v8.add("y", {1, 6, 10});
  a[0 * 10 + 7] = 50, a[1 * 10 + 7] = 40, a[2 * 10 + 7] = 20, a[3 * 10 + 7] = 10, a[5 * 10 + 7] = 0.8f;
  Outputs v5;
  const auto b = v5.add("y", {1, 10, 7});
  b[7 * 7 + 0] = 50, b[7 * 7 + 1] = 40, b[7 * 7 + 2] = 20, b[7 * 7 + 3] = 10, b[7 * 7 + 4] = 1, b[7 * 7 + 6] = 0.8f;
  for (Outputs* outputs : {&v8, &v5}) {
    const Result r = run("{kind: detections, decoder: yolo}", *outputs, stretched(100));
    ASSERT_EQ(r.boxes.size(), 1u);
    EXPECT_EQ(r.boxes[0].label, 1);
    EXPECT_FLOAT_EQ(r.boxes[0].x0, 80);
    EXPECT_FLOAT_EQ(r.boxes[0].y1, 180);
    EXPECT_FLOAT_EQ(r.boxes[0].score, 0.8f);
  }
}

TEST(Detections, YoloIsToldWhatItsLayoutDoesNotSay) {
  Outputs transposed, with_masks;
  const auto a = transposed.add("y", {1, 10, 6});  // [N, 4 + classes]
  a[7 * 6 + 0] = 50, a[7 * 6 + 1] = 40, a[7 * 6 + 2] = 20, a[7 * 6 + 3] = 10, a[7 * 6 + 5] = 0.8f;
  const auto b = with_masks.add("y", {1, 8, 10});  // two classes, then two coefficients of a mask
  b[0 * 10 + 7] = 50, b[1 * 10 + 7] = 40, b[2 * 10 + 7] = 20, b[3 * 10 + 7] = 10, b[5 * 10 + 7] = 0.8f;
  for (std::size_t i = 60; i < 80; ++i) b[i] = 7;
  for (const Result& r : {run("{kind: detections, decoder: yolo, objectness: false}", transposed, stretched(100)),
                          run("{kind: detections, decoder: yolo, classes: 2}", with_masks, stretched(100))}) {
    ASSERT_EQ(r.boxes.size(), 1u);
    EXPECT_EQ(r.boxes[0].label, 1);
    EXPECT_FLOAT_EQ(r.boxes[0].score, 0.8f);
    EXPECT_FLOAT_EQ(r.boxes[0].y1, 180);
  }
  bool sound = true;
  (void)run("{kind: detections, decoder: yolo, classes: 5}", with_masks, stretched(100), &sound);
  EXPECT_FALSE(sound);
  EXPECT_THAT(complaint("{kind: detections, decoder: boxes, objectness: true}", with_masks),
              HasSubstr("objectness: is for the decoder yolo only"));
}

void add_labels(Outputs& outputs, std::vector<std::int64_t> labels) {
  const std::vector<std::int64_t> shape{1, static_cast<std::int64_t>(labels.size())};
  outputs.specs.push_back({"labels", ElementType::i64, shape});
  outputs.tensors.emplace_back(ElementType::i64, shape);
  std::copy(labels.begin(), labels.end(), outputs.tensors.back().as<std::int64_t>().begin());
}

TEST(Detections, ReadsBoxesScoresAndLabelsOfModelsThatSuppressThemselves) {
  Outputs outputs;  // as TensorFlow's and torchvision's detectors give them
  const auto boxes = outputs.add("boxes", {1, 3, 4});
  for (std::size_t i = 0; i < 3; ++i)
    boxes[4 * i] = 0.25f, boxes[4 * i + 1] = 0.5f, boxes[4 * i + 2] = boxes[4 * i + 3] = 1;
  add_labels(outputs, {17, -1, 3});
  const auto scores = outputs.add("scores", {1, 3});
  scores[0] = 0.9f, scores[1] = 0.8f, scores[2] = 0.4f;
  const Result r = run("{kind: detections, decoder: boxes, format: corners_yx_fraction}", outputs, stretched(100));
  ASSERT_EQ(r.boxes.size(), 1u);  // the second is padding, the third too weak
  EXPECT_EQ(r.boxes[0].label, 17);
  EXPECT_FLOAT_EQ(r.boxes[0].score, 0.9f);
  EXPECT_FLOAT_EQ(r.boxes[0].x0, 100);
  EXPECT_FLOAT_EQ(r.boxes[0].y0, 100);
  EXPECT_TRUE(run("{kind: detections, decoder: boxes, background: 17}", outputs, stretched(100)).boxes.empty());
  EXPECT_THAT(
      complaint("{kind: detections, decoder: boxes, outputs: {boxes: boxes, scores: scores, labels: [labels, labels]}}",
                outputs),
      AllOf(HasSubstr("2 like labels"), HasSubstr("labels: …")));
}

TEST(Detections, ReadsRowsOfBoxScoreAndClass) {
  Outputs rows;
  const auto y = rows.add("output0", {1, 300, 6});
  const std::vector<float> first{10, 20, 30, 40, 0.9f, 5};
  std::copy(first.begin(), first.end(), y.begin() + 6);
  const Result r = run("{kind: detections, decoder: boxes, nms: none}", rows, stretched(100));
  ASSERT_EQ(r.boxes.size(), 1u);
  EXPECT_EQ(r.boxes[0].label, 5);
  EXPECT_FLOAT_EQ(r.boxes[0].x1, 60);
  Outputs dets;
  std::copy(first.begin(), first.begin() + 5, dets.add("dets", {1, 1, 5}).begin());
  add_labels(dets, {2});
  EXPECT_EQ(run("{kind: detections, decoder: boxes}", dets, stretched(100)).boxes.at(0).label, 2);
  Outputs bare;
  bare.add("boxes", {1, 3, 4});
  EXPECT_THAT(complaint("{kind: detections, decoder: boxes}", bare), HasSubstr("'boxes' [1, 3, 4] holds no scores"));
}

TEST(Detections, AModelThatSuppressesItselfMayFindNothing) {
  Outputs nothing;
  nothing.add("boxes", {0, 4});
  nothing.add("scores", {0});
  nothing.specs.push_back({"labels", ElementType::i64, {0}});
  nothing.tensors.emplace_back(ElementType::i64, std::vector<std::int64_t>{0});
  EXPECT_TRUE(run("{kind: detections, decoder: boxes}", nothing, stretched(100)).boxes.empty());
}

TEST(Detections, LeavesOutWhatLiesInThePadding) {
  Outputs outputs;
  const auto y = outputs.add("y", {2, 6});
  const std::vector<float> both{10, 2, 30, 8, 0.9f, 0, 10, 20, 30, 40, 0.8f, 0};
  std::copy(both.begin(), both.end(), y.begin());
  const Geometry letterboxed{1, 1, 0, 10, 100, 80, 100, 100};  // ten rows above and below the frame
  const Result r = run("{kind: detections, decoder: boxes}", outputs, letterboxed);
  ASSERT_EQ(r.boxes.size(), 1u);
  EXPECT_FLOAT_EQ(r.boxes[0].y0, 10);
}

TEST(Segmentation, TakesTheBestClassOfEachPlaceInBothLayouts) {
  Outputs nchw, nhwc;
  const auto a = nchw.add("y", {1, 3, 4, 5});
  const auto b = nhwc.add("y", {1, 4, 5, 3});
  Random random(1);
  std::vector<std::uint8_t> wanted(20);
  for (std::size_t i = 0; i < 20; ++i) {
    float most = -10;
    for (std::size_t c = 0; c < 3; ++c) {
      const auto v = static_cast<float>(random.below(4)) - 2;  // equals are frequent: the lower class wins
      a[c * 20 + i] = b[i * 3 + c] = v;
      if (v > most) most = v, wanted[i] = static_cast<std::uint8_t>(c);
    }
  }
  for (Outputs* outputs : {&nchw, &nhwc}) {
    const Result r = run("{kind: segmentation}", *outputs, stretched(128));
    EXPECT_EQ(r.mask, wanted);
    EXPECT_EQ(r.mask_width, 5);
    EXPECT_EQ(r.mask_height, 4);
  }
  EXPECT_EQ(run("{kind: segmentation, layout: NHWC}", nchw, stretched(128)).mask.size(), 12u);
}

TEST(Segmentation, TakesTheClassesOfAModelThatChoosesItself) {
  Outputs outputs;
  outputs.specs.push_back({"y", ElementType::i64, {1, 1, 2, 3}});
  outputs.tensors.emplace_back(ElementType::i64, std::vector<std::int64_t>{1, 1, 2, 3});
  const auto y = outputs.tensors[0].as<std::int64_t>();
  y[1] = 255, y[5] = 3;
  const Result r = run("{kind: segmentation}", outputs, stretched(128));
  EXPECT_EQ(r.mask, (std::vector<std::uint8_t>{0, 255, 0, 0, 0, 3}));
  EXPECT_EQ(r.mask_width, 3);
  for (const std::int64_t wrong : {-1, 256}) {
    y[0] = wrong;
    bool sound = true;
    (void)run("{kind: segmentation}", outputs, stretched(128), &sound);
    EXPECT_FALSE(sound) << wrong;
  }
}

TEST(Segmentation, RefusesWhatIsNoMapOfClasses) {
  Outputs one, flat;
  one.add("y", {1, 1, 8, 8});
  flat.add("y", {1, 10});
  EXPECT_THAT(complaint("{kind: segmentation}", one), AllOf(HasSubstr("has 1 classes"), HasSubstr("`score_map`")));
  EXPECT_THAT(complaint("{kind: segmentation}", flat), HasSubstr("'y' [1, 10] is no map of scores"));
}

TEST(Detections, GivesAtMostMax) {
  Outputs outputs = blazeface(5);
  for (const std::size_t t : {2u, 3u})
    for (float& v : outputs.tensors[t].as<float>()) v = 4;
  EXPECT_EQ(run("{kind: detections, max: 3, nms: none}", outputs, stretched(128)).boxes.size(), 3u);
}

TEST(ScoreMap, FindsRegionsAndTheirBoxes) {
  Outputs outputs;
  const auto map = outputs.add("y", {1, 1, 20, 30});
  for (std::size_t y = 5; y < 9; ++y)
    for (std::size_t x = 10; x < 20; ++x) map[y * 30 + x] = 0.9f;
  map[15 * 30 + 3] = 0.9f;                                       // too small
  for (std::size_t x = 0; x < 30; ++x) map[18 * 30 + x] = 0.4f;  // above the threshold, below the boxes'
  Geometry geometry{1, 1, 0, 0, 30, 20, 30, 20};
  const Result r = run("{kind: score_map, unclip: 0}", outputs, geometry);
  ASSERT_EQ(r.boxes.size(), 1u);
  EXPECT_FLOAT_EQ(r.boxes[0].x0, 10);
  EXPECT_FLOAT_EQ(r.boxes[0].x1, 20);
  EXPECT_FLOAT_EQ(r.boxes[0].y0, 5);
  EXPECT_FLOAT_EQ(r.boxes[0].y1, 9);
  EXPECT_NEAR(r.boxes[0].score, 0.9, 1e-5);
  EXPECT_EQ(r.mask_width, 30);
  EXPECT_EQ(std::count(r.mask.begin(), r.mask.end(), 1), 40 + 1 + 30);
  const float grow = 10 * 4 * 1.5f / (2 * 14);
  EXPECT_FLOAT_EQ(run("{kind: score_map}", outputs, geometry).boxes[0].x0, 10 - grow);
}

TEST(ScoreMap, TakesLogits) {
  Outputs probabilities, logits;
  const auto p = probabilities.add("y", {1, 1, 16, 16}), l = logits.add("y", {1, 1, 16, 16});
  Random random(3);
  for (std::size_t i = 0; i < p.size(); ++i) {
    p[i] = static_cast<float>(random.between(0.01, 0.99));
    l[i] = std::log(p[i] / (1 - p[i]));
  }
  const std::string rest = ", min_area: 1, box_threshold: 0.4, threshold: 0.7}";
  const Result a = run("{kind: score_map" + rest, probabilities, stretched(128));
  const Result b = run("{kind: score_map, sigmoid: true" + rest, logits, stretched(128));
  EXPECT_EQ(a.mask, b.mask);
  ASSERT_EQ(a.boxes.size(), b.boxes.size());
  ASSERT_FALSE(a.boxes.empty());
  for (std::size_t i = 0; i < a.boxes.size(); ++i) EXPECT_NEAR(a.boxes[i].score, b.boxes[i].score, 1e-5);
}

TEST(ScoreMap, JoinsAcrossCornersAndNotAcrossTheBorder) {
  Outputs outputs;
  const auto map = outputs.add("y", {1, 1, 4, 6});
  for (const std::size_t i : {0, 7, 14, 11, 18}) map[i] = 1;  // a diagonal, (5,1), (0,3)
  const Geometry geometry{1, 1, 0, 0, 6, 4, 6, 4};
  EXPECT_EQ(run("{kind: score_map, min_area: 1}", outputs, geometry).boxes.size(), 3u);
  EXPECT_EQ(run("{kind: score_map, min_area: 3}", outputs, geometry).boxes.size(), 1u);
}

TEST(ScoreMap, EqualsASlowLabellingOfRandomMaps) {
  Random random(5);
  for (int round = 0; round < 100; ++round) {
    const int w = 1 + static_cast<int>(random.below(20)), h = 1 + static_cast<int>(random.below(20));
    Outputs outputs;
    const auto map = outputs.add("y", {1, 1, h, w});
    for (float& v : map) v = random.unit() < 0.45 ? 1.0f : 0.0f;
    std::vector<int> label(map.size());  // the least place that is reachable, by relaxation
    for (std::size_t i = 0; i < map.size(); ++i) label[i] = static_cast<int>(i);
    for (bool changed = true; changed;) {
      changed = false;
      for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x)
          for (int ny = std::max(0, y - 1); ny <= std::min(h - 1, y + 1); ++ny)
            for (int nx = std::max(0, x - 1); nx <= std::min(w - 1, x + 1); ++nx) {
              const auto a = static_cast<std::size_t>(y * w + x), b = static_cast<std::size_t>(ny * w + nx);
              if (map[a] > 0 && map[b] > 0 && label[b] < label[a]) label[a] = label[b], changed = true;
            }
    }
    std::size_t components = 0;
    for (std::size_t i = 0; i < map.size(); ++i) components += map[i] > 0 && label[i] == static_cast<int>(i);
    EXPECT_EQ(run("{kind: score_map, min_area: 1}", outputs, {1, 1, 0, 0, w, h, w, h}).boxes.size(), components);
  }
}

Outputs line_maps() {
  Outputs outputs;
  outputs.add("offsets", {1, 40, 40, 4});
  outputs.add("scores", {1, 40, 40, 1});
  return outputs;
}

void put_line(Outputs& outputs, std::size_t x, std::size_t y, float score, float half_width) {
  outputs.tensors[1].as<float>()[y * 40 + x] = score;
  const auto d = outputs.tensors[0].as<float>().subspan((y * 40 + x) * 4, 4);
  d[0] = -half_width, d[2] = half_width;
}

TEST(Lines, AddsDisplacementsToPeaks) {
  Outputs outputs = line_maps();
  put_line(outputs, 20, 10, 0.8f, 12);
  put_line(outputs, 21, 10, 0.7f, 12);  // beside a higher one
  put_line(outputs, 5, 30, 0.1f, 12);   // below the threshold
  put_line(outputs, 30, 30, 0.9f, 3);   // too short
  const Result r = run("{kind: lines}", outputs, stretched(80));
  ASSERT_EQ(r.lines.size(), 1u);
  EXPECT_FLOAT_EQ(r.lines[0].x0, (20 - 12) * 2 * 2);
  EXPECT_FLOAT_EQ(r.lines[0].x1, (20 + 12) * 2 * 2);
  EXPECT_FLOAT_EQ(r.lines[0].y0, 10 * 2 * 4);
  EXPECT_FLOAT_EQ(r.lines[0].score, 0.8f);
}

TEST(Lines, KeepsTheBestAndOneOfEquals) {
  Outputs outputs = line_maps();
  for (std::size_t i = 0; i < 6; ++i) put_line(outputs, 20, 3 + 6 * i, 0.3f + 0.1f * static_cast<float>(i), 12);
  const Result r = run("{kind: lines, max: 2}", outputs, stretched(80));
  ASSERT_EQ(r.lines.size(), 2u);
  EXPECT_FLOAT_EQ(r.lines[0].score, 0.8f);
  Outputs flat = line_maps();
  put_line(flat, 20, 10, 0.5f, 12);
  put_line(flat, 21, 10, 0.5f, 12);
  EXPECT_EQ(run("{kind: lines}", flat, stretched(80)).lines.size(), 1u);
}

TEST(Scalar, GivesValuesAndADecision) {
  Outputs outputs;
  outputs.add("state", {2})[0] = 9;
  outputs.add("speech", {1, 1})[0] = 0.7f;
  const Result r = run("{kind: scalar, outputs: speech, threshold: 0.5}", outputs, {});
  EXPECT_EQ(r.scores, std::vector<float>{0.7f});
  EXPECT_EQ(r.classes, std::vector<std::int32_t>{1});
  EXPECT_THAT(complaint("{kind: scalar, outputs: speach}", outputs),
              AllOf(HasSubstr("no output 'speach'"), HasSubstr("did you mean 'speech'"), HasSubstr("outputs")));
}

TEST(TensorValues, KeepsAllOutputsInOrder) {
  Outputs outputs;
  outputs.add("a", {2})[1] = 1;
  outputs.add("b", {1})[0] = 2;
  EXPECT_EQ(run("{kind: tensor}", outputs, {}).scores, (std::vector<float>{0, 1, 2}));
  EXPECT_EQ(run("{kind: tensor, outputs: [b]}", outputs, {}).scores, std::vector<float>{2});
}

TEST(TensorValues, ReadsWholeNumbersToo) {
  Outputs outputs;
  add_labels(outputs, {7, -2});
  EXPECT_EQ(run("{kind: tensor}", outputs, {}).scores, (std::vector<float>{7, -2}));
  outputs.specs[0].type = ElementType::f16;
  EXPECT_THAT(complaint("{kind: tensor}", outputs), AllOf(HasSubstr("type f16"), HasSubstr("i64")));
}

TEST(Ctc, MergesRepeatsAndDropsBlanks) {
  test::Folder folder;
  folder.write("letters.txt", std::string("a\nb\r\nä\n"));
  Outputs outputs;
  const std::vector<int> path{0, 1, 1, 0, 1, 2, 2, 3, 4, 0};
  const auto y = outputs.add("y", {1, 10, 5});
  for (std::size_t t = 0; t < path.size(); ++t) y[t * 5 + static_cast<std::size_t>(path[t])] = 0.5f;
  const auto step = make_postprocess(folder.config("{kind: ctc, alphabet: letters.txt, space: true}"), outputs.specs);
  Result result;
  step->prepare(result);
  ASSERT_TRUE(step->run(outputs.views(), {}, result));
  EXPECT_EQ(result.text, "aabä ");
  EXPECT_FLOAT_EQ(result.scores[0], 0.5f);
  EXPECT_THAT(test::complaint(
                  [&] { (void)make_postprocess(folder.config("{kind: ctc, alphabet: letters.txt}"), outputs.specs); }),
              AllOf(HasSubstr("gives 3 symbols and a blank"), HasSubstr("5 classes"), HasSubstr("space: true")));
}

TEST(Postprocess, EveryKindRefusesNan) {
  test::Folder folder;
  folder.write("letters.txt", std::string("a\n"));
  struct Case {
    std::string post;
    Outputs outputs;
  };
  std::vector<Case> cases;
  cases.push_back({"{kind: detections}", blazeface()});
  cases.push_back({"{kind: lines}", line_maps()});
  for (const char* kind : {"{kind: classes}", "{kind: scalar}", "{kind: tensor}", "{kind: ctc, alphabet: letters.txt}",
                           "{kind: score_map}", "{kind: segmentation}", "{kind: detections, decoder: yolo}",
                           "{kind: detections, decoder: boxes}"}) {
    Outputs one;
    const auto is = [&](const char* word) { return std::string(kind).find(word) != std::string::npos; };
    one.add("y", is("score_map")      ? std::vector<std::int64_t>{1, 1, 8, 37}
                 : is("segmentation") ? std::vector<std::int64_t>{1, 4, 8, 37}
                 : is("detections")   ? std::vector<std::int64_t>{1, 20, 6}
                                      : std::vector<std::int64_t>{1, 20, 2});
    cases.push_back({kind, std::move(one)});
  }
  for (Case& c : cases) {
    const auto step = make_postprocess(folder.config(c.post), c.outputs.specs);
    Result result;
    step->prepare(result);
    EXPECT_TRUE(step->run(c.outputs.views(), stretched(128), result)) << c.post;
    for (const std::size_t place : {std::size_t{0}, c.outputs.tensors[0].as<float>().size() - 1}) {
      float& value = c.outputs.tensors[0].as<float>()[place];
      const float before = value;
      value = std::numeric_limits<float>::quiet_NaN();
      EXPECT_FALSE(step->run(c.outputs.views(), stretched(128), result)) << c.post;
      value = before;
    }
    EXPECT_TRUE(step->run(c.outputs.views(), stretched(128), result)) << c.post;
    EXPECT_FALSE(step->run({}, stretched(128), result)) << c.post;
  }
}

TEST(Postprocess, AnInfinityThatTheResultRestsOnFailsTheJobAndOthersDoNot) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto sound = [](const std::string& post, Outputs& outputs) {
    bool ok = false;
    run(post, outputs, stretched(64), &ok);
    return ok;
  };
  Outputs logits;
  const auto values = logits.add("y", {1, 3});
  values[1] = -kInfinity;
  EXPECT_TRUE(sound("{kind: classes}", logits)) << "a class that cannot be";
  EXPECT_TRUE(sound("{kind: tensor}", logits));
  EXPECT_FALSE(sound("{kind: scalar}", logits));
  values[1] = kInfinity;
  EXPECT_FALSE(sound("{kind: classes}", logits));
  EXPECT_TRUE(sound("{kind: tensor}", logits));
  Outputs rows;
  const auto row = rows.add("y", {1, 1, 6});
  for (const auto& [i, v] : {std::pair{2, 9.0f}, {3, 9.0f}, {4, 0.9f}}) row[static_cast<std::size_t>(i)] = v;
  EXPECT_TRUE(sound("{kind: detections, decoder: boxes}", rows));
  for (const std::size_t i : {2U, 4U}) {
    const float before = std::exchange(row[i], kInfinity);
    EXPECT_FALSE(sound("{kind: detections, decoder: boxes}", rows)) << i;
    row[i] = before;
  }
  Outputs lines = line_maps();
  put_line(lines, 5, 5, 0.9f, 15);
  EXPECT_TRUE(sound("{kind: lines}", lines));
  put_line(lines, 5, 5, 0.9f, kInfinity);
  EXPECT_FALSE(sound("{kind: lines}", lines));
}

TEST(Postprocess, DoesNotAllocateAfterWarmUp) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "a sanitizer owns malloc";
  Outputs quiet_faces = blazeface(), many_faces = blazeface(3);
  Random random(1);
  for (const std::size_t i : {2u, 3u})
    for (float& v : many_faces.tensors[i].as<float>()) v = static_cast<float>(random.between(0, 30));
  Outputs empty_map, full_map;
  empty_map.add("y", {1, 1, 64, 64});
  for (float& v : full_map.add("y", {1, 1, 64, 64})) v = static_cast<float>(random.unit());
  Outputs no_lines = line_maps(), all_lines = line_maps();
  for (std::size_t y = 0; y < 40; ++y)
    for (std::size_t x = 0; x < 40; ++x) put_line(all_lines, x, y, static_cast<float>(random.unit()), 15);
  Outputs few, many;
  few.add("y", {1, 500, 6});
  for (float& v : many.add("y", {1, 500, 6})) v = static_cast<float>(random.between(0, 30));
  Outputs one_class, all_classes;
  one_class.add("y", {1, 5, 40, 40});
  for (float& v : all_classes.add("y", {1, 5, 40, 40})) v = static_cast<float>(random.unit());
  test::Folder folder;
  folder.write("letters.txt", std::string("a\nb\nc\nd\ne\nf\ng\nh\n√\n"));
  Outputs low, high;
  low.add("y", {4, 10});
  for (float& v : high.add("y", {4, 10})) v = static_cast<float>(random.unit());
  struct Case {
    const char* post;
    Outputs* first;
    Outputs* then;
  };
  for (const Case& c :
       {Case{"{kind: detections}", &quiet_faces, &many_faces},
        Case{"{kind: score_map, min_area: 1, box_threshold: 0}", &empty_map, &full_map},
        Case{"{kind: lines}", &no_lines, &all_lines}, Case{"{kind: classes}", &low, &high},
        Case{"{kind: tensor}", &low, &high}, Case{"{kind: scalar, threshold: 0.5}", &low, &high},
        Case{"{kind: ctc, alphabet: letters.txt}", &low, &high}, Case{"{kind: segmentation}", &one_class, &all_classes},
        Case{"{kind: detections, decoder: yolo, objectness: true}", &few, &many},
        Case{"{kind: detections, decoder: boxes, nms: weighted}", &few, &many}}) {
    const auto step = make_postprocess(folder.config(c.post), c.first->specs);
    Result result;
    step->prepare(result);
    const auto first = c.first->views(), then = c.then->views();
    (void)step->run(first, stretched(128), result);
    bool sound = false;
    EXPECT_EQ(test::allocations_of([&] { sound = step->run(then, stretched(128), result); }), 0u) << c.post;
    EXPECT_TRUE(sound);
  }
}

TEST(Postprocess, RefusesUnknownKindsKeysAndOutputs) {
  Outputs outputs;
  outputs.add("y", {1, 10});
  EXPECT_THAT(complaint("{kind: detection}", outputs), HasSubstr("did you mean 'detections'"));
  EXPECT_THAT(complaint("{kind: classes, kk: 3}", outputs), HasSubstr("unknown key 'kk'"));
  EXPECT_THAT(complaint("{kind: classes, k: 0}", outputs), HasSubstr("k: 0 is out of range"));
  EXPECT_THAT(complaint("{kind: lines}", outputs), HasSubstr("scores and offsets are two"));
  EXPECT_THAT(complaint("{kind: detections}", outputs), HasSubstr("name them in `outputs"));
  EXPECT_THAT(complaint("{kind: detections, threshold: 2}", outputs), HasSubstr("threshold"));
  EXPECT_THAT(complaint("{}", outputs), HasSubstr("kind"));
  outputs.specs[0].type = ElementType::i64;
  EXPECT_THAT(complaint("{kind: classes}", outputs), AllOf(HasSubstr("type i64"), HasSubstr("f32 is accepted")));
}

}  // namespace
}  // namespace rtmdl
