#include "engine/onnxruntime/segments.h"

#include "model/edit.h"
#include "model/split.h"

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
  OnnxRuntimeSession session(env, plain, serialize(with_outputs(model, names)), {});
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

/// With the shapes of what it reads, which lets ONNX Runtime do more in advance; without, where a branch that these
/// shapes never take is then found to be impossible.
std::unique_ptr<OnnxRuntimeSession> open_part(const Ort::Env& env, const LoadRequest& request, Model& part,
                                              const BoundTensors& tensors) {
  for (const auto& [name, view] : tensors)
    set_input_type(part, {name, view.type, {view.shape.begin(), view.shape.end()}});
  try {
    return std::make_unique<OnnxRuntimeSession>(env, request, serialize(part), tensors);
  } catch (const Ort::Exception&) {
    for (auto& input : *part.graph().mutable_input())
      if (tensors.contains(input.name())) input.mutable_type()->mutable_tensor_type()->clear_shape();
    return std::make_unique<OnnxRuntimeSession>(env, request, serialize(part), tensors);
  }
}

}  // namespace

SegmentedSession::SegmentedSession(const Ort::Env& env, const LoadRequest& request) {
  open_parts(env, request);
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
    parts_.push_back({open_part(env, of_parts, part, tensors_), {}});
    part = {};
    OnnxRuntimeSession& session = *parts_.back().session;
    for (std::size_t i = 0; i < session.inputs().size(); ++i)
      tensors_.emplace(session.inputs()[i].name, session.input(i));
    if (parts_.size() == models.size()) return;
    for (std::size_t i = 0; i < session.outputs().size(); ++i) {
      const TensorView view = session.output(i);
      tensors_.emplace(session.outputs()[i].name, view);
      parts_.back().crossing.push_back({i, view});
    }
    // What crosses is then something that can occur: the next part runs to learn its shapes.
    if (!session.run()) bad_input(fmt::format("segment {}: {}", parts_.size(), session.last_error()));
    if (session.dynamic())
      bad_input("the model cannot be cut here: the shape of what crosses the cut depends on the data");
  }
}

/// Inputs, outputs and state of the whole, from the parts'.
void SegmentedSession::collect(const LoadRequest& request) {
  const auto is_state = [&](const std::string& name) {
    return std::any_of(request.state.begin(), request.state.end(), [&](const auto& s) { return s.second == name; });
  };
  for (const std::string& name : input_names_) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || is_state(name)) continue;  // a constant, or state
    const TensorView& view = found->second;
    inputs_.push_back(view);
    input_specs_.push_back({name, view.type, {view.shape.begin(), view.shape.end()}});
  }
  for (const std::string& name : output_names_)
    for (std::size_t k = 0; k < parts_.size(); ++k) {
      const auto specs = parts_[k].session->outputs();
      const auto found = std::find_if(specs.begin(), specs.end(), [&](const TensorSpec& s) { return s.name == name; });
      if (found == specs.end()) continue;
      outputs_.push_back({k, static_cast<std::size_t>(found - specs.begin())});
      output_specs_.push_back(*found);
      break;
    }
  for (const auto& [from, to] : request.state) {
    const auto out = std::find_if(output_specs_.begin(), output_specs_.end(),
                                  [&, name = &from](const TensorSpec& s) { return s.name == *name; });
    const auto in = tensors_.find(to);
    if (out == output_specs_.end() || in == tensors_.end()) bad_input(fmt::format("state: no '{}' or '{}'", from, to));
    feedback_.push_back({outputs_[static_cast<std::size_t>(out - output_specs_.begin())], in->second});
  }
  reset_state();
}

TensorView SegmentedSession::output(std::size_t i) noexcept {
  return parts_[outputs_[i].part].session->output(outputs_[i].output);
}

bool SegmentedSession::run_segment(int k) noexcept {
  Part& part = parts_[static_cast<std::size_t>(k)];
  if (!part.session->run()) {
    last_error_ = part.session->last_error();
    return false;
  }
  if (k + 1 == segments()) return feed_back();
  for (const Crossing& c : part.crossing) {
    const TensorView view = part.session->output(c.output);
    if (view.bytes.data() == c.to.bytes.data()) continue;
    if (view.bytes.size() != c.to.bytes.size()) {
      last_error_ = "the shape of what crosses a cut has changed";
      return false;
    }
    std::memcpy(c.to.bytes.data(), view.bytes.data(), view.bytes.size());
  }
  return true;
}

bool SegmentedSession::run() noexcept {
  for (int k = 0; k < segments(); ++k)
    if (!run_segment(k)) return false;
  return true;
}

bool SegmentedSession::feed_back() noexcept {
  for (const Feedback& f : feedback_) {
    const TensorView from = parts_[f.from.part].session->output(f.from.output);
    if (from.bytes.size() != f.to.bytes.size()) {
      last_error_ = "state: the output has another shape than the input";
      return false;
    }
    std::memcpy(f.to.bytes.data(), from.bytes.data(), from.bytes.size());
  }
  return true;
}

void SegmentedSession::cancel() noexcept {
  for (Part& part : parts_) part.session->cancel();
}

void SegmentedSession::rearm() noexcept {
  for (Part& part : parts_) part.session->rearm();
}

void SegmentedSession::reset_state() noexcept {
  for (const Feedback& f : feedback_) std::memset(f.to.bytes.data(), 0, f.to.bytes.size());
}

}  // namespace rtmdl
