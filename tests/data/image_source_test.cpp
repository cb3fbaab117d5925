#include "fixtures.h"

#include "data/input_files.h"
#include "data/picture_views.h"

#include <array>

#include <sys/stat.h>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::Folder;
using testing::AllOf;
using testing::HasSubstr;

void write_pictures(const Folder& folder, int count, int side = 96) {
  for (int i = 0; i < count; ++i)
    folder.write(std::to_string(i) + ".png", test::textured(side, side, static_cast<std::uint64_t>(i) + 1));
}

TEST(NaturalOrder, PutsNumbersInOrderOfTheirValue) {
  EXPECT_TRUE(natural_less("2.png", "10.png"));
  EXPECT_TRUE(natural_less("frame9b", "frame10a"));
  EXPECT_FALSE(natural_less("frame10a", "frame9b"));
  EXPECT_TRUE(natural_less("a", "b"));
  EXPECT_TRUE(natural_less("a", "a1"));
  EXPECT_FALSE(natural_less("x", "x"));
}

TEST(NaturalOrder, IsStrictAndWeakForLeadingZeros) {
  EXPECT_NE(natural_less("07", "7"), natural_less("7", "07"));
  EXPECT_TRUE(natural_less("007", "8"));
}

TEST(ImageSource, GivesEnoughFramesOfOnePicture) {
  Folder folder;
  write_pictures(folder, 1);
  const auto source = open_source(folder.config("{source: images, path: .}"), 1);
  EXPECT_GE(source->size(Split::calibration), 64u);
  EXPECT_GE(source->size(Split::evaluation), 200u);
  EXPECT_GE(source->size(Split::stream), 32u);
}

TEST(ImageSource, NoEvaluationInputIsACalibrationInput) {
  for (const int pictures : {1, 3, 9}) {
    for (const char* size : {"", ", size: [48, 32]"}) {
      Folder folder;
      write_pictures(folder, pictures);
      const auto source = open_source(folder.config(std::string("{source: images, path: .") + size + "}"), 7);
      std::vector<cv::Mat> calibration;
      for (std::size_t i = 0; i < source->size(Split::calibration); ++i)
        calibration.push_back(source->read(Split::calibration, i).image);
      for (const Split split : {Split::evaluation, Split::stream})
        for (std::size_t i = 0; i < source->size(split); ++i) {
          const cv::Mat evaluated = source->read(split, i).image;
          for (const cv::Mat& c : calibration)
            ASSERT_FALSE(test::same_picture(c, evaluated)) << pictures << " pictures, frame " << i;
        }
    }
  }
}

TEST(ImageSource, EightPicturesAreSplitByPicture) {
  Folder folder;  // each picture has one colour of its own, which crops keep
  for (int i = 0; i < 9; ++i)
    folder.write(std::to_string(i) + ".png", cv::Mat(64, 64, CV_8UC3, cv::Scalar(0, 0, 25 * i)));
  const auto source = open_source(folder.config("{source: images, path: ., augment: {brightness: 0 %}}"), 3);
  std::vector<int> used(256, 0);
  for (std::size_t i = 0; i < source->size(Split::calibration); ++i)
    used[source->read(Split::calibration, i).image.at<cv::Vec3b>(0, 0)[2]] |= 1;
  for (std::size_t i = 0; i < source->size(Split::evaluation); ++i)
    used[source->read(Split::evaluation, i).image.at<cv::Vec3b>(0, 0)[2]] |= 2;
  EXPECT_EQ(std::count(used.begin(), used.end(), 1), 3);
  EXPECT_EQ(std::count(used.begin(), used.end(), 2), 6);
  EXPECT_EQ(std::count(used.begin(), used.end(), 3), 0);
}

TEST(ImageSource, FramesDependOnTheSeedAndOnNothingElse) {
  Folder folder;
  write_pictures(folder, 2);
  const auto data = folder.config("{source: images, path: .}");
  const auto one = open_source(data, 5), same = open_source(data, 5), other = open_source(data, 6);
  (void)one->read(Split::evaluation, 150);  // the order of reading does not matter
  EXPECT_TRUE(test::same_picture(one->read(Split::calibration, 11).image, same->read(Split::calibration, 11).image));
  EXPECT_FALSE(test::same_picture(one->read(Split::calibration, 11).image, other->read(Split::calibration, 11).image));
  EXPECT_EQ(one->fingerprint(), same->fingerprint());
  EXPECT_NE(one->fingerprint(), other->fingerprint());
}

TEST(ImageSource, FramesAreTheSameInEveryProcessAndRelease) {
  Folder folder;
  cv::Mat ramp(64, 64, CV_8UC3);
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x)
      ramp.at<cv::Vec3b>(y, x) = cv::Vec3b(static_cast<std::uint8_t>(x), static_cast<std::uint8_t>(y), 0);
  folder.write("ramp.png", ramp);
  const auto source = open_source(folder.config("{source: images, path: ramp.png, augment: {brightness: 0 %}}"), 1);
  const cv::Mat view = source->read(Split::calibration, 0).image;  // the first pixel tells where the crop begins
  EXPECT_EQ(view.size(), cv::Size(35, 35));
  EXPECT_EQ(view.at<cv::Vec3b>(0, 0), cv::Vec3b(29, 9, 0));
}

TEST(ImageSource, DeliversTheSizeAndKeepsTheAspect) {
  Folder folder;
  cv::Mat wide(100, 300, CV_8UC3, cv::Scalar(0, 0, 0));
  wide.colRange(100, 200).setTo(cv::Scalar(255, 255, 255));
  folder.write("wide.png", wide);
  const auto source = open_source(folder.config("{source: images, path: wide.png, size: [50, 50]}"), 1);
  const Frame frame = source->read(Split::evaluation, 0);
  ASSERT_EQ(frame.image.size(), cv::Size(50, 50));
  EXPECT_EQ(cv::mean(frame.image)[0], 255);  // the middle third, not a squeezed whole
  for (std::size_t i = 0; i < source->size(Split::stream); ++i)
    EXPECT_EQ(source->read(Split::stream, i).image.size(), cv::Size(50, 50));
}

TEST(ImageSource, FlipsOnlyIfAsked) {
  Folder folder;  // dark left, light right
  cv::Mat ramp(64, 64, CV_8UC3);
  for (int x = 0; x < 64; ++x) ramp.col(x).setTo(cv::Scalar::all(4 * x));
  folder.write("ramp.png", ramp);
  const auto flipped = [&](const char* yaml) {
    const auto source = open_source(folder.config(yaml), 1);
    int count = 0;
    for (std::size_t i = 1; i < 64; ++i) {
      const cv::Mat view = source->read(Split::evaluation, i).image;
      count += view.at<cv::Vec3b>(0, 0)[0] > view.at<cv::Vec3b>(0, view.cols - 1)[0];
    }
    return count;
  };
  EXPECT_EQ(flipped("{source: images, path: .}"), 0);
  EXPECT_GT(flipped("{source: images, path: ., augment: {flip: true}}"), 16);
}

TEST(ImageSource, StreamBeginsWithThePictureItself) {
  Folder folder;
  write_pictures(folder, 1);
  const auto source = open_source(folder.config("{source: images, path: .}"), 1);
  const Frame first = source->read(Split::stream, 0);
  EXPECT_TRUE(first.restart);
  EXPECT_TRUE(test::same_picture(first.image, cv::imread(folder.path("0.png").string())));
  EXPECT_FALSE(source->read(Split::stream, 1).restart);
}

TEST(ImageSource, SubFoldersAreClasses) {
  Folder folder;
  for (const char* name : {"cat/1.png", "cat/2.png", "dog/1.png"}) folder.write(name, test::textured(32, 32, 1));
  const auto source = open_source(folder.config("{source: images, path: ., labels: folders}"), 1);
  EXPECT_TRUE(source->labelled());
  EXPECT_EQ(source->read(Split::evaluation, 0).labels, std::vector<std::int32_t>{0});
  EXPECT_EQ(source->read(Split::evaluation, 2).labels, std::vector<std::int32_t>{1});
}

TEST(ImageSource, EverySplitOfManyPicturesHasAllClasses) {
  Folder folder;
  for (const char* name : {"a", "b", "c"})
    for (int i = 0; i < 300; ++i)
      folder.write(fmt::format("{}/{}.ppm", name, i),
                   test::textured(2, 2, static_cast<std::uint64_t>(1000 * name[0] + i)));
  const auto source = open_source(folder.config("{source: images, path: ., labels: folders}"), 1);
  EXPECT_EQ(source->size(Split::calibration), 256u);
  EXPECT_EQ(source->size(Split::stream), 256u);
  for (const Split split : {Split::calibration, Split::evaluation, Split::stream}) {
    std::array<int, 3> count{};
    for (std::size_t i = 0; i < source->size(split); ++i)
      ++count[static_cast<std::size_t>(source->read(split, i).labels.at(0))];
    for (const int n : count) EXPECT_NEAR(3.0 * n / static_cast<double>(source->size(split)), 1, 0.2);
  }
}

TEST(ImageSource, FoldersAreNumberedByTheNamesOfTheClasses) {
  Folder folder;
  folder.write("names.txt", std::string("n01 tench, Tinca tinca\nn02 goldfish\r\ngreat white shark\n"));
  for (const char* name : {"p/n02/1.png", "p/great white shark/1.png"}) folder.write(name, test::textured(32, 32, 1));
  const std::string yaml = "{source: images, path: p, labels: folders, classes: names.txt}";
  const auto source = open_source(folder.config(yaml), 1);
  EXPECT_EQ(source->read(Split::evaluation, 0).labels, std::vector<std::int32_t>{2});
  EXPECT_EQ(source->read(Split::evaluation, 1).labels, std::vector<std::int32_t>{1});
  folder.write("p/n03/1.png", test::textured(32, 32, 1));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config(yaml), 1); }),
              AllOf(HasSubstr("classes: "), HasSubstr("names.txt' does not name the folder 'n03'")));
}

TEST(ImageSource, ReadsLabelsFromATextFile) {
  Folder folder;
  for (const char* name : {"p/1.png", "p/2 ü.png", "p/3.png"}) folder.write(name, test::textured(32, 32, 1));
  folder.write("names.txt", std::string("cat\nbig dog\nowl\n"));
  folder.write("labels.txt", std::string("# picture class\n2 ü.png 7\r\n1.png\t4\nval/3.png,5\nelsewhere.png 9\n\n"));
  const auto labels = [&](const std::string& more) {
    const auto source = open_source(folder.config("{source: images, path: p, labels: labels.txt" + more + "}"), 1);
    std::vector<std::int32_t> found;
    for (std::size_t i = 0; i < 3; ++i) found.push_back(source->read(Split::evaluation, i).labels.at(0));
    return found;
  };
  EXPECT_EQ(labels(""), (std::vector<std::int32_t>{4, 7, 5}));
  const auto fingerprint = [&] {
    return open_source(folder.config("{source: images, path: p, labels: labels.txt}"), 1)->fingerprint();
  };
  const std::string before = fingerprint();
  folder.write("labels.txt", std::string("1.png 1\n2 ü.png 2\n3.png 3\n"));
  EXPECT_NE(fingerprint(), before);
  folder.write("labels.txt", std::string("1.png,big dog\n2 ü.png,owl\n3.png,0\n"));
  EXPECT_EQ(labels(", classes: names.txt"), (std::vector<std::int32_t>{1, 2, 0}));
}

TEST(ImageSource, NamesTheLineOfALabelFileThatIsWrong) {
  Folder folder;
  for (const char* name : {"p/1.png", "p/2.png"}) folder.write(name, test::textured(32, 32, 1));
  folder.write("names.txt", std::string("cat\ndog\n"));
  const auto said = [&](const std::string& lines, const std::string& more = "") {
    folder.write("labels.txt", lines);
    return test::complaint(
        [&] { (void)open_source(folder.config("source: images\npath: p\nlabels: labels.txt\n" + more), 1); });
  };
  EXPECT_THAT(said("1.png 0\n"),
              AllOf(HasSubstr("tasks.yaml:3: labels: "), HasSubstr("no line for the picture '2.png'")));
  EXPECT_THAT(said("1.png 0\n2.png\n"), HasSubstr("labels.txt:2: '2.png': expected"));
  EXPECT_THAT(said("1.png 0\n2.png 1\n1.png 1\n"), HasSubstr("labels.txt:3: '1.png 1': the picture has another class"));
  for (const char* wrong : {"-1", "0.5", "99999999999999", "cat"})
    EXPECT_THAT(said(std::string("1.png ") + wrong), HasSubstr("a number from 0 on is accepted")) << wrong;
  for (const char* wrong : {"2", "owl"})
    EXPECT_THAT(said(std::string("1.png ") + wrong, "classes: names.txt"), HasSubstr("a name of `classes`")) << wrong;
  std::filesystem::remove(folder.path("labels.txt"));
  EXPECT_THAT(
      test::complaint([&] { (void)open_source(folder.config("{source: images, path: p, labels: folder}"), 1); }),
      HasSubstr("'folder' is not accepted; accepted are none, folders, and a text file"));
  EXPECT_THAT(
      test::complaint([&] { (void)open_source(folder.config("{source: images, path: p, classes: names.txt}"), 1); }),
      HasSubstr("is for pictures with `labels`"));
}

TEST(ImageSource, RefusesAPictureThatIsTooSmallToServeBothSplits) {
  Folder folder;
  folder.write("a.png", test::textured(1, 5, 1));
  const auto source = open_source(folder.config("{source: images, path: .}"), 1);
  EXPECT_THAT(test::complaint([&] { (void)source->read(Split::calibration, 0); }), HasSubstr("one pixel wide"));
}

TEST(ImageSource, RefusesAnEmptyFolderAndSaysWhatIsAccepted) {
  Folder folder;
  folder.write("notes.txt", std::string("no picture"));
  const std::string said = test::complaint([&] { (void)open_source(folder.config("source: images\npath: ."), 1); });
  EXPECT_THAT(said, AllOf(HasSubstr("tasks.yaml:2: path: "), HasSubstr("holds no pictures"), HasSubstr(".png")));
}

TEST(ImageSource, RefusesAMissingFolder) {
  Folder folder;
  const std::string said = test::complaint([&] { (void)open_source(folder.config("source: images\npath: gone"), 1); });
  EXPECT_THAT(said, AllOf(HasSubstr("tasks.yaml:2: path: "), HasSubstr("gone' does not exist"),
                          HasSubstr("a folder of pictures")));
}

TEST(ImageSource, DoesNotWaitForAPipe) {
  Folder folder;
  ASSERT_EQ(mkfifo(folder.path("a.png").c_str(), 0600), 0);
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: images, path: a.png}"), 1); }),
              HasSubstr("a.png' is not accepted"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: images, path: .}"), 1); }),
              HasSubstr("holds no pictures"));
}

TEST(ImageSource, RefusesAFileThatIsNoPicture) {
  Folder folder;
  folder.write("fake.png", std::string("this is text"));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: images, path: .}"), 1); }),
              HasSubstr("fake.png' is not a picture"));
}

TEST(ImageSource, NamesADamagedPicture) {
  Folder folder;
  folder.write("good.png", test::textured(64, 64, 1));
  std::string bytes;
  {
    std::ifstream in(folder.path("good.png"), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  folder.write("bad.png", bytes.substr(0, 40));
  std::filesystem::remove(folder.path("good.png"));
  const auto source = open_source(folder.config("{source: images, path: .}"), 1);
  EXPECT_THAT(test::complaint([&] { (void)source->read(Split::stream, 0); }),
              AllOf(HasSubstr("bad.png'"), HasSubstr("damaged")));
}

TEST(ImageSource, RefusesUnknownKeysWithTheNearestName) {
  Folder folder;
  write_pictures(folder, 1);
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: images, path: ., sise: [1, 1]}"), 1); }),
              AllOf(HasSubstr("unknown key 'sise'"), HasSubstr("'size'")));
  EXPECT_THAT(test::complaint([&] { (void)open_source(folder.config("{source: image, path: .}"), 1); }),
              HasSubstr("did you mean 'images'"));
  EXPECT_THAT(test::complaint([&] {
                (void)open_source(folder.config("{source: images, path: ., augment: {brightness: 0.1}}"), 1);
              }),
              HasSubstr("no unit"));
  EXPECT_THAT(test::complaint(
                  [&] { (void)open_source(folder.config("{source: images, path: ., augment: {scale: [1, 2]}}"), 1); }),
              HasSubstr("augment.scale"));
}

TEST(ImageSource, FingerprintChangesWithAFile) {
  Folder folder;
  write_pictures(folder, 2);
  const auto data = folder.config("{source: images, path: .}");
  const std::string before = open_source(data, 1)->fingerprint();
  write_pictures(folder, 3);
  EXPECT_NE(open_source(data, 1)->fingerprint(), before);
}

TEST(Synthetic, IsSeededAndMoves) {
  const auto data = test::config("{source: synthetic, size: [160, 120], frames: 40}");
  const auto one = open_source(data, 2), same = open_source(data, 2), other = open_source(data, 3);
  EXPECT_EQ(one->size(Split::stream), 40u);
  EXPECT_EQ(one->read(Split::stream, 0).image.size(), cv::Size(160, 120));
  EXPECT_TRUE(test::same_picture(one->read(Split::stream, 9).image, same->read(Split::stream, 9).image));
  EXPECT_FALSE(test::same_picture(one->read(Split::stream, 9).image, other->read(Split::stream, 9).image));
  EXPECT_FALSE(test::same_picture(one->read(Split::stream, 0).image, one->read(Split::stream, 1).image));
  EXPECT_FALSE(test::same_picture(one->read(Split::calibration, 0).image, one->read(Split::evaluation, 0).image));
}

TEST(Synthetic, GivesTensorsOfAShape) {
  const auto source = open_source(test::config("{source: synthetic, shape: [1, 8]}"), 2);
  const Frame frame = source->read(Split::evaluation, 3);
  EXPECT_EQ(frame.tensor.shape, (std::vector<std::int64_t>{1, 8}));
  for (const float v : frame.tensor.as<float>()) EXPECT_LE(std::abs(v), 1.0f);
}

}  // namespace
}  // namespace rtmdl
