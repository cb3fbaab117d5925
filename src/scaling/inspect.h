#pragma once
/// What a model is made of and what of it can be scaled, as plain values: for `rtmdl inspect`.

#include "base/context.h"
#include "engine/engine.h"
#include "model/cost.h"
#include "model/model.h"
#include "scaling/blocks.h"
#include "scaling/channel_groups.h"
#include "scaling/fine_tuner.h"
#include "scaling/scale.h"

#include <rtmdl/tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

struct InspectRequest {
  std::filesystem::path model;
  Shapes shapes;                             ///< fixes free dimensions of inputs, as in LoadRequest
  std::map<std::string, std::string> state;  ///< as in LoadRequest
  std::map<std::string, double> constants;   ///< as in LoadRequest
  const FineTuner* tuner = nullptr;          ///< asked whether it can train the model; may be null
};

struct Layer {
  std::string name, op;
  std::vector<std::int64_t> shape;  ///< of its first output; empty if unknown
  std::int64_t macs = 0;
  std::int64_t weights = 0;      ///< bytes that it reads, subgraphs included
  bool carries_weights = false;  ///< more than the scalars that converters scatter over a graph
};

struct GroupOfChannels {
  std::string name;
  std::int64_t channels = 0;
  int multiple = 1;       ///< as in ChannelGroup
  double macs_share = 0;  ///< of the nodes that make or read them, of the whole model
  std::vector<std::string> makers, readers;
};

struct RemovableBlock {
  std::string name;
  bool residual = false;
  std::size_t nodes = 0;
  double macs_share = 0;
  std::int64_t weights = 0;  ///< bytes
};

/// Where the graph can be cut with one tensor between the parts.
struct Cut {
  std::string tensor;
  std::vector<std::int64_t> shape;
  std::int64_t bytes = 0;
  double macs_share = 0;  ///< of the nodes before it
  bool best = false;      ///< the smallest tensor of those cuts between which no multiply-accumulate lies
};

/// Whether a dimension of scaling is open to this model, and how far or why not, in words.
struct Ability {
  std::string dimension;  ///< "width", "depth", "resolution", "precision", "training"
  bool possible = false;
  std::string why;
};

struct Inspection {
  std::filesystem::path model;
  std::string producer;  ///< name and version; may be empty
  std::int64_t opset = 0, ir_version = 0;
  std::map<std::string, std::int64_t> domains;  ///< other operator sets that it imports
  std::int64_t file_bytes = 0;                  ///< files of external data included
  std::int64_t parameters = 0;                  ///< elements of all weights (integer shape constants not counted)
  std::int64_t weight_bytes = 0;
  std::int64_t macs = 0;
  std::int64_t activation_bytes = 0;        ///< peak_activation_bytes()
  bool control_flow = false;                ///< has subgraphs, whose multiply-accumulates are not counted
  std::vector<TensorSpec> inputs, outputs;  ///< as run; state and constants included
  std::vector<std::string> assumed;         ///< about free dimensions, one line each
  std::vector<Layer> layers;                ///< all nodes, in topological order
  std::vector<GroupOfChannels> groups;
  std::vector<WholeGroup> whole;
  std::vector<RemovableBlock> blocks;
  std::vector<Cut> cuts;
  std::vector<Ability> abilities;
};

/// Loads, runs once at its shapes and looks at every part. Free dimensions that `shapes` does not fix are taken as in
/// assumed_shapes(). Throws Error(bad_input): not a model, refused by the back-end, or a free dimension that nothing
/// tells. Scratch files go to the system's folder for temporary files and are removed.
[[nodiscard]] Inspection inspect(Engine& engine, const InspectRequest& request, const Context& context);

/// Sizes, layers and cuts. Pure, as the next one. Both expect normalise() before.
void describe_model(const Model& model, const TensorSpecs& specs, Inspection& into);
/// Groups and blocks with what they cost, and whether width and depth can be scaled. After describe_model().
void describe_scaling(const ChannelGroups& groups, const std::vector<Block>& blocks, Inspection& into);

/// `given` with every other free dimension: batch 1; height and width of what looks like an image kImageSide; channels
/// and features as the first layer's weights have them. A line into `assumed` for each input that needed it. Throws
/// Error(bad_input) for a dimension that none of these tells, and for `given` that does not fit.
inline constexpr std::int64_t kImageSide = 224;
[[nodiscard]] Shapes assumed_shapes(const Model& model, const Shapes& given, std::vector<std::string>& assumed);

}  // namespace rtmdl
