#include "data/copies.h"
#include "data/input_files.h"
#include "data/picture_file.h"
#include "data/picture_labels.h"
#include "data/picture_views.h"
#include "data/sources.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <opencv2/imgcodecs.hpp>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 10> kExtensions{".jpg", ".jpeg", ".png", ".bmp",  ".ppm",
                                                       ".pgm", ".pnm",  ".tif", ".tiff", ".webp"};
constexpr std::size_t kFewPictures = 8;  // below, every picture serves calibration and evaluation, by different crops
constexpr std::size_t kCalibration = 64, kMostCalibration = 256;
constexpr std::size_t kEvaluation = 200, kMostEvaluation = 4096;
constexpr std::size_t kTraining = 4096, kMostTraining = 65536;
constexpr std::size_t kStream = 32, kMostStream = 256;
constexpr std::size_t kCacheBytes = 256u << 20;  // of decoded pictures

class ImageSource final : public Source {
 public:
  ImageSource(const ConfigNode& data, std::uint64_t seed) : node_(data["path"]), seed_(seed) {
    data.allow({"source", "path", "size", "labels", "classes", "augment"});
    delivered_ = parse_size(data["size"]);
    augment_ = parse_augment(data["augment"]);
    list_pictures(data["labels"], data["classes"]);
    for (const fs::path& file : pictures_)
      if (!cv::haveImageReader(file.string()))
        node_.fail(fmt::format("'{}' is not a picture that OpenCV reads", file.string()));
    std::vector<fs::path> files = pictures_;
    for (const fs::path& text : texts_) files.push_back(text);
    fingerprint_ = fingerprint_of(data, seed, files);
    split();
  }

  std::size_t size(Split s) const override {
    switch (s) {
      case Split::calibration: return std::max(calibration_.size(), kCalibration);
      case Split::evaluation: return std::max(evaluation_.size(), kEvaluation);
      case Split::stream: return stream_.size() * steps();
      case Split::training: return std::max(training_.size(), kTraining);
    }
    return 0;
  }

  Frame read(Split s, std::size_t i) override {
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    if (s == Split::stream) {
      const std::size_t p = stream_[i / steps()];
      frame.image = moving_view(picture(p), delivered_, i % steps(), steps(), Random(seed_, purpose::stream, p));
      label(frame, p);
      return frame;
    }
    const auto& chosen = s == Split::calibration ? calibration_ : s == Split::training ? training_ : evaluation_;
    const std::size_t p = chosen[i % chosen.size()];
    const bool first_view = i < chosen.size() && !(shared_ && s != Split::evaluation);
    if (first_view) frame.image = whole_view(picture(p), delivered_);
    else frame.image = random_view(picture(p), delivered_, augment_, s, Random(seed_, purpose::of(s), i));
    label(frame, p);
    return frame;
  }

  bool labelled() const override { return !labels_.empty(); }
  int classes() const override { return labels_.empty() ? 0 : *std::max_element(labels_.begin(), labels_.end()) + 1; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  void list_pictures(const ConfigNode& labels, const ConfigNode& classes) {
    const std::string how = labels.present() ? labels.text() : "none";
    const ClassNames names(classes);
    if (classes.present()) texts_.push_back(classes.path());
    if (how == "folders") {
      list_classes(classes, names);
      return;
    }
    pictures_ = list_files(node_, kExtensions, "pictures");
    if (how == "none") {
      if (classes.present()) classes.fail("is for pictures with `labels`");
      return;
    }
    if (std::error_code ec; !fs::is_regular_file(labels.path(), ec))
      labels.fail(
          fmt::format("'{}' is not accepted; accepted are none, folders, and a text file with a picture and its "
                      "class on each line",
                      how));
    labels_ = read_labels(labels, names, pictures_);
    texts_.push_back(labels.path());
  }

  void list_classes(const ConfigNode& classes, const ClassNames& names) {
    std::int32_t next = 0;
    for (const fs::path& folder : list_folders(node_)) {
      const std::int32_t label = names.empty() ? next++ : names.find(folder.filename().string());
      if (label < 0)
        classes.fail(fmt::format("'{}' does not name the folder '{}'", classes.text(), folder.filename().string()));
      for (const fs::path& file : files_in(node_, folder, kExtensions)) {
        pictures_.push_back(file);
        labels_.push_back(label);
      }
    }
    if (pictures_.empty()) node_.fail(fmt::format("the sub-folders of '{}' hold no pictures", node_.path().string()));
  }

  /// Copies of a picture go where the first of them goes.
  void split() {
    const std::vector<std::size_t> original = originals_of(pictures_);
    std::vector<std::size_t> place(pictures_.size());  // of an original among the originals
    std::size_t originals = 0;
    for (std::size_t p = 0; p < pictures_.size(); ++p) place[p] = original[p] == p ? originals++ : place[original[p]];
    shared_ = originals < kFewPictures;
    const std::vector<bool> to_calibration = choose_for_calibration(originals, seed_);
    for (std::size_t p = 0; p < pictures_.size(); ++p) {
      if (shared_ || to_calibration[place[p]]) calibration_.push_back(p);
      if (shared_ || !to_calibration[place[p]]) evaluation_.push_back(p);
    }
    thin(calibration_, kMostCalibration);
    thin(evaluation_, kMostEvaluation);
    stream_ = evaluation_;
    thin(stream_, kMostStream);
    std::vector<bool> evaluated(originals, false);
    for (const std::size_t p : evaluation_) evaluated[place[p]] = true;
    for (std::size_t p = 0; p < pictures_.size(); ++p)
      if (shared_ || !evaluated[place[p]]) training_.push_back(p);
    thin(training_, kMostTraining);
  }

  std::size_t steps() const { return (kStream + stream_.size() - 1) / stream_.size(); }

  const cv::Mat& picture(std::size_t p) {
    if (const auto found = cache_.find(p); found != cache_.end()) return found->second;
    cv::Mat decoded = read_picture(pictures_[p]);
    if (decoded.empty()) node_.fail(fmt::format("'{}' cannot be decoded: the file is damaged", pictures_[p].string()));
    if (shared_ && decoded.cols < 2)
      node_.fail(fmt::format("'{}' is one pixel wide: too small to give crops both to calibrate and to evaluate",
                             pictures_[p].string()));
    const std::size_t bytes = decoded.total() * decoded.elemSize();
    if (cached_bytes_ + bytes > kCacheBytes) {
      cache_.clear();
      cached_bytes_ = 0;
    }
    cached_bytes_ += bytes;
    return cache_.emplace(p, std::move(decoded)).first->second;
  }

  void label(Frame& frame, std::size_t p) const {
    if (labelled()) frame.labels = {labels_[p]};
  }

  ConfigNode node_;
  std::uint64_t seed_;
  cv::Size delivered_;
  Augment augment_;
  std::vector<fs::path> pictures_;
  std::vector<fs::path> texts_;  // of labels and classes
  std::vector<std::int32_t> labels_;
  std::vector<std::size_t> calibration_, evaluation_, stream_, training_;  // indices of pictures
  bool shared_ = false;
  std::map<std::size_t, cv::Mat> cache_;
  std::size_t cached_bytes_ = 0;
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Source> open_images(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<ImageSource>(data, seed);
}

}  // namespace rtmdl
