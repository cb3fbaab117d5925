#pragma once
/// What follows from the options of a training run alone; no libtorch here.

#include "training/idx.h"
#include "training/train.h"

#include <cstdint>
#include <string>

namespace rtmdl::training {

inline constexpr int kClasses = 10;

/// Error(bad_input) that names the first value out of range and what is accepted. Widths are checked by resnet18().
void check(const TrainOptions& options);

/// SHA-256 of everything that the weights depend on: options, seed and data, but neither paths nor threads.
[[nodiscard]] std::string hash_of(const TrainOptions& options, const Dataset& data, std::uint64_t seed);

/// The learning rate at a progress of 0..1: linear up over the warm-up, then half a cosine down to 0.
[[nodiscard]] double rate_at(const TrainOptions& options, double progress);

}  // namespace rtmdl::training
