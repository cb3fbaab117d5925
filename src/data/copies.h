#pragma once
/// Files that hold the same bytes under several names.

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

namespace rtmdl {

/// For each file the place of the first one with the same content: its own where there is none before it. Only files of
/// equal size are read, and whole only if a part from their middle is the same.
[[nodiscard]] std::vector<std::size_t> originals_of(std::span<const std::filesystem::path> files);

}  // namespace rtmdl
