#include "model/edit.h"

#include "base/excerpt.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <set>
#include <unordered_set>

namespace rtmdl {
namespace {

std::optional<onnx::TensorProto> constant_value(const onnx::NodeProto& node) {
  if (!is_op(node, "Constant") || node.output_size() != 1) return std::nullopt;
  const std::string& name = node.output(0);
  if (const auto* a = attribute(node, "value"); a != nullptr && a->has_t()) {
    onnx::TensorProto tensor = a->t();
    tensor.set_name(name);
    return wrong_size(tensor).empty() ? std::optional(std::move(tensor)) : std::nullopt;
  }
  if (const auto* a = attribute(node, "value_float")) return make_scalar(name, a->f());
  if (const auto* a = attribute(node, "value_int")) {
    const std::int64_t value = a->i();
    return make_tensor(name, {}, std::span(&value, 1));
  }
  if (const auto* a = attribute(node, "value_floats")) {
    const std::int64_t n = a->floats_size();
    return make_tensor(name, Dims(&n, 1), std::span(a->floats().data(), static_cast<std::size_t>(n)));
  }
  if (const auto* a = attribute(node, "value_ints")) {
    const std::int64_t n = a->ints_size();
    return make_tensor(name, Dims(&n, 1), std::span(a->ints().data(), static_cast<std::size_t>(n)));
  }
  return std::nullopt;
}

void constants_to_initializers(Model& model) {
  std::vector<int> gone;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    if (auto tensor = constant_value(model.graph().node(i))) {
      *model.graph().add_initializer() = std::move(*tensor);
      gone.push_back(i);
    }
  }
  remove_nodes(model, gone);
}

/// Before IR version 4 weights were inputs too, which lets callers replace them: nobody does.
void drop_weight_inputs(Model& model) {
  std::unordered_set<std::string> weights;
  for (const auto& tensor : model.graph().initializer()) weights.insert(tensor.name());
  auto& inputs = *model.graph().mutable_input();
  for (int i = inputs.size() - 1; i >= 0; --i) {
    if (weights.contains(inputs[i].name())) inputs.DeleteSubrange(i, 1);
  }
  if (model.proto.ir_version() < 4) model.proto.set_ir_version(4);
}

/// A constant that says: nothing is dropped.
bool nothing(const onnx::NodeProto& node, int input, const Links& links) {
  if (node.input_size() <= input || node.input(input).empty()) return false;
  const auto* tensor = links.constant(node.input(input));
  if (tensor == nullptr || element_count(dims(*tensor)) != 1) return false;
  if (tensor->data_type() == onnx::TensorProto_DataType_BOOL)
    return tensor->has_raw_data() ? tensor->raw_data() == std::string(1, '\0')
                                  : tensor->int32_data_size() == 1 && tensor->int32_data(0) == 0;
  const auto values = floats(*tensor);
  return values && (*values)[0] == 0;
}

bool does_nothing(const onnx::NodeProto& node, const Links& links) {
  if (node.input_size() < 1 || node.output_size() < 1 || node.input(0).empty()) return false;
  if (is_op(node, "Identity")) return true;
  if (!is_op(node, "Dropout")) return false;
  const bool training = node.input_size() > 2 && !node.input(2).empty() && !nothing(node, 1, links) &&
                        !nothing(node, 2, links);  // neither of no share nor switched off
  const bool mask = node.output_size() > 1 && !node.output(1).empty() &&
                    (links.is_output(node.output(1)) || !links.consumers(node.output(1)).empty());
  return !training && !mask;
}

/// Subgraphs see the tensors of the graph around them.
void redirect_in(onnx::GraphProto& graph, const std::string& from, const std::string& to) {
  for (auto& node : *graph.mutable_node()) {
    for (auto& input : *node.mutable_input()) {
      if (input == from) input = to;
    }
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) redirect_in(*attribute.mutable_g(), from, to);
      for (auto& inner : *attribute.mutable_graphs()) redirect_in(inner, from, to);
    }
  }
}

void drop_idle_nodes(Model& model) {
  const Links links(model);
  std::vector<int> gone;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    if (!does_nothing(node, links) || links.is_output(node.output(0))) continue;
    redirect(model, node.output(0), node.input(0));
    gone.push_back(i);
  }
  remove_nodes(model, gone);
}

void name_nodes(Model& model) {
  std::set<std::string> used;
  for (auto& node : *model.graph().mutable_node()) {
    std::string stem = !node.name().empty() || node.output().empty() ? node.name() : node.output(0);
    std::string name = stem;
    for (int i = 2; name.empty() || !used.insert(name).second; ++i) name = fmt::format("{}.{}", stem, i);
    node.set_name(name);
  }
}

}  // namespace

void normalise(Model& model) {
  drop_weight_inputs(model);
  constants_to_initializers(model);
  drop_idle_nodes(model);
  drop_dead_nodes(model);
  name_nodes(model);
}

int drop_dead_nodes(Model& model) {
  const Links links(model);
  std::vector<std::string> wanted;
  for (const auto& output : model.graph().output()) wanted.push_back(output.name());
  std::unordered_set<std::string> live(wanted.begin(), wanted.end());
  std::vector<char> keep(static_cast<std::size_t>(model.graph().node_size()), 0);
  while (!wanted.empty()) {
    const std::string name = std::move(wanted.back());
    wanted.pop_back();
    const int p = links.producer(name);
    if (p < 0 || keep[static_cast<std::size_t>(p)] != 0) continue;
    keep[static_cast<std::size_t>(p)] = 1;
    for (auto& input : reads(model.graph().node(p))) {
      if (live.insert(input).second) wanted.push_back(std::move(input));
    }
  }
  std::vector<int> gone;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    if (keep[static_cast<std::size_t>(i)] == 0) gone.push_back(i);
  }
  remove_nodes(model, gone);
  auto& weights = *model.graph().mutable_initializer();
  const auto unused = [&live](const onnx::TensorProto& t) { return !live.contains(t.name()); };
  weights.erase(std::remove_if(weights.begin(), weights.end(), unused), weights.end());
  auto& hints =
      *model.graph().mutable_value_info();  // shapes of tensors that edits may have changed: ORT infers its own
  hints.Clear();
  return static_cast<int>(gone.size());
}

void redirect(Model& model, const std::string& from, const std::string& to) { redirect_in(model.graph(), from, to); }

std::string unused_name(const Model& model, const std::string& stem) {
  std::unordered_set<std::string> used;
  for (const auto& input : model.graph().input()) used.insert(input.name());
  for (const auto& tensor : model.graph().initializer()) used.insert(tensor.name());
  for (const auto& node : model.graph().node()) {
    used.insert(node.output().begin(), node.output().end());
  }
  std::string name = stem;
  for (int i = 2; used.contains(name); ++i) name = fmt::format("{}.{}", stem, i);
  return name;
}

std::string add_constant(Model& model, onnx::TensorProto tensor) {
  tensor.set_name(unused_name(model, tensor.name()));
  *model.graph().add_initializer() = std::move(tensor);
  return model.graph().initializer().rbegin()->name();
}

void remove_nodes(Model& model, const std::vector<int>& indices) {
  if (indices.empty()) return;
  const std::set<int> gone(indices.begin(), indices.end());
  google::protobuf::RepeatedPtrField<onnx::NodeProto> kept;
  auto& nodes = *model.graph().mutable_node();
  for (int i = 0; i < nodes.size(); ++i) {
    if (!gone.contains(i)) *kept.Add() = std::move(nodes[i]);
  }
  nodes.Swap(&kept);
}

std::vector<int> constant_nodes(const Model& model) {
  static const std::set<std::string> kNever{
      "RandomNormal", "RandomNormalLike",  "RandomUniform", "RandomUniformLike", "Multinomial",
      "Bernoulli",    "SequenceConstruct", "SequenceEmpty", "SplitToSequence",   "Optional"};  // random; no tensors
  std::unordered_set<std::string> known;
  for (const auto& tensor : model.graph().initializer()) known.insert(tensor.name());
  for (const auto& input : model.graph().input()) known.erase(input.name());
  std::vector<int> found;
  for (int i = 0; i < model.graph().node_size(); ++i) {
    const auto& node = model.graph().node(i);
    if (kNever.contains(node.op_type()) || !node.domain().empty() || has_subgraph(node)) continue;
    const auto inputs = reads(node);
    if (!std::all_of(inputs.begin(), inputs.end(), [&](const auto& name) { return known.contains(name); })) continue;
    known.insert(node.output().begin(), node.output().end());
    found.push_back(i);
  }
  return found;
}

int fold_constants(Model& model, const std::function<const Tensor*(const std::string&)>& value) {
  const Links links(model);
  std::vector<int> gone;
  for (const int i : constant_nodes(model)) {
    std::vector<onnx::TensorProto> made;
    for (const auto& output : model.graph().node(i).output()) {
      const Tensor* tensor = output.empty() || links.is_output(output) ? nullptr : value(output);
      if (tensor == nullptr) break;
      Tensor copy = *tensor;
      if (auto proto = make_tensor(output, copy.view())) made.push_back(std::move(*proto));
    }
    if (made.size() != static_cast<std::size_t>(model.graph().node(i).output_size())) continue;
    for (auto& tensor : made) *model.graph().add_initializer() = std::move(tensor);
    gone.push_back(i);
  }
  remove_nodes(model, gone);
  drop_dead_nodes(model);
  return static_cast<int>(gone.size());
}

std::vector<TensorSpec> model_inputs(const Model& model) {
  const Links links(model);
  std::vector<TensorSpec> inputs;
  for (const auto& input : model.graph().input()) {
    if (links.constant(input.name()) != nullptr) continue;
    if (!input.type().has_tensor_type()) {
      bad_input(fmt::format("{}: input '{}' is not a tensor", model.name, excerpt(input.name(), 160)));
    }
    TensorSpec spec;
    spec.name = input.name();
    spec.type = element_type(input.type().tensor_type().elem_type()).value_or(ElementType::f32);
    for (const auto& d : input.type().tensor_type().shape().dim()) {
      spec.shape.push_back(d.has_dim_value() && d.dim_value() > 0 ? d.dim_value() : -1);
    }
    inputs.push_back(std::move(spec));
  }
  return inputs;
}

void set_input_shape(Model& model, const std::string& input, const std::vector<std::int64_t>& shape) {
  for (auto& value : *model.graph().mutable_input()) {
    if (value.name() != input) continue;
    auto& dimensions = *value.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim();
    if (static_cast<std::size_t>(dimensions.size()) != shape.size()) {
      bad_input(fmt::format("{}: input '{}' has {} dimensions, {} were given", model.name, input, dimensions.size(),
                            shape.size()));
    }
    for (int i = 0; i < dimensions.size(); ++i) {
      const std::int64_t wanted = shape[static_cast<std::size_t>(i)];
      const std::int64_t fixed = dimensions[i].has_dim_value() ? dimensions[i].dim_value() : 0;
      if (wanted < 1) bad_input(fmt::format("{}: input '{}': dimension {} is {}", model.name, input, i, wanted));
      if (fixed > 0 && fixed != wanted) {
        bad_input(fmt::format("{}: input '{}': dimension {} is fixed at {}, {} was given", model.name, input, i, fixed,
                              wanted));
      }
      dimensions[i].set_dim_value(wanted);
    }
    return;
  }
  bad_input(fmt::format("{}: has no input '{}'", model.name, input));
}

std::optional<SpatialInput> spatial_input(const Model& model) {
  std::optional<SpatialInput> found;
  const auto channels = [](std::int64_t d) { return d == 1 || d == 3 || d == 4; };
  for (const auto& input : model_inputs(model)) {
    if (input.shape.size() != 4) continue;
    const auto& s = input.shape;
    SpatialInput spatial{input.name, 2, 3, s[2] < 0 && s[3] < 0};
    if (!channels(s[1])) {
      if (!channels(s[3])) continue;
      spatial = {input.name, 1, 2, s[1] < 0 && s[2] < 0};
    }
    if (found) return std::nullopt;
    found = spatial;
  }
  return found;
}

Model with_outputs(const Model& model, const std::vector<std::string>& tensors) {
  Model copy = model;
  copy.graph().clear_output();
  for (const auto& name : tensors) {
    const auto& outputs = model.graph().output();
    const auto known = std::find_if(outputs.begin(), outputs.end(), [&](const auto& o) { return o.name() == name; });
    if (known != outputs.end()) *copy.graph().add_output() = *known;
    else copy.graph().add_output()->set_name(name);  // the back-end infers the type
  }
  drop_dead_nodes(copy);
  return copy;
}

}  // namespace rtmdl
