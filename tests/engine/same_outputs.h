#pragma once
/// Two loaded forms of one model, compared.

#include "engine/engine.h"
#include "model/model.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rtmdl::test {

/// Fills the inputs with random numbers, f32 in 0…1, integers in 0…4: equal for equal seeds.
void fill(Executable& model, std::uint32_t seed);

/// Expects that names, shapes and values are the same, f32 within `tolerance` of the output's largest value (of 1 if
/// that is smaller).
void expect_equal_outputs(Executable& whole, Executable& other, const std::string& what, float tolerance = 5e-4F);

/// A small model with recurrent state, one node after the other, written into `folder`; it can be cut before each of
/// its nodes.
[[nodiscard]] LoadRequest model_with_state(const std::filesystem::path& folder);

/// Up to `n` places to cut at, spread over all there are.
[[nodiscard]] std::vector<int> some_cuts(const Model& model, std::size_t n);

}  // namespace rtmdl::test
