#include "data/drawn_source.h"

#include "base/hash.h"
#include "data/input_files.h"
#include "data/sources.h"

#include <utility>

#include <fmt/format.h>

namespace rtmdl {
namespace {
constexpr std::int64_t kMostPictures = 10'000'000;
}

DrawnSource::DrawnSource(const ConfigNode& data, std::uint64_t seed, const DrawnCounts& standard,
                         const std::string& version)
    : seed_(seed), fingerprint_(sha256(version + "\n" + fingerprint_of(data, seed, {}))) {
  if (const auto batch = data["batch"]; batch.present()) batch_ = static_cast<std::size_t>(batch.integer(1, 4096));
  const ConfigNode counts = data["count"];
  if (counts.present()) {
    counts.require_map("a map such as {training: 20000, evaluation: 2000}");
    counts.allow({"training", "calibration", "evaluation", "stream"});
  }
  const std::pair<Split, std::pair<const char*, std::size_t>> splits[] = {
      {Split::training, {"training", standard.training}},
      {Split::calibration, {"calibration", standard.calibration}},
      {Split::evaluation, {"evaluation", standard.evaluation}},
      {Split::stream, {"stream", standard.stream}}};
  for (const auto& [split, named] : splits) {
    std::size_t& kept = counts_[static_cast<std::size_t>(split)];
    const auto given = counts.is_map() ? counts[named.first] : ConfigNode{};
    kept = given.present() ? static_cast<std::size_t>(given.integer(1, kMostPictures)) : named.second;
    if (kept < batch_)
      data["batch"].fail(fmt::format("{} is more than the {} pictures of the split {}", batch_, kept, named.first));
  }
}

Random DrawnSource::random(Split s, std::size_t p) const { return Random(seed_, purpose::of(s), p); }

Frame DrawnSource::read(Split s, std::size_t i) {
  Frame frame;
  frame.index = static_cast<std::int64_t>(i);
  frame.restart = i == 0;
  frame.batch = static_cast<int>(batch_);
  const cv::Size size = picture_size();
  frame.image = cv::Mat(size.height * frame.batch, size.width, CV_8UC3);
  for (int b = 0; b < frame.batch; ++b)
    draw(s, i * batch_ + static_cast<std::size_t>(b), frame.image.rowRange(b * size.height, (b + 1) * size.height),
         frame);
  return frame;
}

}  // namespace rtmdl
