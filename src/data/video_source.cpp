#include "data/input_files.h"
#include "data/picture_views.h"
#include "data/sources.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>
#include <opencv2/videoio.hpp>

namespace rtmdl {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 8> kVideoExtensions{".mp4",  ".avi", ".mkv",  ".mov",
                                                           ".webm", ".mpg", ".mpeg", ".m4v"};
constexpr std::size_t kBlocks = 12;  // of time; every third calibrates
constexpr std::size_t kCalibrationViews = 64, kEvaluationViews = 200;
constexpr std::size_t kMostCalibrationViews = 256, kMostEvaluationViews = 1024, kMostStreamViews = 512;
constexpr std::size_t kTrainingViews = 2048;
constexpr std::size_t kTrainingBytes = 256u << 20;  // of decoded frames, kept: they are asked for in any order

class VideoSource final : public Source {
 public:
  VideoSource(const ConfigNode& data, std::uint64_t seed) : node_(data["path"]), seed_(seed) {
    data.allow({"source", "path", "size", "augment"});
    delivered_ = parse_size(data["size"]);
    augment_ = parse_augment(data["augment"]);
    const std::vector<fs::path> files = list_files(node_, kVideoExtensions, "videos");
    if (files.size() > 1)
      node_.fail(fmt::format("'{}' holds {} videos; name the one to play", node_.path().string(), files.size()));
    file_ = files.front();
    fingerprint_ = fingerprint_of(data, seed, files);
    std::size_t count = 0;  // counted, because containers do not always know
    for (rewind(); capture_.grab(); ++count) {
    }
    rewind();
    if (count >= kBlocks) static_cast<void>(frame_at(0));
    if (count < kBlocks)
      node_.fail(fmt::format("'{}' gives {} frames; at least {} are needed", file_.string(), count, kBlocks));
    for (std::size_t n = 0; n < count; ++n) (n * kBlocks / count % 3 == 0 ? calibration_ : evaluation_).push_back(n);
    const std::size_t bytes = std::max<std::size_t>(1, current_.total() * current_.elemSize());
    training_ = calibration_;
    thin(training_, std::max<std::size_t>(1, kTrainingBytes / bytes));
    for (std::size_t n = 0; n < std::min(evaluation_.size(), kMostStreamViews); ++n) stream_.push_back(evaluation_[n]);
    thin(calibration_, kMostCalibrationViews);
    thin(evaluation_, kMostEvaluationViews);
  }

  std::size_t size(Split s) const override {
    switch (s) {
      case Split::calibration: return std::max(calibration_.size(), kCalibrationViews);
      case Split::evaluation: return std::max(evaluation_.size(), kEvaluationViews);
      case Split::stream: return stream_.size();
      case Split::training: return std::max(training_.size(), kTrainingViews);
    }
    return 0;
  }

  Frame read(Split s, std::size_t i) override {
    const auto& numbers = chosen(s);
    const cv::Mat& picture = s == Split::training ? taught(i % numbers.size()) : frame_at(numbers[i % numbers.size()]);
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    if (i < numbers.size()) frame.image = whole_view(picture, delivered_).image;
    else frame.image = random_view(picture, delivered_, augment_, s, Random(seed_, purpose::of(s), i)).image;
    return frame;
  }

  std::string fingerprint() const override { return fingerprint_; }

 private:
  const std::vector<std::size_t>& chosen(Split s) const {
    switch (s) {
      case Split::calibration: return calibration_;
      case Split::evaluation: return evaluation_;
      case Split::stream: return stream_;
      case Split::training: break;
    }
    return training_;
  }

  const cv::Mat& taught(std::size_t i) {
    while (taught_.size() < training_.size()) taught_.push_back(frame_at(training_[taught_.size()]));
    return taught_[i];
  }

  void rewind() {
    capture_.release();
    // FFmpeg first: the other back-ends complain at length on stderr about what they cannot open.
    if (!capture_.open(file_.string(), cv::CAP_FFMPEG) && !capture_.open(file_.string(), cv::CAP_OPENCV_MJPEG))
      node_.fail(fmt::format("'{}' is not a video that OpenCV reads", file_.string()));
    next_ = 0;
  }

  /// Frames are decoded in order: seeking is not exact in every container.
  const cv::Mat& frame_at(std::size_t n) {
    if (next_ == n + 1) return current_;
    if (next_ > n) rewind();
    for (; next_ <= n; ++next_)
      if (!capture_.grab())
        node_.fail(fmt::format("'{}' ends at frame {}: the file has changed", file_.string(), next_));
    cv::Mat decoded;
    if (!capture_.retrieve(decoded) || decoded.empty())
      node_.fail(fmt::format("'{}': frame {} cannot be decoded", file_.string(), n));
    current_ = decoded.clone();
    return current_;
  }

  ConfigNode node_;
  std::uint64_t seed_;
  cv::Size delivered_;
  Augment augment_;
  fs::path file_;
  cv::VideoCapture capture_;
  std::size_t next_ = 0;  // frames grabbed since the start
  cv::Mat current_;
  std::vector<std::size_t> calibration_, evaluation_, stream_, training_;  // frame numbers
  std::vector<cv::Mat> taught_;                                            // the frames of training_, once asked for
  std::string fingerprint_;
};

}  // namespace

std::unique_ptr<Source> open_video(const ConfigNode& data, std::uint64_t seed) {
  ::setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", 0);  // AV_LOG_QUIET: what is wrong with a video is said here, in one line
  return std::make_unique<VideoSource>(data, seed);
}

}  // namespace rtmdl
