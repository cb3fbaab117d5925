/// Pictures that are drawn: signs and traffic lights.

#include "fixtures.h"

#include "base/hash.h"
#include "data/sign_shapes.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <opencv2/imgproc.hpp>

namespace rtmdl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string content(const cv::Mat& picture) {
  const cv::Mat whole = picture.clone();
  return sha256({reinterpret_cast<const char*>(whole.data), whole.total() * whole.elemSize()});
}

constexpr const char* kFewSigns =
    "{source: signs, count: {training: 400, calibration: 90, evaluation: 200, stream: 90}}";
constexpr const char* kFewLights =
    "{source: traffic_lights, count: {training: 30, calibration: 10, evaluation: 30, stream: 10}}";

TEST(DrawnSource, IsTheSameInEveryProcessAndOrderAndDiffersByTheSeed) {
  for (const char* yaml : {kFewSigns, kFewLights}) {
    const auto data = test::config(yaml);
    const auto one = open_source(data, 5), same = open_source(data, 5), other = open_source(data, 6);
    (void)one->read(Split::training, 9);
    for (const Split split : {Split::training, Split::evaluation}) {
      EXPECT_TRUE(test::same_picture(one->read(split, 4).image, same->read(split, 4).image));
      EXPECT_FALSE(test::same_picture(one->read(split, 4).image, other->read(split, 4).image));
    }
    EXPECT_EQ(one->fingerprint(), same->fingerprint());
    EXPECT_NE(one->fingerprint(), other->fingerprint());
    EXPECT_TRUE(one->synthetic());
  }
  EXPECT_TRUE(open_source(test::config("{source: synthetic}"), 1)->synthetic());
}

TEST(DrawnSource, NoPictureIsThereTwiceInAnySplit) {
  for (const char* yaml : {kFewSigns, kFewLights}) {
    const auto source = open_source(test::config(yaml), 1);
    std::set<std::string> seen;
    std::size_t count = 0;
    for (const Split split : {Split::calibration, Split::training, Split::evaluation, Split::stream})
      for (std::size_t i = 0; i < source->size(split); ++i, ++count) seen.insert(content(source->read(split, i).image));
    EXPECT_EQ(seen.size(), count);
  }
}

TEST(Signs, ShowEverySignEqually) {
  const auto source = open_source(test::config("{source: signs, count: {evaluation: 430}}"), 1);
  EXPECT_TRUE(source->labelled());
  EXPECT_EQ(source->classes(), 43);
  EXPECT_EQ(source->size(Split::training), 20000u);
  std::map<int, int> count;
  std::vector<int> first;
  for (std::size_t i = 0; i < source->size(Split::evaluation); ++i) {
    const Frame frame = source->read(Split::evaluation, i);
    EXPECT_EQ(frame.image.size(), cv::Size(32, 32));
    ++count[frame.labels.at(0)];
    if (first.size() < 43) first.push_back(frame.labels[0]);
  }
  EXPECT_EQ(count.size(), 43u);
  for (const auto& [label, n] : count) EXPECT_EQ(n, 10) << label;
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
}

TEST(Signs, ABatchIsTheSamePicturesOneBelowTheOther) {
  const std::string count = "count: {evaluation: 86}}";
  const auto single = open_source(test::config("{source: signs, size: 48, " + count), 1);
  const auto batched = open_source(test::config("{source: signs, size: 48, batch: 4, count: {evaluation: 86}}"), 1);
  EXPECT_EQ(batched->size(Split::evaluation), 21u);
  const Frame frame = batched->read(Split::evaluation, 5);
  EXPECT_EQ(frame.batch, 4);
  for (int b = 0; b < 4; ++b) {
    const Frame one = single->read(Split::evaluation, 20 + static_cast<std::size_t>(b));
    EXPECT_TRUE(test::same_picture(frame.image.rowRange(48 * b, 48 * (b + 1)).clone(), one.image));
    EXPECT_EQ(frame.labels.at(static_cast<std::size_t>(b)), one.labels[0]);
  }
}

TEST(Signs, AreDifferentAndOpaqueWithinTheirOutline) {
  std::vector<cv::Mat> signs;
  for (int label = 0; label < 43; ++label) {
    const cv::Mat sign = draw_sign(label);
    ASSERT_EQ(sign.type(), CV_8UC4);
    EXPECT_EQ(sign.at<cv::Vec4b>(128, 128)[3], 255) << label;
    EXPECT_EQ(sign.at<cv::Vec4b>(2, 2)[3], 0) << label;
    for (std::size_t other = 0; other < signs.size(); ++other)
      EXPECT_GT(cv::norm(sign, signs[other], cv::NORM_L1) / (256 * 256 * 4), 1) << label << " and " << other;
    signs.push_back(sign);
  }
}

/// The plate whose colours lie nearest, each picture brought to the same mean and contrast first.
TEST(Signs, CanBeToldApartByTheirLooks) {
  const auto source = open_source(test::config("{source: signs, count: {evaluation: 430, training: 8600}}"), 1);
  const auto features = [](const cv::Mat& picture) {
    cv::Mat small, values;
    cv::resize(picture, small, {16, 16}, 0, 0, cv::INTER_AREA);
    small.convertTo(values, CV_32F);
    values = values.reshape(1, 1);
    cv::Scalar mean, deviation;
    cv::meanStdDev(values, mean, deviation);
    return cv::Mat((values - mean[0]) / (deviation[0] + 5));
  };
  std::vector<cv::Mat> known;
  std::vector<int> labels;
  for (std::size_t i = 0; i < 4300; ++i) {
    const Frame frame = source->read(Split::training, i);
    known.push_back(features(frame.image));
    labels.push_back(frame.labels[0]);
  }
  int right = 0;
  for (std::size_t i = 0; i < source->size(Split::evaluation); ++i) {
    const Frame frame = source->read(Split::evaluation, i);
    const cv::Mat f = features(frame.image);
    double best = 1e30;
    int found = -1;
    for (std::size_t k = 0; k < known.size(); ++k)
      if (const double d = cv::norm(f, known[k], cv::NORM_L2SQR); d < best) best = d, found = labels[k];
    right += found == frame.labels[0];
  }
  EXPECT_GT(right, 430 / 5) << "a nearest neighbour finds far more than one in 43";
  EXPECT_LT(right, 430) << "and the task is not trivial";
}

TEST(TrafficLights, HaveOneToThreeBoxesWithinThePictureAndEveryState) {
  for (const int classes : {3, 4}) {
    const auto source = open_source(
        test::config("{source: traffic_lights, count: {evaluation: 120}, classes: " + std::to_string(classes) + "}"),
        1);
    EXPECT_TRUE(source->has_boxes());
    EXPECT_FALSE(source->labelled());
    EXPECT_EQ(source->classes(), classes);
    std::set<int> states, counts;
    for (std::size_t i = 0; i < source->size(Split::evaluation); ++i) {
      const Frame frame = source->read(Split::evaluation, i);
      ASSERT_EQ(frame.image.size(), cv::Size(416, 416));
      counts.insert(static_cast<int>(frame.boxes.size()));
      for (const LabelledBox& box : frame.boxes) {
        states.insert(box.label);
        EXPECT_TRUE(0 <= box.x0 && box.x0 + 8 < box.x1 && box.x1 <= 416) << i;
        EXPECT_TRUE(0 <= box.y0 && box.y0 + 8 < box.y1 && box.y1 <= 416) << i;
      }
      for (std::size_t a = 0; a < frame.boxes.size(); ++a)
        for (std::size_t b = 0; b < a; ++b) {
          const LabelledBox &x = frame.boxes[a], &y = frame.boxes[b];
          EXPECT_TRUE(x.x1 <= y.x0 || y.x1 <= x.x0 || x.y1 <= y.y0 || y.y1 <= x.y0) << i;
        }
    }
    EXPECT_EQ(states.size(), static_cast<std::size_t>(classes));
    EXPECT_EQ(counts, (std::set<int>{1, 2, 3}));
  }
}

TEST(TrafficLights, ShineInTheColourOfTheirState) {
  const auto source = open_source(test::config("{source: traffic_lights, count: {evaluation: 100}}"), 2);
  int right = 0, all = 0;
  for (std::size_t i = 0; i < source->size(Split::evaluation); ++i) {
    const Frame frame = source->read(Split::evaluation, i);
    for (const LabelledBox& box : frame.boxes) {
      // The brightest tenth of the box is the lamp and its glow: red, both, or green.
      const cv::Mat part = frame.image(cv::Rect(cv::Point(static_cast<int>(box.x0), static_cast<int>(box.y0)),
                                                cv::Point(static_cast<int>(box.x1), static_cast<int>(box.y1))));
      std::vector<std::pair<int, cv::Vec3b>> pixels;
      for (int y = 0; y < part.rows; ++y)
        for (int x = 0; x < part.cols; ++x) {
          const auto& p = part.at<cv::Vec3b>(y, x);
          pixels.emplace_back(std::max(p[1], p[2]), p);
        }
      std::sort(pixels.begin(), pixels.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
      double red = 0, green = 0, blue = 0;
      for (std::size_t k = 0; k < pixels.size() / 10; ++k)
        blue += pixels[k].second[0], green += pixels[k].second[1], red += pixels[k].second[2];
      const int seen = red > 1.6 * green ? 0 : green > 1.1 * red ? 2 : 1;
      right += seen == box.label;
      ++all;
    }
  }
  EXPECT_GT(right, all * 8 / 10) << "of " << all;
}

TEST(TrafficLights, ComeInTheSizeThatIsAskedFor) {
  const auto square = open_source(test::config("{source: traffic_lights, size: 96}"), 1);
  EXPECT_EQ(square->read(Split::stream, 0).image.size(), cv::Size(96, 96));
  const auto wide = open_source(test::config("{source: traffic_lights, size: [320, 192]}"), 1);
  const Frame frame = wide->read(Split::stream, 3);
  EXPECT_EQ(frame.image.size(), cv::Size(320, 192));
  for (const LabelledBox& box : frame.boxes) EXPECT_TRUE(box.x1 <= 320 && box.y1 <= 192);
}

TEST(DrawnSource, RefusesWhatMakesNoSenseWithOneLine) {
  const auto said = [](const std::string& yaml) {
    return test::complaint([&] { (void)open_source(test::config(yaml), 1); });
  };
  EXPECT_THAT(said("{source: signs, size: 8}"), HasSubstr("tasks.yaml:1: size: "));
  EXPECT_THAT(said("{source: signs, count: 100}"), HasSubstr("a map such as {training: 20000"));
  EXPECT_THAT(said("{source: signs, count: {test: 100}}"), HasSubstr("unknown key 'test'"));
  EXPECT_THAT(said("{source: signs, count: {stream: 0}}"), HasSubstr("count.stream"));
  EXPECT_THAT(said("{source: signs, batch: 300}"),
              AllOf(HasSubstr("batch: 300 is more than the 256 pictures"), HasSubstr("calibration")));
  EXPECT_THAT(said("{source: traffic_lights, classes: 5}"), HasSubstr("classes"));
  EXPECT_THAT(said("{source: traffic_lights, size: [50, 400]}"), HasSubstr("64 to 2048 pixels"));
  EXPECT_THAT(said("{source: traffic_lights, batch: 2}"), HasSubstr("unknown key 'batch'"));
}

}  // namespace
}  // namespace rtmdl
