#include "data/idx_file.h"
#include "data/input_files.h"
#include "data/sources.h"
#include "data/stored_pictures.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

struct IdxFiles {
  fs::path images, labels;
};

fs::path find(const ConfigNode& path, const std::string& stem) {
  const fs::path folder = path.path();
  for (const char* tail : {"-idx3-ubyte", "-idx1-ubyte", ".idx3-ubyte", ".idx1-ubyte"})
    for (const char* zip : {"", ".gz"}) {
      const fs::path candidate = folder / (stem + tail + zip);
      std::error_code ec;
      if (fs::is_regular_file(candidate, ec)) return candidate;
    }
  path.fail(
      fmt::format("'{}' holds no {}-idx*-ubyte[.gz]: a folder with train-images, train-labels, t10k-images and "
                  "t10k-labels is accepted",
                  folder.string(), stem));
}

/// At most `most` pictures, spread evenly over the file.
PictureSet load_files(const IdxFiles& files, std::size_t most) {
  IdxReader image(files.images), label(files.labels);
  if (image.dimensions().size() != 3)
    bad_input(fmt::format("'{}' has {} dimensions; count × height × width is accepted", files.images.string(),
                          image.dimensions().size()));
  const std::size_t there = image.dimensions()[0];
  if (label.dimensions().size() != 1 || label.dimensions()[0] != there)
    bad_input(fmt::format("'{}' does not hold one label for each of the {} pictures of '{}'", files.labels.string(),
                          there, files.images.string()));
  PictureSet result;
  result.height = static_cast<int>(image.dimensions()[1]);
  result.width = static_cast<int>(image.dimensions()[2]);
  result.there = there;
  const std::size_t wanted = std::min(there, most);
  for (std::size_t n = 0; n < there && result.count() < wanted; ++n) {
    if (n < result.count() * there / wanted) {
      image.skip();
      label.skip();
      continue;
    }
    result.pixels.resize((result.count() + 1) * image.item_bytes());
    image.read(result.pixels.data() + result.count() * image.item_bytes());
    result.labels.push_back(0);
    label.read(&result.labels.back());
  }
  return result;
}

int largest_label(const fs::path& file) {
  IdxReader label(file);
  if (label.item_bytes() != 1) return 0;  // no labels: load_files() says so
  std::uint8_t most = 0, one = 0;
  for (std::size_t n = 0; n < label.dimensions()[0]; ++n) {
    label.read(&one);
    most = std::max(most, one);
  }
  return most;
}

/// What is wrong with a file is said at the node that names the folder.
template <typename Work>
auto placed(const ConfigNode& path, Work work) {
  try {
    return work();
  } catch (const Error& e) {
    path.fail(e.what());
  }
}

}  // namespace

std::unique_ptr<Source> open_idx(const ConfigNode& data, std::uint64_t seed) {
  data.allow({"source", "path", "batch"});
  int batch = 16;
  if (const auto given = data["batch"]; given.present()) batch = static_cast<int>(given.integer(1, 4096));
  const ConfigNode path = data["path"];
  const IdxFiles train{find(path, "train-images"), find(path, "train-labels")};
  const IdxFiles test{find(path, "t10k-images"), find(path, "t10k-labels")};
  StoredPictures pictures;
  pictures.fingerprint = fingerprint_of(data, seed, std::array{train.images, train.labels, test.images, test.labels});
  pictures.train = [path, train](std::size_t most) { return placed(path, [&] { return load_files(train, most); }); };
  pictures.test = [path, test](std::size_t most) { return placed(path, [&] { return load_files(test, most); }); };
  pictures.train_count = pictures.train(0).there;
  pictures.classes =
      placed(path, [&] { return std::max(largest_label(train.labels), largest_label(test.labels)) + 1; });
  return open_stored_pictures(data, batch, std::move(pictures));
}

}  // namespace rtmdl
