#pragma once
/// Shapes of all tensors of a model, from one run. Internal to scaling.

#include "engine/engine.h"
#include "model/model.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

namespace rtmdl {

/// Of everything that nodes make, by name. `at` gives input shapes, state and constants. Throws what loading throws,
/// and Error(bad_input) with what the back-end said if the run fails.
[[nodiscard]] std::unordered_map<std::string, std::vector<std::int64_t>> shapes_of(Engine& engine, const Model& model,
                                                                                   const LoadRequest& at,
                                                                                   const std::filesystem::path& folder);

}  // namespace rtmdl
