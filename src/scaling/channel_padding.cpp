#include "scaling/channel_padding.h"

#include "model/edit.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rtmdl {
namespace {

/// A set of tensors that have the same channels, and the convolutions that make and read them.
struct Family {
  std::set<std::string> tensors;
  std::set<int> makers, depthwise, readers;
};

class PaddingFinder {
 public:
  explicit PaddingFinder(const Model& model) : model_(model), links_(model) {}

  std::optional<Family> around(int depthwise) const {
    Family f;
    const std::int64_t channels = weights(depthwise)->dims(0);
    std::vector<std::string> queue;
    const auto join = [&](const std::string& tensor) {
      if (f.tensors.insert(tensor).second) queue.push_back(tensor);
    };
    join(node(depthwise).input(0));
    while (!queue.empty()) {
      const std::string tensor = std::move(queue.back());
      queue.pop_back();
      const int maker = links_.producer(tensor);
      if (maker < 0 || links_.is_output(tensor) || !made(maker, channels, f, join)) return std::nullopt;
      for (const int r : links_.consumers(tensor)) {
        if (!read(r, tensor, channels, f, join)) return std::nullopt;
      }
    }
    return f;
  }

  bool is_depthwise(int i) const {
    const auto* w = is_op(node(i), "Conv") ? weights(i) : nullptr;
    return w != nullptr && w->dims_size() == 4 && w->dims(1) == 1 && w->dims(0) > 1 && group(i) == w->dims(0);
  }

  const onnx::TensorProto* weights(int i) const {
    const auto* w = node(i).input_size() > 1 ? links_.constant(node(i).input(1)) : nullptr;
    return w != nullptr && w->data_type() == onnx::TensorProto_DataType_FLOAT ? w : nullptr;
  }

 private:
  const onnx::NodeProto& node(int i) const { return model_.graph().node(i); }
  std::int64_t group(int i) const { return attribute_or(node(i), "group", std::int64_t{1}); }

  bool dense(int i) const {
    const auto* w = is_op(node(i), "Conv") ? weights(i) : nullptr;
    return w != nullptr && w->dims_size() == 4 && group(i) == 1 && constant_bias(i);
  }

  bool constant_bias(int i) const {
    return node(i).input_size() < 3 || node(i).input(2).empty() || links_.constant(node(i).input(2)) != nullptr;
  }

  /// Whether channel c of the output comes from channel c of the input(s) alone, and is finite where that is zero.
  bool keeps_channels(int i) const {
    static const std::set<std::string> kOps{"Relu", "Clip",    "Sigmoid",     "HardSigmoid", "LeakyRelu",
                                            "Tanh", "MaxPool", "AveragePool", "Elu",         "GlobalAveragePool"};
    return kOps.contains(node(i).op_type()) && node(i).output_size() == 1;
  }

  bool sum_or_product(int i) const {
    if (!is_op(node(i), "Add") && !is_op(node(i), "Mul")) return false;
    return std::none_of(node(i).input().begin(), node(i).input().end(), [&](const auto& name) {
      const auto* c = links_.constant(name);
      return c != nullptr && element_count(dims(*c)) != 1;
    });
  }

  template <typename Join>
  void join_operands(int i, Join&& join) const {
    for (const auto& name : node(i).input()) {
      if (links_.constant(name) == nullptr) join(name);
    }
    join(node(i).output(0));
  }

  template <typename Join>
  bool made(int i, std::int64_t channels, Family& f, Join&& join) const {
    if (is_depthwise(i) && constant_bias(i)) {
      f.depthwise.insert(i);
      join(node(i).input(0));
      return weights(i)->dims(0) == channels;
    }
    if (dense(i)) {
      f.makers.insert(i);
      return weights(i)->dims(0) == channels;
    }
    if (keeps_channels(i)) {
      join(node(i).input(0));
      return true;
    }
    if (!sum_or_product(i)) return false;
    join_operands(i, join);
    return true;
  }

  template <typename Join>
  bool read(int i, const std::string& tensor, std::int64_t channels, Family& f, Join&& join) const {
    if (node(i).input(0) == tensor && is_depthwise(i) && constant_bias(i)) {
      f.depthwise.insert(i);
      join(node(i).output(0));
      return weights(i)->dims(0) == channels;
    }
    if (node(i).input(0) == tensor && dense(i)) {
      f.readers.insert(i);
      return weights(i)->dims(1) == channels;
    }
    if (node(i).input(0) == tensor && keeps_channels(i)) {
      join(node(i).output(0));
      return true;
    }
    if (!sum_or_product(i)) return false;
    join_operands(i, join);
    return true;
  }

  const Model& model_;
  Links links_;
};

/// Zeros at the end of dimension 0 or 1.
onnx::TensorProto padded(const onnx::TensorProto& tensor, std::size_t axis, std::int64_t extra) {
  auto shape = dims(tensor);
  const auto values = floats(tensor).value_or(std::vector<float>());
  const std::size_t row = element_count(std::span(shape).subspan(axis));
  const std::size_t more = row / static_cast<std::size_t>(shape[axis]) * static_cast<std::size_t>(extra);
  std::vector<float> out;
  out.reserve(values.size() / row * (row + more));
  for (std::size_t begin = 0; begin < values.size(); begin += row) {
    const auto from = values.begin() + static_cast<std::ptrdiff_t>(begin);
    out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(row));
    out.resize(out.size() + more, 0);
  }
  shape[axis] += extra;
  return make_tensor(tensor.name() + ".padded", shape, std::span<const float>(out));
}

void pad_input(Model& model, int index, int place, std::size_t axis, std::int64_t extra) {
  if (model.graph().node(index).input_size() <= place || model.graph().node(index).input(place).empty()) return;
  const Links links(model);
  const std::string name =
      add_constant(model, padded(*links.constant(model.graph().node(index).input(place)), axis, extra));
  model.graph().mutable_node(index)->set_input(place, name);
}

void pad(Model& model, const Family& f, std::int64_t channels, std::int64_t extra) {
  for (const std::set<int>* nodes : {&f.makers, &f.depthwise}) {
    for (const int i : *nodes) {
      pad_input(model, i, 1, 0, extra);
      pad_input(model, i, 2, 0, extra);
    }
  }
  for (const int i : f.depthwise) set_attribute(*model.graph().mutable_node(i), "group", channels + extra);
  for (const int i : f.readers) pad_input(model, i, 1, 1, extra);
}

}  // namespace

int pad_depthwise_channels(Model& model, int multiple) {
  int changed = 0;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const PaddingFinder finder(model);
    if (!finder.is_depthwise(i)) continue;
    const std::int64_t channels = finder.weights(i)->dims(0);
    const std::int64_t extra = (multiple - channels % multiple) % multiple;
    if (extra == 0 || 3 * extra > channels) continue;
    const auto family = finder.around(i);
    if (!family || family->makers.empty()) continue;
    pad(model, *family, channels, extra);
    changed += static_cast<int>(family->depthwise.size());
  }
  if (changed > 0) drop_dead_nodes(model);
  return changed;
}

}  // namespace rtmdl
