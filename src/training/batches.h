#pragma once
/// What the network sees in which order. Every choice follows from (seed, epoch, image), so that training can be
/// resumed at any step without any generator state.

#include "training/idx.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rtmdl::training {

/// A random shift by up to `padding` pixels each way (background moves in) and a mirror image half of the time.
struct Augmentation {
  int padding = 2;
  bool mirror = true;
};

/// A permutation of 0 … count-1.
[[nodiscard]] std::vector<std::int32_t> epoch_order(int count, std::uint64_t seed, int epoch);

/// Writes pixel/255, rows x columns floats an image, and the labels.
void fill_batch(const LabelledImages& images, std::span<const std::int32_t> indices, const Augmentation& augmentation,
                std::uint64_t seed, int epoch, float* pixels, std::int64_t* labels);

}  // namespace rtmdl::training
