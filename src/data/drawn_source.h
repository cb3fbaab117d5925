#pragma once
/// Sources whose pictures are drawn, so that a task can be tried with no download. What rests on them is synthetic.

#include "data/random.h"
#include "data/source.h"

#include <array>
#include <string>

namespace rtmdl {

/// Pictures of a split.
struct DrawnCounts {
  std::size_t training, calibration, evaluation, stream;
};

/// Keeps sizes, batch and seed; what is drawn is the subclass's. Picture p of a split depends on (seed, split, p)
/// alone.
class DrawnSource : public Source {
 public:
  [[nodiscard]] std::size_t size(Split s) const override { return count(s) / batch_; }
  Frame read(Split s, std::size_t i) override;
  [[nodiscard]] bool synthetic() const override { return true; }
  [[nodiscard]] std::string fingerprint() const override { return fingerprint_; }

 protected:
  /// Reads `count: {training: …, calibration: …, evaluation: …, stream: …}` and, where it is accepted, `batch`.
  /// `version` names the drawing: it changes whenever pictures do.
  DrawnSource(const ConfigNode& data, std::uint64_t seed, const DrawnCounts& standard, const std::string& version);

  /// Draws picture p of a split into `picture`, and adds its label or its boxes to the frame.
  virtual void draw(Split s, std::size_t p, cv::Mat picture, Frame& frame) = 0;
  [[nodiscard]] virtual cv::Size picture_size() const = 0;
  [[nodiscard]] Random random(Split s, std::size_t p) const;
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

 private:
  [[nodiscard]] std::size_t count(Split s) const { return counts_[static_cast<std::size_t>(s)]; }
  std::uint64_t seed_;
  std::size_t batch_ = 1;
  std::array<std::size_t, kSplits> counts_{};
  std::string fingerprint_;
};

}  // namespace rtmdl
