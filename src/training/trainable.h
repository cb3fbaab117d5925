#pragma once
/// Which initializers of a graph are weights that training may change. Pure, no libtorch.

#include "model/model.h"

#include <string>
#include <vector>

namespace rtmdl::training {

/// Names of float initializers (and outputs of Constant nodes) that act as weights, in the order of their first use:
/// operands of convolutions, products, normalisations, PRelu, recurrent layers, embeddings; biases and scales by
/// channel, position embeddings, class tokens. Not among them: running statistics, scalars, anchors of detectors,
/// initial states.
[[nodiscard]] std::vector<std::string> trainable_weights(const Model& model);

}  // namespace rtmdl::training
