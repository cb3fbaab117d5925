#pragma once
/// Content hashes: SHA-256, as 64 hexadecimal digits.

#include <filesystem>
#include <string>
#include <string_view>

namespace rtmdl {

[[nodiscard]] std::string sha256(std::string_view bytes);
/// Throws Error(bad_input) if the file cannot be read.
[[nodiscard]] std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace rtmdl
