#pragma once
/// A shape for every tensor without running the model: as common operators have it, else something. For broken models,
/// of which no run tells.

#include "model/cost.h"
#include "model/edit.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rtmdl::test {

/// `random(n)` gives 0 to n - 1. Dimensions stay small: a shape is looked at index by index.
inline TensorSpecs made_up_specs(const Model& model, const std::function<std::size_t(std::size_t)>& random) {
  static constexpr std::int64_t kMost = 600;
  TensorSpecs specs;
  const Links links(model);
  const auto small = [](std::int64_t d) { return std::clamp<std::int64_t>(d, 1, kMost); };
  for (TensorSpec input : model_inputs(model)) {
    for (auto& d : input.shape) d = d < 0 ? 4 : small(d);
    specs[input.name] = std::move(input);
  }
  const auto shape_of = [&](const onnx::NodeProto& node, int k) -> std::vector<std::int64_t> {
    if (k >= node.input_size()) return {};
    if (const auto* tensor = links.constant(node.input(k))) return dims(*tensor);
    const auto it = specs.find(node.input(k));
    return it == specs.end() ? std::vector<std::int64_t>() : it->second.shape;
  };
  const auto odd = [&] {
    std::vector<std::int64_t> shape(random(5));
    for (auto& d : shape) d = static_cast<std::int64_t>(random(17));
    return shape;
  };
  for (const auto& node : model.graph().node()) {
    const std::vector<std::int64_t> x = shape_of(node, 0), w = shape_of(node, 1);
    std::vector<std::int64_t> y = x;
    if (is_op(node, "Conv") && x.size() > 2 && w.size() == x.size()) {
      y[1] = w[0];
    } else if (is_op(node, "Gemm") && x.size() == 2 && w.size() == 2) {
      y[1] = w[attribute_or(node, "transB", std::int64_t{0}) != 0 ? 0 : 1];
    } else if (is_op(node, "MatMul") && !x.empty() && !w.empty()) {
      y.back() = w.back();
    } else if ((is_op(node, "Add") || is_op(node, "Mul")) && w.size() > x.size()) {
      y = w;
    } else if (is_op(node, "Concat") && !x.empty()) {
      auto axis = attribute_or(node, "axis", std::int64_t{0});
      if (axis < 0) axis += static_cast<std::int64_t>(x.size());
      const auto k =
          static_cast<std::size_t>(std::clamp<std::int64_t>(axis, 0, static_cast<std::int64_t>(x.size()) - 1));
      for (int i = 1; i < node.input_size(); ++i) {
        const auto more = shape_of(node, i);
        y[k] = std::min(kMost, y[k] + (k < more.size() ? more[k] : 0));
      }
    } else if (is_op(node, "GlobalAveragePool")) {
      for (std::size_t d = 2; d < y.size(); ++d) y[d] = 1;
    } else if (is_op(node, "Flatten")) {
      std::int64_t rest = 1;
      for (std::size_t d = 1; d < x.size(); ++d) rest = std::min(kMost, rest * x[d]);
      y = {x.empty() ? 1 : x[0], rest};
    } else if (is_op(node, "Shape")) {
      y = {static_cast<std::int64_t>(x.size())};
    } else if (is_op(node, "Transpose")) {
      const auto order = integers_attribute(node, "perm");
      for (std::size_t d = 0; d < std::min(order.size(), y.size()); ++d)
        y[d] =
            order[d] >= 0 && order[d] < static_cast<std::int64_t>(x.size()) ? x[static_cast<std::size_t>(order[d])] : 1;
    } else if (is_op(node, "Reshape")) {
      const auto* target = node.input_size() > 1 ? links.constant(node.input(1)) : nullptr;
      if (target != nullptr) y = integers(*target).value_or(std::vector<std::int64_t>());
      if (y.size() > 8) y.resize(8);
    }
    for (auto& d : y) d = small(d);
    for (const auto& output : node.output()) {
      if (output.empty()) continue;
      const ElementType type = is_op(node, "Shape") ? ElementType::i64 : ElementType::f32;
      specs[output] = {output, type, random(40) == 0 ? odd() : y};
    }
  }
  return specs;
}

}  // namespace rtmdl::test
