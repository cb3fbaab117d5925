#include "training/idx.h"

#include <rtmdl/error.h>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

namespace fs = std::filesystem;

constexpr int kSmallestSide = 8;
constexpr int kLargestSide = 1024;
constexpr std::uint32_t kMostItems = 100'000'000;

struct CloseGz {
  void operator()(gzFile_s* file) const { gzclose(file); }
};
using GzFile = std::unique_ptr<gzFile_s, CloseGz>;

fs::path find(const fs::path& folder, const std::string& name) {
  std::error_code ec;
  for (const fs::path& path : {folder / name, folder / (name + ".gz")}) {
    if (fs::is_regular_file(path, ec)) return path;
  }
  bad_input(
      fmt::format("{}: not found, nor {}.gz; a data folder holds train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                  "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each plain or as .gz",
                  (folder / name).string(), name));
}

/// The dimensions and the bytes behind them. zlib reads plain files as they are.
struct IdxFile {
  std::vector<std::uint32_t> shape;
  std::vector<std::uint8_t> bytes;
};

IdxFile read_idx(const fs::path& path, unsigned dimensions) {
  const auto fail = [&](const std::string& what) { bad_input(fmt::format("{}: {}", path.string(), what)); };
  const GzFile file(gzopen(path.c_str(), "rb"));
  if (!file) fail("cannot be opened");
  gzbuffer(file.get(), 1 << 18);
  const auto number = [&] {
    std::array<unsigned char, 4> b{};
    if (gzread(file.get(), b.data(), 4) != 4) fail("ends inside the IDX header");
    return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | std::uint32_t{b[3]};
  };
  const std::uint32_t magic = number();
  const std::uint32_t expected = 0x0800 | dimensions;
  if (magic != expected) {
    fail(fmt::format("magic number 0x{:08x}, expected 0x{:08x} (IDX, unsigned bytes, {} dimension{})", magic, expected,
                     dimensions, dimensions == 1 ? "" : "s"));
  }
  IdxFile idx;
  std::uint64_t size = 1;
  for (unsigned d = 0; d < dimensions; ++d) {
    const std::uint32_t extent = number();
    if (extent == 0 || extent > kMostItems)
      fail(fmt::format("dimension {} is {}, accepted: 1 to {}", d, extent, kMostItems));
    idx.shape.push_back(extent);
    if (__builtin_mul_overflow(size, std::uint64_t{extent}, &size)) fail("dimensions whose product is not a file size");
  }
  // Grows with what is really there, so that a lying header cannot ask for all the memory.
  constexpr std::size_t kChunk = 1 << 20;
  while (idx.bytes.size() < size) {
    const std::size_t done = idx.bytes.size();
    const auto want = static_cast<unsigned>(std::min<std::uint64_t>(kChunk, size - done));
    idx.bytes.resize(done + want);
    const int got = gzread(file.get(), idx.bytes.data() + done, want);
    if (got < 0) fail("damaged gzip stream");
    if (static_cast<unsigned>(got) < want) {
      fail(fmt::format("the header promises {} bytes, the file has {}", size, done + static_cast<unsigned>(got)));
    }
  }
  char beyond = 0;
  if (const int extra = gzread(file.get(), &beyond, 1); extra != 0) {
    fail(extra < 0 ? std::string("damaged gzip stream")
                   : fmt::format("more bytes than the {} that the header promises", size));
  }
  return idx;
}

LabelledImages read_set(const fs::path& folder, const std::string& prefix, int classes) {
  const fs::path image_path = find(folder, prefix + "-images-idx3-ubyte");
  const fs::path label_path = find(folder, prefix + "-labels-idx1-ubyte");
  IdxFile images = read_idx(image_path, 3);
  IdxFile labels = read_idx(label_path, 1);
  for (const std::uint32_t side : {images.shape[1], images.shape[2]}) {
    if (side < kSmallestSide || side > kLargestSide) {
      bad_input(fmt::format("{}: images of {} x {} pixels, accepted: {} to {} a side", image_path.string(),
                            images.shape[1], images.shape[2], kSmallestSide, kLargestSide));
    }
  }
  if (labels.shape[0] != images.shape[0]) {
    bad_input(fmt::format("{}: {} labels for the {} images of {}", label_path.string(), labels.shape[0],
                          images.shape[0], image_path.filename().string()));
  }
  for (std::size_t i = 0; i < labels.bytes.size(); ++i) {
    if (labels.bytes[i] >= classes) {
      bad_input(fmt::format("{}: label {} of image {} is out of range, accepted: 0 to {}", label_path.string(),
                            labels.bytes[i], i, classes - 1));
    }
  }
  return {static_cast<int>(images.shape[0]), static_cast<int>(images.shape[1]), static_cast<int>(images.shape[2]),
          std::move(images.bytes), std::move(labels.bytes)};
}

}  // namespace

Dataset read_idx_folder(const fs::path& folder, int classes) {
  Dataset data{read_set(folder, "train", classes), read_set(folder, "t10k", classes)};
  if (data.train.rows != data.test.rows || data.train.columns != data.test.columns) {
    bad_input(fmt::format("{}: training images of {} x {} pixels but test images of {} x {}", folder.string(),
                          data.train.rows, data.train.columns, data.test.rows, data.test.columns));
  }
  return data;
}

}  // namespace rtmdl::training
