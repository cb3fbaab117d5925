#include "scaling/class_centroids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace rtmdl {
namespace {

constexpr std::size_t kCloudFeatures = 3, kClouds = 4;
constexpr float kCloudCentres[kClouds][kCloudFeatures] = {{0, 0, 50}, {4, 0, 50}, {0, 400, 50}, {4, 400, 50}};
constexpr float kCloudDeviations[kCloudFeatures] = {1, 100, 0};  // the last says nothing

struct Clouds {
  std::vector<float> x, targets;
  std::vector<std::size_t> labels;
};

Clouds clouds(std::size_t rows, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  Clouds all;
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t label = random() % kClouds;
    for (std::size_t f = 0; f < kCloudFeatures; ++f)
      all.x.push_back(kCloudCentres[label][f] + kCloudDeviations[f] * normal(random));
    for (std::size_t k = 0; k < kClouds; ++k) all.targets.push_back(k == label ? 1.0F : 0.0F);
    all.labels.push_back(label);
  }
  return all;
}

std::vector<double> logits(const LinearClassifier& c, const float* x) {
  std::vector<double> out;
  for (std::size_t k = 0; k < c.classes; ++k) {
    double sum = c.bias[k];
    for (std::size_t f = 0; f < c.features; ++f) sum += static_cast<double>(c.weights[k * c.features + f]) * x[f];
    out.push_back(sum);
  }
  return out;
}

TEST(ClassCentroids, TheNearestIsTheAnswer) {
  const Clouds learnt = clouds(4000, 1), other = clouds(2000, 2);
  const LinearClassifier c = fit_class_centroids(learnt.x, learnt.targets, kCloudFeatures, kClouds);
  std::size_t right = 0;
  for (std::size_t r = 0; r < other.labels.size(); ++r) {
    const auto l = logits(c, other.x.data() + r * kCloudFeatures);
    right += static_cast<std::size_t>(std::max_element(l.begin(), l.end()) - l.begin()) == other.labels[r] ? 1 : 0;
  }
  EXPECT_GT(right, 1850U) << "centres are four deviations apart: 95 % lie nearest to their own";
}

TEST(ClassCentroids, LogitsAreDistancesInUnitsOfTheDeviationWithinClasses) {
  const Clouds learnt = clouds(8000, 1);
  const LinearClassifier c = fit_class_centroids(learnt.x, learnt.targets, kCloudFeatures, kClouds);
  const float x[kCloudFeatures] = {1, 300, 50};  // d² to the four: 1 + 9, 9 + 9, 1 + 1, 9 + 1
  const auto l = logits(c, x);
  const double unit = (l[2] - l[0]) / 8;
  EXPECT_GT(unit, 0);
  EXPECT_NEAR(l[2] - l[1], 16 * unit, unit);
  EXPECT_NEAR(l[2] - l[3], 8 * unit, unit);
  EXPECT_NEAR(unit, 0.5, 0.1) << "normal clouds have the density exp(−d² / 2)";
  for (const float w : c.weights) EXPECT_TRUE(std::isfinite(w));
}

TEST(ClassCentroids, AClassThatNobodySawIsNoReasonToFail) {
  Clouds learnt = clouds(500, 1);
  for (std::size_t r = 0; r < 500; ++r) {
    learnt.targets[r * kClouds] += learnt.targets[r * kClouds + 3];
    learnt.targets[r * kClouds + 3] = 0;
  }
  const LinearClassifier c = fit_class_centroids(learnt.x, learnt.targets, kCloudFeatures, kClouds);
  for (const float w : c.weights) EXPECT_TRUE(std::isfinite(w));
  for (const float b : c.bias) EXPECT_TRUE(std::isfinite(b));
}

}  // namespace
}  // namespace rtmdl
