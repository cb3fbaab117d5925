#include "model/edit.h"
#include "model/fold.h"
#include "model/scale_shift.h"
#include "model/tensor_data.h"

#include <cmath>

namespace rtmdl {
namespace {

bool near(double a, double b) { return std::fabs(a - b) <= 1e-5 * std::fabs(b); }

/// The only reader of the node's output; -1 if there is none or more, or the output leaves the graph.
int only_reader(const Links& links, const onnx::NodeProto& node) {
  if (node.output_size() != 1 || !links.private_to_one(node.output(0))) return -1;
  return links.consumers(node.output(0)).front();
}

std::string other_input(const onnx::NodeProto& node, const Links& links) {
  if (node.input_size() != 2) return {};
  const bool first = links.constant(node.input(0)) != nullptr;
  const bool second = links.constant(node.input(1)) != nullptr;
  return first == second ? std::string() : node.input(first ? 1 : 0);
}

std::optional<ScaleShift> step(const Model& model, const Links& links, int index, std::string& x) {
  const auto& node = model.graph().node(index);
  x = other_input(node, links);
  return x.empty() ? std::nullopt : scalar_scale_shift(node, links, x);
}

/// Clip(x + c, 0, h): the index of the addition, x, c and h.
struct Ramp {
  std::string x;
  double c = 0, h = 0;
};

std::optional<Ramp> ramp(const Model& model, const Links& links, const onnx::NodeProto& clip) {
  if (!is_op(clip, "Clip") || clip.input_size() != 3 || clip.output_size() != 1) return std::nullopt;
  const auto low = scalar_constant(links, clip.input(1));
  const auto high = scalar_constant(links, clip.input(2));
  const int add = links.producer(clip.input(0));
  if (low != 0.0 || !high || !(*high > 0) || *high > 1e6 || add < 0 || !links.private_to_one(clip.input(0))) {
    return std::nullopt;
  }
  Ramp r;
  const auto s = step(model, links, add, r.x);
  if (!s || s->scale[0] != 1) return std::nullopt;
  r.c = s->shift[0];
  r.h = *high;
  return r;
}

/// The factor h that HardSigmoid leaves: into the scalar factor that follows, or one Mul of its own after `index`.
void multiply_after(Model& model, int index, double h) {
  const Links links(model);
  const std::string y = model.graph().node(index).output(0);
  const int reader = only_reader(links, model.graph().node(index));
  std::string x;
  const auto s = reader >= 0 ? step(model, links, reader, x) : std::nullopt;
  if (s && s->shift[0] == 0) {
    const double factor = h * s->scale[0];
    if (near(factor, 1) && !links.is_output(model.graph().node(reader).output(0))) {
      redirect(model, model.graph().node(reader).output(0), y);
      remove_nodes(model, {reader});
      return;
    }
    const std::string c = add_constant(model, make_scalar(y + ".factor", static_cast<float>(factor)));
    auto& node = *model.graph().mutable_node(reader);
    node.set_op_type("Mul");
    node.set_input(0, x);
    node.set_input(1, c);
    return;
  }
  const std::string c = add_constant(model, make_scalar(y + ".factor", static_cast<float>(h)));
  const std::string before = unused_name(model, y + ".unscaled");
  model.graph().mutable_node(index)->set_output(0, before);
  onnx::NodeProto mul;
  mul.set_op_type("Mul");
  mul.set_name(y + ".factor");
  mul.add_input(before);
  mul.add_input(c);
  mul.add_output(y);
  *model.graph().add_node() = std::move(mul);
  check_model(model);  // sorts
}

bool fold_one_hard_sigmoid(Model& model) {
  const Links links(model);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto r = ramp(model, links, model.graph().node(i));
    if (!r) continue;
    auto& node = *model.graph().mutable_node(i);
    const int reader = only_reader(links, node);
    // hard-swish multiplies by x before it divides: the factor goes behind that product.
    const bool product = reader >= 0 && is_op(model.graph().node(reader), "Mul") &&
                         model.graph().node(reader).input_size() == 2 &&
                         other_input(model.graph().node(reader), links).empty() &&
                         model.graph().node(reader).input(0) != model.graph().node(reader).input(1);
    node.set_op_type("HardSigmoid");
    node.clear_input();
    node.add_input(r->x);
    set_attribute(node, "alpha", static_cast<float>(1 / r->h));
    set_attribute(node, "beta", static_cast<float>(r->c / r->h));
    if (!near(r->h, 1)) multiply_after(model, product ? reader : i, r->h);
    return true;
  }
  return false;
}

bool merge_one_run(Model& model) {
  const Links links(model);
  for (int i = 0; i < model.graph().node_size(); ++i) {
    std::string x;
    const auto first = step(model, links, i, x);
    const int reader = first ? only_reader(links, model.graph().node(i)) : -1;
    std::string y;
    const auto second = reader >= 0 ? step(model, links, reader, y) : std::nullopt;
    if (!second) continue;
    const double scale = first->scale[0] * second->scale[0];
    const double shift = first->shift[0] * second->scale[0] + second->shift[0];
    const bool one_left = scale == 1 || shift == 0;
    const bool in_order = is_op(model.graph().node(i), "Mul") && is_op(model.graph().node(reader), "Add");
    if (in_order && !one_left) continue;
    const std::string factor = add_constant(model, make_scalar(x + ".factor", static_cast<float>(scale)));
    const std::string summand = add_constant(model, make_scalar(x + ".summand", static_cast<float>(shift)));
    const auto become = [&](int index, const char* op, const std::string& input, const std::string& c) {
      auto& node = *model.graph().mutable_node(index);
      node.set_op_type(op);
      node.clear_input();
      node.add_input(input);
      node.add_input(c);
    };
    const std::string middle = model.graph().node(i).output(0);
    if (one_left) {
      become(reader, scale == 1 ? "Add" : "Mul", x, scale == 1 ? summand : factor);
      remove_nodes(model, {i});
    } else {
      become(i, "Mul", x, factor);
      become(reader, "Add", middle, summand);
    }
    return true;
  }
  return false;
}

}  // namespace

int fold_hard_sigmoid(Model& model) {
  int n = 0;
  while (fold_one_hard_sigmoid(model)) ++n;
  if (n > 0) drop_dead_nodes(model);
  return n;
}

int merge_scalar_runs(Model& model) {
  int n = 0;
  while (merge_one_run(model)) ++n;
  if (n > 0) drop_dead_nodes(model);
  return n;
}

}  // namespace rtmdl
