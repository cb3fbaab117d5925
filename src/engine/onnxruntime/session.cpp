#include "engine/onnxruntime/session.h"

#include "engine/onnxruntime/provider.h"
#include "model/model.h"
#include "model/sliced_weights.h"
#include "model/tensor_data.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>
#include <thread>

#include <malloc.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace rtmdl {
namespace {

/// ONNX Runtime numbers element types as the format does.
ONNXTensorElementDataType runtime_type(ElementType type) {
  return static_cast<ONNXTensorElementDataType>(onnx_type(type));
}

TensorSpec spec_of(const std::string& name, const Ort::TypeInfo& info) {
  if (info.GetONNXType() != ONNX_TYPE_TENSOR)
    bad_input(fmt::format("'{}' is not a tensor; only tensors are supported", name));
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  const int type = static_cast<int>(tensor.GetElementType());
  const std::optional<ElementType> known = element_type(type);
  if (!known) bad_input(fmt::format("tensor '{}' has an element type that is not supported ({})", name, type));
  return {name, *known, tensor.GetShape()};
}

template <typename T>
void fill_with(std::span<std::byte> bytes, double value) {
  for (T& x : std::span(reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T))) x = static_cast<T>(value);
}

void fill_constant(const TensorSpec& spec, std::span<std::byte> bytes, double value) {
  switch (spec.type) {
    case ElementType::f32: return fill_with<float>(bytes, value);
    case ElementType::f64: return fill_with<double>(bytes, value);
    case ElementType::u8: return fill_with<std::uint8_t>(bytes, value);
    case ElementType::i8: return fill_with<std::int8_t>(bytes, value);
    case ElementType::u16: return fill_with<std::uint16_t>(bytes, value);
    case ElementType::i16: return fill_with<std::int16_t>(bytes, value);
    case ElementType::u32: return fill_with<std::uint32_t>(bytes, value);
    case ElementType::i32: return fill_with<std::int32_t>(bytes, value);
    case ElementType::u64: return fill_with<std::uint64_t>(bytes, value);
    case ElementType::i64: return fill_with<std::int64_t>(bytes, value);
    case ElementType::boolean: return fill_with<bool>(bytes, value);
    case ElementType::f16: break;
  }
  bad_input(fmt::format("input '{}' is {}: a constant cannot fill it", spec.name, element_name(spec.type)));
}

// ONNX Runtime calls these for each thread of a session's pool (its issue #13801: workers that do not take the
// real-time policy).
OrtCustomThreadHandle create_pool_thread(void* options, OrtThreadWorkerFn work, void* argument) {
  const auto placement = *static_cast<const ThreadPlacement*>(options);
  auto* thread = new std::thread([placement, work, argument] {
    place_current_thread(placement);
    work(argument);
  });
  return reinterpret_cast<OrtCustomThreadHandle>(thread);
}

void join_pool_thread(OrtCustomThreadHandle handle) {
  auto* thread = reinterpret_cast<std::thread*>(const_cast<OrtCustomHandleType*>(handle));
  thread->join();
  delete thread;
}

void require_known(const char* what, const std::string& name, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), name) == names.end())
    bad_input(fmt::format("{} '{}'; the model has '{}'", what, name, fmt::join(names, "', '")));
}

template <typename Bindings>
std::vector<std::string> names_of(const Bindings& bindings) {
  std::vector<std::string> names;
  for (const auto& b : bindings) names.push_back(b.spec.name);
  return names;
}

/// ONNX Runtime knows nothing of weights that are slices of others': it gets such a model whole, from memory.
Ort::Session open(const Ort::Env& env, const std::filesystem::path& model, const Ort::SessionOptions& options) {
  if (!is_sliced_file(model)) return {env, model.c_str(), options};
  std::string bytes = serialize(load_model(model));
  Ort::Session session(env, bytes.data(), bytes.size(), options);
  bytes = {};
  malloc_trim(0);  // the copies go back to the system: the box may be small
  return session;
}

std::vector<std::int64_t> fixed_shape(const TensorSpec& declared, const LoadRequest& request) {
  std::vector<std::int64_t> shape = declared.shape;
  if (const auto given = request.shapes.find(declared.name); given != request.shapes.end()) {
    bool fits = given->second.size() == shape.size();
    for (std::size_t i = 0; fits && i < shape.size(); ++i)
      fits = given->second[i] > 0 && (shape[i] < 0 || shape[i] == given->second[i]);
    if (!fits)
      bad_input(fmt::format("input '{}' has the shape [{}] in the model (-1: free); [{}] does not fit", declared.name,
                            fmt::join(declared.shape, ", "), fmt::join(given->second, ", ")));
    return given->second;
  }
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] >= 0) continue;
    if (i > 0)
      bad_input(fmt::format("input '{}' has free dimensions [{}] (-1: free); fix them with `shapes: {{\"{}\": [...]}}`",
                            declared.name, fmt::join(declared.shape, ", "), declared.name));
    shape[i] = 1;
  }
  return shape;
}

}  // namespace

OnnxRuntimeSession::OnnxRuntimeSession(const Ort::Env& env, const LoadRequest& request) : pool_(request.pool) {
  configure(request);
  session_ = open(env, request.model, options_);
  require_known_inputs(request);
  bind_inputs(request, {});
  learn_outputs(request.device, {});
  link_state(request);
}

OnnxRuntimeSession::OnnxRuntimeSession(const Ort::Env& env, const LoadRequest& request, const std::string& part,
                                       const BoundTensors& bound, const CrossingOutputs& crossing)
    : pool_(request.pool) {
  configure(request);
  session_ = Ort::Session(env, part.data(), part.size(), options_);
  bind_inputs(request, bound);
  learn_outputs(request.device, crossing);
}

void OnnxRuntimeSession::configure(const LoadRequest& request) {
  if (!request.defaults) {
    if (request.threads > 0) options_.SetIntraOpNumThreads(request.threads);
    options_.SetInterOpNumThreads(1);
    options_.SetExecutionMode(ExecutionMode::ORT_SEQUENTIAL);
    options_.SetGraphOptimizationLevel(GraphOptimizationLevel::ORT_ENABLE_ALL);
    options_.AddConfigEntry("session.intra_op.allow_spinning", "0");
    options_.AddConfigEntry("session.inter_op.allow_spinning", "0");
    options_.SetCustomCreateThreadFn(create_pool_thread);
    options_.SetCustomThreadCreationOptions(&pool_);
    options_.SetCustomJoinThreadFn(join_pool_thread);
  }
  options_.SetLogSeverityLevel(4);
  append_provider(options_, request.device, request.provider_options);
  if (!request.profile.empty()) options_.EnableProfiling(request.profile.c_str());
}

void OnnxRuntimeSession::require_known_inputs(const LoadRequest& request) const {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < session_.GetInputCount(); ++i)
    names.emplace_back(session_.GetInputNameAllocated(i, allocator).get());
  for (const auto& [name, shape] : request.shapes) require_known("shapes names the input", name, names);
  for (const auto& [name, value] : request.constants) require_known("inputs names the input", name, names);
}

void OnnxRuntimeSession::bind_inputs(const LoadRequest& request, const BoundTensors& bound) {
  Ort::AllocatorWithDefaultOptions allocator;
  inputs_.resize(session_.GetInputCount());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    Binding& in = inputs_[i];
    in.spec = spec_of(session_.GetInputNameAllocated(i, allocator).get(), session_.GetInputTypeInfo(i));
    const std::string& name = in.spec.name;
    input_names_.push_back(name.c_str());
    if (const auto given = bound.find(name); given != bound.end()) {
      in.spec.shape = given->second->GetTensorTypeAndShapeInfo().GetShape();
      input_values_.push_back(*given->second);
      continue;
    }
    in.spec.shape = fixed_shape(in.spec, request);
    in.memory = AlignedBytes(element_count(in.spec.shape) * element_size(in.spec.type));
    in.value = Ort::Value::CreateTensor(memory_, in.memory.span().data(), in.memory.span().size(), in.spec.shape.data(),
                                        in.spec.shape.size(), runtime_type(in.spec.type));
    input_values_.push_back(in.value);
    const bool is_state =
        std::any_of(request.state.begin(), request.state.end(), [&](const auto& s) { return s.second == name; });
    if (const auto constant = request.constants.find(name); constant != request.constants.end()) {
      fill_constant(in.spec, in.memory.span(), constant->second);
    } else if (!is_state) {
      caller_indices_.push_back(i);
      caller_inputs_.push_back(in.spec);
    }
  }
}

/// Output shapes are taken from a run: what a model declares is often free or missing. A second run, on other data,
/// tells whether the shapes depend on the data.
void OnnxRuntimeSession::learn_outputs(const std::string& device, const CrossingOutputs& crossing) {
  Ort::AllocatorWithDefaultOptions allocator;
  outputs_.resize(session_.GetOutputCount());
  output_values_.resize(outputs_.size());
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].spec.name = session_.GetOutputNameAllocated(i, allocator).get();
    output_names_.push_back(outputs_[i].spec.name.c_str());
    free_values_.emplace_back(nullptr);
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i)  // ONNX Runtime would crash
    for (std::size_t k = 0; k < i; ++k)
      if (outputs_[k].spec.name == outputs_[i].spec.name)
        bad_input(fmt::format("two outputs named '{}'", outputs_[i].spec.name));
  std::mt19937 random(1);
  for (int round = 0; round < 2; ++round) {
    free_outputs();
    Ort::ThrowOnError(call());
    adopt_outputs();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      TensorSpec spec = spec_of(outputs_[i].spec.name, free_values_[i].GetTypeInfo());
      if (round == 1 && spec.shape != outputs_[i].spec.shape) dynamic_outputs_ = true;
      outputs_[i].spec.type = spec.type;
      outputs_[i].spec.shape = std::move(spec.shape);
    }
    for (const std::size_t i : caller_indices_) {
      if (inputs_[i].spec.type != ElementType::f32) continue;
      for (float& x : input(static_cast<std::size_t>(&i - caller_indices_.data())).as<float>())
        x = round == 0 ? static_cast<float>(random()) / 4294967296.0F : 0.0F;
    }
  }
  if (!crossing.names.empty() && !dynamic_outputs_) device_memory_ = device_allocator(session_, device);
  for (Binding& out : outputs_) {
    output_specs_.push_back(out.spec);
    if (dynamic_outputs_) continue;
    out.crosses = crossing.names.contains(out.spec.name);
    const bool in_device = out.crosses && !crossing.shown.contains(out.spec.name);
    bind_output(out, in_device ? static_cast<OrtAllocator*>(device_memory_) : nullptr);
  }
}

/// To the memory of the device, if there is some, else to the host's.
void OnnxRuntimeSession::bind_output(Binding& out, OrtAllocator* device_memory) {
  const std::size_t rank = out.spec.shape.size();
  if (device_memory) {
    out.value = Ort::Value::CreateTensor(device_memory, out.spec.shape.data(), rank, runtime_type(out.spec.type));
  } else {
    out.memory = AlignedBytes(element_count(out.spec.shape) * element_size(out.spec.type));
    out.value = Ort::Value::CreateTensor(memory_, out.memory.span().data(), out.memory.span().size(),
                                         out.spec.shape.data(), rank, runtime_type(out.spec.type));
  }
  const auto i = static_cast<std::size_t>(&out - outputs_.data());
  output_values_[i] = out.value;
  free_values_[i] = Ort::Value(nullptr);
}

void OnnxRuntimeSession::link_state(const LoadRequest& request) {
  for (const auto& [from, to] : request.state) {
    const auto out =
        std::find_if(outputs_.begin(), outputs_.end(), [&](const Binding& b) { return b.spec.name == from; });
    const auto in = std::find_if(inputs_.begin(), inputs_.end(), [&](const Binding& b) { return b.spec.name == to; });
    require_known("state names the output", from, names_of(outputs_));
    require_known("state names the input", to, names_of(inputs_));
    if (out->spec.type != in->spec.type || out->spec.shape != in->spec.shape)
      bad_input(fmt::format("state: output '{}' [{}] cannot be fed back to input '{}' [{}]", from,
                            fmt::join(out->spec.shape, ", "), to, fmt::join(in->spec.shape, ", ")));
    feedback_.push_back(
        {static_cast<std::size_t>(out - outputs_.begin()), static_cast<std::size_t>(in - inputs_.begin())});
  }
}

TensorView OnnxRuntimeSession::input(std::size_t i) noexcept {
  const Binding& in = inputs_[caller_indices_[i]];
  return {in.spec.type, in.spec.shape, in.memory.span()};
}

TensorView OnnxRuntimeSession::output(std::size_t i) noexcept {
  const Binding& out = outputs_[i];
  if (!dynamic_outputs_ || out.crosses) return {out.spec.type, out.spec.shape, out.memory.span()};
  auto* data = static_cast<std::byte*>(free_values_[i].GetTensorMutableRawData());
  return {out.spec.type, out.spec.shape, {data, element_count(out.spec.shape) * element_size(out.spec.type)}};
}

/// ONNX Runtime is to allocate them, in host memory; not what crosses, which later parts have bound.
void OnnxRuntimeSession::free_outputs() noexcept {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].crosses) continue;
    free_values_[i] = Ort::Value(nullptr);
    output_values_[i] = nullptr;
  }
}

/// What ONNX Runtime has allocated is ours from now on.
void OnnxRuntimeSession::adopt_outputs() {
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    if (!outputs_[i].crosses) free_values_[i] = Ort::Value(output_values_[i]);
}

/// The C call: the C++ wrapper would allocate and throw an exception on the hot path.
OrtStatus* OnnxRuntimeSession::call() noexcept {
  return Ort::GetApi().Run(session_, run_options_, input_names_.data(), input_values_.data(), input_values_.size(),
                           output_names_.data(), output_values_.size(), output_values_.data());
}

bool OnnxRuntimeSession::run_bound() noexcept {
  OrtStatus* status = call();
  if (status == nullptr) return true;
  try {
    last_error_ = Ort::GetApi().GetErrorMessage(status);
  } catch (...) {
  }
  Ort::GetApi().ReleaseStatus(status);
  return false;
}

bool OnnxRuntimeSession::run_free() noexcept {
  try {
    free_outputs();
    if (!run_bound()) return false;
    adopt_outputs();
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      if (!outputs_[i].crosses) outputs_[i].spec.shape = free_values_[i].GetTensorTypeAndShapeInfo().GetShape();
    return true;
  } catch (...) {
    return false;
  }
}

/// The shape of an output may depend on the data although the two runs of learn_outputs() gave the same (a detector
/// that found nothing in either).
bool OnnxRuntimeSession::turn_dynamic() noexcept {
  dynamic_outputs_ = run_free();
  if (dynamic_outputs_) return true;
  for (std::size_t i = 0; i < outputs_.size(); ++i) output_values_[i] = outputs_[i].value;  // it failed otherwise
  return false;
}

bool OnnxRuntimeSession::run() noexcept {
  const bool done = dynamic_outputs_ ? run_free() : run_bound() || (!cancelled_ && turn_dynamic());
  return done && feed_back();
}

bool OnnxRuntimeSession::feed_back() noexcept {
  for (const Feedback& f : feedback_) {
    const auto from = output(f.output).bytes;
    const auto to = inputs_[f.input].memory.span();
    if (from.size() != to.size()) {
      try {
        last_error_ = fmt::format("state: output '{}' has another shape than input '{}'", outputs_[f.output].spec.name,
                                  inputs_[f.input].spec.name);
      } catch (...) {
      }
      return false;
    }
    std::memcpy(to.data(), from.data(), from.size());
  }
  return true;
}

void OnnxRuntimeSession::cancel() noexcept {
  cancelled_ = true;
  if (OrtStatus* status = Ort::GetApi().RunOptionsSetTerminate(run_options_)) Ort::GetApi().ReleaseStatus(status);
}

void OnnxRuntimeSession::rearm() noexcept {
  cancelled_ = false;
  if (OrtStatus* status = Ort::GetApi().RunOptionsUnsetTerminate(run_options_)) Ort::GetApi().ReleaseStatus(status);
}

void OnnxRuntimeSession::reset_state() noexcept {
  for (const Feedback& f : feedback_) {
    const auto state = inputs_[f.input].memory.span();
    std::memset(state.data(), 0, state.size());
  }
}

std::filesystem::path OnnxRuntimeSession::finish_profile() {
  Ort::AllocatorWithDefaultOptions allocator;
  return session_.EndProfilingAllocated(allocator).get();
}

}  // namespace rtmdl
