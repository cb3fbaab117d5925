#include "data/copies.h"
#include "data/input_files.h"
#include "data/picture_file.h"
#include "data/picture_list.h"
#include "data/picture_views.h"
#include "data/sources.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFewPictures = 8;  // below, every picture serves calibration and evaluation, by different crops
constexpr std::size_t kCalibrationImages = 64, kMostCalibrationImages = 256;
constexpr std::size_t kEvaluationImages = 200, kMostEvaluationImages = 4096;
constexpr std::size_t kTrainingImages = 4096, kMostTrainingImages = 65536;
constexpr std::size_t kStreamImages = 32, kMostStreamImages = 256;
constexpr std::size_t kCacheBytes = 256u << 20;  // of decoded pictures

class ImageSource final : public Source {
 public:
  ImageSource(const ConfigNode& data, std::uint64_t seed) : node_(data["path"]), seed_(seed) {
    data.allow({"source", "path", "size", "labels", "classes", "augment"});
    delivered_ = parse_size(data["size"]);
    augment_ = parse_augment(data["augment"]);
    list_ = list_pictures(data);
    std::vector<fs::path> files = list_.files;
    files.insert(files.end(), list_.texts.begin(), list_.texts.end());
    fingerprint_ = fingerprint_of(data, seed, files);
    split();
  }

  std::size_t size(Split s) const override {
    switch (s) {
      case Split::calibration: return std::max(calibration_.size(), kCalibrationImages);
      case Split::evaluation: return std::max(evaluation_.size(), kEvaluationImages);
      case Split::stream: return stream_.size() * steps();
      case Split::training: return std::max(training_.size(), kTrainingImages);
    }
    return 0;
  }

  Frame read(Split s, std::size_t i) override {
    const auto& chosen = pictures_of(s);
    const std::size_t p = s == Split::stream ? chosen[i / steps()] : chosen[i % chosen.size()];
    const cv::Mat& shown = picture(p);
    View view;
    if (s == Split::stream)
      view = moving_view(shown, delivered_, i % steps(), steps(), Random(seed_, purpose::stream, p));
    else if (i < chosen.size() && !(shared_ && s != Split::evaluation)) view = whole_view(shown, delivered_);
    else view = random_view(shown, delivered_, augment_, s, Random(seed_, purpose::of(s), i));
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    if (labelled()) frame.labels = {list_.labels[p]};
    if (has_boxes()) frame.boxes = boxes_in(view, shown.size(), list_.boxes[p]);
    frame.image = std::move(view.image);
    return frame;
  }

  bool labelled() const override { return !list_.labels.empty(); }
  bool has_boxes() const override { return !list_.boxes.empty(); }
  int classes() const override { return list_.classes; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  const std::vector<std::size_t>& pictures_of(Split s) const {
    switch (s) {
      case Split::calibration: return calibration_;
      case Split::evaluation: return evaluation_;
      case Split::stream: return stream_;
      case Split::training: break;
    }
    return training_;
  }

  /// Copies of a picture go where the first of them goes.
  void split() {
    const std::vector<std::size_t> original = originals_of(list_.files);
    std::vector<std::size_t> place(list_.files.size());  // of an original among the originals
    std::size_t originals = 0;
    for (std::size_t p = 0; p < list_.files.size(); ++p) place[p] = original[p] == p ? originals++ : place[original[p]];
    shared_ = originals < kFewPictures;
    const std::vector<bool> to_calibration = choose_for_calibration(originals, seed_);
    for (std::size_t p = 0; p < list_.files.size(); ++p) {
      if (shared_ || to_calibration[place[p]]) calibration_.push_back(p);
      if (shared_ || !to_calibration[place[p]]) evaluation_.push_back(p);
    }
    thin(calibration_, kMostCalibrationImages);
    thin(evaluation_, kMostEvaluationImages);
    stream_ = evaluation_;
    thin(stream_, kMostStreamImages);
    std::vector<bool> evaluated(originals, false);
    for (const std::size_t p : evaluation_) evaluated[place[p]] = true;
    for (std::size_t p = 0; p < list_.files.size(); ++p)
      if (shared_ || !evaluated[place[p]]) training_.push_back(p);
    thin(training_, kMostTrainingImages);
  }

  std::size_t steps() const { return (kStreamImages + stream_.size() - 1) / stream_.size(); }

  const cv::Mat& picture(std::size_t p) {
    if (const auto found = cache_.find(p); found != cache_.end()) return found->second;
    cv::Mat decoded = read_picture(list_.files[p]);
    if (decoded.empty())
      node_.fail(fmt::format("'{}' cannot be decoded: the file is damaged", list_.files[p].string()));
    if (shared_ && decoded.cols < 2)
      node_.fail(fmt::format("'{}' is one pixel wide: too small to give crops both to calibrate and to evaluate",
                             list_.files[p].string()));
    const std::size_t bytes = decoded.total() * decoded.elemSize();
    if (cached_bytes_ + bytes > kCacheBytes) {
      cache_.clear();
      cached_bytes_ = 0;
    }
    cached_bytes_ += bytes;
    return cache_.emplace(p, std::move(decoded)).first->second;
  }

  ConfigNode node_;
  std::uint64_t seed_;
  cv::Size delivered_;
  Augment augment_;
  PictureList list_;
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
