#include "scaling/calibrate.h"

#include "base/atomic_file.h"
#include "base/hash.h"
#include "model/edit.h"

#include <fmt/format.h>
#include <rtmdl/error.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string_view>

namespace rtmdl {
namespace {

constexpr std::size_t kValuesPerRun =
    20'000;  ///< of one tensor that go into the histogram; the minimum and maximum see all
constexpr std::size_t kOutputBytes = 96'000'000;  ///< of tensors observed in one run: they all stay in memory
constexpr std::size_t kOutputs = 256;
constexpr std::string_view kScratch = ".scratch-";

}  // namespace

const char* calibration_name(Calibration method) noexcept {
  switch (method) {
    case Calibration::min_max: return "min-max";
    case Calibration::percentile_9999: return "percentile 99.99";
    case Calibration::percentile_999: return "percentile 99.9";
    case Calibration::mse: return "least squares";
  }
  return "";
}

void Histogram::add(std::span<const float> values) {
  if (values.empty()) return;
  float low = low_;
  float high = high_;
  for (const float v : values) {
    low = v < low ? v : low;
    high = v > high ? v : high;
    finite_ = finite_ && std::isfinite(v);
  }
  if (!finite_) return;
  low_ = low;
  high_ = high;
  widen(std::max(-low, high));
  const std::size_t step = std::max<std::size_t>(1, values.size() / kValuesPerRun);
  const double scale = 1 / width_;
  for (std::size_t i = 0; i < values.size(); i += step) {
    const auto bin = static_cast<std::ptrdiff_t>((values[i] + half()) * scale);
    ++bins_[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(bin, 0, kBins - 1))];
    ++count_;
  }
}

void Histogram::widen(float magnitude) {
  if (bins_.empty()) {
    bins_.assign(kBins, 0);
    width_ = 2.0 * std::max(magnitude, 1e-30F) / kBins;
  }
  while (half() < magnitude) {  // two bins become one, around the centre
    std::vector<std::uint64_t> wider(kBins, 0);
    for (std::size_t i = 0; i < kBins; ++i) wider[kBins / 4 + i / 2] += bins_[i];
    bins_ = std::move(wider);
    width_ *= 2;
  }
}

Range Histogram::range(Calibration method) const {
  if (count_ == 0) return {};
  switch (method) {
    case Calibration::min_max: return {low_, high_};
    case Calibration::percentile_9999: return percentile(0.9999);
    case Calibration::percentile_999: return percentile(0.999);
    case Calibration::mse: return least_squares();
  }
  return {};
}

Range Histogram::percentile(double p) const {
  const auto outside = static_cast<std::uint64_t>(static_cast<double>(count_) * (1 - p) / 2);
  std::size_t first = 0;
  std::size_t last = kBins - 1;
  for (std::uint64_t n = 0; first < kBins - 1 && n + bins_[first] <= outside; ++first) n += bins_[first];
  for (std::uint64_t n = 0; last > 0 && n + bins_[last] <= outside; --last) n += bins_[last];
  const double low = static_cast<double>(first) * width_ - half();
  const double high = static_cast<double>(last + 1) * width_ - half();
  return {std::min(0.0F, std::max(low_, static_cast<float>(low))),
          std::max(0.0F, std::min(high_, static_cast<float>(high)))};
}

double Histogram::error(Range range) const {
  const double step = (static_cast<double>(range.high) - range.low) / 255;
  const double rounding = step * step / 12;
  double sum = 0;
  for (std::size_t i = 0; i < kBins; ++i) {
    if (bins_[i] == 0) continue;
    const double v = centre(i);
    const double clipped = v < range.low ? range.low - v : v > range.high ? v - range.high : 0;
    sum += static_cast<double>(bins_[i]) * (clipped * clipped + rounding);
  }
  return sum;
}

/// Shrinks both ends in turn as long as the expected squared error falls.
Range Histogram::least_squares() const {
  Range best{low_, high_};
  double least = error(best);
  for (int i = 1; i < 64; ++i) {
    const float keep = 1.0F - static_cast<float>(i) / 64;
    const Range candidate{low_ * keep, high_ * keep};
    if (const double e = error(candidate); e < least) least = e, best = candidate;
  }
  for (const bool upper : {true, false, true, false}) {
    for (int i = 0; i < 64; ++i) {
      const float keep = 1.0F - static_cast<float>(i) / 64;
      Range candidate = best;
      (upper ? candidate.high : candidate.low) = (upper ? high_ : low_) * keep;
      if (const double e = error(candidate); e < least) least = e, best = candidate;
    }
  }
  return best;
}

void ChannelStats::add(std::span<const float> values, std::span<const std::int64_t> shape, int axis) {
  const auto rank = static_cast<int>(shape.size());
  const int dimension = axis < 0 ? axis + rank : axis;
  if (values.empty() || dimension < 0 || dimension >= rank) return;
  const auto at = static_cast<std::size_t>(dimension);
  const auto channels = static_cast<std::size_t>(shape[at]);
  const std::size_t inner = element_count(shape.subspan(at + 1));
  if (low.empty()) {
    low.assign(channels, std::numeric_limits<float>::infinity());
    high.assign(channels, -std::numeric_limits<float>::infinity());
    mean.assign(channels, 0);
  }
  if (low.size() != channels) return;
  std::vector<double> sum(channels, 0);
  for (std::size_t begin = 0, c = 0; begin < values.size(); begin += inner, c = c + 1 == channels ? 0 : c + 1) {
    float least = low[c];
    float most = high[c];
    double row = 0;
    for (const float v : values.subspan(begin, inner)) {
      least = v < least ? v : least;
      most = v > most ? v : most;
      row += v;
    }
    low[c] = least;
    high[c] = most;
    sum[c] += row;
  }
  const std::uint64_t fresh = values.size() / channels;
  for (std::size_t c = 0; c < channels; ++c) {
    mean[c] += (sum[c] - mean[c] * static_cast<double>(fresh)) / static_cast<double>(per_channel_ + fresh);
  }
  per_channel_ += fresh;
}

void feed(Executable& executable, const InputSet& set) {
  if (set.size() != executable.inputs().size()) {
    bad_input(
        fmt::format("the model has {} inputs to fill, an input set has {}", executable.inputs().size(), set.size()));
  }
  for (std::size_t i = 0; i < set.size(); ++i) {
    const TensorView to = executable.input(i);
    if (set[i].type != to.type || set[i].bytes.size() != to.bytes.size()) {
      bad_input(fmt::format("input '{}' takes {} bytes of {}, an input set has {} bytes of {}",
                            executable.inputs()[i].name, to.bytes.size(), element_name(to.type), set[i].bytes.size(),
                            element_name(set[i].type)));
    }
    std::memcpy(to.bytes.data(), set[i].bytes.data(), to.bytes.size());
  }
}

std::filesystem::path scratch_path(const std::filesystem::path& folder, const std::string& what) {
  return folder / fmt::format("{}{}-{}", kScratch, ::getpid(), what);
}

namespace {

/// A process that was killed keeps its number until its parent has asked after it.
bool lives(pid_t process) {
  if (::kill(process, 0) != 0 && errno == ESRCH) return false;
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  const auto name_end = stat.rfind(')');  // then a space and the state
  return name_end == std::string::npos || name_end + 2 >= stat.size() || stat[name_end + 2] != 'Z';
}

}  // namespace

void remove_abandoned_scratch(const std::filesystem::path& folder) {
  std::error_code none;
  for (const auto& file : std::filesystem::directory_iterator(folder, none)) {
    const std::string name = file.path().filename().string();
    if (!name.starts_with(kScratch)) continue;
    const pid_t owner = std::atoi(name.c_str() + kScratch.size());
    if (owner > 0 && !lives(owner)) std::filesystem::remove(file.path(), none);
  }
}

ScratchModel::ScratchModel(const Model& model, const std::filesystem::path& folder) {
  static std::atomic<int> counter{0};
  path_ = scratch_path(folder, fmt::format("{}.onnx", counter.fetch_add(1)));
  save_model(model, path_);
}

ScratchModel::~ScratchModel() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

namespace {

std::unique_ptr<Executable> load_with_outputs(Engine& engine, const Model& model, LoadRequest at,
                                              const std::vector<std::string>& tensors,
                                              const std::filesystem::path& folder) {
  auto outputs = tensors;
  for (const auto& [output, input] : at.state) {
    if (std::find(outputs.begin(), outputs.end(), output) == outputs.end()) outputs.push_back(output);
  }
  const ScratchModel file(with_outputs(model, outputs), folder);
  at.model = file.path();
  at.profile.clear();
  return engine.load(at);
}

/// Bytes (of f32) of these tensors: the model runs once with their shapes as outputs, which take no room.
std::vector<std::size_t> sizes_of(Engine& engine, const Model& model, const LoadRequest& at,
                                  const std::vector<std::string>& tensors, const std::filesystem::path& folder) {
  Model with_shapes = model;
  std::vector<std::string> shapes;
  for (const auto& name : tensors) {
    shapes.push_back(fmt::format("~shape of {}", name));
    auto& node = *with_shapes.graph().add_node();
    node.set_op_type("Shape");
    node.add_input(name);
    node.add_output(shapes.back());
  }
  const auto values = values_of(engine, with_shapes, at, shapes, folder);
  std::vector<std::size_t> sizes;
  for (const auto& name : shapes) sizes.push_back(sizeof(float) * element_count(values.at(name).as<std::int64_t>()));
  return sizes;
}

}  // namespace

TensorSpecs visit_values(Engine& engine, const Model& model, const LoadRequest& at,
                         const std::vector<std::string>& wanted, std::span<const InputSet> sets,
                         const std::filesystem::path& folder, const Context& context,
                         const std::function<void(const TensorSpec&, std::span<const float>)>& visit) {
  TensorSpecs specs;
  std::vector<std::string> tensors;  // an input that is an output, too, is not copied: inputs are taken from the sets
  const auto inputs = model_inputs(model);
  for (const auto& name : wanted) {
    const bool input =
        std::any_of(inputs.begin(), inputs.end(), [&](const TensorSpec& spec) { return spec.name == name; });
    if (!input) tensors.push_back(name);
  }
  const std::vector<std::size_t> sizes = sizes_of(engine, model, at, tensors, folder);
  std::size_t begin = 0;
  while (begin < tensors.size() && !context.stopping()) {
    std::size_t end = begin + 1;
    for (std::size_t bytes = sizes[begin]; end < tensors.size() && end < begin + kOutputs; ++end) {
      bytes += sizes[end];
      if (bytes > kOutputBytes) break;
    }
    const std::vector<std::string> part(tensors.begin() + static_cast<std::ptrdiff_t>(begin),
                                        tensors.begin() + static_cast<std::ptrdiff_t>(end));
    const auto executable = load_with_outputs(engine, model, at, part, folder);
    for (const InputSet& set : sets) {
      if (context.stopping()) break;
      feed(*executable, set);
      if (!executable->run()) bad_input(fmt::format("{}: {}", model.name, executable->last_error()));
      for (std::size_t i = 0; begin == 0 && i < set.size(); ++i) {
        const TensorSpec& spec = executable->inputs()[i];
        specs[spec.name] = spec;
        if (spec.type == ElementType::f32) visit(spec, set[i].as<float>());
      }
      for (std::size_t i = 0; i < executable->outputs().size(); ++i) {
        const TensorSpec& spec = executable->outputs()[i];
        specs[spec.name] = spec;
        if (spec.type == ElementType::f32) visit(spec, executable->output(i).as<float>());
      }
    }
    begin = end;
  }
  return specs;
}

Observed observe(Engine& engine, const Model& model, const LoadRequest& at, const std::vector<std::string>& wanted,
                 const std::vector<InputSet>& sets, const std::filesystem::path& folder, const Context& context,
                 const ChannelAxes& axes) {
  Observed observed;
  const auto note = [&](const TensorSpec& spec, std::span<const float> values) {
    observed.histograms[spec.name].add(values);
    const auto axis = axes.find(spec.name);
    if (axis != axes.end()) observed.channels[spec.name].add(values, spec.shape, axis->second);
  };
  observed.specs = visit_values(engine, model, at, wanted, sets, folder, context, note);
  return observed;
}

std::unordered_map<std::string, Tensor> values_of(Engine& engine, const Model& model, const LoadRequest& at,
                                                  const std::vector<std::string>& tensors,
                                                  const std::filesystem::path& folder) {
  std::unordered_map<std::string, Tensor> values;
  if (tensors.empty()) return values;
  const auto executable = load_with_outputs(engine, model, at, tensors, folder);
  if (!executable->run()) bad_input(fmt::format("{}: {}", model.name, executable->last_error()));
  for (std::size_t i = 0; i < executable->outputs().size(); ++i) {
    const TensorView view = executable->output(i);
    Tensor tensor(view.type, std::vector<std::int64_t>(view.shape.begin(), view.shape.end()));
    std::memcpy(tensor.bytes.data(), view.bytes.data(), view.bytes.size());
    values.emplace(executable->outputs()[i].name, std::move(tensor));
  }
  return values;
}

}  // namespace rtmdl
