#pragma once
/// Many overlapping boxes to one a thing.

#include "data/postprocess.h"

#include <vector>

namespace rtmdl {

/// Intersection over union; 0 if both are empty.
[[nodiscard]] float intersection_over_union(const Box& a, const Box& b) noexcept;

enum class Suppression {
  none,
  greedy,    ///< the best box silences those of its class that overlap it by more than `iou`
  weighted,  ///< and takes the score-weighted mean of their corners (BlazeFace, Bazarevsky et al. 2019, section 4)
};

/// `boxes` are sorted (best first, ties by place) and reduced in place to at most `most`. No allocation.
void suppress(std::vector<Box>& boxes, Suppression how, float iou, std::size_t most) noexcept;

}  // namespace rtmdl
