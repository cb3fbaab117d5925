#include "data/stored_pictures.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {

constexpr std::size_t kCalibrationFrames = 64;
constexpr std::size_t kMostTest = 65536;
constexpr std::size_t kMostTrainBytes = 512u << 20;  // kept in memory while a model is trained

class StoredPictureSource final : public Source {
 public:
  StoredPictureSource(const ConfigNode& data, int batch, StoredPictures pictures)
      : node_(data["path"]), batch_(static_cast<std::size_t>(batch)), stored_(std::move(pictures)) {
    test_ = stored_.test(kMostTest);
    train_count_ = std::min(stored_.train_count, std::max(batch_, kMostTrainBytes / test_.bytes_each()));
    if (test_.count() < batch_ || train_count_ < batch_)
      data["batch"].fail(
          fmt::format("{} is more than the {} pictures there are", batch_, std::min(test_.count(), train_count_)));
  }

  std::size_t size(Split s) const override {
    switch (s) {
      case Split::calibration: return std::min(kCalibrationFrames, stored_.train_count / batch_);
      case Split::training: return train_count_ / batch_;
      case Split::evaluation:
      case Split::stream: break;
    }
    return test_.count() / batch_;
  }

  Frame read(Split s, std::size_t i) override {
    const PictureSet& from = pictures(s);
    const std::size_t bytes = from.bytes_each();
    Frame frame;
    frame.index = static_cast<std::int64_t>(i);
    frame.restart = i == 0;
    frame.batch = static_cast<int>(batch_);
    frame.image = cv::Mat(from.height * frame.batch, from.width, CV_8UC(from.channels));
    for (std::size_t b = 0; b < batch_; ++b) {
      const std::size_t p = s == Split::training ? teaching_[i * batch_ + b] : i * batch_ + b;
      std::copy_n(from.pixels.data() + p * bytes, bytes, frame.image.data + b * bytes);
      frame.labels.push_back(from.labels[p]);
    }
    return frame;
  }

  bool labelled() const override { return true; }
  int classes() const override { return stored_.classes; }
  std::string fingerprint() const override { return stored_.fingerprint; }

 private:
  const PictureSet& pictures(Split s) {
    if (s == Split::calibration) {
      if (calibration_.count() == 0) calibration_ = stored_.train(size(s) * batch_);
      return calibration_;
    }
    if (s != Split::training) return test_;
    if (training_.count() == 0) {
      training_ = stored_.train(train_count_);
      leave_out_copies();
    }
    return training_;
  }

  /// Collections hold a few pictures twice: what is in the test set is not learnt from.
  void leave_out_copies() {
    const std::size_t bytes = test_.bytes_each();
    const auto content = [bytes](const PictureSet& set, std::size_t p) {
      return std::string_view(reinterpret_cast<const char*>(set.pixels.data()) + p * bytes, bytes);
    };
    std::unordered_set<std::string_view> tested;
    for (std::size_t p = 0; p < test_.count(); ++p) tested.insert(content(test_, p));
    const std::size_t count = training_.count();
    std::size_t next = count;  // the next one, from the end backwards, that is no copy
    for (std::size_t p = 0; p < count && next == count; ++p)
      if (!tested.contains(content(training_, p))) next = p;
    if (next == count)
      node_.fail(fmt::format("'{}': every training picture is a test picture too, so none is left to learn from",
                             node_.path().string()));
    teaching_.resize(count);
    for (std::size_t p = count; p-- > 0;) {
      if (!tested.contains(content(training_, p))) next = p;
      teaching_[p] = next;
    }
  }

  ConfigNode node_;
  std::size_t batch_;
  StoredPictures stored_;
  std::size_t train_count_ = 0;  // that may be learnt from
  PictureSet calibration_, training_, test_;
  std::vector<std::size_t> teaching_;  // which training picture stands at each place
};

}  // namespace

std::unique_ptr<Source> open_stored_pictures(const ConfigNode& data, int batch, StoredPictures pictures) {
  return std::make_unique<StoredPictureSource>(data, batch, std::move(pictures));
}

}  // namespace rtmdl
