#pragma once
/// The networks of RT-mDL's and Pantheon's evaluations, written as ONNX graphs with random initial weights: opset 17,
/// IR version 8, batch normalisations and dropouts as nodes of their own, a free batch dimension "N".

#include "model/model.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

enum class NetworkKind {
  classifier,  ///< output "logits" [N, classes]
  yolo,        ///< output "detections" [N, places, 5 + classes], decoded from "grid"; see networks/detector.h
  ssd,         ///< outputs "boxes" [N, anchors, 4] and "scores" [N, anchors, classes + 1]; see networks/detector.h
};

struct NetworkInfo {
  std::string_view name;
  std::string_view purpose;  ///< what it is for, half a line
  std::string_view paper;    ///< authors, year and title
  NetworkKind kind = NetworkKind::classifier;
  std::array<int, 3> input = {3, 32, 32};  ///< channels, rows, columns; of a sequence: 1, steps, features
  int classes = 10;                        ///< without the background
  double learning_rate = 0.05;             ///< to train it from its initial weights
  bool adamw = false;                      ///< what that rate is for, else SGD
  int batch = 128;                         ///< likewise
  std::string_view sound = {};  ///< keys of a task file's `data: {source: audio, …}` that it hears with; else empty
  std::string_view pre = {};    ///< then what makes its input of them
};

struct NetworkOptions {
  double width = 1;            ///< multiplies channels, rounded to multiples of 8, at least 8
  double depth = 1;            ///< multiplies the repetitions in each stage, rounded, at least 1
  std::vector<int> widths;     ///< ResNets only: channels of the four stages, instead of the paper's and of `width`
  int classes = 0;             ///< as for the three below, 0: the catalogue's
  int channels = 0;            ///< of the input image
  int rows = 0;                ///< pixels, mel bands or (lstm) steps
  int columns = 0;             ///< pixels, frames or (lstm) features of a step
  std::vector<float> anchors;  ///< tiny-yolo only: width, height of each anchor in pixels; empty: YOLOv2's, scaled
};

/// Images below this side have the form for small images, as the papers use it for CIFAR-10: fewer strides at first.
inline constexpr int kSmallImage = 128;

[[nodiscard]] std::span<const NetworkInfo> network_catalogue();
/// Error(bad_input) that lists the accepted names.
[[nodiscard]] const NetworkInfo& network_info(std::string_view name);
/// `options` with every 0 replaced by the catalogue's. Error(bad_input): a value out of range or not for this network.
[[nodiscard]] NetworkOptions complete(const NetworkInfo& info, NetworkOptions options);

/// Equal arguments give equal bytes. Input "image" [N, channels, rows, columns] ("sequence" [N, rows, columns] of the
/// LSTM). Weights of convolutions and layers: normal, variance 2 / fan (He et al. 2015); biases 0; batch normalisations
/// the identity; LSTM: uniform ±1/√hidden, forget bias 1 (Jozefowicz et al. 2015). Error(bad_input) as complete().
[[nodiscard]] Model network(std::string_view name, const NetworkOptions& options, std::uint64_t seed);

/// Trained parameters: weights, biases, scales and shifts; neither running statistics nor constants of the decoding.
[[nodiscard]] std::int64_t parameter_count(const Model& model);

}  // namespace rtmdl
