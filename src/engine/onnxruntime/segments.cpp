#include "engine/onnxruntime/segments.h"

#include "engine/onnxruntime/provider.h"
#include "model/edit.h"
#include "model/split.h"
#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <malloc.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace rtmdl {
namespace {

/// Values that are the same in every run, from one.
std::unordered_map<std::string, Tensor> values_in_a_run(const Ort::Env& env, const LoadRequest& request,
                                                        const Model& model, const std::vector<std::string>& names) {
  LoadRequest plain;
  plain.shapes = request.shapes;
  plain.constants = request.constants;
  OnnxRuntimeSession session(env, plain, serialize(with_outputs(model, names)), {}, {});
  if (!session.run())
    bad_input(fmt::format("the shapes within the model cannot be found out: {}", session.last_error()));
  std::unordered_map<std::string, Tensor> values;
  for (std::size_t i = 0; i < session.outputs().size(); ++i) {
    const TensorView view = session.output(i);
    Tensor value(view.type, {view.shape.begin(), view.shape.end()});
    std::copy(view.bytes.begin(), view.bytes.end(), value.bytes.begin());
    values.emplace(session.outputs()[i].name, std::move(value));
  }
  return values;
}

void require_fixed(const OnnxRuntimeSession& part) {
  if (part.dynamic()) bad_input("the model cannot be cut here: the shape of what crosses the cut depends on the data");
}

/// With the shapes of what it reads, which lets ONNX Runtime do more in advance; without, where a branch that these
/// shapes never take is then found to be impossible.
std::unique_ptr<OnnxRuntimeSession> open_part(const Ort::Env& env, const LoadRequest& request, Model& part,
                                              const BoundTensors& tensors, const CrossingOutputs& crossing) {
  for (const auto& [name, value] : tensors) {
    const auto info = value->GetTensorTypeAndShapeInfo();
    set_input_type(part, {name, *element_type(static_cast<int>(info.GetElementType())), info.GetShape()});
  }
  try {
    return std::make_unique<OnnxRuntimeSession>(env, request, serialize(part), tensors, crossing);
  } catch (const Ort::Exception&) {
    for (auto& input : *part.graph().mutable_input())
      if (tensors.contains(input.name())) input.mutable_type()->mutable_tensor_type()->clear_shape();
    return std::make_unique<OnnxRuntimeSession>(env, request, serialize(part), tensors, crossing);
  }
}

std::unique_ptr<OnnxRuntimeSession> open_fence(const Ort::Env& env, const LoadRequest& request) {
  Model model;
  model.proto.set_ir_version(8);
  model.proto.add_opset_import()->set_version(13);
  model.graph().set_name("fence");
  auto& add = *model.graph().add_node();
  add.set_op_type("Add");
  add.add_input("x");
  add.add_input("x");
  add.add_output("y");
  for (auto* value : {model.graph().add_input(), model.graph().add_output()}) {
    auto& type = *value->mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto_DataType_FLOAT);
    type.mutable_shape()->add_dim()->set_dim_value(1);
  }
  model.graph().mutable_input(0)->set_name("x");
  model.graph().mutable_output(0)->set_name("y");
  LoadRequest plain;
  plain.device = request.device;
  plain.provider_options = request.provider_options;
  return std::make_unique<OnnxRuntimeSession>(env, plain, serialize(model), BoundTensors{}, CrossingOutputs{});
}

}  // namespace

SegmentedSession::SegmentedSession(const Ort::Env& env, const LoadRequest& request) {
  open_parts(env, request);
  const bool in_device =
      std::any_of(parts_.begin(), parts_.end(), [](const auto& p) { return p->uses_device_memory(); });
  if (in_device && request.places.empty() && returns_early(request.device)) fence_ = open_fence(env, request);
  collect(request);
  malloc_trim(0);  // copies of the weights go back to the system: the box may be small
}

void SegmentedSession::open_parts(const Ort::Env& env, const LoadRequest& request) {
  const Model model = load_model(request.model);
  for (const TensorSpec& input : model_inputs(model)) input_names_.push_back(input.name);
  for (const auto& output : model.graph().output()) output_names_.push_back(output.name());
  std::vector<Model> models = split(model, request.cuts, [&](const std::vector<std::string>& names) {
    return values_in_a_run(env, request, model, names);
  });
  LoadRequest of_parts = request;
  of_parts.state.clear();  // fed back at the end of the whole
  for (Model& part : models) {
    CrossingOutputs crossing;
    for (std::size_t later = parts_.size() + 1; later < models.size(); ++later)
      for (const auto& input : models[later].graph().input()) crossing.names.insert(input.name());
    crossing.shown.insert(output_names_.begin(), output_names_.end());
    if (!request.places.empty()) {
      crossing.shown.insert(crossing.names.begin(), crossing.names.end());
      static_cast<ModelPlace&>(of_parts) = request.places[parts_.size()];
    }
    parts_.push_back(open_part(env, of_parts, part, tensors_, crossing));
    part = {};
    OnnxRuntimeSession& session = *parts_.back();
    for (std::size_t i = 0; i < session.inputs().size(); ++i) {
      tensors_.emplace(session.inputs()[i].name, &session.input_value(i));
      filled_.emplace(session.inputs()[i].name, session.input(i));
    }
    if (parts_.size() == models.size()) return;
    require_fixed(session);
    for (std::size_t i = 0; i < session.outputs().size(); ++i)
      tensors_.emplace(session.outputs()[i].name, &session.output_value(i));
    // What crosses is then something that can occur: the next part runs to learn its shapes.
    if (!session.run()) bad_input(fmt::format("segment {}: {}", parts_.size(), session.last_error()));
    require_fixed(session);
  }
}

/// Inputs, outputs and state of the whole, from the parts'.
void SegmentedSession::collect(const LoadRequest& request) {
  const auto is_state = [&](const std::string& name) {
    return std::any_of(request.state.begin(), request.state.end(), [&](const auto& s) { return s.second == name; });
  };
  for (const std::string& name : input_names_) {
    const auto found = filled_.find(name);
    if (found == filled_.end() || is_state(name)) continue;  // a constant, or state
    const TensorView& view = found->second;
    inputs_.push_back(view);
    input_specs_.push_back({name, view.type, {view.shape.begin(), view.shape.end()}});
  }
  for (const std::string& name : output_names_)
    for (std::size_t k = 0; k < parts_.size(); ++k) {
      const auto specs = parts_[k]->outputs();
      const auto found = std::find_if(specs.begin(), specs.end(), [&](const TensorSpec& s) { return s.name == name; });
      if (found == specs.end()) continue;
      outputs_.push_back({k, static_cast<std::size_t>(found - specs.begin())});
      output_specs_.push_back(*found);
      break;
    }
  for (const auto& [from, to] : request.state) {
    const auto out = std::find_if(output_specs_.begin(), output_specs_.end(),
                                  [&, name = &from](const TensorSpec& s) { return s.name == *name; });
    const auto in = filled_.find(to);
    if (out == output_specs_.end() || in == filled_.end()) bad_input(fmt::format("state: no '{}' or '{}'", from, to));
    feedback_.push_back({outputs_[static_cast<std::size_t>(out - output_specs_.begin())], in->second});
  }
  reset_state();
}

TensorView SegmentedSession::output(std::size_t i) noexcept {
  return parts_[outputs_[i].part]->output(outputs_[i].output);
}

bool SegmentedSession::run_segment(int k) noexcept {
  OnnxRuntimeSession& part = *parts_[static_cast<std::size_t>(k)];
  if (!part.run()) {
    last_error_ = part.last_error();
    if (fence_) static_cast<void>(fence_->run());  // what it had begun on the device is over as well
    return false;
  }
  if (k + 1 == segments()) return feed_back();
  if (!fence_ || fence_->run()) return true;
  last_error_ = fence_->last_error();
  return false;
}

bool SegmentedSession::run() noexcept {
  for (int k = 0; k < segments(); ++k)
    if (!run_segment(k)) return false;
  return true;
}

bool SegmentedSession::feed_back() noexcept {
  for (const Feedback& f : feedback_) {
    const TensorView from = parts_[f.from.part]->output(f.from.output);
    if (from.bytes.size() != f.to.bytes.size()) {
      last_error_ = "state: the output has another shape than the input";
      return false;
    }
    std::memcpy(f.to.bytes.data(), from.bytes.data(), from.bytes.size());
  }
  return true;
}

void SegmentedSession::cancel() noexcept {
  for (const auto& part : parts_) part->cancel();
}

void SegmentedSession::rearm() noexcept {
  for (const auto& part : parts_) part->rearm();
}

void SegmentedSession::reset_state() noexcept {
  for (const Feedback& f : feedback_) std::memset(f.to.bytes.data(), 0, f.to.bytes.size());
}

}  // namespace rtmdl
