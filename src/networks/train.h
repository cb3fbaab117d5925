#pragma once
/// Trains a network of the catalogue from its initial weights and writes it as ONNX.

#include "base/context.h"
#include "engine/engine.h"
#include "scaling/fine_tuner.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

struct TrainOptions {
  std::string network = "resnet18";  ///< of network_catalogue()
  double width = 1, depth = 1;       ///< see NetworkOptions
  std::vector<int> widths;           ///< of a ResNet's stages; int8 kernels like multiples of 16
  std::string source = "idx";        ///< as a task file's `data: {source: …}`
  std::string data;                  ///< its path, if it has one; or all that a task file says in `data:`, in braces
  std::string labels;                ///< of images and audio; empty: sub-folders, of detectors YOLO's text files
  std::string pre;                   ///< as a task file's `pre:`; empty: pictures as pixel/255, sounds as the network
                                     ///< hears them
  std::vector<int> input;            ///< channels, rows, columns; empty: the data's where they all have one size
  int epochs = 10;
  std::optional<int> batch;             ///< nothing: the catalogue's
  std::optional<double> learning_rate;  ///< at the top of the cycle; nothing: the catalogue's
  double momentum = 0.9;                ///< of SGD
  double weight_decay = 5e-4;           ///< on the weights of convolutions and layers only
  double label_smoothing = 0.1;         ///< not of detectors
  double warm_up = 0.2;          ///< share of all steps over which the rate rises linearly; then a cosine down to 0
  std::optional<int> padding;    ///< random shift in pixels; nothing: 2 for pictures of less than 128
  std::optional<bool> mirror;    ///< random horizontal flip; nothing: where the source's things have no left or right
  bool exits = false;            ///< answers on the way are learnt too, so that early exits will have more to go by
  bool mixed_precision = false;  ///< activations in bfloat16, weights and sums in f32: twice as fast with AVX512_BF16
  int threads = 0;               ///< 0: as many as cores. The weights' last bits depend on it
  std::filesystem::path output;  ///< the ONNX file
  std::filesystem::path checkpoint;  ///< empty: the output's name with ".checkpoint" added
};

struct TrainResult {
  bool finished = false;     ///< false: stopped before the last epoch; the checkpoint was kept, no model was written
  double test_accuracy = 0;  ///< on the evaluation split, 0..1: top-1, of detectors mean average precision at 0.5
  bool synthetic = false;    ///< the data are drawn by us: the accuracy says nothing of the world
  std::int64_t parameters = 0;
  std::int64_t bytes = 0;  ///< of the ONNX file
  double seconds = 0;      ///< of training, over all resumed runs
  std::string task;        ///< the lines of a task file that the model needs: its `pre:` and `post:`
};

/// FineTuner::tune on labels (of detectors: boxes) with a one-cycle rate (Smith & Topin 2018, with a cosine descent),
/// seeded by context.seed. With `exits`, linear classifiers of what is known at up to six places are taught beside the
/// network (deep supervision: Lee et al. 2015) and thrown away, not written. After every epoch it is measured, and
/// said, how much of the evaluation split is right. The same call goes on from its checkpoint; it is removed when the
/// model is written, whose metadata hold the accuracy, what a task file must say, and the command. Error(bad_input):
/// options out of range, data missing, malformed or without labels, checkpoint of other options, rate hopelessly high.
/// Blocks; one call at a time.
TrainResult train(const TrainOptions& options, FineTuner& tuner, Engine& engine, const Context& context);

/// The command line that makes this model: options that differ from their defaults are spelt out.
[[nodiscard]] std::string train_command(const TrainOptions& options, std::uint64_t seed);

}  // namespace rtmdl
