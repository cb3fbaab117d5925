#pragma once
/// The sounds of `source: audio` and what is known of each: its class, and whether it evaluates.

#include "task/config_node.h"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace rtmdl {

struct SoundList {
  std::vector<std::filesystem::path> files;
  std::vector<std::filesystem::path> texts;  ///< that names of classes were read from
  std::vector<std::int32_t> labels;          ///< one a file; empty without labels
  std::vector<bool> evaluates;               ///< likewise; the others calibrate and may be learnt from
  int classes = 0;                           ///< largest label + 1
};

/// Reads `path`, `labels` (none, folders, urbansound8k, ravdess) and `classes`. Throws Error(bad_input).
///
/// urbansound8k (Salamon et al. 2014): folders fold1 … fold10 with fsID-classID-occurrence-slice.wav; fold 10
/// evaluates. ravdess (Livingstone & Russo 2018): seven numbers a name, of which the third less 1 is the class (eight
/// emotions) and the seventh the actor; actors 21 to 24 evaluate. folders: one a class; a seeded fifth of each
/// evaluates, copies of a file together.
[[nodiscard]] SoundList list_sounds(const ConfigNode& data, std::uint64_t seed);

}  // namespace rtmdl
