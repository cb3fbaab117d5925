#include "data/idx_file.h"
#include "data/input_files.h"
#include "data/sources.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCalibrationFrames = 64;
constexpr std::size_t kMostPictures = 65536;  // kept in memory

/// Pictures of one size, one after another, and their labels.
struct Pictures {
  int width = 0, height = 0;
  std::size_t count = 0;
  std::size_t there = 0;  ///< in the file
  std::vector<std::uint8_t> pixels;
  std::vector<std::uint8_t> labels;
};

class IdxSource final : public Source {
 public:
  IdxSource(const ConfigNode& data, std::uint64_t seed) : node_(data["path"]) {
    data.allow({"source", "path", "batch"});
    if (const auto batch = data["batch"]; batch.present()) batch_ = static_cast<int>(batch.integer(1, 4096));
    train_images_ = find("train-images");
    train_labels_ = find("train-labels");
    test_images_ = find("t10k-images");
    test_labels_ = find("t10k-labels");
    fingerprint_ = fingerprint_of(data, seed, std::array{train_images_, train_labels_, test_images_, test_labels_});
    test_ = load(test_images_, test_labels_, kMostPictures);
    train_count_ = load(train_images_, train_labels_, 0).there;
    const auto needed = static_cast<std::size_t>(batch_);
    if (test_.count < needed || train_count_ < needed)
      data["batch"].fail(
          fmt::format("{} is more than the {} pictures there are", batch_, std::min(test_.count, train_count_)));
  }

  std::size_t size(Split s) const override {
    const auto batch = static_cast<std::size_t>(batch_);
    return s == Split::calibration ? std::min(kCalibrationFrames, train_count_ / batch) : test_.count / batch;
  }

  Frame read(Split s, std::size_t i) override {
    if (s == Split::calibration && train_.count == 0)
      train_ = load(train_images_, train_labels_, size(s) * static_cast<std::size_t>(batch_));
    const Pictures& from = s == Split::calibration ? train_ : test_;
    const auto batch = static_cast<std::size_t>(batch_);
    const auto bytes = static_cast<std::size_t>(from.width) * static_cast<std::size_t>(from.height);
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    frame.batch = batch_;
    frame.image = cv::Mat(from.height * batch_, from.width, CV_8UC1);
    std::copy_n(from.pixels.begin() + static_cast<std::ptrdiff_t>(i * batch * bytes), batch * bytes, frame.image.data);
    for (std::size_t b = 0; b < batch; ++b) frame.labels.push_back(from.labels[i * batch + b]);
    return frame;
  }

  bool labelled() const override { return true; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  fs::path find(const std::string& stem) const {
    const fs::path folder = node_.path();
    for (const char* tail : {"-idx3-ubyte", "-idx1-ubyte", ".idx3-ubyte", ".idx1-ubyte"})
      for (const char* zip : {"", ".gz"}) {
        const fs::path candidate = folder / (stem + tail + zip);
        std::error_code ec;
        if (fs::is_regular_file(candidate, ec)) return candidate;
      }
    node_.fail(
        fmt::format("'{}' holds no {}-idx*-ubyte[.gz]: a folder with train-images, train-labels, t10k-images and "
                    "t10k-labels is accepted",
                    folder.string(), stem));
  }

  /// At most `most` pictures, spread evenly over the file.
  Pictures load(const fs::path& images, const fs::path& labels, std::size_t most) const {
    try {
      return load_files(images, labels, most);
    } catch (const Error& e) {
      node_.fail(e.what());
    }
  }

  static Pictures load_files(const fs::path& images, const fs::path& labels, std::size_t most) {
    IdxReader image(images), label(labels);
    if (image.dimensions().size() != 3)
      bad_input(fmt::format("'{}' has {} dimensions; count × height × width is accepted", images.string(),
                            image.dimensions().size()));
    const std::size_t there = image.dimensions()[0];
    if (label.dimensions().size() != 1 || label.dimensions()[0] != there)
      bad_input(fmt::format("'{}' does not hold one label for each of the {} pictures of '{}'", labels.string(), there,
                            images.string()));
    Pictures result;
    result.height = static_cast<int>(image.dimensions()[1]);
    result.width = static_cast<int>(image.dimensions()[2]);
    result.there = there;
    const std::size_t wanted = std::min(there, most);
    for (std::size_t n = 0; n < there && result.count < wanted; ++n) {
      if (n < result.count * there / wanted) {
        image.skip();
        label.skip();
        continue;
      }
      result.pixels.resize((result.count + 1) * image.item_bytes());
      image.read(result.pixels.data() + result.count * image.item_bytes());
      result.labels.push_back(0);
      label.read(&result.labels.back());
      ++result.count;
    }
    return result;
  }

  ConfigNode node_;
  int batch_ = 16;
  fs::path train_images_, train_labels_, test_images_, test_labels_;
  std::size_t train_count_ = 0;
  Pictures train_, test_;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Source> open_idx(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<IdxSource>(data, seed);
}

}  // namespace rtmdl
