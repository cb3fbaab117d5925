#pragma once
/// A classifier of one hidden layer on small pictures of features that somebody else computes, fitted to
/// probabilities: a 3 × 3 convolution, a rectifier, a linear classifier of what comes out.

#include "scaling/softmax_regression.h"

#include <Eigen/Core>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rtmdl {

struct PictureShape {
  std::size_t channels = 0, rows = 0, columns = 0;
  [[nodiscard]] std::size_t size() const { return channels * rows * columns; }
};

/// With a border of zeros one wide.
struct HeadConvolution {
  std::size_t hidden = 0, stride = 1;
  std::vector<float> weights;  ///< [hidden][channels][3][3]
  std::vector<float> bias;     ///< [hidden]
};

struct ConvolutionalClassifier {
  HeadConvolution convolution;
  LinearClassifier last;  ///< of [hidden][rows][columns] as the convolution leaves them
};

/// `x`: [rows][shape], as 16-bit floats since they are many; `targets`: [rows][classes], each row a distribution.
/// AdamW (Loshchilov & Hutter 2019), the rate falling to zero as a cosine; of what the last seventh of the rows, held
/// out, shows now and then, the best is kept. Equal input and seed give equal weights. Returns early, with what it
/// has, when `stopping` says so.
[[nodiscard]] ConvolutionalClassifier fit_convolutional_classifier(std::span<const Eigen::half> x,
                                                                   std::span<const float> targets,
                                                                   const PictureShape& shape, std::size_t classes,
                                                                   std::uint64_t seed,
                                                                   const std::function<bool()>& stopping = {});

}  // namespace rtmdl
