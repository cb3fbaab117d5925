#include "scaling/exit_fits.h"

#include "base/thread_placement.h"
#include "scaling/class_centroids.h"
#include "scaling/half.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

namespace rtmdl {

ExitFits::ExitFits(const std::vector<ExitPlace>& places, std::size_t most_features, std::size_t classes)
    : classes_(classes) {
  for (std::size_t p = 0; p < places.size(); ++p) {
    readings_.push_back(coarse_reading(places[p], most_features));
    if (auto fine = fine_reading(places[p])) readings_.push_back(std::move(*fine));
    places_.resize(readings_.size(), p);
  }
  features_.resize(readings_.size());
}

std::size_t ExitFits::bytes_each(const std::vector<ExitPlace>& places, std::size_t most_features) {
  std::size_t features = 0;
  for (const ExitReading& reading : ExitFits(places, most_features, 0).readings_) features += reading.features();
  return features * sizeof(Eigen::half);
}

void ExitFits::add(std::size_t reading, std::span<const float> values) {
  std::vector<Eigen::half>& to = features_[reading];
  for (const float v : values) to.emplace_back(std::clamp(v, -kHalfMax, kHalfMax));
}

void ExitFits::add_target(std::span<const float> target) {
  targets_.insert(targets_.end(), target.begin(), target.end());
}

std::vector<FittedHead> ExitFits::fit(std::uint64_t seed, const std::function<bool()>& stopping) {
  std::vector<std::vector<FittedHead>> fitted(readings_.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t r = next++; r < readings_.size() && !stopping(); r = next++) fitted[r] = fit_to(r, seed, stopping);
  };
  {
    std::vector<std::jthread> workers;
    const std::size_t threads = std::min(available_cores().size(), readings_.size());
    for (std::size_t t = 0; t < threads; ++t) workers.emplace_back(work);
  }
  if (stopping()) return {};
  std::vector<FittedHead> all;
  for (auto& heads : fitted) std::move(heads.begin(), heads.end(), std::back_inserter(all));
  return all;
}

std::vector<FittedHead> ExitFits::fit_to(std::size_t reading, std::uint64_t seed,
                                         const std::function<bool()>& stopping) {
  const std::vector<Eigen::half> x = std::exchange(features_[reading], {});
  const ExitReading& from = readings_[reading];
  if (from.convolved) {
    const PictureShape shape{static_cast<std::size_t>(from.place.shape[1]), static_cast<std::size_t>(from.grid[0]),
                             static_cast<std::size_t>(from.grid[1])};
    ConvolutionalClassifier c = fit_convolutional_classifier(x, targets_, shape, classes_, seed, stopping);
    return {{{from, std::move(c.last), std::move(c.convolution)}, places_[reading], false}};
  }
  const std::vector<float> floats(x.begin(), x.end());
  const std::size_t width = from.features();
  return {{{from, fit_softmax_regression(floats, targets_, width, classes_, stopping), {}}, places_[reading], false},
          {{from, fit_class_centroids(floats, targets_, width, classes_), {}}, places_[reading], true}};
}

}  // namespace rtmdl
