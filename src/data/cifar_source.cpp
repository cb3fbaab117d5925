#include "base/atomic_file.h"
#include "data/input_files.h"
#include "data/sources.h"
#include "data/stored_pictures.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr int kCifarSide = 32;
constexpr std::size_t kPlane = std::size_t{kCifarSide} * kCifarSide;  // bytes of one colour

/// The binary version of the collection (Krizhevsky 2009): records of labels, then all red, green and blue values.
struct Format {
  const char* name;
  const char* folder;  ///< that the archive unpacks to
  const char* train;   ///< what the names of the training files begin with
  const char* test;
  std::size_t labels;  ///< bytes before the pixels
  std::size_t which;   ///< of them is the label
  int classes;

  [[nodiscard]] std::size_t record() const noexcept { return labels + 3 * kPlane; }
};

struct Files {
  std::vector<fs::path> train, test;
};

std::vector<fs::path> beginning_with(const ConfigNode& path, const fs::path& folder, std::string_view stem) {
  std::vector<fs::path> found = files_in(path, folder, std::array<std::string_view, 1>{".bin"});
  std::erase_if(found, [&](const fs::path& file) { return !file.filename().string().starts_with(stem); });
  return found;
}

Files find_files(const ConfigNode& path, const Format& format) {
  fs::path folder = path.path();
  std::error_code ec;
  if (fs::is_directory(folder / format.folder, ec)) folder /= format.folder;
  if (!fs::is_directory(folder, ec))
    path.fail(fmt::format("'{}' is not a folder: the unpacked binary version of {} is accepted", folder.string(),
                          format.name));
  Files files{beginning_with(path, folder, format.train), beginning_with(path, folder, format.test)};
  for (const auto& [list, stem] : {std::pair{&files.train, format.train}, std::pair{&files.test, format.test}})
    if (list->empty())
      path.fail(fmt::format("'{}' holds no {}*.bin: the binary version of {} is accepted (not the one for Python)",
                            folder.string(), stem, format.name));
  return files;
}

/// Pictures in all files together.
std::size_t count_in(const ConfigNode& path, const Format& format, const std::vector<fs::path>& files) {
  std::size_t count = 0;
  for (const fs::path& file : files) {
    std::error_code ec;
    const std::uintmax_t bytes = fs::file_size(file, ec);
    if (ec) path.fail(fmt::format("{}: cannot be read: {}", file.string(), ec.message()));
    if (bytes == 0 || bytes % format.record() != 0)
      path.fail(
          fmt::format("{}: ends within a picture, at byte {}: whole records of {} bytes are accepted ({}, then "
                      "32 x 32 x 3 pixels)",
                      file.string(), bytes, format.record(), format.labels == 1 ? "a label" : "two labels"));
    count += bytes / format.record();
  }
  return count;
}

/// From planes of red, green and blue to pixels of blue, green and red.
void add_pixels(const std::uint8_t* planes, std::vector<std::uint8_t>& pixels) {
  for (std::size_t i = 0; i < kPlane; ++i)
    for (std::size_t c = 3; c-- > 0;) pixels.push_back(planes[c * kPlane + i]);
}

PictureSet load(const ConfigNode& path, const Format& format, const std::vector<fs::path>& files, std::size_t there,
                std::size_t most) {
  PictureSet result{kCifarSide, kCifarSide, 3, there, {}, {}};
  const std::size_t wanted = std::min(there, most);
  result.pixels.reserve(wanted * 3 * kPlane);
  std::size_t n = 0;  // place of the record among all files
  for (const fs::path& file : files) {
    if (result.count() == wanted) break;
    std::string bytes;
    try {
      bytes = read_file(file);
    } catch (const Error& e) {
      path.fail(e.what());
    }
    for (std::size_t at = 0; at + format.record() <= bytes.size() && result.count() < wanted;
         at += format.record(), ++n) {
      const auto* record = reinterpret_cast<const std::uint8_t*>(bytes.data()) + at;
      const std::uint8_t label = record[format.which];
      if (label >= format.classes)
        path.fail(fmt::format("{}: byte {}: the label is {}; 0 to {} is accepted", file.string(), at + format.which,
                              label, format.classes - 1));
      if (n < result.count() * there / wanted) continue;
      add_pixels(record + format.labels, result.pixels);
      result.labels.push_back(label);
    }
  }
  if (result.count() < wanted) path.fail(fmt::format("'{}' has become shorter", files.back().string()));
  return result;
}

std::unique_ptr<Source> open_cifar(const ConfigNode& data, std::uint64_t seed, const Format& format) {
  const ConfigNode path = data["path"];
  int batch = 1;
  if (const auto given = data["batch"]; given.present()) batch = static_cast<int>(given.integer(1, 4096));
  const Files files = find_files(path, format);
  const std::size_t test_count = count_in(path, format, files.test);
  StoredPictures pictures;
  pictures.train_count = count_in(path, format, files.train);
  pictures.classes = format.classes;
  std::vector<fs::path> all = files.train;
  all.insert(all.end(), files.test.begin(), files.test.end());
  pictures.fingerprint = fingerprint_of(data, seed, all);
  pictures.train = [=, there = pictures.train_count](std::size_t most) {
    return load(path, format, files.train, there, most);
  };
  pictures.test = [=](std::size_t most) { return load(path, format, files.test, test_count, most); };
  return open_stored_pictures(data, batch, std::move(pictures));
}

}  // namespace

std::unique_ptr<Source> open_cifar10(const ConfigNode& data, std::uint64_t seed) {
  data.allow({"source", "path", "batch"});
  return open_cifar(data, seed, {"CIFAR-10", "cifar-10-batches-bin", "data_batch", "test_batch", 1, 0, 10});
}

std::unique_ptr<Source> open_cifar100(const ConfigNode& data, std::uint64_t seed) {
  data.allow({"source", "path", "batch", "labels"});
  const ConfigNode labels = data["labels"];
  const bool coarse = labels.present() && labels.one_of({"fine", "coarse"}) == "coarse";
  return open_cifar(data, seed,
                    {"CIFAR-100", "cifar-100-binary", "train", "test", 2, coarse ? std::size_t{0} : std::size_t{1},
                     coarse ? 20 : 100});
}

}  // namespace rtmdl
