#include "data/gtsrb_files.h"
#include "data/input_files.h"
#include "data/picture_file.h"
#include "data/picture_views.h"
#include "data/sources.h"

#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostCalibrationSigns = 256, kMostStreamSigns = 512;

class GtsrbSource final : public Source {
 public:
  GtsrbSource(const ConfigNode& data, std::uint64_t seed) : node_(data["path"]) {
    data.allow({"source", "path", "size", "roi"});
    delivered_ = parse_size(data["size"]);
    if (const auto roi = data["roi"]; roi.present()) roi_ = roi.boolean();
    pictures_ = list_gtsrb(node_);
    std::vector<fs::path> files = pictures_.tables;
    for (const auto* list : {&pictures_.training, &pictures_.test})
      for (const SignPicture& picture : *list) files.push_back(picture.file);
    fingerprint_ = fingerprint_of(data, seed, files);
    calibration_ = spread(pictures_.training.size(), kMostCalibrationSigns);
    stream_ = spread(pictures_.test.size(), kMostStreamSigns);
  }

  std::size_t size(Split s) const override {
    switch (s) {
      case Split::calibration: return calibration_.size();
      case Split::evaluation: return pictures_.test.size();
      case Split::stream: return stream_.size();
      case Split::training: return pictures_.training.size();
    }
    return 0;
  }

  Frame read(Split s, std::size_t i) override {
    const SignPicture& picture = chosen(s, i);
    const cv::Mat decoded = read_picture(picture.file);
    if (decoded.empty()) node_.fail(fmt::format("'{}' cannot be decoded: the file is damaged", picture.file.string()));
    const cv::Rect whole({0, 0}, decoded.size());
    if (roi_ && (picture.roi & whole) != picture.roi)
      node_.fail(fmt::format("'{}' has {} x {} pixels, and its table has a sign from {}, {} to {}, {} in it",
                             picture.file.string(), decoded.cols, decoded.rows, picture.roi.x, picture.roi.y,
                             picture.roi.br().x, picture.roi.br().y));
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    frame.labels = {picture.label};
    frame.image = whole_view(roi_ ? decoded(picture.roi) : decoded, delivered_).image;
    return frame;
  }

  bool labelled() const override { return true; }
  int classes() const override { return kSignClasses; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  static std::vector<std::size_t> spread(std::size_t count, std::size_t most) {
    std::vector<std::size_t> places(count);
    std::iota(places.begin(), places.end(), std::size_t{0});
    thin(places, most);
    return places;
  }

  const SignPicture& chosen(Split s, std::size_t i) const {
    switch (s) {
      case Split::calibration: return pictures_.training[calibration_[i]];
      case Split::evaluation: return pictures_.test[i];
      case Split::stream: return pictures_.test[stream_[i]];
      case Split::training: break;
    }
    return pictures_.training[i];
  }

  ConfigNode node_;
  cv::Size delivered_;
  bool roi_ = true;
  SignPictures pictures_;
  std::vector<std::size_t> calibration_, stream_;  // places among the training and the test pictures
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Source> open_gtsrb(const ConfigNode& data, std::uint64_t seed) {
  return std::make_unique<GtsrbSource>(data, seed);
}

}  // namespace rtmdl
