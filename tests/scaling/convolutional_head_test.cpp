#include "scaling/convolutional_head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace rtmdl {
namespace {

constexpr PictureShape kPairShape{2, 8, 8};
constexpr std::size_t kSides = 2;

/// Class 1: in some window of the first channel a bright cell is left of one of the second channel; class 0: right of
/// it. Where is random, so that no single cell tells.
struct Pairs {
  std::vector<Eigen::half> x;
  std::vector<float> targets;
};

Pairs pairs(std::size_t rows, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> noise(0, 0.2F);
  Pairs all;
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<float> picture(kPairShape.size());
    for (float& v : picture) v = noise(random);
    const std::size_t label = random() % 2, y = random() % 8, x = random() % 7;
    picture[y * 8 + x + (label == 1 ? 0 : 1)] += 1;
    picture[64 + y * 8 + x + (label == 1 ? 1 : 0)] += 1;
    for (const float v : picture) all.x.emplace_back(10 * v);
    for (std::size_t k = 0; k < kSides; ++k) all.targets.push_back(k == label ? 1.0F : 0.0F);
  }
  return all;
}

/// As a graph would have it.
std::vector<double> logits(const ConvolutionalClassifier& c, const Eigen::half* picture) {
  const auto side = static_cast<int>(kPairShape.rows), stride = static_cast<int>(c.convolution.stride);
  const int out = (side - 1) / stride + 1;
  std::vector<double> hidden;
  for (std::size_t h = 0; h < c.convolution.hidden; ++h)
    for (int y = 0; y < out; ++y)
      for (int x = 0; x < out; ++x) {
        double sum = c.convolution.bias[h];
        for (std::size_t in = 0; in < kPairShape.channels; ++in)
          for (int ky = 0; ky < 3; ++ky)
            for (int kx = 0; kx < 3; ++kx) {
              const int row = y * stride + ky - 1, column = x * stride + kx - 1;
              if (row < 0 || row >= side || column < 0 || column >= side) continue;
              const auto at = in * 64 + static_cast<std::size_t>(row * side + column);
              const std::size_t w = ((h * kPairShape.channels + in) * 3 + static_cast<std::size_t>(ky)) * 3;
              sum += static_cast<double>(c.convolution.weights[w + static_cast<std::size_t>(kx)]) *
                     static_cast<double>(static_cast<float>(picture[at]));
            }
        hidden.push_back(std::max(sum, 0.0));
      }
  EXPECT_EQ(hidden.size(), c.last.features);
  std::vector<double> answer;
  for (std::size_t k = 0; k < kSides; ++k) {
    double sum = c.last.bias[k];
    for (std::size_t f = 0; f < hidden.size(); ++f)
      sum += static_cast<double>(c.last.weights[k * hidden.size() + f]) * hidden[f];
    answer.push_back(sum);
  }
  return answer;
}

TEST(ConvolutionalHead, LearnsWhatNoLinearClassifierCanAndIsWhatAGraphComputes) {
  const Pairs learnt = pairs(3000, 1), other = pairs(500, 2);
  const ConvolutionalClassifier c = fit_convolutional_classifier(learnt.x, learnt.targets, kPairShape, kSides, 1);
  int right = 0;
  for (std::size_t r = 0; r < 500; ++r) {
    const auto l = logits(c, other.x.data() + r * kPairShape.size());
    right += (l[1] > l[0]) == (other.targets[2 * r + 1] > 0.5F) ? 1 : 0;
  }
  EXPECT_GT(right, 450);
}

TEST(ConvolutionalHead, IsTheSameEachTimeAndAnotherWithAnotherSeed) {
  const Pairs some = pairs(200, 3);
  const auto weights = [&](std::uint64_t seed) {
    return fit_convolutional_classifier(some.x, some.targets, kPairShape, kSides, seed).last.weights;
  };
  const auto first = weights(1);
  EXPECT_EQ(first, weights(1));
  EXPECT_NE(first, weights(2));
}

TEST(ConvolutionalHead, StopsWhenItIsTold) {
  const Pairs some = pairs(200, 4);
  const auto c = fit_convolutional_classifier(some.x, some.targets, kPairShape, kSides, 1, [] { return true; });
  for (const float w : c.convolution.weights) EXPECT_TRUE(std::isfinite(w));
  EXPECT_EQ(c.last.bias, std::vector<float>(kSides, 0.0F));
}

}  // namespace
}  // namespace rtmdl
