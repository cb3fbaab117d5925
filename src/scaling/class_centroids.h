#pragma once
/// A classifier by the nearest of the classes' centroids, as Zygarde (Islam et al. 2020) has it.

#include "scaling/softmax_regression.h"

#include <cstddef>
#include <span>

namespace rtmdl {

/// `x`: [rows][features]; `targets`: [rows][classes], each row a distribution, by which rows count for the centroids.
/// The logits are −d² / τ less what all classes have in common, hence linear: d is the distance to a class's centroid,
/// each feature in units of its deviation within classes (Zygarde: plain distances over features picked beforehand), τ
/// what makes their probabilities fit the last seventh of the rows best.
[[nodiscard]] LinearClassifier fit_class_centroids(std::span<const float> x, std::span<const float> targets,
                                                   std::size_t features, std::size_t classes);

}  // namespace rtmdl
