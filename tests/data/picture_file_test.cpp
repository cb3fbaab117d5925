#include "fixtures.h"

#include "data/picture_file.h"

#include "base/atomic_file.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <opencv2/imgcodecs.hpp>

namespace rtmdl {
namespace {

std::string png() {
  cv::Mat image(3, 5, CV_8UC3, cv::Scalar(10, 20, 30));
  std::vector<unsigned char> bytes;
  cv::imencode(".png", image, bytes);
  return {bytes.begin(), bytes.end()};
}

TEST(PictureFile, ColourProfilesAreLeftOut) {
  const std::string plain = png();
  const std::size_t after_header = 8 + 25;
  std::string with = plain;
  with.insert(after_header, std::string("\0\0\0\3iCCPabcXXXX", 15));
  EXPECT_EQ(without_colour_profile(with), plain);
  EXPECT_EQ(without_colour_profile(plain), plain);
}

TEST(PictureFile, OtherBytesAreLeftAlone) {
  for (const std::string& bytes : {std::string(), std::string("\x89PNG"), std::string("jpeg or so"),
                                   png().substr(0, 20), std::string("\x89PNG\r\n\x1a\n\xff\xff\xff\xffiCCP", 16)})
    EXPECT_EQ(without_colour_profile(bytes), bytes);
}

TEST(PictureFile, AHeaderThatPromisesMorePixelsThanMemoryHoldsIsAnEmptyPicture) {
  test::Folder folder;
  folder.write("huge.ppm", std::string("P6\n100000 100000\n255\nabc"));
  EXPECT_TRUE(read_picture(folder.path("huge.ppm")).empty());
}

TEST(PictureFile, AnUndecodableFileIsAnEmptyPicture) {
  const auto path = std::filesystem::temp_directory_path() / "rtmdl-no-picture.png";
  write_file_atomically(path, "no picture");
  EXPECT_TRUE(read_picture(path).empty());
  write_file_atomically(path, png());
  EXPECT_EQ(read_picture(path).size(), cv::Size(5, 3));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace rtmdl
