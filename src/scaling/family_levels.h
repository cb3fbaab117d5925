#pragma once
/// A level's file as packing sees it.

#include "model/model.h"

#include <filesystem>
#include <optional>
#include <vector>

namespace rtmdl {

/// The model, each large initializer's data raw. Nothing for a file that is no ONNX model, which packing leaves alone.
/// Throws Error(bad_input) if it is not there, or is light and lacks its weights.
[[nodiscard]] std::optional<Model> load_level(const std::filesystem::path& path);

/// Indices of the initializers that may be stored elsewhere: large, raw, of elements of whole bytes.
[[nodiscard]] std::vector<int> shareable(const Model& model);

}  // namespace rtmdl
