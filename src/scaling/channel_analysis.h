#pragma once
/// Channel groups together with where their channels are in every tensor: what pruning needs besides the public part.
/// Internal to pruning.

#include "scaling/channel_atoms.h"
#include "scaling/channel_groups.h"
#include "scaling/prune.h"
#include "scaling/shape_values.h"

#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl {

/// Where the channels of a group lie along one axis.
struct GroupAxis {
  int axis = 0;
  int count = 0;               ///< positions of each channel
  std::vector<int> positions;  ///< channel by channel, ascending in each
};

/// By axis: positions before, in their new order. Axes that stay as they are are not listed.
using AxisSources = std::unordered_map<int, std::vector<std::int64_t>>;

/// What has to be written into nodes and shape constants once axes have changed.
struct ShapePlan {
  struct Attribute {
    int node;
    std::string name;
    std::vector<std::int64_t> values;
    bool list;
  };
  struct Input {  ///< all elements of a constant that one node reads
    int node, input;
    std::vector<std::int64_t> values;
  };
  ShapeEdits edits;
  std::vector<Attribute> attributes;
  std::vector<Input> inputs;
  std::string conflict;  ///< why it cannot be done; empty: it can
};

class ShapePlanner {
 public:
  /// Keeps references.
  ShapePlanner(const Model& model, const Links& links, const ChannelAtoms& atoms);
  [[nodiscard]] ShapePlan plan(const AxisSources& sources) const;
  [[nodiscard]] const ShapeValues& before() const { return before_; }

 private:
  const Model& model_;
  const Links& links_;
  const ChannelAtoms& atoms_;
  ShapeValues before_;
};

/// Shape of a tensor of `atoms` after the change.
[[nodiscard]] std::vector<std::int64_t> shape_after(const ChannelAtoms& atoms, int tensor, const AxisSources& sources);

struct ChannelAnalysis {
  Links links;
  ChannelAtoms atoms;
  ShapePlanner planner;
  ChannelGroups groups;
  std::vector<std::vector<GroupAxis>> axes;  ///< by group

  ChannelAnalysis(const Model& model, const TensorSpecs& specs);
  ChannelAnalysis(const ChannelAnalysis&) = delete;
  ChannelAnalysis& operator=(const ChannelAnalysis&) = delete;
};

[[nodiscard]] AxisSources axis_sources(const ChannelAnalysis& analysis, const Kept& kept);

}  // namespace rtmdl
