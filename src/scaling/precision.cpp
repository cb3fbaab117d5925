#include "scaling/precision.h"

#include "scaling/channel_padding.h"

#include <rtmdl/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

constexpr int kCalibrationParts = 6;
constexpr std::size_t kCorrectionSets = 8;
constexpr double kClearly = 0.95;  ///< times the error of what is simpler, or the simpler form stays

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

double OutputError::of(const LoadRequest& candidate, const Context& context) const {
  const auto executable = engine_.load(candidate);
  const std::size_t n = executable->outputs().size();
  std::vector<Channels> noise(n);
  std::vector<Channels> power(n);
  for (std::size_t s = 0; s < sets_.size(); ++s) {
    if (context.stopping()) return std::numeric_limits<double>::infinity();
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
                         const std::vector<InputSet>& sets, std::filesystem::path folder, const Context& context,
                         Int8Options options)
    : engine_(engine),
      prepared_(prepared),
      sets_(sets),
      options_(std::move(options)),
      at_(at),
      folder_(std::move(folder)),
      context_(context),
      units_(find_units(prepared)) {
  auto padded = options_.edit_weights ? std::make_unique<Model>(prepared) : nullptr;
  if (padded && pad_depthwise_channels(*padded) > 0) padded_ = std::move(padded);
  form_.methods.assign(units_.size(), Calibration::min_max);
  observe_form(form_, context);
  set_params(form_);
  const auto known = [&](const auto& names) {
    return std::all_of(names.begin(), names.end(), [&](const auto& name) { return form_.params.contains(name); });
  };
  for (const Unit& unit : units_) {
    const bool image = !is_op(prepared.graph().node(unit.node), "BatchNormalization") ||
                       form_.observed.specs[unit.outputs.front()].shape.size() == 4;
    possible_.push_back(unit.can_be_integer() && image && known(unit.inputs) && known(unit.outputs));
  }
  form_.scales = rtmdl::weight_scales(model(), units_, possible_, form_.params, false);
  judged_ = judged_tensors();
  for (const auto& [output, input] : at.state) {
    if (std::find(judged_.begin(), judged_.end(), output) == judged_.end()) judged_.push_back(output);
  }
}

/// Every tensor that a unit could quantise; those around linear units channel by channel.
void Int8Builder::observe_form(Form& form, const Context& context) const {
  const Model& model = of(form);
  const Links links(model);
  std::set<std::string> wanted;
  ChannelAxes axes;
  for (const Unit& unit : units_) {
    if (!unit.can_be_integer()) continue;
    wanted.insert(unit.outputs.begin(), unit.outputs.end());
    for (const auto& input : unit.inputs) {
      if (links.constant(input) == nullptr) wanted.insert(input);
    }
    if (unit.kind != UnitKind::linear) continue;
    const auto& node = model.graph().node(unit.node);
    const int axis = is_op(node, "Gemm") || is_op(node, "MatMul") ? -1 : 1;
    axes.emplace(unit.inputs.front(), axis);
    axes.emplace(unit.outputs.front(), axis);
  }
  form.observed = observe(engine_, model, at_, {wanted.begin(), wanted.end()}, sets_, folder_, context, axes);
}

void Int8Builder::set_params(Form& form) const {
  const Model& model = of(form);
  form.params = choose_params(model, units_, form.observed.histograms, form.methods);
  if (!possible_.empty()) form.scales = rtmdl::weight_scales(model, units_, possible_, form.params, form.clipped);
}

int Int8Builder::count_linear(const std::vector<bool>& integer) const {
  int n = 0;
  for (std::size_t u = 0; u < units_.size(); ++u) n += integer[u] && units_[u].kind == UnitKind::linear ? 1 : 0;
  return n;
}

void Int8Builder::choose_calibration(const OutputError& error, const Context& context) {
  if (this->error(possible_, error) < kHarmlessError || context.stopping()) return;
  if (options_.edit_weights) choose_equalisation(error, context);
  choose_ranges(error, context);
  choose_weights(error, context);
}

/// Each form at the calibration that suits it best of two, all integer.
void Int8Builder::choose_equalisation(const OutputError& error, const Context& context) {
  const auto least_error = [&] {
    double least = std::numeric_limits<double>::infinity();
    for (const Calibration method : {Calibration::min_max, Calibration::mse}) {
      std::fill(form_.methods.begin(), form_.methods.end(), method);
      set_params(form_);
      least = std::min(least, this->error(possible_, error));
    }
    return least;
  };
  double least = least_error();
  Form best = std::move(form_);
  const auto seen = best.observed.channels;
  for (const Equalisation method : {Equalisation::activations, Equalisation::weights}) {
    if (context.stopping()) break;
    Equalised equalised = equalise(base(), seen, method);
    if (equalised.scaled + equalised.absorbed == 0) continue;
    form_ = Form();
    form_.equalisation = method;
    form_.equalised = std::make_unique<Model>(std::move(equalised.model));
    form_.methods.resize(units_.size());
    observe_form(form_, context);
    if (context.stopping()) break;
    const double e = least_error();
    context.debug(fmt::format("{}: {} in {} layers: output error {:.5f} (best so far {:.5f})", prepared_.name,
                              equalisation_name(method), equalised.scaled, e, least));
    if (e < kClearly * least) least = e, best = std::move(form_);
  }
  form_ = std::move(best);
  std::fill(form_.methods.begin(), form_.methods.end(), Calibration::min_max);
  set_params(form_);
}

void Int8Builder::choose_ranges(const OutputError& error, const Context& context) {
  constexpr std::array kMethods{Calibration::min_max, Calibration::percentile_9999, Calibration::percentile_999,
                                Calibration::mse};
  const auto use = [&](std::size_t begin, std::size_t end, Calibration method) {
    std::fill(form_.methods.begin() + static_cast<std::ptrdiff_t>(begin),
              form_.methods.begin() + static_cast<std::ptrdiff_t>(end), method);
    set_params(form_);
  };
  const int linear = count_linear(possible_);
  const int parts = std::min(kCalibrationParts, linear);
  std::size_t end = 0;
  int seen = 0;
  for (int part = 0; part < parts && !context.stopping(); ++part) {
    std::vector<bool> alone(units_.size(), false);
    const std::size_t begin = end;
    for (; end < units_.size() && (part + 1 == parts || seen * parts < (part + 1) * linear); ++end) {
      alone[end] = possible_[end];
      seen += possible_[end] && units_[end].kind == UnitKind::linear ? 1 : 0;
    }
    double least = std::numeric_limits<double>::infinity();
    Calibration best = Calibration::min_max;
    for (const Calibration method : kMethods) {
      if (context.stopping()) break;
      use(begin, end, method);
      if (const double e = this->error(alone, error); e < least) least = e, best = method;
    }
    use(begin, end, best);
    form_.parts.push_back(best);
  }
  std::vector<Calibration> best = form_.methods;
  double least = this->error(possible_, error);
  for (const Calibration method : kMethods) {
    if (context.stopping()) break;
    use(0, units_.size(), method);
    const double e = this->error(possible_, error);
    if (e >= least) continue;
    least = e;
    best = form_.methods;
    form_.parts = {method};
  }
  form_.methods = std::move(best);
  set_params(form_);
}

void Int8Builder::choose_weights(const OutputError& error, const Context& context) {
  if (context.stopping()) return;
  double least = this->error(possible_, error);
  const auto note = [&](const char* what, double e) {
    context.debug(fmt::format("{}: {}: output error {:.5f} (before {:.5f})", prepared_.name, what, e, least));
  };
  form_.clipped = true;
  set_params(form_);
  const double clipped = this->error(possible_, error);
  note("weights clipped", clipped);
  if (clipped < kClearly * least) {
    least = clipped;
  } else {
    form_.clipped = false;
    set_params(form_);
  }
  if (context.stopping()) return;
  const auto n = std::min<std::size_t>(sets_.size(), kCorrectionSets);
  form_.shifts = measure_bias_shifts(engine_, model(), at_, units_, possible_, form_.params, weight_scales(),
                                     {sets_.begin(), sets_.begin() + static_cast<std::ptrdiff_t>(n)}, folder_, context);
  const double corrected = this->error(possible_, error);
  note("biases corrected", corrected);
  if (context.stopping() || corrected >= kClearly * least) form_.shifts.clear();
}

std::string Int8Builder::calibration() const {
  std::map<Calibration, int> count;
  for (const Calibration method : form_.parts) ++count[method];
  std::string text;
  if (count.size() <= 1) text = calibration_name(count.empty() ? Calibration::min_max : count.begin()->first);
  else {
    for (const auto& [method, n] : count) {
      text += fmt::format("{}{}x {}", text.empty() ? "" : ", ", n, calibration_name(method));
    }
  }
  if (form_.equalised) text += fmt::format(", {}", equalisation_name(form_.equalisation));
  if (form_.clipped) text += ", weights clipped";
  if (!form_.shifts.empty()) text += ", biases corrected";
  return text;
}

WeightForm Int8Builder::weight_form() const {
  WeightForm form{form_.scales, form_.shifts};
  for (const auto& [name, scales] : options_.weight_scales) form.scales[name] = scales;
  return form;
}

WeightScales Int8Builder::weight_scales() const { return weight_form().scales; }

Model Int8Builder::build(const std::vector<bool>& integer) const {
  return quantize(model(), units_, integer, form_.params, form_.observed.specs, weight_form());
}

std::vector<std::string> Int8Builder::judged_tensors() const {
  const auto& nodes = prepared_.graph().node();
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
  const Links links(prepared_);
  for (const auto& output : prepared_.graph().output()) {
    if (jumping.contains(output.name())) continue;
    const int p = links.producer(output.name());  // of another type than errors are measured in
    const bool cast = p >= 0 && is_op(nodes[p], "Cast") && smooth.contains(nodes[p].input(0));
    add(cast ? nodes[p].input(0) : output.name());
  }
  return judged;
}

/// With all nodes, so that units keep their places.
Model Int8Builder::judged_form(const Model& model) const {
  Model judged = model;
  judged.graph().clear_output();
  for (const auto& name : judged_) judged.graph().add_output()->set_name(name);
  return judged;
}

OutputError Int8Builder::judge(std::vector<InputSet> sets) const {
  const ScratchModel file(judged_form(prepared_), folder_);
  LoadRequest request = at_;
  request.model = file.path();
  return {engine_, request, std::move(sets)};
}

double Int8Builder::error(const std::vector<bool>& integer, const OutputError& error) const {
  ++evaluations_;
  const ScratchModel file(
      quantize(judged_form(model()), units_, integer, form_.params, form_.observed.specs, weight_form()), folder_);
  LoadRequest request = at_;
  request.model = file.path();
  try {
    return error.of(request, context_);
  } catch (const Error&) {  // the back-end refuses this form: it is no candidate
    return std::numeric_limits<double>::infinity();
  }
}

}  // namespace rtmdl
