#pragma once
/// A graph in several, one after another: segments. Where a processor cannot preempt by itself, another job may run
/// between them. Pure, graph only.

#include "model/model.h"

#include <rtmdl/tensor.h>

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl {

/// A place where a graph can be cut: between the nodes before `node` and those from it on, in the order of the file.
struct Seam {
  int node = 0;
  std::vector<std::string>
      crossing;  ///< tensors that the later nodes need of the earlier ones or of the model's inputs
};

/// All with at most `most_crossing` tensors, in order, but for those that a tensor crosses whose shape may depend on
/// values. Weights do not count, nor does what follows from weights or shapes alone (fixed_nodes.h). Needs nodes in
/// topological order (load_model() leaves them so).
[[nodiscard]] std::vector<Seam> find_seams(const Model& model, std::size_t most_crossing);

/// Most of a network's time goes to operators of this kind: convolutions, products, recurrent layers.
[[nodiscard]] bool is_heavy(const onnx::NodeProto& node);
/// A cut between two operators that the back-end would run as one costs more than its copy.
[[nodiscard]] bool parts_a_pair(const Model& model, const Links& links, const Seam& seam);

/// Gives the values of tensors that are the same in every run.
using FixedValues = std::function<std::unordered_map<std::string, Tensor>(const std::vector<std::string>& names)>;

/// Part k holds the nodes from cuts[k - 1] to before cuts[k]; those that depend on weights only are in every part that
/// needs them, and in no other (int8 weights stay int8 wherever the file dequantises them). Its inputs: those of the
/// model that it reads, and what crosses into it, without type or shape (a run of the parts before it gives them:
/// set_input_type()). Its outputs: those of the model that it makes, in their order, then what later parts read. Parts
/// together compute what `model` does. Throws Error(bad_input): cuts that are not ascending places within the graph; a
/// fixed value that is not given.
[[nodiscard]] std::vector<Model> split(const Model& model, const std::vector<int>& cuts, const FixedValues& values);

/// Type and shape of an input of a part.
void set_input_type(Model& model, const TensorSpec& spec);

}  // namespace rtmdl
