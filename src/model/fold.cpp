#include "model/fold.h"

#include "model/edit.h"
#include "model/scale_shift.h"
#include "model/tensor_data.h"

#include <algorithm>
#include <cmath>

namespace rtmdl {
namespace {

/// A Conv, ConvTranspose or Gemm whose float weights and bias we can rewrite.
struct Linear {
  std::vector<std::int64_t> shape;  ///< of the weights
  std::vector<float> weights, bias;
  std::size_t outputs = 0, group = 1;
  bool transposed = false;  ///< ConvTranspose: outputs in dimension 1
  bool gemm = false, columns = false;

  [[nodiscard]] std::size_t rank() const { return shape.size(); }
  /// Output channel that element i of the weights feeds.
  [[nodiscard]] std::size_t output_of(std::size_t i) const {
    const auto d = [&](std::size_t k) { return static_cast<std::size_t>(shape[k]); };
    if (gemm) return columns ? i % d(1) : i / d(1);
    const std::size_t inner = weights.size() / (d(0) * d(1));
    if (!transposed) return i / (d(1) * inner);
    const std::size_t in = i / (d(1) * inner);
    return in / (d(0) / group) * d(1) + i / inner % d(1);
  }
};

std::optional<Linear> linear(const onnx::NodeProto& node, const Links& links) {
  Linear l;
  l.gemm = is_op(node, "Gemm");
  l.transposed = is_op(node, "ConvTranspose");
  if (!l.gemm && !l.transposed && !is_op(node, "Conv")) return std::nullopt;
  if (node.input_size() < 2 || node.output_size() != 1) return std::nullopt;
  const auto* w = links.constant(node.input(1));
  if (w == nullptr || w->data_type() != onnx::TensorProto_DataType_FLOAT) return std::nullopt;
  l.shape = dims(*w);
  auto weights = floats(*w);
  if (!weights || weights->empty() || l.rank() < 2 || (l.gemm ? l.rank() != 2 : l.rank() < 3)) return std::nullopt;
  l.weights = std::move(*weights);
  const std::int64_t group = l.gemm ? 1 : attribute_or(node, "group", std::int64_t{1});
  if (group < 1 || l.shape[0] % group != 0) return std::nullopt;
  l.group = static_cast<std::size_t>(group);
  l.columns = l.gemm && attribute_or(node, "transB", std::int64_t{0}) == 0;
  if (l.gemm && (attribute_or(node, "alpha", 1.0F) != 1 || attribute_or(node, "beta", 1.0F) != 1)) return std::nullopt;
  l.outputs = static_cast<std::size_t>(l.transposed ? l.shape[1] * group : l.columns ? l.shape[1] : l.shape[0]);
  l.bias.assign(l.outputs, 0);
  if (node.input_size() > 2 && !node.input(2).empty()) {
    const auto* b = links.constant(node.input(2));
    auto bias = b != nullptr && b->data_type() == onnx::TensorProto_DataType_FLOAT ? floats(*b) : std::nullopt;
    if (!bias || bias->size() != l.outputs ||
        (b->dims_size() > 0 && b->dims(b->dims_size() - 1) != b->dims(0) &&
         b->dims(b->dims_size() - 1) != static_cast<std::int64_t>(l.outputs))) {
      return std::nullopt;
    }
    l.bias = std::move(*bias);
  }
  return l;
}

void store(Model& model, int index, const Linear& l) {
  const std::string stem = model.graph().node(index).output(0);
  const auto n = static_cast<std::int64_t>(l.outputs);
  const std::string w = add_constant(model, make_tensor(stem + ".weights", l.shape, std::span<const float>(l.weights)));
  const std::string b = add_constant(model, make_tensor(stem + ".bias", Dims(&n, 1), std::span<const float>(l.bias)));
  auto& node = *model.graph().mutable_node(index);
  node.set_input(1, w);
  while (node.input_size() < 3) node.add_input();
  node.set_input(2, b);
}

bool unpadded(const onnx::NodeProto& node) {
  const auto pads = integers_attribute(node, "pads");
  const std::string automatic = attribute_or(node, "auto_pad", "NOTSET");
  return (automatic == "NOTSET" || automatic == "VALID") &&
         std::all_of(pads.begin(), pads.end(), [](std::int64_t p) { return p == 0; });
}

/// The one input of a two-input arithmetic node that is not constant.
std::string data_input(const onnx::NodeProto& node, const Links& links) {
  std::string data;
  for (const auto& input : node.input()) {
    if (links.constant(input) != nullptr) continue;
    if (!data.empty()) return {};
    data = input;
  }
  return data;
}

/// The producer writes what the node behind it, its only reader, wrote.
void bypass(Model& model, int index, int producer) {
  model.graph().mutable_node(producer)->set_output(0, model.graph().node(index).output(0));
  remove_nodes(model, {index});
}

bool fold_one_backward(Model& model) {
  const Links links(model);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    if (node.output_size() != 1 || !links.private_to_one(node.output(0))) continue;
    const int reader = links.consumers(node.output(0)).front();
    const auto& after = model.graph().node(reader);
    if (after.op_type() != "BatchNormalization" && after.op_type() != "Mul" && after.op_type() != "Add" &&
        after.op_type() != "Sub" && after.op_type() != "Div")
      continue;
    auto l = linear(node, links);
    if (!l) continue;
    const auto s = scale_shift(after, links, node.output(0), l->rank(), l->outputs);
    if (!s) continue;
    for (std::size_t k = 0; k < l->weights.size(); ++k) {
      l->weights[k] = static_cast<float>(l->weights[k] * s->scale_at(l->output_of(k)));
    }
    for (std::size_t c = 0; c < l->outputs; ++c) {
      l->bias[c] = static_cast<float>(l->bias[c] * s->scale_at(c) + s->shift_at(c));
    }
    store(model, i, *l);
    bypass(model, reader, i);
    return true;
  }
  return false;
}

/// Whether every reader of the scaled tensor is a Conv that can take the scale and shift in.
bool all_take(const Model& model, const Links& links, const std::string& tensor, const ScaleShift& s) {
  const auto& readers = links.consumers(tensor);
  if (readers.empty() || links.is_output(tensor)) return false;
  const bool shifts = std::any_of(s.shift.begin(), s.shift.end(), [](double v) { return v != 0; });
  return std::all_of(readers.begin(), readers.end(), [&](int r) {
    const auto& conv = model.graph().node(r);
    return is_op(conv, "Conv") && conv.input(0) == tensor && linear(conv, links) && (!shifts || unpadded(conv));
  });
}

/// The convolutions that read the tensor do the scaling and shifting themselves.
void take_in(Model& model, const Links& links, const std::string& tensor, const ScaleShift& s) {
  for (const int r : links.consumers(tensor)) {
    Linear l = *linear(model.graph().node(r), links);
    std::vector<double> sum(l.outputs, 0);
    for (std::size_t k = 0; k < l.weights.size(); ++k) {
      sum[l.output_of(k)] += l.weights[k];
      l.weights[k] = static_cast<float>(l.weights[k] * s.scale[0]);
    }
    for (std::size_t c = 0; c < l.outputs; ++c) l.bias[c] = static_cast<float>(l.bias[c] + sum[c] * s.shift[0]);
    store(model, r, l);
  }
}

/// a · x + b = a · (x + b / a): of a factor and a summand before padded convolutions the factor can go.
bool swap_factor(Model& model, const Links& links, int add, const std::string& scaled, const ScaleShift& s) {
  const int mul = links.producer(scaled);
  if (s.scale[0] != 1 || mul < 0 || !links.private_to_one(scaled)) return false;
  const std::string x = data_input(model.graph().node(mul), links);
  const auto factor = x.empty() ? std::nullopt : scalar_scale_shift(model.graph().node(mul), links, x);
  if (!factor || factor->shift[0] != 0 || std::fabs(factor->scale[0]) < 1e-6) return false;
  const std::string y = model.graph().node(add).output(0);
  if (!all_take(model, links, y, *factor)) return false;
  take_in(model, links, y, *factor);
  const std::string summand =
      add_constant(model, make_scalar(y + ".summand", static_cast<float>(s.shift[0] / factor->scale[0])));
  auto& node = *model.graph().mutable_node(add);
  node.set_op_type("Add");
  node.set_input(0, x);
  node.set_input(1, summand);
  remove_nodes(model, {mul});
  return true;
}

bool fold_one_forward(Model& model) {
  const Links links(model);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    if (node.output_size() != 1 ||
        !(is_op(node, "Mul") || is_op(node, "Add") || is_op(node, "Sub") || is_op(node, "Div"))) {
      continue;
    }
    const std::string x = data_input(node, links);
    const auto s = x.empty() ? std::nullopt : scalar_scale_shift(node, links, x);
    if (!s) continue;
    if (all_take(model, links, node.output(0), *s)) {
      take_in(model, links, node.output(0), *s);
      redirect(model, node.output(0), x);
      remove_nodes(model, {i});
      return true;
    }
    if (swap_factor(model, links, i, x, *s)) return true;
  }
  return false;
}

template <typename Pass>
int repeat(Model& model, Pass pass) {
  int n = 0;
  while (pass(model)) ++n;
  if (n > 0) drop_dead_nodes(model);
  return n;
}

bool fold_one_padding(Model& model) {
  const Links links(model);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& pad = model.graph().node(i);
    if (!is_op(pad, "Pad") || pad.input_size() < 2 || pad.output_size() != 1 || links.is_output(pad.output(0)))
      continue;
    if (attribute_or(pad, "mode", "constant") != "constant" || pad.input_size() > 3) continue;
    if (pad.input_size() == 3 && !pad.input(2).empty() && scalar_constant(links, pad.input(2)) != 0.0) continue;
    const auto* amounts = links.constant(pad.input(1));
    const auto p = amounts != nullptr ? integers(*amounts) : std::nullopt;
    const auto& readers = links.consumers(pad.output(0));
    if (!p || p->size() < 6 || p->size() % 2 != 0 || readers.empty()) continue;
    const std::size_t rank = p->size() / 2;
    const bool fits = (*p)[0] == 0 && (*p)[1] == 0 && (*p)[rank] == 0 && (*p)[rank + 1] == 0 &&
                      std::all_of(p->begin(), p->end(), [](std::int64_t v) { return v >= 0 && v < 1024; });
    const bool convs = std::all_of(readers.begin(), readers.end(), [&](int r) {
      const auto& conv = model.graph().node(r);
      const auto own = integers_attribute(conv, "pads");
      return is_op(conv, "Conv") && conv.input(0) == pad.output(0) && (own.empty() || own.size() == 2 * (rank - 2)) &&
             (attribute_or(conv, "auto_pad", "NOTSET") == "NOTSET" || (unpadded(conv)));
    });
    if (!fits || !convs) continue;
    for (const int r : readers) {
      auto& conv = *model.graph().mutable_node(r);
      auto own = integers_attribute(conv, "pads");
      own.resize(2 * (rank - 2), 0);
      for (std::size_t d = 0; d + 2 < rank; ++d) {
        own[d] += (*p)[d + 2];
        own[d + rank - 2] += (*p)[rank + d + 2];
      }
      set_attribute(conv, "pads", own);
      remove_attribute(conv, "auto_pad");
    }
    redirect(model, pad.output(0), pad.input(0));
    remove_nodes(model, {i});
    return true;
  }
  return false;
}

}  // namespace

int fold_scale_shift_backward(Model& model) { return repeat(model, fold_one_backward); }
int fold_scale_shift_forward(Model& model) { return repeat(model, fold_one_forward); }
int fold_padding(Model& model) { return repeat(model, fold_one_padding); }

int fold_all(Model& model) {
  int total = 0;
  while (true) {
    const int n = fold_scale_shift_backward(model) + fold_padding(model) + fold_hard_sigmoid(model) +
                  merge_scalar_runs(model) + fold_scale_shift_forward(model);
    if (n == 0) return total;
    total += n;
  }
}

}  // namespace rtmdl
