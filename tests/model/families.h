#pragma once
/// A small network and narrower forms of it, as pruning makes them, for tests.

#include "model/models.h"
#include "model/tensor_slice.h"

#include <map>
#include <string>
#include <vector>

namespace rtmdl::test {

/// Two convolutions and a classifier.
inline Model small_net(std::int64_t first, std::int64_t second, std::uint32_t seed = 1) {
  ModelMaker m(17, seed);
  std::string x = m.node("Relu", {m.conv(m.input("x", {1, 3, 16, 16}), 3, first, 3, 2)});
  x = m.node("Relu", {m.conv(x, first, second, 3, 2)});
  x = m.node("Flatten", {m.node("GlobalAveragePool", {x})});
  m.node("Gemm", {x, m.weights({10, second}), m.weights({10})});
  set_attribute(m.last(), "transB", std::int64_t{1});
  m.last().set_output(0, "y");
  m.output("y");
  return m.model();
}

struct Narrow {
  Model model;
  std::map<std::string, std::vector<Positions>> indices;  ///< by initializer and axis: which positions they are
};

/// small_net() with the given channels only, as prune() would make it.
inline Narrow narrow(const Model& net, const Positions& first, const Positions& second) {
  Narrow out{net, {}};
  auto& tensors = *out.model.graph().mutable_initializer();
  const std::vector<std::vector<Positions>> taken{
      {first, {}, {}, {}}, {first}, {second, first, {}, {}}, {second}, {{}, second}};
  for (std::size_t i = 0; i < taken.size(); ++i) {
    onnx::TensorProto& tensor = tensors[static_cast<int>(i)];
    const TensorSlice slice{dims(tensor), taken[i]};
    out.indices[tensor.name()] = taken[i];
    tensor.set_raw_data(cut_slice(slice, 4, tensor.raw_data()));
    const auto shape = shape_of(slice);
    tensor.mutable_dims()->Assign(shape.begin(), shape.end());
  }
  return out;
}

inline Positions every(std::int64_t step, std::int64_t from, std::int64_t to) {
  Positions p;
  for (std::int64_t i = from; i < to; i += step) p.push_back(i);
  return p;
}

}  // namespace rtmdl::test
