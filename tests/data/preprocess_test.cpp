#include "fixtures.h"

#include "allocation_count.h"
#include "data/picture_resize.h"
#include "data/preprocess.h"
#include "data/random.h"

#include <gmock/gmock.h>
#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Prepared {
  Tensor tensor;
  Geometry geometry;
  bool fits = false;
  float at(std::size_t i) const { return tensor.as<float>()[i]; }
};

Prepared prepare(const std::string& pre, std::vector<std::int64_t> shape, const Frame& frame) {
  Prepared result;
  const ConfigNode node = pre.empty() ? ConfigNode{} : test::config(pre);
  const auto preprocess = make_preprocess(node, TensorSpec{"x", ElementType::f32, shape});
  result.tensor = Tensor(ElementType::f32, std::move(shape));
  result.fits = preprocess->run(frame, result.tensor.view(), result.geometry);
  return result;
}

Frame picture(cv::Mat image) {
  Frame frame;
  frame.image = std::move(image);
  return frame;
}

Frame one_colour(int width, int height, int blue, int green, int red) {
  return picture(cv::Mat(height, width, CV_8UC3, cv::Scalar(blue, green, red)));
}

TEST(PictureResize, EqualsOpenCvWithinItsRounding) {
  Random random(1);
  for (int round = 0; round < 40; ++round) {
    const cv::Size from(2 + static_cast<int>(random.below(90)), 2 + static_cast<int>(random.below(90)));
    const cv::Size to(1 + static_cast<int>(random.below(90)), 1 + static_cast<int>(random.below(90)));
    const int channels = random.below(2) == 0 ? 1 : 3;
    cv::Mat image(from, CV_MAKETYPE(CV_8U, channels)), wanted;
    cv::RNG(static_cast<std::uint64_t>(round) + 1).fill(image, cv::RNG::UNIFORM, 0, 256);
    cv::resize(image, wanted, to, 0, 0, cv::INTER_LINEAR);
    PictureResize resize;
    resize.prepare(from, channels, to, Interpolation::linear);
    for (int y = 0; y < to.height; ++y) {
      const float* row = resize.row(image, y);
      for (int i = 0; i < to.width * channels; ++i)
        ASSERT_NEAR(row[i], wanted.ptr(y)[i], 2.01) << from << " to " << to << " at " << i << ", " << y;
    }
  }
}

TEST(PictureResize, AreaIsTheMeanOfWhatAPixelCovers) {
  cv::Mat image(6, 9, CV_8UC3), wanted;
  cv::randu(image, 0, 256);
  cv::resize(image, wanted, cv::Size(3, 2), 0, 0, cv::INTER_AREA);
  PictureResize resize;
  resize.prepare(image.size(), 3, cv::Size(3, 2), Interpolation::area);
  for (int y = 0; y < 2; ++y) {
    const float* row = resize.row(image, y);
    for (int i = 0; i < 9; ++i) EXPECT_NEAR(row[i], wanted.ptr(y)[i], 0.51);
  }
}

TEST(PictureResize, KeepsAConstantPictureForEverySize) {
  Random random(2);
  for (int round = 0; round < 60; ++round) {
    const cv::Size from(1 + static_cast<int>(random.below(50)), 1 + static_cast<int>(random.below(50)));
    const cv::Size to(1 + static_cast<int>(random.below(50)), 1 + static_cast<int>(random.below(50)));
    const cv::Mat image(from, CV_8UC3, cv::Scalar(10, 20, 30));
    for (const auto how : {Interpolation::linear, Interpolation::area}) {
      PictureResize resize;
      resize.prepare(from, 3, to, how);
      for (int y = 0; y < to.height; ++y) {
        const float* row = resize.row(image, y);
        for (int x = 0; x < to.width; ++x) ASSERT_NEAR(row[3 * x + 2], 30, 1e-3) << from << " to " << to;
      }
    }
  }
}

TEST(Preprocess, WithoutStepsResizesAndCasts) {
  const Prepared p = prepare("", {1, 3, 2, 2}, one_colour(8, 8, 10, 20, 30));
  ASSERT_TRUE(p.fits);
  EXPECT_FLOAT_EQ(p.at(0), 30);  // R first
  EXPECT_FLOAT_EQ(p.at(4), 20);
  EXPECT_FLOAT_EQ(p.at(8), 10);
}

TEST(Preprocess, OrdersColoursAndLayout) {
  const Prepared bgr = prepare("{colour: bgr}", {1, 3, 2, 2}, one_colour(4, 4, 10, 20, 30));
  EXPECT_FLOAT_EQ(bgr.at(0), 10);
  const Prepared nhwc = prepare("{layout: NHWC}", {1, 2, 2, 3}, one_colour(4, 4, 10, 20, 30));
  EXPECT_FLOAT_EQ(nhwc.at(0), 30);
  EXPECT_FLOAT_EQ(nhwc.at(1), 20);
  EXPECT_FLOAT_EQ(nhwc.at(5), 10);
  const Prepared gray = prepare("{colour: gray}", {1, 1, 2, 2}, one_colour(4, 4, 10, 20, 30));
  EXPECT_NEAR(gray.at(0), 0.114 * 10 + 0.587 * 20 + 0.299 * 30, 1e-3);
  const Prepared from_gray = prepare("", {1, 3, 2, 2}, picture(cv::Mat(4, 4, CV_8UC1, cv::Scalar(7))));
  EXPECT_FLOAT_EQ(from_gray.at(0), 7);
  EXPECT_FLOAT_EQ(from_gray.at(11), 7);
}

TEST(Preprocess, AppliesTheValueStepsInTheOrderWritten) {
  EXPECT_FLOAT_EQ(prepare("{scale: 2, shift: 1}", {1, 3, 1, 1}, one_colour(2, 2, 10, 10, 10)).at(0), 21);
  EXPECT_FLOAT_EQ(prepare("{shift: 1, scale: 2}", {1, 3, 1, 1}, one_colour(2, 2, 10, 10, 10)).at(0), 22);
  const Prepared p =
      prepare("{scale: 1/255, mean: [0.5, 0.25, 0], std: [0.5, 1, 2]}", {1, 3, 1, 1}, one_colour(2, 2, 255, 255, 255));
  EXPECT_FLOAT_EQ(p.at(0), 1);
  EXPECT_FLOAT_EQ(p.at(1), 0.75);
  EXPECT_FLOAT_EQ(p.at(2), 0.5);
}

TEST(Preprocess, AddsAnAlphaChannel) {
  const Prepared p = prepare("{alpha: 1, scale: 2, layout: NHWC}", {1, 1, 2, 4}, one_colour(4, 4, 10, 20, 30));
  ASSERT_TRUE(p.fits);
  EXPECT_FLOAT_EQ(p.at(0), 60);
  EXPECT_FLOAT_EQ(p.at(3), 1);
  EXPECT_FLOAT_EQ(p.at(7), 1);
}

TEST(Preprocess, LetterboxKeepsTheAspectAndSaysWhere) {
  const Prepared p = prepare("{letterbox: [8, 8], pad: 5}", {1, 3, 8, 8}, one_colour(16, 8, 100, 100, 100));
  EXPECT_FLOAT_EQ(p.at(0), 5);
  EXPECT_FLOAT_EQ(p.at(2 * 8), 100);
  EXPECT_FLOAT_EQ(p.at(5 * 8), 100);
  EXPECT_FLOAT_EQ(p.at(6 * 8), 5);
  EXPECT_FLOAT_EQ(p.geometry.scale_x, 0.5);
  EXPECT_FLOAT_EQ(p.geometry.scale_y, 0.5);
  EXPECT_FLOAT_EQ(p.geometry.offset_x, 0);
  EXPECT_FLOAT_EQ(p.geometry.offset_y, 2);
}

TEST(Preprocess, CropsAndSaysWhere) {
  cv::Mat image(10, 20, CV_8UC3, cv::Scalar::all(0));
  image(cv::Rect(5, 0, 10, 10)).setTo(cv::Scalar::all(200));
  const Prepared centre = prepare("{crop: center}", {1, 3, 5, 5}, picture(image));
  for (std::size_t i = 0; i < 75; ++i) EXPECT_FLOAT_EQ(centre.at(i), 200);
  EXPECT_FLOAT_EQ(centre.geometry.offset_x, -2.5);  // frame x = (0 + 2.5) / 0.5 = 5
  const Prepared part = prepare("{crop: [0, 2, 4, 4]}", {1, 3, 2, 2}, picture(image));
  EXPECT_FLOAT_EQ(part.at(0), 0);
  EXPECT_FLOAT_EQ(part.geometry.offset_y, -1);
  EXPECT_FALSE(prepare("{crop: [15, 0, 10, 4]}", {1, 3, 2, 2}, picture(image)).fits);
}

TEST(Preprocess, GeometryMapsInputPointsBackForEveryPlan) {
  Random random(3);
  for (const char* pre : {"{resize: [64, 64]}", "{letterbox: [64, 64]}", "{crop: 80 %, letterbox: [64, 64]}",
                          "{crop: [3, 4, 50, 40], resize: [64, 64]}"})
    for (int round = 0; round < 10; ++round) {
      const int w = 60 + static_cast<int>(random.below(200)), h = 50 + static_cast<int>(random.below(200));
      const int side = 40 + static_cast<int>(random.below(60));
      cv::Mat image(h, w, CV_8UC3);  // a ramp: the value tells the place
      for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x)
          image.at<cv::Vec3b>(y, x) = cv::Vec3b(static_cast<std::uint8_t>(y), 0, static_cast<std::uint8_t>(x));
      const Prepared p = prepare(pre, {1, 3, side, side}, picture(image));
      ASSERT_TRUE(p.fits);
      const auto n = static_cast<std::size_t>(side);
      const auto m = n / 2;
      const float fx = (static_cast<float>(m) + 0.5f - p.geometry.offset_x) / p.geometry.scale_x;
      const float fy = (static_cast<float>(m) + 0.5f - p.geometry.offset_y) / p.geometry.scale_y;
      if (fx < 250 && fy < 250) {
        EXPECT_NEAR(p.at(m * n + m), fx - 0.5f, 0.6) << pre;
        EXPECT_NEAR(p.at(2 * n * n + m * n + m), fy - 0.5f, 0.6) << pre;
      }
    }
}

TEST(Preprocess, TheBoundShapeWinsOverTheSizeOfTheSourceModel) {
  const Prepared p = prepare("{resize: [128, 128]}", {1, 3, 4, 6}, one_colour(12, 12, 1, 1, 1));
  ASSERT_TRUE(p.fits);
  EXPECT_EQ(p.geometry.input_width, 6);
  EXPECT_EQ(p.geometry.input_height, 4);
  EXPECT_FLOAT_EQ(p.geometry.scale_x, 0.5);
}

TEST(Preprocess, SplitsABatch) {
  cv::Mat stacked(8, 4, CV_8UC1);
  stacked.rowRange(0, 4).setTo(1);
  stacked.rowRange(4, 8).setTo(2);
  Frame frame = picture(stacked);
  frame.batch = 2;
  const Prepared p = prepare("", {2, 1, 4, 4}, frame);
  ASSERT_TRUE(p.fits);
  EXPECT_FLOAT_EQ(p.at(15), 1);
  EXPECT_FLOAT_EQ(p.at(16), 2);
  EXPECT_EQ(p.geometry.frame_height, 4);
  frame.batch = 1;
  EXPECT_FALSE(prepare("", {2, 1, 4, 4}, frame).fits);
}

TEST(Preprocess, RoundsForByteInputs) {
  const auto preprocess =
      make_preprocess(test::config("{scale: 0.5, shift: 250}"), TensorSpec{"x", ElementType::u8, {1, 3, 2, 2}});
  Tensor tensor(ElementType::u8, {1, 3, 2, 2});
  Geometry geometry;
  ASSERT_TRUE(preprocess->run(one_colour(4, 4, 0, 5, 100), tensor.view(), geometry));
  EXPECT_EQ(tensor.as<std::uint8_t>()[0], 255);
  EXPECT_EQ(tensor.as<std::uint8_t>()[4], 253);
  EXPECT_EQ(tensor.as<std::uint8_t>()[8], 250);
}

TEST(Preprocess, CopiesTensorsAndRefusesOtherSizes) {
  Frame frame;
  frame.tensor = Tensor(ElementType::f32, {1, 4});
  frame.tensor.as<float>()[3] = 2;
  EXPECT_FLOAT_EQ(prepare("", {1, 4}, frame).at(3), 2);
  EXPECT_FLOAT_EQ(prepare("{scale: 3}", {1, 4}, frame).at(3), 6);
  EXPECT_FALSE(prepare("", {1, 5}, frame).fits);
  EXPECT_FALSE(prepare("", {1, 3, 2, 2}, Frame{}).fits);
}

TEST(Preprocess, TensorsThatLieOtherwiseDoNotFit) {
  Frame frame;
  frame.tensor = Tensor(ElementType::f32, {2, 2, 3});
  EXPECT_FALSE(prepare("", {1, 3, 2, 2}, frame).fits);  // as many numbers, in another order
  EXPECT_TRUE(prepare("", {1, 2, 2, 3}, frame).fits);
  frame.tensor = Tensor(ElementType::f32, {1, 12});
  EXPECT_TRUE(prepare("", {1, 3, 2, 2}, frame).fits);  // a row says nothing of an order
  frame.tensor = Tensor(ElementType::f64, {1, 6});
  EXPECT_FALSE(prepare("", {1, 12}, frame).fits);
}

TEST(Preprocess, AppliesTheValueStepsToEachChannelOfATensor) {
  Frame nchw, nhwc;
  nchw.tensor = Tensor(ElementType::f32, {3, 2, 2});
  nhwc.tensor = Tensor(ElementType::f32, {2, 2, 3});
  for (std::size_t i = 0; i < 12; ++i) nchw.tensor.as<float>()[i] = nhwc.tensor.as<float>()[i] = static_cast<float>(i);
  const std::string pre = "{scale: 2, mean: [1, 10, 100]}";
  const Prepared a = prepare(pre, {1, 3, 2, 2}, nchw), b = prepare(pre, {1, 2, 2, 3}, nhwc);
  ASSERT_TRUE(a.fits && b.fits);
  constexpr float kMean[] = {1, 10, 100};
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_FLOAT_EQ(a.at(i), 2 * static_cast<float>(i) - kMean[i / 4]);
    EXPECT_FLOAT_EQ(b.at(i), 2 * static_cast<float>(i) - kMean[i % 3]);
  }
}

TEST(Preprocess, RefusesStepsForPicturesWhereTheInputTakesNone) {
  const auto said = [](const char* pre) {
    return test::complaint([&] {
      (void)make_preprocess(test::config(pre), TensorSpec{"x", ElementType::f32, {1, 576}});
    });
  };
  EXPECT_THAT(said("{resize: [24, 24]}"), AllOf(HasSubstr("tasks.yaml:1: resize: "), HasSubstr("'x' [1, 576]")));
  EXPECT_THAT(said("{mean: [1, 2, 3]}"), HasSubstr("has no channels"));
  EXPECT_EQ(said("{mean: 3, scale: 1/32768}"), "");
}

TEST(Preprocess, DoesNotAllocateAfterTheFirstFrame) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "a sanitizer owns malloc";
  for (const char* pre : {"{resize: [64, 64], alpha: 1}", "{letterbox: [64, 64], alpha: 1}",
                          "{crop: center, interpolation: area, alpha: 1}"}) {
    const auto preprocess = make_preprocess(test::config(pre), TensorSpec{"x", ElementType::f32, {1, 64, 64, 4}});
    Tensor tensor(ElementType::f32, {1, 64, 64, 4});
    const TensorView view = tensor.view();
    const Frame frame = one_colour(320, 240, 1, 2, 3);
    Geometry geometry;
    ASSERT_GT(test::allocations_of([&] { (void)preprocess->run(frame, view, geometry); }), 0u);  // it does count
    EXPECT_EQ(test::allocations_of([&] { (void)preprocess->run(frame, view, geometry); }), 0u) << pre;
  }
}

TEST(Preprocess, DoesNotAllocateWhenFramesOfKnownSizesTakeTurns) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "a sanitizer owns malloc";
  const auto preprocess =
      make_preprocess(test::config("{letterbox: [64, 64]}"), TensorSpec{"x", ElementType::f32, {1, 3, 64, 64}});
  Tensor tensor(ElementType::f32, {1, 3, 64, 64});
  const TensorView view = tensor.view();
  const Frame wide = one_colour(320, 100, 1, 2, 3), tall = one_colour(100, 240, 1, 2, 3);
  Geometry geometry;
  (void)preprocess->run(wide, view, geometry);
  (void)preprocess->run(tall, view, geometry);
  EXPECT_EQ(test::allocations_of([&] {
              (void)preprocess->run(wide, view, geometry);
              (void)preprocess->run(tall, view, geometry);
            }),
            0u);
}

TEST(Preprocess, DoesNotAllocateForAnyPartOfAKnownFrame) {
  if (!test::can_count_allocations()) GTEST_SKIP() << "a sanitizer owns malloc";
  for (const char* pre : {"{letterbox: [64, 48]}", "{letterbox: [64, 48], interpolation: area}"}) {
    const auto preprocess = make_preprocess(test::config(pre), TensorSpec{"x", ElementType::f32, {1, 3, 48, 64}});
    Tensor tensor(ElementType::f32, {1, 3, 48, 64});
    const TensorView view = tensor.view();
    const Frame whole = one_colour(320, 100, 1, 2, 3);
    Geometry geometry;
    (void)preprocess->run(whole, view, geometry);
    Frame part;
    for (const cv::Size size : {cv::Size(100, 100), {10, 100}, {1, 100}, {320, 1}, {3, 2}, {133, 100}, {320, 99}}) {
      part.image = whole.image(cv::Rect({0, 0}, size));
      EXPECT_EQ(test::allocations_of([&] { (void)preprocess->run(part, view, geometry); }), 0u)
          << pre << ' ' << size.width << 'x' << size.height;
    }
  }
}

TEST(Preprocess, RefusesStepsThatMakeNoSense) {
  const TensorSpec rgb{"x", ElementType::f32, {1, 3, 32, 32}};
  const auto said = [&](const char* pre) {
    return test::complaint([&] { (void)make_preprocess(test::config(pre), rgb); });
  };
  EXPECT_THAT(said("{resise: [1, 1]}"), AllOf(HasSubstr("unknown key 'resise'"), HasSubstr("'resize'")));
  EXPECT_THAT(said("{resize: [0, 1]}"), HasSubstr("tasks.yaml:1: resize: expected [width, height]"));
  EXPECT_THAT(said("{resize: [9, 9], letterbox: [9, 9]}"), HasSubstr("not both"));
  EXPECT_THAT(said("{resize: [9, 9], crop: center}"), HasSubstr("crop: must stand before"));
  EXPECT_THAT(said("{mean: [1, 2]}"), HasSubstr("has 2 values"));
  EXPECT_THAT(said("{std: 0}"), HasSubstr("0 cannot be divided by"));
  EXPECT_THAT(said("{scale: 1/0}"), HasSubstr("not a finite number"));
  EXPECT_THAT(said("{alpha: 1}"), AllOf(HasSubstr("3 channels"), HasSubstr("the steps give 4")));
  EXPECT_THAT(said("{colour: gray}"), HasSubstr("the steps give 1"));
  EXPECT_THAT(said("{layout: NHWC}"), HasSubstr("32 channels in the layout NHWC"));
  EXPECT_THAT(said("{crop: middle}"), HasSubstr("'middle' is not accepted"));
}

}  // namespace
}  // namespace rtmdl
