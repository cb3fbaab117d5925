/// Collections that many papers use, in the form that their archives unpack to.

#include "fixtures.h"

#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace rtmdl {
namespace {

using test::Folder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// A picture whose red, green and blue are `value`, 50 and 60, but red 255 in its first pixel and 254 in the next.
std::string cifar_record(const std::string& labels, int value) {
  std::string record =
      labels + std::string(1024, static_cast<char>(value)) + std::string(1024, '\62') + std::string(1024, '\74');
  record[labels.size()] = '\xff';
  record[labels.size() + 1] = '\xfe';
  return record;
}

void write_cifar10(const Folder& folder, const std::string& at = "") {
  for (int b = 1; b <= 5; ++b) {
    std::string batch;
    for (int i = 0; i < 20; ++i) batch += cifar_record(std::string(1, static_cast<char>(i % 10)), 10 * b + i);
    folder.write(fmt::format("{}data_batch_{}.bin", at, b), batch);
  }
  std::string batch;
  for (int i = 0; i < 8; ++i) batch += cifar_record(std::string(1, static_cast<char>(9 - i)), 200 + i);
  folder.write(at + "test_batch.bin", batch);
}

TEST(Cifar, TurnsPlanesOfColourIntoPixelsAndLabelsThem) {
  for (const char* at : {"", "cifar-10-batches-bin/"}) {
    Folder folder;
    write_cifar10(folder, at);
    const auto source = open_source(folder.config("{source: cifar10, path: ., batch: 2}"), 1);
    EXPECT_TRUE(source->labelled());
    EXPECT_EQ(source->classes(), 10);
    EXPECT_EQ(source->size(Split::training), 50u);
    EXPECT_EQ(source->size(Split::evaluation), 4u);
    const Frame frame = source->read(Split::evaluation, 1);
    EXPECT_EQ(frame.batch, 2);
    EXPECT_EQ(frame.labels, (std::vector<std::int32_t>{7, 6}));
    ASSERT_EQ(frame.image.size(), cv::Size(32, 64));
    EXPECT_EQ(frame.image.at<cv::Vec3b>(0, 0), cv::Vec3b(60, 50, 255));
    EXPECT_EQ(frame.image.at<cv::Vec3b>(0, 1), cv::Vec3b(60, 50, 254));  // rows first
    EXPECT_EQ(frame.image.at<cv::Vec3b>(31, 31), cv::Vec3b(60, 50, 202));
    EXPECT_EQ(frame.image.at<cv::Vec3b>(32, 2), cv::Vec3b(60, 50, 203));
    const Frame learnt = source->read(Split::training, 49);
    EXPECT_EQ(learnt.labels, (std::vector<std::int32_t>{8, 9}));
    EXPECT_EQ(learnt.image.at<cv::Vec3b>(63, 0), cv::Vec3b(60, 50, 69));
    EXPECT_LT(source->read(Split::calibration, 3).image.at<cv::Vec3b>(5, 5)[2], 70);
  }
}

TEST(Cifar, OfAHundredClassesHasFineAndCoarseLabels) {
  Folder folder;
  for (const char* name : {"train.bin", "test.bin"})
    folder.write(name, cifar_record("\x13\x63", 7) + cifar_record(std::string("\1\2", 2), 8 + name[2]));
  const auto label = [&](const char* more) {
    const auto source = open_source(folder.config(fmt::format("{{source: cifar100, path: .{}}}", more)), 1);
    return std::pair{source->read(Split::evaluation, 0).labels.at(0), source->classes()};
  };
  EXPECT_EQ(label(""), std::pair(99, 100));
  EXPECT_EQ(label(", labels: coarse"), std::pair(19, 20));
}

TEST(Cifar, NamesTheFileThatIsMissingShortOrWrong) {
  Folder folder;
  const auto said = [&](const std::string& more = "") {
    return test::complaint([&] {
      const auto source = open_source(folder.config("source: cifar10\npath: ." + more), 1);
      (void)source->read(Split::training, 0);
    });
  };
  EXPECT_THAT(said(), AllOf(HasSubstr("tasks.yaml:2: path: "), HasSubstr("holds no data_batch*.bin"),
                            HasSubstr("not the one for Python")));
  write_cifar10(folder);
  EXPECT_EQ(said(), "");
  folder.write("data_batch_3.bin", std::string(5000, '\1'));
  EXPECT_THAT(said(), AllOf(HasSubstr("data_batch_3.bin: ends within a picture, at byte 5000"), HasSubstr("3073")));
  folder.write("data_batch_3.bin", cifar_record("\1", 1) + cifar_record("\xa", 1));
  EXPECT_THAT(said(), HasSubstr("data_batch_3.bin: byte 3073: the label is 10; 0 to 9 is accepted"));
  write_cifar10(folder);
  EXPECT_THAT(said("\nbatch: 9"), HasSubstr("batch: 9 is more than the 8 pictures"));
  EXPECT_THAT(said("\nbach: 9"), HasSubstr("'batch'"));
}

/// A border of noise around a sign whose colour is its class; as GTSRB's pictures, 5 pixels wide at least.
cv::Mat sign(int label, int side, std::uint64_t seed) {
  cv::Mat picture = test::textured(side, side, seed);
  picture(cv::Rect(5, 6, side - 10, side - 12)).setTo(cv::Scalar(label, 100, 200));
  return picture;
}

std::string row(const std::string& name, int side, int label) {
  return fmt::format("{};{};{};5;6;{};{};{}\n", name, side, side, side - 5, side - 6, label);
}

constexpr const char* kHeading = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n";

void write_gtsrb(const Folder& folder, const std::string& training, const std::string& test, const std::string& table) {
  std::uint64_t seed = 1;
  for (const int label : {0, 7, 42}) {
    std::string rows = kHeading;
    for (int i = 0; i < 4; ++i) {
      const std::string name = fmt::format("00000_0000{}.ppm", i);
      folder.write(fmt::format("{}/{:05}/{}", training, label, name), sign(label, 30 + 2 * i, seed++));
      rows += row(name, 30 + 2 * i, label);
    }
    folder.write(fmt::format("{0}/{1:05}/GT-{1:05}.csv", training, label), rows);
  }
  std::string rows = kHeading;
  for (int i = 0; i < 5; ++i) {
    const std::string name = fmt::format("0000{}.ppm", i);
    folder.write(test + "/" + name, sign(i, 40, seed++));
    rows += row(name, 40, i);
  }
  folder.write(table, rows);
}

TEST(Gtsrb, ReadsEveryLayoutAndCutsOutTheSign) {
  const struct {
    const char *training, *test, *table;
  } layouts[] = {{"g/GTSRB/Final_Training/Images", "g/GTSRB/Final_Test/Images", "g/GTSRB/GT-final_test.csv"},
                 {"g/GTSRB/Training", "g/GTSRB/Final_Test/Images", "g/GT-final_test.csv"},
                 {"g/Training", "g/Test", "g/Test/GT-final_test.csv"}};
  for (const auto& layout : layouts) {
    Folder folder;
    write_gtsrb(folder, layout.training, layout.test, layout.table);
    const auto source = open_source(folder.config("{source: gtsrb, path: g}"), 1);
    EXPECT_EQ(source->classes(), 43);
    EXPECT_EQ(source->size(Split::training), 12u);
    EXPECT_EQ(source->size(Split::evaluation), 5u);
    std::vector<int> labels;
    for (std::size_t i = 0; i < 12; ++i) {
      const Frame frame = source->read(Split::training, i);
      labels.push_back(frame.labels.at(0));
      ASSERT_EQ(frame.image.size(), cv::Size(20 + 2 * static_cast<int>(i % 4), 18 + 2 * static_cast<int>(i % 4)));
      for (const cv::Point at : {cv::Point(0, 0), cv::Point(frame.image.cols - 1, frame.image.rows - 1)})
        EXPECT_EQ(frame.image.at<cv::Vec3b>(at), cv::Vec3b(static_cast<std::uint8_t>(labels.back()), 100, 200));
    }
    EXPECT_THAT(labels, ElementsAre(0, 0, 0, 0, 7, 7, 7, 7, 42, 42, 42, 42));
    EXPECT_EQ(source->read(Split::stream, 4).labels.at(0), 4);
    EXPECT_EQ(source->read(Split::calibration, 11).labels.at(0), 42);
  }
}

TEST(Gtsrb, KeepsTheBorderIfAskedAndDeliversASize) {
  Folder folder;
  write_gtsrb(folder, "Training", "Test", "GT-final_test.csv");
  const auto whole = open_source(folder.config("{source: gtsrb, path: ., roi: false}"), 1);
  EXPECT_EQ(whole->read(Split::evaluation, 0).image.size(), cv::Size(40, 40));
  const auto sized = open_source(folder.config("{source: gtsrb, path: ., size: [32, 32]}"), 1);
  EXPECT_EQ(sized->read(Split::training, 3).image.size(), cv::Size(32, 32));
}

TEST(Gtsrb, ReadsTheTablesWithPathsOfTheCopyInPng) {
  Folder folder;
  std::string train = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n", test = train;
  for (int i = 0; i < 3; ++i) {
    folder.write(fmt::format("Train/20/{}.png", i), sign(20, 40, static_cast<std::uint64_t>(i) + 1));
    folder.write(fmt::format("Test/{}.png", i), sign(i, 40, static_cast<std::uint64_t>(i) + 9));
    train += fmt::format("40,40,5,6,35,34,20,Train/20/{}.png\n", i);
    test += fmt::format("40,40,5,6,35,34,{0},Test/{0}.png\n", i);
  }
  folder.write("Train.csv", train);
  folder.write("Test.csv", test);
  const auto source = open_source(folder.config("{source: gtsrb, path: .}"), 1);
  EXPECT_EQ(source->read(Split::training, 2).labels.at(0), 20);
  EXPECT_EQ(source->read(Split::evaluation, 2).image.at<cv::Vec3b>(0, 0), cv::Vec3b(2, 100, 200));
}

TEST(Gtsrb, NamesFileAndLineOfWhatIsWrong) {
  Folder folder;
  const auto said = [&] {
    return test::complaint([&] { (void)open_source(folder.config("source: gtsrb\npath: ."), 1); });
  };
  EXPECT_THAT(said(), AllOf(HasSubstr("tasks.yaml:2: path: "), HasSubstr("holds no training pictures")));
  write_gtsrb(folder, "Training", "Test", "Test/GT-final_test.test.csv");
  EXPECT_THAT(said(), AllOf(HasSubstr("GT-final_test.csv' is not there"), HasSubstr("an archive of their own")));
  write_gtsrb(folder, "Training", "Test", "GT-final_test.csv");
  EXPECT_EQ(said(), "");
  const auto with_table = [&](const std::string& text) {
    folder.write("Training/00007/GT-00007.csv", text);
    return said();
  };
  const std::string heading = kHeading;
  EXPECT_THAT(with_table("Filename;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2\n"),
              AllOf(HasSubstr("GT-00007.csv:1: has no column ClassId"), HasSubstr("Roi.X1")));
  EXPECT_THAT(with_table(heading + row("00000_00000.ppm", 30, 43)),
              HasSubstr("GT-00007.csv:2: '43' is not accepted: a whole number from 0 to 42"));
  EXPECT_THAT(with_table(heading + row("00000_00000.ppm", 30, 1) + row("gone.ppm", 30, 1)),
              AllOf(HasSubstr("GT-00007.csv:3: the picture"), HasSubstr("gone.ppm' is not there")));
  EXPECT_THAT(with_table(heading + "00000_00000.ppm;30;30;5;6\n"), HasSubstr("has 5 values where the heading has 8"));
  EXPECT_THAT(with_table(heading + "00000_00000.ppm;30;30;5;6;nan;20;1\n"), HasSubstr("'nan' is not accepted"));
  EXPECT_THAT(with_table(heading + "00000_00000.ppm;30;30;5;6;5;20;1\n"), HasSubstr("has no area"));
  EXPECT_THAT(with_table(""), HasSubstr("GT-00007.csv:1: is empty"));
  std::filesystem::remove(folder.path("Training/00007/GT-00007.csv"));
  EXPECT_THAT(said(), HasSubstr("GT-00007.csv' is not there"));
  with_table(heading + row("00000_00000.ppm", 60, 7));
  const auto source = open_source(folder.config("{source: gtsrb, path: .}"), 1);
  EXPECT_THAT(test::complaint([&] { (void)source->read(Split::training, 4); }),
              AllOf(HasSubstr("has 30 x 30 pixels"), HasSubstr("5, 6 to 55, 54")));
}

}  // namespace
}  // namespace rtmdl
