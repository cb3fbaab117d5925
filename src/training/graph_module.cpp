#include "training/graph_module.h"

#include "model/edit.h"
#include "model/tensor_data.h"
#include "training/operators.h"
#include "training/trainable.h"

#include <rtmdl/error.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include <fmt/format.h>

namespace rtmdl::training {
namespace {

/// What takes bfloat16 without harm; everything else is handed f32.
bool takes_bfloat16(const std::string& op) {
  static const std::unordered_set<std::string_view> ops{"Conv",
                                                        "MatMul",
                                                        "Gemm",
                                                        "BatchNormalization",
                                                        "Relu",
                                                        "Clip",
                                                        "Add",
                                                        "Mul",
                                                        "MaxPool",
                                                        "Reshape",
                                                        "Flatten",
                                                        "Slice",
                                                        "Split",
                                                        "Transpose",
                                                        "GlobalAveragePool",
                                                        "Sigmoid",
                                                        "Squeeze",
                                                        "Unsqueeze",
                                                        "Identity",
                                                        "Dropout"};
  return ops.contains(op);
}

at::Tensor tensor_of(const onnx::TensorProto& t) {
  const std::vector<std::int64_t> shape = dims(t);
  const at::ScalarType type = torch_type(t.data_type());
  at::Tensor value = at::empty(shape, type);
  const std::size_t bytes = static_cast<std::size_t>(value.numel()) * value.element_size();
  const std::string& raw = t.raw_data();
  if (value.numel() == 0) return value;
  const bool widened = t.data_type() == onnx::TensorProto::FLOAT16 || t.data_type() == onnx::TensorProto::BFLOAT16;
  if (!widened && raw.size() == bytes) {
    std::memcpy(value.data_ptr(), raw.data(), bytes);
    return value;
  }
  if (const auto f = floats(t)) {
    at::Tensor wide = at::empty(shape, at::kFloat);
    std::copy(f->begin(), f->end(), wide.data_ptr<float>());
    return wide.to(type);
  }
  if (const auto i = integers(t)) return from_integers(*i).reshape(shape).to(type);
  if (t.int32_data_size() == value.numel()) {  // truth values and small integers
    const std::vector<std::int64_t> wide(t.int32_data().begin(), t.int32_data().end());
    return from_integers(wide).reshape(shape).to(type);
  }
  bad_input(
      fmt::format("'{}' has elements of type {}, which have no counterpart in training", t.name(), t.data_type()));
}

/// Replaces the elements, in the type that is there.
void store(onnx::TensorProto& t, const at::Tensor& value) {
  if (dims(t) != value.sizes().vec())
    throw Error(ErrorCode::internal, fmt::format("'{}' does not have the shape that was trained", t.name()));
  const at::ScalarType type = t.data_type() == onnx::TensorProto::FLOAT16    ? at::kHalf
                              : t.data_type() == onnx::TensorProto::BFLOAT16 ? at::kBFloat16
                              : t.data_type() == onnx::TensorProto::DOUBLE   ? at::kDouble
                                                                             : at::kFloat;
  const at::Tensor plain = value.detach().to(at::kCPU, type).contiguous();
  t.clear_float_data();
  t.clear_double_data();
  t.clear_int32_data();
  t.set_raw_data(plain.data_ptr(), static_cast<std::size_t>(plain.numel()) * plain.element_size());
}

std::string refusal_of(const onnx::NodeProto& node) {
  const std::string where = fmt::format("operator '{}' (node '{}')", node.op_type(),
                                        node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name());
  const bool standard = node.domain().empty() || node.domain() == "ai.onnx";
  if (!standard || has_subgraph(node) || (node.op_type() != "Constant" && !operators().contains(node.op_type())))
    return fmt::format("{} has no counterpart in training", where);
  if (const std::string feature = unknown_feature(node); !feature.empty())
    return fmt::format("{} with {} has no counterpart in training", where, feature);
  return {};
}

at::Tensor constant_value(const onnx::NodeProto& node) {
  if (const onnx::AttributeProto* a = attribute(node, "value")) return tensor_of(a->t());
  if (attribute(node, "value_float")) return at::scalar_tensor(attribute_or(node, "value_float", 0.F), at::kFloat);
  if (attribute(node, "value_int"))
    return at::scalar_tensor(attribute_or(node, "value_int", std::int64_t{0}), at::kLong);
  if (const onnx::AttributeProto* a = attribute(node, "value_floats")) {
    at::Tensor t = at::empty({a->floats_size()}, at::kFloat);
    std::copy(a->floats().begin(), a->floats().end(), t.data_ptr<float>());
    return t;
  }
  return from_integers(integers_attribute(node, "value_ints"));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// Follows Identity nodes back.
std::string original(const onnx::GraphProto& graph, std::string name) {
  for (bool again = true; again;) {
    again = false;
    for (const onnx::NodeProto& n : graph.node()) {
      if (n.op_type() != "Identity" || n.output(0) != name) continue;
      name = n.input(0);
      again = true;
      break;
    }
  }
  return name;
}

}  // namespace

std::optional<std::string> GraphModule::refuses(const Model& model) {
  for (const onnx::NodeProto& node : model.graph().node()) {
    if (std::string refusal = refusal_of(node); !refusal.empty()) return refusal;
  }
  for (const onnx::TensorProto& t : model.graph().initializer()) {
    if (t.data_type() == onnx::TensorProto::STRING || t.data_type() > onnx::TensorProto::BFLOAT16)
      return fmt::format("initializer '{}' with elements of type {} has no counterpart in training", t.name(),
                         t.data_type());
  }
  return std::nullopt;
}

GraphModule::GraphModule(const Model& model, at::Device device)
    : name_(model.name), device_(device), opset_(model.opset()) {
  if (const auto refusal = refuses(model)) bad_input(fmt::format("{}: {}", name_, *refusal));
  const at::NoGradGuard no_grad;
  read_weights(model);
  add_nodes(model);
  fold_constants();
  own_statistics(model);
  plan_releases();
}

int GraphModule::slot(const std::string& tensor) {
  if (tensor.empty()) return -1;
  const auto [at, fresh] = slots_.try_emplace(tensor, static_cast<int>(slots_.size()));
  if (fresh) fixed_.emplace_back();
  return at->second;
}

void GraphModule::read_weights(const Model& model) {
  const onnx::GraphProto& graph = model.graph();
  for (const onnx::TensorProto& t : graph.initializer()) {
    at::Tensor value = tensor_of(t);
    fixed_[static_cast<std::size_t>(slot(t.name()))] = value.is_floating_point() ? value.to(device_) : value;
  }
  for (const onnx::NodeProto& n : graph.node()) {
    if (n.op_type() != "Constant") continue;
    at::Tensor value = constant_value(n);
    fixed_[static_cast<std::size_t>(slot(n.output(0)))] = value.is_floating_point() ? value.to(device_) : value;
  }
  std::unordered_set<std::string> kernels;
  for (const onnx::NodeProto& n : graph.node()) {
    if ((n.op_type() == "Conv" || n.op_type() == "ConvTranspose") && n.input_size() > 1) kernels.insert(n.input(1));
  }
  for (const std::string& name : trainable_weights(model)) {
    at::Tensor& value = fixed_[static_cast<std::size_t>(slot(name))];
    if (kernels.contains(name) && value.dim() == 4) value = value.contiguous(at::MemoryFormat::ChannelsLast);
    value.set_requires_grad(true);
    parameter_index_[name] = parameters_.size();
    parameters_.push_back({name, value});
  }
}

void GraphModule::add_nodes(const Model& model) {
  const onnx::GraphProto& graph = model.graph();
  for (const onnx::ValueInfoProto& i : graph.input()) {
    if (!fixed_[static_cast<std::size_t>(slot(i.name()))].defined()) inputs_.push_back(i.name());
  }
  for (const onnx::NodeProto& n : graph.node()) {
    Node node;
    node.proto = n;
    if (n.op_type() == "Constant") {
      node.constant = true;
      node.proto.clear_attribute();
    } else {
      node.run = operators().at(n.op_type());
    }
    for (const std::string& i : n.input()) node.in.push_back(slot(i));
    for (const std::string& o : n.output()) node.out.push_back(slot(o));
    nodes_.push_back(std::move(node));
  }
  for (const onnx::ValueInfoProto& o : graph.output()) {
    (void)slot(o.name());
    outputs_.push_back(o.name());
  }
  bound_.resize(fixed_.size());
}

void GraphModule::fold_constants() {
  const auto known = [&](int s) {
    return s < 0 ||
           (fixed_[static_cast<std::size_t>(s)].defined() && !fixed_[static_cast<std::size_t>(s)].requires_grad());
  };
  std::vector<at::Tensor> values = fixed_;
  for (Node& node : nodes_) {
    if (node.constant || !std::all_of(node.in.begin(), node.in.end(), known)) continue;
    run(node, values, Pass{}, 0);
    for (const int o : node.out) {
      if (o >= 0) fixed_[static_cast<std::size_t>(o)] = values[static_cast<std::size_t>(o)];
    }
    node.constant = true;
  }
}

void GraphModule::own_statistics(const Model& model) {
  std::unordered_map<std::string, int> uses;
  const auto each = [&](auto&& visit) {
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      if (nodes_[n].proto.op_type() != "BatchNormalization") continue;
      for (const int i : {3, 4}) {
        const std::string name = original(model.graph(), nodes_[n].proto.input(i));
        if (fixed_[static_cast<std::size_t>(slot(name))].defined()) visit(n, i, name);
      }
    }
  };
  each([&](std::size_t, int, const std::string& name) { uses[name] += 1; });
  each([&](std::size_t n, int i, const std::string& name) {
    int s = slot(name);
    std::string own = name;
    if (uses[name] > 1) {
      own = fmt::format("{}.{}.{}", name, n, i);
      const at::Tensor copy = fixed_[static_cast<std::size_t>(s)].clone();
      s = slot(own);
      fixed_[static_cast<std::size_t>(s)] = copy;
      own_statistics_.push_back({static_cast<int>(n), i, nodes_[n].proto.input(i), statistics_.size()});
    }
    nodes_[n].in[static_cast<std::size_t>(i)] = s;
    statistics_.push_back({own, fixed_[static_cast<std::size_t>(s)]});
  });
  bound_.resize(fixed_.size());
}

void GraphModule::plan_releases() {
  std::unordered_set<int> kept;
  for (const std::string& o : outputs_) kept.insert(slot(o));
  for (std::size_t s = 0; s < fixed_.size(); ++s) {
    if (fixed_[s].defined()) kept.insert(static_cast<int>(s));
  }
  kept.insert(-1);
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    if (node->constant) continue;
    for (const std::vector<int>* slots : {&node->in, &node->out}) {
      for (const int s : *slots) {
        if (kept.insert(s).second) node->released.push_back(s);
      }
    }
  }
}

std::vector<at::Tensor> GraphModule::forward(const NamedInputs& inputs, bool training) {
  Pass pass;
  pass.batch_statistics = training;
  pass.dropout = training;
  return forward(inputs, pass);
}

std::vector<at::Tensor> GraphModule::forward(const NamedInputs& inputs, const Pass& pass) {
  std::vector<at::Tensor> values = fixed_;
  for (std::size_t s = 0; s < bound_.size(); ++s) {
    if (bound_[s].defined()) values[s] = bound_[s];
  }
  std::int64_t batch = 0;
  for (const std::string& name : inputs_) {
    const auto given = inputs.find(name);
    if (given == inputs.end()) bad_input(fmt::format("{}: input '{}' is not given", name_, name));
    at::Tensor x = given->second;
    if (x.is_floating_point()) x = x.to(device_);
    if (x.dim() == 4 && x.scalar_type() == at::kFloat) x = x.contiguous(at::MemoryFormat::ChannelsLast);
    if (batch == 0 && x.dim() > 0) batch = x.size(0);
    values[static_cast<std::size_t>(slots_.at(name))] = std::move(x);
  }
  for (Node& node : nodes_) {
    if (!node.constant) run(node, values, pass, batch);
  }
  std::vector<at::Tensor> result;
  for (const std::string& o : outputs_) {
    at::Tensor y = values[static_cast<std::size_t>(slots_.at(o))];
    result.push_back(y.scalar_type() == at::kBFloat16 ? y.to(at::kFloat) : y);
  }
  return result;
}

void GraphModule::run(Node& node, std::vector<at::Tensor>& values, const Pass& pass, std::int64_t batch) {
  std::vector<at::Tensor> in;
  in.reserve(node.in.size());
  const std::string& op = node.proto.op_type();
  bool widen = pass.bfloat16 && !takes_bfloat16(op);
  for (const int s : node.in) {
    in.push_back(s < 0 ? at::Tensor() : values[static_cast<std::size_t>(s)]);
    if (pass.bfloat16 && op == "MaxPool" && in[0].dim() != 4) widen = true;
    if (widen && in.back().defined() && in.back().scalar_type() == at::kBFloat16) in.back() = in.back().to(at::kFloat);
  }
  if (recording_ && !in.empty() && in[0].defined()) node.in_shape = in[0].sizes().vec();
  std::vector<at::Tensor> out(node.out.size());
  Call call{node.proto,  opset_,
            in,          out,
            pass,        recording_ ? 0 : model_batch_,
            batch,       node.in_shape,
            node.target, recording_ ? &node.target : nullptr,
            node.frozen};
  try {
    node.run(call);
  } catch (const c10::Error& e) {
    bad_input(fmt::format("{}: {}: {}", name_, describe(node.proto), first_line(e.what_without_backtrace())));
  } catch (const std::exception& e) {
    bad_input(fmt::format("{}: {}: {}", name_, describe(node.proto), e.what()));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (recording_ && out[i].defined()) activation_bytes_ += static_cast<std::int64_t>(out[i].nbytes());
    if (node.out[i] >= 0) values[static_cast<std::size_t>(node.out[i])] = std::move(out[i]);
  }
  for (const int s : node.released) values[static_cast<std::size_t>(s)].reset();
}

void GraphModule::relax_batch(const NamedInputs& example) {
  const at::NoGradGuard no_grad;
  recording_ = true;
  activation_bytes_ = 0;
  try {
    (void)forward(example, Pass{});
  } catch (...) {
    recording_ = false;
    throw;
  }
  recording_ = false;
  model_batch_ = 1;
  for (const std::string& name : inputs_) {
    if (const at::Tensor& x = example.at(name); x.dim() > 0) {
      model_batch_ = x.size(0);
      break;
    }
  }
}

const at::Tensor* GraphModule::parameter(const std::string& name) const {
  const auto found = parameter_index_.find(name);
  return found == parameter_index_.end() ? nullptr : &parameters_[found->second].value;
}

void GraphModule::bind(const std::string& parameter, at::Tensor value) {
  if (!parameter_index_.contains(parameter))
    throw Error(ErrorCode::internal, fmt::format("{}: '{}' is no weight that is trained", name_, parameter));
  bound_[static_cast<std::size_t>(slots_.at(parameter))] = std::move(value);
}

void GraphModule::freeze_statistics(const std::set<std::string>& names) {
  std::unordered_set<int> slots;
  for (const NamedTensor& s : statistics_) {
    if (names.contains(s.name)) slots.insert(slots_.at(s.name));
  }
  for (Node& node : nodes_) {
    if (node.proto.op_type() == "BatchNormalization" && (slots.contains(node.in[3]) || slots.contains(node.in[4])))
      node.frozen = true;
  }
}

void GraphModule::write_back(Model& model) const {
  std::unordered_map<std::string, onnx::TensorProto*> targets;
  for (onnx::TensorProto& t : *model.graph().mutable_initializer()) targets[t.name()] = &t;
  for (onnx::NodeProto& n : *model.graph().mutable_node()) {
    if (n.op_type() != "Constant") continue;
    for (onnx::AttributeProto& a : *n.mutable_attribute()) {
      if (a.name() == "value") targets[n.output(0)] = a.mutable_t();
    }
  }
  const auto put = [&](const std::string& name, const at::Tensor& value) {
    const auto target = targets.find(name);
    if (target == targets.end())
      throw Error(ErrorCode::internal, fmt::format("{}: '{}' was trained and is not in the model", model.name, name));
    store(*target->second, value);
  };
  for (const NamedTensor& p : parameters_) {
    const at::Tensor& bound = bound_[static_cast<std::size_t>(slots_.at(p.name))];
    put(p.name, bound.defined() ? bound : p.value);
  }
  std::unordered_set<std::size_t> own;
  for (const OwnStatistic& o : own_statistics_) own.insert(o.statistic);
  for (std::size_t i = 0; i < statistics_.size(); ++i) {
    if (!own.contains(i)) put(statistics_[i].name, statistics_[i].value);
  }
  for (const OwnStatistic& o : own_statistics_) {  // last: new initializers move the others
    onnx::NodeProto* node = o.node < model.graph().node_size() ? model.graph().mutable_node(o.node) : nullptr;
    if (!node || node->op_type() != "BatchNormalization")
      throw Error(ErrorCode::internal, fmt::format("{}: node {} is not the one that was trained", model.name, o.node));
    const NamedTensor& s = statistics_[o.statistic];
    const auto own_already = targets.find(node->input(o.input));
    if (node->input(o.input) != o.tensor && own_already != targets.end()) {
      store(*own_already->second, s.value);
      continue;
    }
    const at::Tensor plain = s.value.to(at::kCPU, at::kFloat).contiguous();
    const std::span<const float> values(plain.data_ptr<float>(), static_cast<std::size_t>(plain.numel()));
    node->set_input(o.input, add_constant(model, make_tensor(s.name, plain.sizes().vec(), values)));
  }
}

}  // namespace rtmdl::training
