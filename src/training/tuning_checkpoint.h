#pragma once
/// Where fine-tuning stands, on disk: written whole or not at all, and only read for the request that it was made by.

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl::training {

struct TuningProgress {
  std::int64_t step = 0;   ///< finished
  std::int64_t total = 0;  ///< as the schedule has it now
  int halvings = 0;        ///< of the learning rate
  double seconds = 0;      ///< of training so far
  double loss_before = 0;
  double loss = 0;  ///< running mean
  double best_loss = std::numeric_limits<double>::infinity();
  int evaluations_without_gain = 0;
};

/// Everything that goes on from one step to the next; f32 tensors of any shape.
struct TuningTensors {
  std::vector<at::Tensor> now;
  std::vector<at::Tensor> best;  ///< empty: none kept
};

/// Throws Error(bad_input) if the disk does not take it; an older checkpoint then stays.
void save_tuning(const std::filesystem::path& path, const std::string& key, const TuningProgress& progress,
                 const TuningTensors& tensors);

/// Fills `tensors.now`, which has the right shapes, and `tensors.best`. Nothing, with why in `reason` (empty if there
/// is no file), if it cannot be used: damaged, or of another request.
[[nodiscard]] std::optional<TuningProgress> load_tuning(const std::filesystem::path& path, const std::string& key,
                                                        TuningTensors& tensors, std::string& reason);

}  // namespace rtmdl::training
