#pragma once
/// Writes a trained network as ONNX: opset 17, IR version 8, batch normalisations as nodes of their own.

#include "training/network.h"

#include <span>
#include <string>

namespace rtmdl::training {

struct ExportOptions {
  int channels = 1;
  int rows = 28;
  int columns = 28;
  std::string doc_string;  ///< into the model's metadata
};

/// The bytes of the file; equal for equal arguments. Input "image", f32 [N, channels, rows, columns], pixel/255; output
/// "logits", f32 [N, classes]; N is free. `weights` holds all parameters(network) one after another.
/// The graph has no normalisation nodes: the network is trained on pixel/255 itself, and its first batch normalisation
/// does what a mean and a deviation would do.
[[nodiscard]] std::string to_onnx(const Network& network, std::span<const float> weights, const ExportOptions& options);

}  // namespace rtmdl::training
