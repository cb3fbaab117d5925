/// What may be learnt from: never what is evaluated or played.

#include "fixtures.h"

#include "base/hash.h"
#include "data/copies.h"

#include <numeric>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sndfile.h>
#include <opencv2/videoio.hpp>

namespace rtmdl {
namespace {

using test::Folder;
using testing::ElementsAre;
using testing::HasSubstr;

std::string content(const Frame& frame) {
  if (frame.image.empty())
    return sha256({reinterpret_cast<const char*>(frame.tensor.bytes.data()), frame.tensor.bytes.size()});
  return sha256(fmt::format("{} {} ", frame.image.cols, frame.image.rows) +
                std::string(frame.image.datastart, frame.image.dataend));
}

std::set<std::string> contents(Source& source, Split split, std::size_t most = 100000) {
  std::set<std::string> found;
  for (std::size_t i = 0; i < std::min(most, source.size(split)); ++i) found.insert(content(source.read(split, i)));
  return found;
}

void expect_disjoint(Source& source, std::size_t most = 100000) {
  const auto learnt = contents(source, Split::training, most);
  for (const Split split : {Split::evaluation, Split::stream})
    for (const std::string& seen : contents(source, split)) ASSERT_FALSE(learnt.contains(seen));
}

std::string idx(std::initializer_list<std::uint32_t> dimensions, const std::string& items) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(dimensions.size())};
  for (const std::uint32_t d : dimensions)
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(d >> shift);
  return bytes + items;
}

/// Pictures of one pixel; the label is the value modulo 10.
void write_idx(const Folder& folder, const std::string& stem, const std::vector<int>& values) {
  const auto n = static_cast<std::uint32_t>(values.size());
  std::string pixels, labels;
  for (const int v : values) {
    pixels += static_cast<char>(v);
    labels += static_cast<char>(v % 10);
  }
  folder.write(stem + "-images-idx3-ubyte", idx({n, 1, 1}, pixels));
  folder.write(stem + "-labels-idx1-ubyte", idx({n}, labels));
}

TEST(TrainingSplit, OfIdxIsTheWholeTrainFileInItsOrder) {
  Folder folder;
  std::vector<int> train(200), test(30);
  std::iota(train.begin(), train.end(), 50);
  std::iota(test.begin(), test.end(), 0);
  write_idx(folder, "train", train);
  write_idx(folder, "t10k", test);
  const auto source = open_source(folder.config("{source: idx, path: ., batch: 2}"), 1);
  ASSERT_EQ(source->size(Split::training), 100u);
  EXPECT_EQ(source->classes(), 10);
  for (std::size_t i = 0; i < 100; ++i) {
    const Frame frame = source->read(Split::training, i);
    for (int b = 0; b < 2; ++b) {
      const int value = 50 + 2 * static_cast<int>(i) + b;
      EXPECT_EQ(frame.image.at<std::uint8_t>(b, 0), value);
      EXPECT_EQ(frame.labels.at(static_cast<std::size_t>(b)), value % 10);
    }
  }
  expect_disjoint(*source);
}

TEST(TrainingSplit, OfIdxLeavesOutCopiesOfTestPictures) {
  Folder folder;
  write_idx(folder, "train", {1, 7, 2, 8, 9});
  write_idx(folder, "t10k", {7, 8, 9});
  const auto source = open_source(folder.config("{source: idx, path: ., batch: 1}"), 1);
  std::vector<int> values, labels;
  for (std::size_t i = 0; i < source->size(Split::training); ++i) {
    const Frame frame = source->read(Split::training, i);
    values.push_back(frame.image.at<std::uint8_t>(0, 0));
    labels.push_back(frame.labels.at(0));
  }
  EXPECT_THAT(values, ElementsAre(1, 2, 2, 1, 1));
  EXPECT_THAT(labels, ElementsAre(1, 2, 2, 1, 1));
  write_idx(folder, "train", {7, 8, 9});
  const auto none = open_source(folder.config("{source: idx, path: ., batch: 1}"), 1);
  EXPECT_THAT(test::complaint([&] { (void)none->read(Split::training, 0); }),
              HasSubstr("every training picture is a test picture too"));
}

TEST(TrainingSplit, OfPicturesIsDisjointFromEvaluation) {
  for (const int pictures : {1, 5, 20})
    for (const char* more : {"", ", size: [24, 16], augment: {flip: true}"}) {
      Folder folder;
      for (int i = 0; i < pictures; ++i)
        folder.write(fmt::format("{}.png", i), test::textured(48, 40, static_cast<std::uint64_t>(i) + 1));
      const auto source = open_source(folder.config(fmt::format("{{source: images, path: .{}}}", more)), 3);
      EXPECT_GE(source->size(Split::training), 2000u);
      expect_disjoint(*source, 1000);
      EXPECT_GT(contents(*source, Split::training, 500).size(), 450u) << "views must differ";
    }
}

TEST(TrainingSplit, OfPicturesTakesAllThatAreNotEvaluatedAndFlipsOnlyIfAsked) {
  Folder folder;  // dark left, light right; the red channel tells the picture
  for (int i = 0; i < 12; ++i) {
    cv::Mat ramp(64, 64, CV_8UC3);
    for (int x = 0; x < 64; ++x) ramp.col(x).setTo(cv::Scalar(4 * x, 0, 10 * i));
    folder.write(fmt::format("{}.png", i), ramp);
  }
  for (const bool flip : {false, true}) {
    const auto source = open_source(
        folder.config(fmt::format("{{source: images, path: ., augment: {{brightness: 0 %, flip: {}}}}}", flip)), 1);
    std::set<int> learnt, evaluated;
    int flipped = 0;
    for (std::size_t i = 0; i < 200; ++i) {
      const cv::Mat view = source->read(Split::training, i).image;
      learnt.insert(view.at<cv::Vec3b>(0, 0)[2]);
      flipped += view.at<cv::Vec3b>(0, 0)[0] > view.at<cv::Vec3b>(0, view.cols - 1)[0];
      evaluated.insert(source->read(Split::evaluation, i).image.at<cv::Vec3b>(0, 0)[2]);
    }
    EXPECT_EQ(learnt.size(), 4u);
    EXPECT_EQ(evaluated.size(), 8u);
    for (const int p : learnt) EXPECT_FALSE(evaluated.contains(p));
    EXPECT_EQ(flipped > 0, flip);
  }
}

TEST(TrainingSplit, CopiesOfAPictureUnderOtherNamesLandInOneSplit) {
  Folder folder;
  for (int i = 0; i < 30; ++i)
    for (const char* name : {"a", "b", "c"})
      folder.write(fmt::format("{}{}.bmp", name, i), cv::Mat(40, 40, CV_8UC3, cv::Scalar(0, 0, 8 * i)));
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const auto source = open_source(folder.config("{source: images, path: ., augment: {brightness: 0 %}}"), seed);
    std::vector<int> seen(256, 0);
    for (const Split split : {Split::calibration, Split::training})
      for (std::size_t i = 0; i < 90; ++i) seen[source->read(split, i).image.at<cv::Vec3b>(0, 0)[2]] |= 1;
    for (std::size_t i = 0; i < source->size(Split::evaluation); ++i)
      seen[source->read(Split::evaluation, i).image.at<cv::Vec3b>(0, 0)[2]] |= 2;
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), 10);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 2), 20);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 3), 0);
  }
}

TEST(TrainingSplit, ManyNamesOfFewPicturesAreFewPictures) {
  Folder folder;  // by file they would be split, and no crop could tell them apart
  for (int i = 0; i < 20; ++i) folder.write(fmt::format("{}.png", i), test::textured(64, 64, 1));
  const auto source = open_source(folder.config("{source: images, path: .}"), 1);
  expect_disjoint(*source, 500);
}

TEST(Copies, AreFoundByContentAlone) {
  Folder folder;
  std::string big(50000, 'x'), other = big;
  other[100] = 'y';  // not where the quick look falls
  folder.write("1", big);
  folder.write("2", other);
  folder.write("3", big);
  folder.write("4", std::string("x"));
  folder.write("5", std::string());
  folder.write("6", std::string());
  std::vector<std::filesystem::path> files;
  for (const char* name : {"1", "2", "3", "4", "5", "6", "gone"}) files.push_back(folder.path(name));
  EXPECT_THAT(originals_of(files), ElementsAre(0, 1, 0, 3, 4, 4, 6));
}

TEST(TrainingSplit, OfSoundsIsTheFilesThatAreNotEvaluated) {
  Folder folder;
  for (int f = 0; f < 5; ++f) {
    SF_INFO info{};
    info.samplerate = 16000;
    info.channels = 1;
    info.format = SF_FORMAT_WAV | SF_FORMAT_FLOAT;
    std::vector<float> samples(100);
    for (std::size_t i = 0; i < 100; ++i) samples[i] = static_cast<float>(1000 * f) + static_cast<float>(i);
    SNDFILE* out = sf_open(folder.path(fmt::format("{}.wav", f)).c_str(), SFM_WRITE, &info);
    sf_write_float(out, samples.data(), 100);
    sf_close(out);
  }
  const auto source = open_source(folder.config("{source: audio, path: ., window: 10, context: 0}"), 1);
  EXPECT_GE(source->size(Split::training), 2000u);
  expect_disjoint(*source);
  EXPECT_GT(contents(*source, Split::training).size(), 500u);
}

TEST(TrainingSplit, OfTensorsAndOfSyntheticFramesIsDisjointFromEvaluation) {
  Folder folder;
  std::string bytes;
  for (int i = 0; i < 40; ++i) bytes += std::string(4, static_cast<char>(i));
  folder.write("a.bin", bytes);
  expect_disjoint(*open_source(folder.config("{source: raw, path: ., shape: [1]}"), 1));
  const auto synthetic = open_source(test::config("{source: synthetic, shape: [1, 8]}"), 2);
  EXPECT_GE(synthetic->size(Split::training), 2000u);
  expect_disjoint(*synthetic);
}

TEST(TrainingSplit, OfAVideoIsReadInAnyOrderAndDisjointFromEvaluation) {
  Folder folder;
  cv::VideoWriter writer(folder.path("a.avi").string(), cv::CAP_OPENCV_MJPEG,
                         cv::VideoWriter::fourcc('M', 'J', 'P', 'G'), 25, cv::Size(64, 48));
  ASSERT_TRUE(writer.isOpened());
  for (int i = 0; i < 48; ++i) writer.write(cv::Mat(48, 64, CV_8UC3, cv::Scalar::all(5 * i)));
  writer.release();
  const auto source = open_source(folder.config("{source: video, path: a.avi, augment: {brightness: 0 %}}"), 1);
  const auto number = [&](Split split, std::size_t i) {
    return static_cast<int>(std::lround(cv::mean(source->read(split, i).image)[0] / 5));
  };
  std::set<int> learnt;
  for (std::size_t i = source->size(Split::training); i-- > 0;) learnt.insert(number(Split::training, i));
  EXPECT_EQ(learnt.size(), 16u);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_FALSE(learnt.contains(number(Split::evaluation, i)));
}

}  // namespace
}  // namespace rtmdl
