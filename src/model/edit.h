#pragma once
/// Edits that keep what a model computes: tidying, constants, inputs and outputs.

#include "model/model.h"
#include "model/tensor_data.h"

#include <functional>
#include <string>
#include <vector>

namespace rtmdl {

/// What every other edit expects: weights are initializers (no Constant nodes, not listed as inputs too), no Identity
/// or inference-time Dropout, every node has a unique name, nothing dead. Graph inputs and outputs keep their names.
void normalise(Model& model);
/// Removes nodes and weights on which no output depends. Returns how many nodes went.
int drop_dead_nodes(Model& model);
/// Every reader of `from`, in subgraphs too, graph outputs excepted, reads `to` instead.
void redirect(Model& model, const std::string& from, const std::string& to);
/// A tensor name that begins with `stem` and is used nowhere.
[[nodiscard]] std::string unused_name(const Model& model, const std::string& stem);
/// Adds weights and gives their name, made unique.
std::string add_constant(Model& model, onnx::TensorProto tensor);
void remove_nodes(Model& model, const std::vector<int>& indices);

/// Nodes that depend on weights only, whatever the inputs; in topological order. Random operators and those that give
/// no tensor are not.
[[nodiscard]] std::vector<int> constant_nodes(const Model& model);
/// Replaces each of them by the value that `value` (from a run) gives for its outputs; an empty pointer keeps the node.
int fold_constants(Model& model, const std::function<const Tensor*(const std::string&)>& value);

/// The inputs that a caller must feed, -1 for free dimensions. Throws Error(bad_input) for inputs that are not tensors.
[[nodiscard]] std::vector<TensorSpec> model_inputs(const Model& model);
/// Fixes the dimensions of an input. Throws Error(bad_input): no such input, another rank, a fixed dimension
/// contradicted.
void set_input_shape(Model& model, const std::string& input, const std::vector<std::int64_t>& shape);

/// Where an image goes in: the input of rank 4 with 1, 3 or 4 channels.
struct SpatialInput {
  std::string name;
  std::size_t height = 2, width = 3;  ///< which dimensions
  bool free = false;                  ///< both are free: the resolution can be scaled
};
/// Nothing if no input, or more than one, looks like an image.
[[nodiscard]] std::optional<SpatialInput> spatial_input(const Model& model);

/// A copy whose graph outputs are just these tensors.
[[nodiscard]] Model with_outputs(const Model& model, const std::vector<std::string>& tensors);

}  // namespace rtmdl
