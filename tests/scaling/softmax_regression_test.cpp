#include "scaling/softmax_regression.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace rtmdl {
namespace {

struct Task {
  std::vector<float> x, targets;
};

/// Features of very different scales and correlated; classes by a linear rule.
Task drawn(std::size_t rows, std::size_t features, std::size_t classes, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> rule(features * classes);
  for (float& w : rule) w = normal(random);
  Task task;
  for (std::size_t r = 0; r < rows; ++r) {
    std::vector<float> plain(features);
    const float common = normal(random);
    for (float& v : plain) v = 0.5F * normal(random) + common;
    std::vector<float> p(classes, 0);
    for (std::size_t c = 0; c < classes; ++c)
      for (std::size_t f = 0; f < features; ++f) p[c] += rule[c * features + f] * plain[f];
    const float most = *std::max_element(p.begin(), p.end());
    float sum = 0;
    for (float& v : p) sum += v = std::exp(v - most);
    for (float& v : p) v /= sum;
    for (std::size_t f = 0; f < features; ++f)
      task.x.push_back(plain[f] * std::pow(10.0F, static_cast<float>(f % 5) - 2) + 3);
    task.targets.insert(task.targets.end(), p.begin(), p.end());
  }
  return task;
}

std::vector<float> answer(const LinearClassifier& c, const float* x) {
  std::vector<float> p(c.classes);
  for (std::size_t k = 0; k < c.classes; ++k) {
    double sum = c.bias[k];
    for (std::size_t f = 0; f < c.features; ++f) sum += static_cast<double>(c.weights[k * c.features + f]) * x[f];
    p[k] = static_cast<float>(sum);
  }
  const float most = *std::max_element(p.begin(), p.end());
  float sum = 0;
  for (float& v : p) sum += v = std::exp(v - most);
  for (float& v : p) v /= sum;
  return p;
}

double apart(const LinearClassifier& c, const Task& task) {
  double sum = 0;
  const std::size_t rows = task.x.size() / c.features;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto p = answer(c, task.x.data() + r * c.features);
    for (std::size_t k = 0; k < c.classes; ++k) sum += std::fabs(p[k] - task.targets[r * c.classes + k]);
  }
  return sum / static_cast<double>(rows);
}

TEST(SoftmaxRegression, FindsTheRuleThatDrewTheTargets) {
  const Task task = drawn(3000, 12, 4, 1);
  const LinearClassifier c = fit_softmax_regression(task.x, task.targets, 12, 4);
  EXPECT_EQ(c.weights.size(), 48U);
  EXPECT_LT(apart(c, task), 0.1);
}

TEST(SoftmaxRegression, AFeatureThatNeverChangesSaysNothing) {
  Task task = drawn(700, 6, 3, 2);
  for (std::size_t r = 0; r < 700; ++r) task.x[r * 6 + 2] = 5;
  const LinearClassifier c = fit_softmax_regression(task.x, task.targets, 6, 3);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(c.weights[k * 6 + 2], 0);
  for (const float w : c.weights) EXPECT_TRUE(std::isfinite(w));
}

TEST(SoftmaxRegression, NoiseIsNotLearnt) {
  Task task = drawn(300, 120, 3, 3);
  std::mt19937 random(1);
  std::vector<float> shuffled;
  for (std::size_t r = 0; r < 300; ++r) {
    const std::size_t k = random() % 3;
    for (std::size_t c = 0; c < 3; ++c) shuffled.push_back(c == k ? 1.0F : 0.0F);
  }
  const LinearClassifier c = fit_softmax_regression(task.x, shuffled, 120, 3);
  double surest = 0;
  for (std::size_t r = 0; r < 300; ++r) {
    const auto p = answer(c, task.x.data() + r * 120);
    surest += *std::max_element(p.begin(), p.end()) / 300;
  }
  EXPECT_LT(surest, 0.6) << "with more features than a class has rows it could be sure of each";
}

TEST(SoftmaxRegression, IsTheSameEachTime) {
  const Task task = drawn(500, 8, 3, 4);
  EXPECT_EQ(fit_softmax_regression(task.x, task.targets, 8, 3).weights,
            fit_softmax_regression(task.x, task.targets, 8, 3).weights);
}

TEST(SoftmaxRegression, StopsWhenItIsTold) {
  const Task task = drawn(500, 8, 3, 4);
  const LinearClassifier c = fit_softmax_regression(task.x, task.targets, 8, 3, [] { return true; });
  for (const float w : c.weights) EXPECT_EQ(w, 0);
}

}  // namespace
}  // namespace rtmdl
