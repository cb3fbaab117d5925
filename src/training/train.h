#pragma once
/// Trains a small image classifier from scratch on an IDX data set and writes it as ONNX.

#include "base/context.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rtmdl {

struct TrainOptions {
  std::string network = "resnet18";            ///< the only layout so far
  std::vector<int> widths = {32, 48, 64, 80};  ///< channels of the four stages; int8 kernels like multiples of 16
  int epochs = 10;
  int batch = 128;
  double learning_rate = 0.1;  ///< at the top of the cycle
  double momentum = 0.9;
  double weight_decay = 5e-4;  ///< on convolution and classifier weights only
  double label_smoothing = 0.1;
  double warm_up = 0.2;              ///< share of all steps over which the rate rises linearly; then a cosine down to 0
  int padding = 2;                   ///< random shift in pixels
  bool mirror = true;                ///< random horizontal flip
  std::filesystem::path data;        ///< folder of IDX files, each plain or .gz
  std::filesystem::path output;      ///< the ONNX file
  std::filesystem::path checkpoint;  ///< empty: the output's name with ".checkpoint" added
  bool mixed_precision = false;  ///< activations in bfloat16, weights and sums in f32: twice as fast with AVX512_BF16
  int threads = 0;               ///< 0: as many as cores. The weights' last bits depend on it
};

struct TrainResult {
  bool finished = false;     ///< false: stopped before the last epoch; the checkpoint was kept, no model was written
  double test_accuracy = 0;  ///< of the last evaluated epoch, 0..1
  std::int64_t parameters = 0;
  std::int64_t bytes = 0;  ///< of the ONNX file
  double seconds = 0;      ///< of training, over all resumed runs
};

/// SGD with Nesterov momentum, label smoothing and a one-cycle rate (Smith & Topin 2018, with a cosine descent), seeded
/// by context.seed. After every epoch, and when asked to stop, the state is saved; the same call goes on from it and
/// ends with the weights of an undisturbed run. The checkpoint is removed when the model is written. A loss that is no
/// number takes the run back to the last checkpoint at half the learning rate. The model reads pixel/255 (see
/// training/onnx_export.h); its metadata hold the accuracy and the command. Error(bad_input): options out of range,
/// data missing or malformed, checkpoint of other options, rate hopelessly high. Blocks; one call at a time: it sets
/// process-wide the number of libtorch's threads and how malloc keeps freed memory.
TrainResult train(const TrainOptions& options, const Context& context);

/// The command line that makes this model: options that differ from their defaults are spelt out.
[[nodiscard]] std::string train_command(const TrainOptions& options, std::uint64_t seed);

}  // namespace rtmdl
