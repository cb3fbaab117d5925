#include "model/edit.h"
#include "model/fold.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>

namespace rtmdl {
namespace {

/// Only the first dimension, the batch, may be free.
bool takes_one_shape(const Model& model) {
  for (const TensorSpec& input : model_inputs(model))
    for (std::size_t d = 1; d < input.shape.size(); ++d)
      if (input.shape[d] < 0) return false;
  return true;
}

/// One spatial axis: which taps meet the input, and the padding that is left without the others.
struct Axis {
  std::int64_t size = 0, kernel = 1, stride = 1, dilation = 1, before = 0, after = 0;
  std::int64_t first = 0, last = 0;  ///< taps that are used

  void find_used() {
    const std::int64_t reach = dilation * (kernel - 1) + 1;
    const std::int64_t places = (size + before + after - reach) / stride + 1;
    std::int64_t low = kernel, high = -1;
    for (std::int64_t i = 0; i < places; ++i)
      for (std::int64_t t = 0; t < kernel; ++t) {
        const std::int64_t at = i * stride - before + t * dilation;
        if (at < 0 || at >= size) continue;
        low = std::min(low, t);
        high = std::max(high, t);
      }
    first = 0;
    last = kernel - 1;
    // What is cut off must have been over padding: the places stay where they are.
    if (low > high || before < low * dilation || after < (kernel - 1 - high) * dilation) return;
    first = low;
    last = high;
  }
  [[nodiscard]] bool cut() const { return last - first + 1 < kernel; }
};

bool cut(Model& model, onnx::NodeProto& node, const Links& links, const TensorSpecs& specs) {
  const auto* weights = node.input_size() > 1 ? links.constant(node.input(1)) : nullptr;
  const auto input = specs.find(node.input(0));
  if (weights == nullptr || input == specs.end() || attribute_or(node, "auto_pad", "NOTSET") != std::string("NOTSET"))
    return false;
  const auto values = floats(*weights);
  const auto shape = dims(*weights);
  const auto pads = integers_attribute(node, "pads");
  if (!values || weights->data_type() != onnx::TensorProto::FLOAT || shape.size() != 4 || pads.size() != 4 ||
      input->second.shape.size() != 4)
    return false;
  const auto strides = integers_attribute(node, "strides"), dilations = integers_attribute(node, "dilations");
  std::array<Axis, 2> axes;
  for (std::size_t a = 0; a < 2; ++a) {
    axes[a].size = input->second.shape[a + 2];
    axes[a].kernel = shape[a + 2];
    axes[a].stride = strides.size() == 2 ? strides[a] : 1;
    axes[a].dilation = dilations.size() == 2 ? dilations[a] : 1;
    axes[a].before = pads[a];
    axes[a].after = pads[a + 2];
    axes[a].find_used();
  }
  if (!axes[0].cut() && !axes[1].cut()) return false;
  const std::int64_t rows = axes[0].last - axes[0].first + 1, columns = axes[1].last - axes[1].first + 1;
  std::vector<float> kept;
  kept.reserve(static_cast<std::size_t>(shape[0] * shape[1] * rows * columns));
  for (std::int64_t filter = 0; filter < shape[0] * shape[1]; ++filter)
    for (std::int64_t r = axes[0].first; r <= axes[0].last; ++r)
      for (std::int64_t c = axes[1].first; c <= axes[1].last; ++c)
        kept.push_back((*values)[static_cast<std::size_t>((filter * shape[2] + r) * shape[3] + c)]);
  const std::array<std::int64_t, 4> now{shape[0], shape[1], rows, columns};
  std::array<std::int64_t, 4> left{};
  for (std::size_t a = 0; a < 2; ++a) {
    left[a] = axes[a].before - axes[a].first * axes[a].dilation;
    left[a + 2] = axes[a].after - (axes[a].kernel - 1 - axes[a].last) * axes[a].dilation;
  }
  const std::array<std::int64_t, 2> kernel{rows, columns};
  set_attribute(node, "pads", left);
  set_attribute(node, "kernel_shape", kernel);
  const std::string name = weights->name();
  if (links.consumers(name).size() == 1) {
    for (auto& tensor : *model.graph().mutable_initializer())
      if (tensor.name() == name) tensor = make_tensor(name, now, std::span<const float>(kept));
  } else {
    node.set_input(1, add_constant(model, make_tensor(name, now, std::span<const float>(kept))));
  }
  return true;
}

}  // namespace

int cut_unused_taps(Model& model, const TensorSpecs& specs) {
  if (!takes_one_shape(model)) return 0;
  int smaller = 0;
  auto links = std::make_unique<Links>(model);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    onnx::NodeProto& node = *model.graph().mutable_node(i);
    if (!is_op(node, "Conv") || !cut(model, node, *links, specs)) continue;
    ++smaller;
    links = std::make_unique<Links>(model);
  }
  return smaller;
}

}  // namespace rtmdl
