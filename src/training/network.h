#pragma once
/// The network that is trained, as a plain value: the libtorch forward pass and the ONNX writer both follow it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl::training {

/// A convolution without bias, padded by kernel/2, and its batch normalisation.
struct ConvUnit {
  std::string name;
  int in = 0;
  int out = 0;
  int kernel = 3;
  int stride = 1;
};

/// relu(second(relu(first(x))) + shortcut(x)); without a shortcut unit the identity.
struct ResidualBlock {
  ConvUnit first;
  ConvUnit second;
  std::optional<ConvUnit> shortcut;
};

struct Network {
  ConvUnit stem;  ///< followed by relu; no max-pooling, the images are small
  std::vector<ResidualBlock> blocks;
  int features = 0;  ///< after the global average pooling
  int classes = 0;
};

/// One tensor of the network. Order and names are those of parameters(); data lie in the same order.
struct ParameterSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  bool trained = true;  ///< false: running mean and variance of a batch normalisation
  [[nodiscard]] std::int64_t size() const;
};

/// The layout of ResNet-18 (He et al. 2016, table 1): four stages of two basic blocks, strides 1, 2, 2, 2, after a
/// 3x3 stem as the paper's section 4.2 has it for small images. Error(bad_input) unless there are four widths of 1 to
/// 1024.
[[nodiscard]] Network resnet18(const std::vector<int>& widths, int channels, int classes);

/// `U.weight`, `U.scale`, `U.shift`, `U.mean`, `U.variance` for every unit U in the order of the forward pass, then
/// `classifier.weight` and `classifier.bias`.
[[nodiscard]] std::vector<ParameterSpec> parameters(const Network& network);

inline constexpr double kBatchNormEpsilon = 1e-5;

}  // namespace rtmdl::training
