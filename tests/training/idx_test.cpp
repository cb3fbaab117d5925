#include "training/idx.h"

#include "networks/idx_files.h"

#include <gmock/gmock.h>
#include <zlib.h>

namespace rtmdl::training {
namespace {

using namespace rtmdl::test;
using testing::AllOf;
using testing::HasSubstr;

class Idx : public testing::Test {
 protected:
  Idx() { write_idx_folder(folder_.path(), 20, 10); }
  [[nodiscard]] std::string refused() const {
    return refusal([&] { (void)read_idx_folder(folder_.path(), 10); });
  }
  [[nodiscard]] std::filesystem::path file(const char* name) const { return folder_.path() / name; }

  TemporaryFolder folder_;
};

TEST_F(Idx, ReadsPlainFiles) {
  const Dataset data = read_idx_folder(folder_.path(), 10);
  EXPECT_EQ(data.train.count, 20);
  EXPECT_EQ(data.test.count, 10);
  EXPECT_EQ(data.train.rows, 12);
  EXPECT_EQ(data.train.columns, 12);
  EXPECT_EQ(data.train.pixels.size(), 20U * 144U);
  EXPECT_EQ(data.train.labels[13], 3);
  EXPECT_GE(data.train.pixels[0], 180) << "class 0 has its bar in the first row";
}

TEST_F(Idx, ReadsGzippedFiles) {
  const Dataset plain = read_idx_folder(folder_.path(), 10);
  for (const char* name : {"train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}) {
    std::ifstream in(file(name), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(in), {});
    gzFile gz = gzopen((file(name).string() + ".gz").c_str(), "wb");
    gzwrite(gz, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(gz);
    std::filesystem::remove(file(name));
  }
  const Dataset gzipped = read_idx_folder(folder_.path(), 10);
  EXPECT_EQ(gzipped.train.pixels, plain.train.pixels);
  EXPECT_EQ(gzipped.test.labels, plain.test.labels);
}

TEST_F(Idx, NamesTheMissingFile) {
  std::filesystem::remove(file("t10k-labels-idx1-ubyte"));
  EXPECT_THAT(refused(), AllOf(HasSubstr(file("t10k-labels-idx1-ubyte").string() + ": not found"),
                               HasSubstr("nor t10k-labels-idx1-ubyte.gz")));
}

TEST_F(Idx, NamesTheWrongMagicNumber) {
  std::filesystem::copy_file(file("train-labels-idx1-ubyte"), file("train-images-idx3-ubyte"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(refused(), AllOf(HasSubstr("train-images-idx3-ubyte: magic number 0x00000801, expected 0x00000803"),
                               HasSubstr("3 dimensions")));
}

TEST_F(Idx, NamesATruncatedFile) {
  std::filesystem::resize_file(file("train-images-idx3-ubyte"), 1000);
  EXPECT_THAT(refused(), HasSubstr("train-images-idx3-ubyte: the header promises 2880 bytes, the file has 984"));
  std::filesystem::resize_file(file("train-images-idx3-ubyte"), 10);
  EXPECT_THAT(refused(), HasSubstr("train-images-idx3-ubyte: ends inside the IDX header"));
}

TEST_F(Idx, NamesExcessBytes) {
  std::filesystem::resize_file(file("train-images-idx3-ubyte"), 16 + 2880 + 1);
  EXPECT_THAT(refused(), HasSubstr("train-images-idx3-ubyte: more bytes than the 2880 that the header promises"));
}

TEST_F(Idx, NamesADamagedGzipStream) {
  std::filesystem::remove(file("train-images-idx3-ubyte"));
  write(file("train-images-idx3-ubyte.gz"), std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03 not deflate at all", 32));
  EXPECT_THAT(refused(), HasSubstr("train-images-idx3-ubyte.gz: "));
}

TEST_F(Idx, AHeaderThatLiesAboutItsSizeCostsNoMemory) {
  write(file("train-images-idx3-ubyte"), idx_bytes(0x803, {90'000'000, 1000, 1000}, "few"));
  EXPECT_THAT(refused(), HasSubstr("the header promises 90000000000000 bytes, the file has 3"));
}

TEST_F(Idx, NamesTheLabelThatIsOutOfRange) {
  write(file("t10k-labels-idx1-ubyte"), idx_bytes(0x801, {10}, std::string("\0\1\2\3\4\5\6\x0c\7\1", 10)));
  EXPECT_THAT(refused(), HasSubstr("t10k-labels-idx1-ubyte: label 12 of image 7 is out of range, accepted: 0 to 9"));
}

TEST_F(Idx, NamesCountsThatDiffer) {
  write(file("train-labels-idx1-ubyte"), idx_bytes(0x801, {3}, std::string("\0\1\2", 3)));
  EXPECT_THAT(refused(), HasSubstr("train-labels-idx1-ubyte: 3 labels for the 20 images of train-images-idx3-ubyte"));
}

TEST_F(Idx, RefusesTestImagesOfAnotherSize) {
  write_idx_set(folder_.path(), "t10k", 10, 14);
  EXPECT_THAT(refused(), HasSubstr("training images of 12 x 12 pixels but test images of 14 x 14"));
}

}  // namespace
}  // namespace rtmdl::training
