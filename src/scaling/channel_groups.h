#pragma once
/// Which channels of a graph have to go together: found by propagating every index of every tensor axis through the
/// operators (dependency groups as in DepGraph, Fang et al. 2023, but at the level of single indices, so that offsets
/// of Concat and Split, flattened maps, channel shuffles and grouped convolutions need no cases of their own). Pure.

#include "model/cost.h"
#include "model/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rtmdl {

/// Positions along one axis of one initializer.
struct ChannelSlice {
  std::string tensor;
  int axis = 0;
  std::vector<std::int64_t> indices;  ///< ascending
};

/// What leaves the model when one channel does. Never empty.
struct Channel {
  std::vector<ChannelSlice> weights;
};

/// Channels with the same slices in the same tensors, interchangeable with each other: any non-empty subset may stay,
/// in any order, and the model remains valid. Reordering all of them leaves its outputs the same (up to rounding).
struct ChannelGroup {
  std::string name;                  ///< of the first node that makes them: unique in a model
  std::vector<std::string> makers;   ///< nodes (by name) whose weights make the channels
  std::vector<std::string> readers;  ///< nodes whose weights consume them
  std::vector<Channel> channels;     ///< in the order of the first maker's output
  int multiple = 1;                  ///< kept channels per channel of this group along the makers' output axis
};

/// Channels of a weight-carrying node that nothing may remove.
struct WholeGroup {
  std::string name;  ///< the node that makes them
  std::int64_t channels = 0;
  std::string reason;  ///< "they are an output of the model", "operator 'TopK' (node …) is not understood", …
};

struct ChannelGroups {
  std::vector<ChannelGroup> groups;
  std::vector<WholeGroup> whole;
};

/// Expects normalise() before; `specs` holds type and shape of every tensor of one run (see specs_of in
/// scaling/prune.h). Constants that several nodes read are handled. Nodes with subgraphs and operators that are not
/// understood make whole what they touch. Never throws for a valid model.
[[nodiscard]] ChannelGroups find_channel_groups(const Model& model, const TensorSpecs& specs);

}  // namespace rtmdl
