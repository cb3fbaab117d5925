#include "fixtures.h"

#include "data/idx_file.h"

#include <cstring>
#include <set>

#include <gmock/gmock.h>
#include <zlib.h>
#include <opencv2/videoio.hpp>

namespace rtmdl {
namespace {

using test::Folder;
using testing::AllOf;
using testing::HasSubstr;

std::string idx_header(std::initializer_list<std::uint32_t> dimensions) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(dimensions.size())};
  for (const std::uint32_t d : dimensions)
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(d >> shift);
  return bytes;
}

/// Pictures of 2 × 3 pixels that all hold their own number + `first`; labels are the number modulo 10.
void write_idx(const Folder& folder, const std::string& stem, std::uint32_t count, int first) {
  std::string images = idx_header({count, 2, 3}), labels = idx_header({count});
  for (std::uint32_t i = 0; i < count; ++i) {
    images += std::string(6, static_cast<char>(first + static_cast<int>(i)));
    labels += static_cast<char>(i % 10);
  }
  folder.write(stem + "-images-idx3-ubyte", images);
  folder.write(stem + "-labels-idx1-ubyte", labels);
}

TEST(IdxSource, StacksABatchAndLabelsIt) {
  Folder folder;
  write_idx(folder, "train", 20, 100);
  write_idx(folder, "t10k", 9, 0);
  const auto source = open_source(folder.config("{source: idx, path: ., batch: 4}"), 1);
  EXPECT_TRUE(source->labelled());
  EXPECT_EQ(source->size(Split::evaluation), 2u);
  const Frame frame = source->read(Split::evaluation, 1);
  EXPECT_EQ(frame.batch, 4);
  EXPECT_EQ(frame.image.size(), cv::Size(3, 8));
  EXPECT_EQ(frame.image.at<std::uint8_t>(0, 0), 4);
  EXPECT_EQ(frame.image.at<std::uint8_t>(7, 2), 7);
  EXPECT_EQ(frame.labels, (std::vector<std::int32_t>{4, 5, 6, 7}));
}

TEST(IdxSource, CalibratesFromTrainingPicturesOnly) {
  Folder folder;
  write_idx(folder, "train", 20, 100);
  write_idx(folder, "t10k", 9, 0);
  const auto source = open_source(folder.config("{source: idx, path: ., batch: 4}"), 1);
  ASSERT_EQ(source->size(Split::calibration), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_GE(source->read(Split::calibration, i).image.at<std::uint8_t>(0, 0), 100);
  EXPECT_LT(source->read(Split::stream, 0).image.at<std::uint8_t>(0, 0), 100);
}

TEST(IdxSource, ReadsGzip) {
  Folder folder;
  write_idx(folder, "train", 4, 100);
  write_idx(folder, "t10k", 4, 0);
  std::ifstream in(folder.path("t10k-images-idx3-ubyte"), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  gzFile out = gzopen(folder.path("t10k-images-idx3-ubyte.gz").c_str(), "wb");
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
  std::filesystem::remove(folder.path("t10k-images-idx3-ubyte"));
  const auto source = open_source(folder.config("{source: idx, path: ., batch: 2}"), 1);
  EXPECT_EQ(source->read(Split::stream, 1).image.at<std::uint8_t>(0, 0), 2);
}

TEST(IdxSource, NamesWhatIsMissingShortOrUneven) {
  Folder folder;
  write_idx(folder, "train", 20, 100);
  const auto open = [&] { (void)open_source(folder.config("{source: idx, path: ., batch: 4}"), 1); };
  EXPECT_THAT(test::complaint(open), HasSubstr("holds no t10k-images"));
  write_idx(folder, "t10k", 9, 0);
  folder.write("t10k-labels-idx1-ubyte", idx_header({8}) + std::string(8, '\1'));
  EXPECT_THAT(test::complaint(open), AllOf(HasSubstr("one label for each"), HasSubstr("9")));
  write_idx(folder, "t10k", 9, 0);
  folder.write("t10k-images-idx3-ubyte", idx_header({9, 2, 3}) + std::string(20, '\1'));
  EXPECT_THAT(test::complaint(open), HasSubstr("t10k-images-idx3-ubyte: ends early"));
  folder.write("t10k-images-idx3-ubyte", std::string("garbage"));
  EXPECT_THAT(test::complaint(open), HasSubstr("not an IDX file"));
  write_idx(folder, "t10k", 3, 0);
  EXPECT_THAT(test::complaint(open), HasSubstr("batch: 4 is more than the 3 pictures"));
}

TEST(IdxSource, NamesTheLineOfTheTaskFileToo) {
  Folder folder;
  write_idx(folder, "train", 20, 100);
  write_idx(folder, "t10k", 9, 0);
  folder.write("train-labels-idx1-ubyte", idx_header({20}).substr(0, 6));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("source: idx\nbatch: 2\npath: ."), 1); }),
              AllOf(HasSubstr("tasks.yaml:3: path: "), HasSubstr("train-labels-idx1-ubyte: ends within the header")));
}

TEST(IdxReader, RefusesHostileHeadersWithoutTakingTheMemory) {
  Folder folder;
  folder.write("a", idx_header({1, 0xffffffffu, 0xffffffffu}));
  EXPECT_THAT(test::complaint([&] { IdxReader reader(folder.path("a")); }), HasSubstr("out of range"));
  folder.write("b", idx_header({1, 16384, 16384, 16384}));
  EXPECT_THAT(test::complaint([&] { IdxReader reader(folder.path("b")); }), HasSubstr("256 MiB"));
}

std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string npy(const std::string& descr, const std::string& shape, const std::string& data) {
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  const auto n = header.size();
  return std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(n & 255) + static_cast<char>(n >> 8) + header + data;
}

TEST(RawSource, ReadsSeveralTensorsOfAFile) {
  Folder folder;
  folder.write("a.bin", floats({1, 2, 3, 4, 5, 6}));
  const auto source = open_source(folder.config("{source: raw, path: ., shape: [1, 2]}"), 1);
  std::multiset<float> firsts;
  for (const Split split : {Split::calibration, Split::evaluation})
    for (std::size_t i = 0; i < source->size(split); ++i) firsts.insert(source->read(split, i).tensor.as<float>()[0]);
  EXPECT_EQ(firsts, (std::multiset<float>{1, 3, 5}));  // each in one split
}

TEST(RawSource, ReadsNpy) {
  Folder folder;
  for (const char* name : {"a.npy", "b.npy"}) folder.write(name, npy("<f4", "(1, 3)", floats({7, 8, 9})));
  const auto source = open_source(folder.config("{source: raw, path: .}"), 1);
  const Frame frame = source->read(Split::evaluation, 0);
  EXPECT_EQ(frame.tensor.shape, (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(frame.tensor.as<float>()[2], 9);
}

TEST(RawSource, RefusesSizesThatDoNotFit) {
  Folder folder;
  folder.write("a.bin", floats({1, 2, 3}));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: raw, path: ., shape: [2]}"), 1); }),
              AllOf(HasSubstr("12 bytes"), HasSubstr("multiple of the 8")));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: raw, path: .}"), 1); }),
              HasSubstr("shape: is missing"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: raw, path: ., shape: [3]}"), 1); }),
              HasSubstr("at least 2"));
  folder.write("b.npy", npy(">f4", "(3,)", floats({1, 2, 3})));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: raw, path: b.npy}"), 1); }),
              HasSubstr("little-endian"));
}

TEST(RawSource, SaysWhyAnNpyFileIsNotAccepted) {
  Folder folder;
  const auto said = [&](const std::string& bytes) {
    folder.write("a.npy", bytes);
    return test::complaint([&] { (void)open_source(folder.config("{source: raw, path: a.npy, shape: [1]}"), 1); });
  };
  const std::string data = floats({1, 2, 3});
  EXPECT_THAT(said("NUMPY"), HasSubstr("a.npy' is not accepted: it is no .npy file"));
  EXPECT_THAT(said(std::string("\x93NUMPY\x02\0\x10\0", 10)), HasSubstr("of version 2"));
  EXPECT_THAT(said(npy("<f4", "(3,)", data).substr(0, 30)), HasSubstr("ends within the header"));
  EXPECT_THAT(said(npy("<i2", "(3,)", data)), HasSubstr("its type is '<i2'"));
  EXPECT_THAT(said(npy("<f4", "(0, 3)", "")), HasSubstr("is empty"));
  EXPECT_THAT(said(npy("<f4", "(4294967296, 4294967296)", data)), HasSubstr("its shape is damaged"));  // 2^64 elements
  EXPECT_THAT(said(npy("<f4", "(1000,)", "")), HasSubstr("0 bytes of numbers"));
}

TEST(RawSource, MindsTheEndingWhateverItsCase) {
  Folder folder;
  folder.write("a.NPY", npy("<f4", "(2, 3)", floats({1, 2, 3, 4, 5, 6})));
  const auto source = open_source(folder.config("{source: raw, path: ., shape: [1, 3]}"), 1);
  EXPECT_EQ(source->size(Split::calibration) + source->size(Split::evaluation), 2u);
  folder.write("b.bin.gz", std::string(24, 'x'));  // compressed numbers are no numbers
  EXPECT_THAT(
      test::complaint([&] { (void)open_source(folder.config("{source: raw, path: b.bin.gz, shape: [1]}"), 1); }),
      HasSubstr("is not accepted"));
}

class Video : public testing::Test {
 protected:
  void SetUp() override {
    cv::VideoWriter writer(folder.path("a.avi").string(), cv::CAP_OPENCV_MJPEG,
                           cv::VideoWriter::fourcc('M', 'J', 'P', 'G'), 25, cv::Size(64, 48));
    ASSERT_TRUE(writer.isOpened());
    for (int i = 0; i < 48; ++i)
      writer.write(cv::Mat(48, 64, CV_8UC3, cv::Scalar::all(5 * i)));  // brightness tells the frame
  }
  static int number(const Frame& frame) { return static_cast<int>(std::lround(cv::mean(frame.image)[0] / 5)); }
  Folder folder;
};

TEST_F(Video, IsSplitByBlocksOfTime) {
  const auto source = open_source(folder.config("{source: video, path: a.avi, augment: {brightness: 0 %}}"), 1);
  std::set<int> calibration, evaluation;
  for (std::size_t i = 0; i < source->size(Split::calibration); ++i)
    calibration.insert(number(source->read(Split::calibration, i)));
  for (std::size_t i = 0; i < source->size(Split::evaluation); ++i)
    evaluation.insert(number(source->read(Split::evaluation, i)));
  EXPECT_EQ(calibration.size(), 16u);
  EXPECT_EQ(evaluation.size(), 32u);
  for (const int n : calibration) EXPECT_EQ(evaluation.count(n), 0u);
  EXPECT_GE(source->size(Split::calibration), 64u);
  EXPECT_GE(source->size(Split::evaluation), 200u);
}

TEST_F(Video, ReadsAnyFrameInAnyOrder) {
  const auto source = open_source(folder.config("{source: video, path: a.avi, size: [32, 24]}"), 1);
  const int late = number(source->read(Split::stream, 20));
  const int early = number(source->read(Split::stream, 3));
  EXPECT_LT(early, late);
  EXPECT_EQ(number(source->read(Split::stream, 20)), late);
  EXPECT_EQ(source->read(Split::stream, 0).image.size(), cv::Size(32, 24));
}

TEST_F(Video, RefusesWhatIsNoVideo) {
  folder.write("b.avi", std::string("not a video"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: video, path: b.avi}"), 1); }),
              HasSubstr("not a video that OpenCV reads"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: video, path: .}"), 1); }),
              HasSubstr("holds 2 videos"));
}

}  // namespace
}  // namespace rtmdl
