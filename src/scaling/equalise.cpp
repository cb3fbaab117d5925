#include "scaling/equalise.h"

#include "model/edit.h"
#include "model/scale_shift.h"
#include "model/tensor_data.h"
#include "scaling/quant_weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace rtmdl {
namespace {

constexpr int kRounds = 8;          ///< over all layers; chains of depthwise layers settle within a few
constexpr double kStrongest = 64;   ///< a channel is scaled up or down by no more in one round
constexpr double kReserve = 1.25;   ///< below a clip that no observed value reached
constexpr double kNothing = 1e-12;  ///< ranges below it are of dead channels: they stay

/// Where the scales of one layer's output channels go.
struct Path {
  std::set<std::string> scaled;                       ///< tensors
  std::vector<int> absorbers;                         ///< linear nodes
  std::vector<std::pair<std::string, double>> clips;  ///< output of a Clip, its upper limit
  std::vector<std::string> unscaled;                  ///< other factors of products: must not be scaled themselves
};

class Equaliser {
 public:
  Equaliser(const Model& model, const std::unordered_map<std::string, ChannelStats>& observed, Equalisation method)
      : model_(model), links_(model), observed_(observed), method_(method) {
    for (int i = 0; i < model.graph().node_size(); ++i) {
      const auto& n = node(i);
      if ((is_op(n, "Conv") || is_op(n, "Gemm") || is_op(n, "MatMul")) && n.output_size() == 1 &&
          links_.constant(n.input(0)) == nullptr) {
        if (auto w = usable(n)) layers_.emplace(i, std::move(*w));
      }
    }
  }

  Equalised run() {
    std::map<int, Path> paths;
    for (const auto& [i, w] : layers_) {
      Path path;
      if (walk(node(i).output(0), path, !is_op(node(i), "Conv")) && !path.absorbers.empty() && independent(path))
        paths.emplace(i, path);
    }
    std::set<int> changed;
    for (int round = 0; round < kRounds; ++round) {
      double strongest = 1;
      for (const auto& [i, path] : paths) {
        const std::vector<double> s = scales(i, path);
        for (const double v : s) strongest = std::max({strongest, v, 1 / v});
        if (std::any_of(s.begin(), s.end(), [](double v) { return v != 1; })) {
          apply(i, path, s);
          changed.insert(i);
        }
      }
      if (strongest < 1.02) break;
    }
    Equalised out;
    out.scaled = static_cast<int>(changed.size());
    for (const auto& [i, path] : paths) out.absorbed += absorb_bias(i, path) ? 1 : 0;
    out.model = model_;
    for (const int i : edited_) store(out.model, i);
    if (!edited_.empty()) drop_dead_nodes(out.model);
    return out;
  }

 private:
  const onnx::NodeProto& node(int i) const { return model_.graph().node(i); }

  std::optional<LinearWeights> usable(const onnx::NodeProto& n) const {
    if (is_op(n, "Gemm") && (attribute_or(n, "alpha", 1.0F) != 1 || attribute_or(n, "beta", 1.0F) != 1 ||
                             attribute_or(n, "transA", std::int64_t{0}) != 0))
      return std::nullopt;
    auto w = linear_weights(n, links_);
    if (!w || (is_op(n, "MatMul") && w->shape.size() != 2)) return std::nullopt;
    return w;
  }

  /// Follows scaled channels from a tensor on to all that read it. `flat`: they lie in the last dimension.
  bool walk(const std::string& tensor, Path& path, bool flat) const {
    if (links_.is_output(tensor) || !path.scaled.insert(tensor).second) return false;
    const std::vector<int>& readers = links_.consumers(tensor);
    const std::set<int> each(readers.begin(), readers.end());
    return !readers.empty() && each.size() == readers.size() &&
           std::all_of(each.begin(), each.end(), [&](int r) { return pass(r, tensor, path, flat); });
  }

  bool pass(int reader, const std::string& tensor, Path& path, bool flat) const {
    static const std::set<std::string> kElementwise{"Relu", "LeakyRelu", "PRelu"};
    static const std::set<std::string> kPooling{"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"};
    const auto& n = node(reader);
    if (!n.domain().empty() && n.domain() != "ai.onnx") return false;
    if (layers_.contains(reader)) {
      path.absorbers.push_back(reader);
      return n.input(0) == tensor && flat != is_op(n, "Conv");
    }
    if (n.output_size() != 1) return false;
    if (is_op(n, "Mul")) {
      const std::string& other = n.input(n.input(0) == tensor ? 1 : 0);
      const auto* constant = links_.constant(other);
      if (constant != nullptr && constant->dims_size() > 4) return false;
      path.unscaled.push_back(other);
      return walk(n.output(0), path, flat);
    }
    if (n.input(0) != tensor) return false;
    if (is_op(n, "Clip")) {
      const auto low = n.input_size() > 1 && !n.input(1).empty() ? scalar_constant(links_, n.input(1)) : std::nullopt;
      const auto high = n.input_size() > 2 && !n.input(2).empty() ? scalar_constant(links_, n.input(2)) : std::nullopt;
      if (!low || !high || *low != 0 || !(*high > 0) || !observed_.contains(n.output(0))) return false;
      path.clips.emplace_back(n.output(0), *high);
      return walk(n.output(0), path, flat);
    }
    if (is_op(n, "PRelu") && links_.constant(n.input(1)) == nullptr) return false;
    if (is_op(n, "Flatten") && !flat && attribute_or(n, "axis", std::int64_t{1}) == 1)
      return walk(n.output(0), path, true);
    return (kElementwise.contains(n.op_type()) || (!flat && kPooling.contains(n.op_type()))) &&
           walk(n.output(0), path, flat);
  }

  bool independent(const Path& path) const {
    return std::none_of(path.unscaled.begin(), path.unscaled.end(),
                        [&](const auto& name) { return path.scaled.contains(name); });
  }

  /// Channels of the producer that the absorber's input channels come from: several in a row where maps were flattened.
  static std::size_t spread(const LinearWeights& from, const LinearWeights& to) {
    return to.inputs % from.channels == 0 ? to.inputs / from.channels : 0;
  }

  static bool depthwise(const LinearWeights& w) { return w.group > 1 && w.group == w.inputs; }

  /// Largest magnitudes of weights that read each channel, of those layers where it matters.
  std::vector<double> reading_ranges(const LinearWeights& from, const Path& path) const {
    std::vector<double> range(from.channels, 0);
    bool any = false;
    for (const int a : path.absorbers) {
      const LinearWeights& to = layers_.at(a);
      if (depthwise(to) && method_ == Equalisation::activations) continue;
      any = true;
      const std::size_t k = spread(from, to);
      for (std::size_t i = 0; i < to.values.size(); ++i) {
        double& r = range[to.input_of(i) / k];
        r = std::max(r, static_cast<double>(std::fabs(to.values[i])));
      }
    }
    return any ? range : std::vector<double>();
  }

  /// Of the tensors that the absorbers read, as they are by now.
  std::vector<double> peaks(int layer, const Path& path) const {
    const std::size_t channels = layers_.at(layer).channels;
    std::vector<double> peak(channels, 0);
    const auto add = [&](const std::string& tensor) {
      const auto it = observed_.find(tensor);
      if (it == observed_.end() || it->second.low.empty() || it->second.low.size() % channels != 0) return;
      const std::size_t k = it->second.low.size() / channels;
      for (std::size_t c = 0; c < it->second.low.size(); ++c) {
        peak[c / k] = std::max(peak[c / k], static_cast<double>(it->second.peak(c)));
      }
    };
    for (const int a : path.absorbers) add(node(a).input(0));
    for (const auto& [tensor, high] : path.clips) add(tensor);
    const auto done = scaled_by_.find(layer);
    for (std::size_t c = 0; done != scaled_by_.end() && c < channels; ++c) peak[c] /= done->second[c];
    return peak;
  }

  /// What the layer's output channels are divided by.
  std::vector<double> scales(int layer, const Path& path) const {
    const LinearWeights& from = layers_.at(layer);
    std::vector<double> s(from.channels, 1);
    for (const int a : path.absorbers) {
      if (spread(from, layers_.at(a)) == 0) return s;
    }
    const std::vector<double> peak = peaks(layer, path);
    std::vector<double> r1 = peak;
    if (method_ == Equalisation::weights) {
      r1.assign(from.channels, 0);
      for (std::size_t i = 0; i < from.values.size(); ++i) {
        double& r = r1[from.output_of(i)];
        r = std::max(r, static_cast<double>(std::fabs(from.values[i])));
      }
    }
    const std::vector<double> r2 = reading_ranges(from, path);
    for (std::size_t c = 0; c < s.size(); ++c) {
      if (!(r1[c] > kNothing) || (!r2.empty() && !(r2[c] > kNothing)) || !(peak[c] > kNothing)) continue;
      s[c] = r2.empty() ? r1[c] : std::sqrt(r1[c] / r2[c]);
    }
    keep_peak(s, peak);
    for (const auto& [tensor, high] : path.clips) respect(high, s, peak, layer);
    for (double& v : s) v = std::clamp(v, 1 / kStrongest, kStrongest);
    for (const auto& [tensor, high] : path.clips) respect(high, s, peak, layer);
    return s;
  }

  /// The largest value of the whole tensor stays what it is.
  static void keep_peak(std::vector<double>& s, const std::vector<double>& peak) {
    double before = 0;
    double after = 0;
    for (std::size_t c = 0; c < s.size(); ++c) {
      before = std::max(before, peak[c]);
      after = std::max(after, peak[c] / s[c]);
    }
    if (!(before > kNothing) || !(after > kNothing)) return;
    for (std::size_t c = 0; c < s.size(); ++c) {
      if (peak[c] > kNothing) s[c] *= after / before;
    }
  }

  /// A channel that the clip cuts off stays as it is; others stay below it.
  void respect(double high, std::vector<double>& s, const std::vector<double>& peak, int layer) const {
    const auto done = scaled_by_.find(layer);
    for (std::size_t c = 0; c < s.size(); ++c) {
      const double before = done == scaled_by_.end() ? 1 : done->second[c];
      if (peak[c] * before * kReserve >= high) s[c] = 1 / before;  // back to what it was at first
      else s[c] = std::max(s[c], peak[c] * kReserve / high);
    }
  }

  void apply(int layer, const Path& path, const std::vector<double>& s) {
    LinearWeights& from = layers_.at(layer);
    auto& done = scaled_by_.try_emplace(layer, s.size(), 1.0).first->second;
    for (std::size_t i = 0; i < from.values.size(); ++i) {
      from.values[i] = static_cast<float>(from.values[i] / s[from.output_of(i)]);
    }
    for (std::size_t c = 0; c < s.size(); ++c) {
      done[c] *= s[c];
      if (!from.bias.empty()) from.bias[c] = static_cast<float>(from.bias[c] / s[c]);
    }
    edited_.insert(layer);
    for (const int a : path.absorbers) {
      LinearWeights& to = layers_.at(a);
      const std::size_t k = spread(from, to);
      for (std::size_t i = 0; i < to.values.size(); ++i) {
        to.values[i] = static_cast<float>(to.values[i] * s[to.input_of(i) / k]);
      }
      edited_.insert(a);
    }
  }

  static bool unpadded(const onnx::NodeProto& n) {
    const auto pads = integers_attribute(n, "pads");
    const std::string automatic = attribute_or(n, "auto_pad", "NOTSET");
    return (automatic == "NOTSET" || automatic == "VALID") &&
           std::all_of(pads.begin(), pads.end(), [](std::int64_t p) { return p == 0; });
  }

  /// Layer – Relu – unpadded layers: what never falls to zero is taken away before and given back behind.
  bool absorb_bias(int layer, const Path& path) {
    LinearWeights& from = layers_.at(layer);
    const std::string& y = node(layer).output(0);
    if (from.bias.empty() || path.scaled.size() != 2) return false;
    const int relu = links_.consumers(y).front();
    if (!is_op(node(relu), "Relu")) return false;
    const auto stats = observed_.find(node(relu).output(0));
    if (stats == observed_.end() || stats->second.low.size() != from.channels) return false;
    for (const int a : path.absorbers) {
      const LinearWeights& to = layers_.at(a);
      if (node(a).input(0) != node(relu).output(0) || !unpadded(node(a)) || is_op(node(a), "MatMul") ||
          to.inputs != from.channels)
        return false;
    }
    const auto done = scaled_by_.find(layer);
    std::vector<double> shift(from.channels, 0);
    for (std::size_t c = 0; c < from.channels; ++c) {
      const double low = stats->second.low[c] / (done == scaled_by_.end() ? 1 : done->second[c]);
      if (std::isfinite(low)) shift[c] = std::max(0.0, low / kReserve);
    }
    if (std::none_of(shift.begin(), shift.end(), [](double v) { return v > 0; })) return false;
    for (std::size_t c = 0; c < from.channels; ++c) from.bias[c] = static_cast<float>(from.bias[c] - shift[c]);
    edited_.insert(layer);
    for (const int a : path.absorbers) {
      LinearWeights& to = layers_.at(a);
      std::vector<double> sum(to.channels, 0);
      for (std::size_t i = 0; i < to.values.size(); ++i) {
        sum[to.output_of(i)] += static_cast<double>(to.values[i]) * shift[to.input_of(i)];
      }
      to.bias.resize(to.channels, 0);
      for (std::size_t c = 0; c < to.channels; ++c) to.bias[c] = static_cast<float>(to.bias[c] + sum[c]);
      edited_.insert(a);
    }
    return true;
  }

  /// Weights under new names: others may read the old ones.
  void store(Model& model, int index) const {
    const LinearWeights& w = layers_.at(index);
    const std::string stem = node(index).output(0);
    const auto n = static_cast<std::int64_t>(w.channels);
    const std::string weights =
        add_constant(model, make_tensor(stem + ".equalised", w.shape, std::span<const float>(w.values)));
    auto& edited = *model.graph().mutable_node(index);
    edited.set_input(1, weights);
    if (w.bias.empty()) return;
    const std::string bias =
        add_constant(model, make_tensor(stem + ".equalised_bias", Dims(&n, 1), std::span<const float>(w.bias)));
    while (edited.input_size() < 3) edited.add_input();
    edited.set_input(2, bias);
  }

  const Model& model_;
  Links links_;
  const std::unordered_map<std::string, ChannelStats>& observed_;
  Equalisation method_;
  std::map<int, LinearWeights> layers_;           ///< by node
  std::map<int, std::vector<double>> scaled_by_;  ///< by node, all rounds together
  std::set<int> edited_;
};

}  // namespace

const char* equalisation_name(Equalisation method) noexcept {
  switch (method) {
    case Equalisation::none: return "";
    case Equalisation::weights: return "filters equalised";
    case Equalisation::activations: return "channels equalised";
  }
  return "";
}

Equalised equalise(const Model& model, const std::unordered_map<std::string, ChannelStats>& observed,
                   Equalisation method) {
  if (method == Equalisation::none) return {model, 0, 0};
  return Equaliser(model, observed, method).run();
}

}  // namespace rtmdl
