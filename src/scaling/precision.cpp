#include "scaling/precision.h"

#include "model/edit.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

constexpr int kCalibrationParts = 6;
constexpr double kHarmless = 5e-4;  ///< an output error that no metric will see

std::vector<Tensor> run(Executable& executable, const InputSet& set, const std::string& name) {
  feed(executable, set);
  if (!executable.run()) bad_input(name + ": " + executable.last_error());
  std::vector<Tensor> outputs;
  for (std::size_t i = 0; i < executable.outputs().size(); ++i) {
    const TensorView view = executable.output(i);
    outputs.emplace_back(view.type, std::vector<std::int64_t>(view.shape.begin(), view.shape.end()));
    std::memcpy(outputs.back().bytes.data(), view.bytes.data(), view.bytes.size());
  }
  return outputs;
}

using Channels = std::vector<double>;

void add_squares(const Tensor& reference, const Tensor& other, Channels& noise, Channels& power) {
  const auto a = reference.as<float>();
  const auto b = other.as<float>();
  const bool image = reference.shape.size() == 4;
  const auto channels = image ? static_cast<std::size_t>(reference.shape[1]) : 1;
  const std::size_t plane = image ? static_cast<std::size_t>(reference.shape[2] * reference.shape[3]) : a.size();
  noise.resize(channels, 0);
  power.resize(channels, 0);
  for (std::size_t k = 0; k < a.size(); ++k) {
    const std::size_t c = k / plane % channels;
    const double d = static_cast<double>(a[k]) - b[k];
    noise[c] += d * d;
    power[c] += static_cast<double>(a[k]) * a[k];
  }
}

/// Mean over channels; one that is almost silent is measured against a hundredth of the mean power.
double relative(const Channels& noise, const Channels& power) {
  if (noise.empty()) return 0;
  const double mean = std::accumulate(power.begin(), power.end(), 0.0) / static_cast<double>(power.size());
  double sum = 0;
  for (std::size_t c = 0; c < noise.size(); ++c) {
    if (!std::isfinite(noise[c])) return noise[c];
    if (noise[c] > 0) sum += std::min(1.0, noise[c] / std::max({power[c], 0.01 * mean, 1e-30}));
  }
  return sum / static_cast<double>(noise.size());
}

bool jumps(const onnx::NodeProto& node) {
  static const std::set<std::string> kOps{
      "Equal",   "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "ArgMax", "ArgMin", "TopK", "NonMaxSuppression",
      "NonZero", "Round",   "Floor",          "Ceil", "Sign",        "Hardmax"};
  return kOps.contains(node.op_type());
}

}  // namespace

OutputError::OutputError(Engine& engine, const LoadRequest& reference, std::vector<InputSet> sets)
    : engine_(engine), sets_(std::move(sets)) {
  const auto executable = engine.load(reference);
  for (const InputSet& set : sets_) outputs_.push_back(run(*executable, set, reference.model.string()));
}

double OutputError::of(const LoadRequest& candidate) const {
  const auto executable = engine_.load(candidate);
  const std::size_t n = executable->outputs().size();
  std::vector<Channels> noise(n);
  std::vector<Channels> power(n);
  for (std::size_t s = 0; s < sets_.size(); ++s) {
    const auto outputs = run(*executable, sets_[s], candidate.model.string());
    for (std::size_t i = 0; i < n; ++i) {
      if (outputs[i].type != ElementType::f32 || outputs[i].bytes.size() != outputs_[s][i].bytes.size()) continue;
      add_squares(outputs_[s][i], outputs[i], noise[i], power[i]);
    }
  }
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double e = relative(noise[i], power[i]);
    if (!std::isfinite(e)) return std::numeric_limits<double>::infinity();
    sum += e;
  }
  return sum / static_cast<double>(std::max<std::size_t>(n, 1));
}

Int8Builder::Int8Builder(Engine& engine, const Model& prepared, const LoadRequest& at,
                         const std::vector<InputSet>& sets, std::filesystem::path folder, const Context& context)
    : engine_(engine), model_(prepared), at_(at), folder_(std::move(folder)), units_(find_units(prepared)) {
  const Links links(model_);
  std::set<std::string> wanted;
  for (const Unit& unit : units_) {
    if (!unit.can_be_integer()) continue;
    wanted.insert(unit.outputs.begin(), unit.outputs.end());
    for (const auto& input : unit.inputs) {
      if (links.constant(input) == nullptr) wanted.insert(input);
    }
  }
  observed_ = observe(engine, model_, at, {wanted.begin(), wanted.end()}, sets, folder_, context);
  methods_.assign(units_.size(), Calibration::min_max);
  params_ = choose_params(model_, units_, observed_.histograms, methods_);
  const auto known = [&](const auto& names) {
    return std::all_of(names.begin(), names.end(), [&](const auto& name) { return params_.contains(name); });
  };
  for (const Unit& unit : units_) {
    possible_.push_back(unit.can_be_integer() && known(unit.inputs) && known(unit.outputs));
  }
  judged_ = model_;
  const auto judged = judged_tensors();
  judged_.graph().mutable_output()->Clear();
  for (const auto& name : judged) judged_.graph().add_output()->set_name(name);
  for (const auto& [output, input] : at.state) {
    if (std::find(judged.begin(), judged.end(), output) == judged.end()) judged_.graph().add_output()->set_name(output);
  }
}

int Int8Builder::count_linear(const std::vector<bool>& integer) const {
  int n = 0;
  for (std::size_t u = 0; u < units_.size(); ++u) n += integer[u] && units_[u].kind == UnitKind::linear ? 1 : 0;
  return n;
}

void Int8Builder::choose_calibration(const OutputError& error, const Context& context) {
  if (this->error(possible_, error) < kHarmless) return;
  const int linear = count_linear(possible_);
  const int parts = std::min(kCalibrationParts, linear);
  std::size_t end = 0;
  int seen = 0;
  parts_.clear();
  for (int part = 0; part < parts && !context.stopping(); ++part) {
    std::vector<bool> alone(units_.size(), false);
    const std::size_t begin = end;
    for (; end < units_.size() && (part + 1 == parts || seen * parts < (part + 1) * linear); ++end) {
      alone[end] = possible_[end];
      seen += possible_[end] && units_[end].kind == UnitKind::linear ? 1 : 0;
    }
    double least = std::numeric_limits<double>::infinity();
    Calibration best = Calibration::min_max;
    const auto use = [&](Calibration method) {
      std::fill(methods_.begin() + static_cast<std::ptrdiff_t>(begin),
                methods_.begin() + static_cast<std::ptrdiff_t>(end), method);
      params_ = choose_params(model_, units_, observed_.histograms, methods_);
    };
    for (const Calibration method :
         {Calibration::min_max, Calibration::percentile_9999, Calibration::percentile_999, Calibration::mse}) {
      use(method);
      if (const double e = this->error(alone, error); e < least) least = e, best = method;
    }
    use(best);
    parts_.push_back(best);
  }
}

std::string Int8Builder::calibration() const {
  std::map<Calibration, int> count;
  for (const Calibration method : parts_) ++count[method];
  if (count.size() <= 1) return calibration_name(count.empty() ? Calibration::min_max : count.begin()->first);
  std::string text;
  for (const auto& [method, n] : count) {
    text += fmt::format("{}{}x {}", text.empty() ? "" : ", ", n, calibration_name(method));
  }
  return text;
}

Model Int8Builder::build(const std::vector<bool>& integer) const {
  return quantize(model_, units_, integer, params_, observed_.specs);
}

std::vector<std::string> Int8Builder::judged_tensors() const {
  const auto& nodes = model_.graph().node();
  std::set<std::string> jumping;  // tensors that a jump, or what depends on one, writes
  std::set<std::string> smooth;   // float tensors that the integer form can disturb and no jump has
  std::vector<std::string> judged;
  const auto add = [&judged](const std::string& name) {
    if (std::find(judged.begin(), judged.end(), name) == judged.end()) judged.push_back(name);
  };
  for (const Unit& unit : units_) {
    if (unit.kind == UnitKind::linear) smooth.insert(unit.outputs.front());
  }
  for (const auto& node : nodes) {
    const auto inputs = reads(node);
    const auto any_in = [&inputs](const auto& set) {
      return std::any_of(inputs.begin(), inputs.end(), [&](const auto& name) { return set.contains(name); });
    };
    if (any_in(jumping) || (jumps(node) && any_in(smooth))) {
      jumping.insert(node.output().begin(), node.output().end());
      for (const auto& name : inputs) {
        if (smooth.contains(name)) add(name);
      }
    } else if (any_in(smooth) && node.op_type() != "Shape" && node.op_type() != "Size") {
      smooth.insert(node.output().begin(), node.output().end());
    }
  }
  for (const auto& output : model_.graph().output()) {
    if (!jumping.contains(output.name())) add(output.name());
  }
  return judged;
}

OutputError Int8Builder::judge(std::vector<InputSet> sets) const {
  const ScratchModel file(judged_, folder_);
  LoadRequest request = at_;
  request.model = file.path();
  return {engine_, request, std::move(sets)};
}

double Int8Builder::error(const std::vector<bool>& integer, const OutputError& error) const {
  const ScratchModel file(quantize(judged_, units_, integer, params_, observed_.specs), folder_);
  LoadRequest request = at_;
  request.model = file.path();
  try {
    return error.of(request);
  } catch (const Error&) {  // the back-end refuses this form: it is no candidate
    return std::numeric_limits<double>::infinity();
  }
}

}  // namespace rtmdl
