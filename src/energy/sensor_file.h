#pragma once
/// Files of sysfs that hold one value.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rtmdl {

/// Nothing if it cannot be read or holds something else.
[[nodiscard]] std::optional<std::int64_t> read_number(const std::filesystem::path& file);
/// The first line; empty if it cannot be read.
[[nodiscard]] std::string read_word(const std::filesystem::path& file);
/// Of a folder, sorted; none if it is not there.
[[nodiscard]] std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder);

}  // namespace rtmdl
