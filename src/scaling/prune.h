#pragma once
/// Width: removing (and reordering) channels of a model, so that what is left is a valid model of its own.

#include "engine/engine.h"
#include "scaling/channel_groups.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace rtmdl {

/// By group: the channels that stay, in their new order. Every list holds at least one and no channel twice.
using Kept = std::vector<std::vector<int>>;

/// Where each initializer's elements came from: by name, by axis, positions along the axis of the tensor before; an
/// empty list stands for the whole axis unchanged. Initializers that are the same as before are not listed; copies that
/// prune() had to make are, under their new names.
using SourceIndices = std::map<std::string, std::vector<std::vector<std::int64_t>>>;

struct Pruned {
  Model model;
  TensorSpecs specs;  ///< predicted shapes: what a run of the new model will give
  SourceIndices indices;
};

/// All groups whole, in their order.
[[nodiscard]] Kept keep_all(const ChannelGroups& groups);

/// Slices weights, rewrites attributes and shape constants (`group`, `hidden_size`, Split sizes, Reshape targets, Slice
/// bounds, Gather indices, Pad amounts, Resize sizes, Expand shapes …). Constants that two nodes use differently are
/// split in two. With keep_all() the result is bit for bit the model that was given. Throws Error(internal) for `kept`
/// that is not as said.
[[nodiscard]] Pruned prune(const Model& model, const TensorSpecs& specs, const ChannelGroups& groups, const Kept& kept);

/// Type and shape of every tensor, from one run on zeros. `at` gives shapes, state and constants.
[[nodiscard]] TensorSpecs specs_of(Engine& engine, const Model& model, const LoadRequest& at,
                                   const std::filesystem::path& folder);

/// find_channel_groups(), then half of every group is removed and the result run. Where that fails, or predicted shapes
/// differ from those of the run, the groups that are to blame are found by bisection; they become whole, with what the
/// back-end said as the reason. So whatever it returns can be pruned.
[[nodiscard]] ChannelGroups verified_channel_groups(Engine& engine, const Model& model, const LoadRequest& at,
                                                    const std::filesystem::path& folder);

// ---- what to keep

[[nodiscard]] bool has_batch_normalisation(const Model& model);

enum class Importance { magnitude, bn_scale };
/// By group and channel, ≥ 0, comparable within a group. Magnitude: L2 norm of the makers' weights of the channel
/// (Li et al. 2017), times the scale of a batch normalisation behind it with bn_scale (Liu et al. 2017).
[[nodiscard]] std::vector<std::vector<double>> importance(const Model& model, const ChannelGroups& groups,
                                                          Importance kind);

/// What the kernels like: channels per block of ONNX Runtime's blocked CPU layout (measured: see bench/).
inline constexpr int kChannelBlock = 8;

/// The most important of each group, `ratio[g]` of them rounded to the nearest multiple of `block` along the makers'
/// output (at least one block, at most all), in descending order of importance if `sorted`, else in their order.
[[nodiscard]] Kept most_important(const ChannelGroups& groups, const std::vector<std::vector<double>>& importance,
                                  const std::vector<double>& ratio, int block = kChannelBlock, bool sorted = false);

/// Ratios by group for a wanted share of the multiply-accumulates of the whole model, from measured sensitivities:
/// `harm[g][k]` is the output error when only group g is cut to `steps[k]` of its channels. Greedy on harm per MAC
/// saved; groups that do no harm are cut hardest, never below `least`.
[[nodiscard]] std::vector<double> ratios_for(const Model& model, const TensorSpecs& specs, const ChannelGroups& groups,
                                             const std::vector<std::vector<double>>& importance,
                                             const std::vector<std::vector<double>>& harm,
                                             const std::vector<double>& steps, double macs_share, double least = 0.125);

}  // namespace rtmdl
