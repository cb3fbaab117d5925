#include "model/tensor_data.h"
#include "scaling/channel_analysis.h"
#include "scaling/prune.h"

#include <fmt/format.h>
#include <rtmdl/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

namespace rtmdl {
namespace {

/// Channels that stay of a group: so many that along the makers' output they are a multiple of `block`, where the group
/// is at least two blocks wide.
std::size_t kept_count(const ChannelGroup& group, double ratio, int block) {
  const auto n = static_cast<std::int64_t>(group.channels.size());
  if (!(ratio < 1)) return static_cast<std::size_t>(n);
  const std::int64_t multiple = std::max(1, group.multiple);
  const std::int64_t step = std::max(1, block) / std::gcd<std::int64_t>(std::max(1, block), multiple);
  const std::int64_t unit = n >= 2 * step ? step : 1;
  const std::int64_t wanted = std::llround(ratio * static_cast<double>(n) / static_cast<double>(unit)) * unit;
  return static_cast<std::size_t>(std::clamp(wanted, std::min(unit, n), n));
}

/// Multiply-accumulates when groups are cut, without cutting anything: every axis of every tensor knows how many of its
/// positions each channel of a group holds.
class Macs {
 public:
  Macs(const Model& model, const TensorSpecs& specs, const ChannelGroups& groups) : specs_(specs) {
    for (const auto& node : model.graph().node()) *shell_.graph().add_node() = node;
    for (const auto& tensor : model.graph().initializer()) {
      auto& empty = *shell_.graph().add_initializer();  // node_cost() looks at dimensions only
      empty.set_name(tensor.name());
      empty.set_data_type(tensor.data_type());
      *empty.mutable_dims() = tensor.dims();
      weights_[tensor.name()] = &empty;
    }
    links_.emplace(shell_);
    const ChannelAnalysis analysis(model, specs);
    for (const auto& group : groups.groups) learn(analysis, group.name);
    for (const auto& node : shell_.graph().node()) total_ += node_cost(node, *links_, specs_).macs;
  }

  [[nodiscard]] std::int64_t total() const { return total_; }
  /// A cut of one changes what a cut of the other saves.
  [[nodiscard]] bool meet(std::size_t g, std::size_t h) const {
    std::vector<int> both;
    std::set_intersection(uses_[g].nodes.begin(), uses_[g].nodes.end(), uses_[h].nodes.begin(), uses_[h].nodes.end(),
                          std::back_inserter(both));
    return !both.empty();
  }
  [[nodiscard]] std::int64_t saved(std::size_t g, std::size_t from, std::size_t to) {
    const std::int64_t before = total_;
    cut(g, from, to);
    const std::int64_t after = total_;
    cut(g, to, from);
    return before - after;
  }
  void cut(std::size_t g, std::size_t from, std::size_t to) {
    const std::int64_t before = of_group(g);
    const std::int64_t by = static_cast<std::int64_t>(to) - static_cast<std::int64_t>(from);
    for (const auto& use : uses_[g].axes) {
      if (use.weights) {
        auto* tensor = weights_.at(use.tensor);
        tensor->set_dims(use.axis, tensor->dims(use.axis) + by * use.count);
      } else {
        specs_.at(use.tensor).shape[static_cast<std::size_t>(use.axis)] += by * use.count;
      }
    }
    total_ += of_group(g) - before;
  }

 private:
  struct Use {
    std::string tensor;
    int axis;
    std::int64_t count;
    bool weights;
  };
  struct GroupUse {
    std::vector<Use> axes;
    std::vector<int> nodes;  ///< ascending
  };

  void learn(const ChannelAnalysis& analysis, const std::string& name) {
    const auto& known = analysis.groups.groups;
    const auto it = std::find_if(known.begin(), known.end(), [&](const auto& group) { return group.name == name; });
    if (it == known.end())
      throw Error(ErrorCode::internal, fmt::format("channel group '{}' is none of this model's", name));
    GroupUse use;
    std::set<std::string> touched;
    std::set<std::pair<std::string, int>> seen;  // constants are listed once for each reader
    for (const auto& axis : analysis.axes[static_cast<std::size_t>(it - known.begin())]) {
      const auto& tensor =
          analysis.atoms
              .tensors()[static_cast<std::size_t>(analysis.atoms.axes()[static_cast<std::size_t>(axis.axis)].tensor)];
      const int k = axis.axis - tensor.first_axis;
      if (!seen.emplace(tensor.name, k).second) continue;
      use.axes.push_back({tensor.name, k, axis.count, tensor.constant});
      touched.insert(tensor.name);
    }
    for (int n = 0; n < shell_.graph().node_size(); ++n) {
      const auto& node = shell_.graph().node(n);
      const auto touches = [&](const auto& names) {
        return std::any_of(names.begin(), names.end(), [&](const auto& of) { return touched.contains(of); });
      };
      if (!touches(node.input()) && !touches(node.output())) continue;
      if (node_cost(node, *links_, specs_).macs > 0) use.nodes.push_back(n);
    }
    uses_.push_back(std::move(use));
  }

  [[nodiscard]] std::int64_t of_group(std::size_t g) const {
    std::int64_t macs = 0;
    for (const int n : uses_[g].nodes) macs += node_cost(shell_.graph().node(n), *links_, specs_).macs;
    return macs;
  }

  Model shell_;
  TensorSpecs specs_;
  std::map<std::string, onnx::TensorProto*> weights_;
  std::optional<Links> links_;
  std::vector<GroupUse> uses_;
  std::int64_t total_ = 0;
};

/// Share of a group's importance that goes with all but its `count` most important channels.
double lost_importance(std::vector<double> values, std::size_t count) {
  std::sort(values.begin(), values.end(), std::greater<>());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(std::min(count, values.size()));
  const double kept = std::accumulate(values.begin(), middle, 0.0);
  const double all = std::accumulate(middle, values.end(), kept);
  return all > 0 ? 1 - kept / all : 0;
}

}  // namespace

Kept most_important(const ChannelGroups& groups, const std::vector<std::vector<double>>& importance,
                    const std::vector<double>& ratio, int block, bool sorted) {
  if (importance.size() != groups.groups.size() || ratio.size() != groups.groups.size()) {
    throw Error(ErrorCode::internal, fmt::format("{} groups, importance of {}, ratios of {}", groups.groups.size(),
                                                 importance.size(), ratio.size()));
  }
  Kept kept;
  for (std::size_t g = 0; g < groups.groups.size(); ++g) {
    const auto& values = importance[g];
    std::vector<int> order(groups.groups[g].channels.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return values.at(static_cast<std::size_t>(a)) > values.at(static_cast<std::size_t>(b));
    });
    order.resize(kept_count(groups.groups[g], ratio[g], block));
    if (!sorted) std::sort(order.begin(), order.end());
    kept.push_back(std::move(order));
  }
  return kept;
}

std::vector<double> ratios_for(const Model& model, const TensorSpecs& specs, const ChannelGroups& groups,
                               const std::vector<std::vector<double>>& importance,
                               const std::vector<std::vector<double>>& harm, const std::vector<double>& steps,
                               double macs_share, double least) {
  const std::size_t n = groups.groups.size();
  if (importance.size() != n || harm.size() != n) {
    throw Error(ErrorCode::internal,
                fmt::format("{} groups, importance of {}, harm of {}", n, importance.size(), harm.size()));
  }
  Macs macs(model, specs, groups);
  const double wanted = macs_share * static_cast<double>(macs.total());
  const auto count = [&](std::size_t g, double ratio) { return kept_count(groups.groups[g], ratio, kChannelBlock); };
  struct Narrowing {
    std::int64_t saved = 0;
    double rate = std::numeric_limits<double>::infinity();  ///< harm for each multiply-accumulate saved
    double lost = 0;                                        ///< importance, likewise: where no harm tells them apart
    double ratio = 1;
  };
  std::vector<double> ratios(n, 1);
  std::vector<double> harm_now(n, 0);
  std::vector<std::optional<Narrowing>> best(n);  // of each group, as long as nothing near it changes
  const auto better = [](const Narrowing& a, const Narrowing& b) {
    return std::pair(a.rate, a.lost) < std::pair(b.rate, b.lost);
  };
  const auto look = [&](std::size_t g) {
    Narrowing found;
    for (std::size_t k = 0; k < steps.size(); ++k) {
      if (!(steps[k] < ratios[g]) || steps[k] < least) continue;
      Narrowing cut;
      cut.ratio = steps[k];
      cut.saved = macs.saved(g, count(g, ratios[g]), count(g, steps[k]));
      if (cut.saved <= 0) continue;
      const auto saved = static_cast<double>(cut.saved);
      cut.rate = std::max(0.0, harm[g].at(k) - harm_now[g]) / saved;
      cut.lost = lost_importance(importance[g], count(g, steps[k])) / saved;
      if (found.saved == 0 || better(cut, found)) found = cut;
    }
    return found;
  };
  std::size_t last = n;
  double before_last = 1;
  while (static_cast<double>(macs.total()) > wanted) {
    std::size_t chosen = n;
    for (std::size_t g = 0; g < n; ++g) {
      if (!best[g]) best[g] = look(g);
      if (best[g]->saved > 0 && (chosen == n || better(*best[g], *best[chosen]))) chosen = g;
    }
    if (chosen == n) break;
    const double ratio = best[chosen]->ratio;
    macs.cut(chosen, count(chosen, ratios[chosen]), count(chosen, ratio));
    last = chosen;
    before_last = std::exchange(ratios[chosen], ratio);
    const auto step = std::find(steps.begin(), steps.end(), ratio) - steps.begin();
    harm_now[chosen] = std::max(harm_now[chosen], harm[chosen].at(static_cast<std::size_t>(step)));
    for (std::size_t g = 0; g < n; ++g) {
      if (g == chosen || macs.meet(g, chosen)) best[g].reset();
    }
  }
  if (last == n) return ratios;
  std::vector<double> milder;  // the last cut goes no further than it has to
  for (const double step : steps) {
    if (step > ratios[last] && step < before_last) milder.push_back(step);
  }
  std::sort(milder.begin(), milder.end(), std::greater<>());
  for (const double step : milder) {
    const std::int64_t back = macs.saved(last, count(last, ratios[last]), count(last, step));  // negative
    if (static_cast<double>(macs.total() - back) > wanted) continue;
    ratios[last] = step;
    break;
  }
  return ratios;
}

}  // namespace rtmdl
