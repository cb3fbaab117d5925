#pragma once
/// Where a training run stands, on disk: written whole or not at all, refused when damaged or made by other options.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl::training {

struct Checkpoint {
  std::string options_hash;    ///< SHA-256 of everything that the weights depend on
  int epoch = 0;               ///< finished epochs
  int step = 0;                ///< finished steps of the next one
  int halvings = 0;            ///< how often the learning rate was halved after a loss that was no number
  double loss_sum = 0;         ///< over the finished steps of the unfinished epoch
  double seconds = 0;          ///< of training so far
  std::vector<float> weights;  ///< all parameters() one after another
  std::vector<float> momenta;  ///< of the trained ones, in the same order
};

/// Throws Error(bad_input) if the disk does not take it; an older checkpoint at this path then stays as it is.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Nothing if there is no such file. Error(bad_input) if it is damaged or if its options differ.
[[nodiscard]] std::optional<Checkpoint> load_checkpoint(const std::filesystem::path& path,
                                                        const std::string& options_hash);

}  // namespace rtmdl::training
