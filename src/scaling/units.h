#pragma once
/// The graph cut into units: the nodes that change precision together, as ONNX Runtime's integer kernels take them.
/// Convolution + activation is one unit; so is the scalar scale and shift that may follow, which in integers is only
/// another reading of the same bytes.

#include "model/model.h"

#include <string>
#include <vector>

namespace rtmdl {

enum class UnitKind {
  fixed,   ///< no integer kernel: always float
  linear,  ///< Conv, Gemm, MatMul with constant weights; BatchNormalization, ConvTranspose (see linear_weights())
  binary,  ///< Add, Mul, MatMul of two tensors
  own,  ///< one input, a range of its own: GlobalAveragePool, AveragePool, Sigmoid, LeakyRelu, Softmax before MatMul;
        ///< Relu and Clip that no unit has absorbed (in integers a LeakyRelu whose output saturates)
  hard_sigmoid,  ///< in integers: an addition whose saturation is the clipping
  concat,
  same,  ///< moves data only, its output is read as its input is: MaxPool, Resize, Reshape, Transpose, Pad with zeros,
         ///< …
};

struct Unit {
  UnitKind kind = UnitKind::fixed;
  int node = 0;                      ///< the one that computes
  std::vector<int> absorbed;         ///< activation and scalar nodes behind it, in order
  std::vector<std::string> inputs;   ///< tensors that would be quantised (constants of Add, Mul, Concat included)
  std::vector<std::string> outputs;  ///< what the last of its nodes writes
  std::string computed;              ///< what the last node before scale and shift writes (= outputs[0] without them)
  double scale = 1, shift = 0;       ///< outputs[0] = scale · computed + shift

  [[nodiscard]] bool can_be_integer() const { return kind != UnitKind::fixed; }
};

/// Units in topological order; every node is in exactly one. Expects a normalised model of opset ≥ 13.
[[nodiscard]] std::vector<Unit> find_units(const Model& model);

}  // namespace rtmdl
