#pragma once
/// Files that are there whole or not at all: written beside the target, flushed to disk, renamed over it.

#include <filesystem>
#include <string>
#include <string_view>

namespace rtmdl {

/// Creates parent folders. On any failure (full disk, no permission) removes what it wrote and throws Error(bad_input).
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);
/// Where this process writes what will be renamed to `path`: PATH.part.PID.
[[nodiscard]] std::filesystem::path part_of(const std::filesystem::path& path);
/// Removes the parts in a folder that processes which were killed left there.
void remove_leftover_parts(const std::filesystem::path& folder);
/// Throws Error(bad_input) if the file cannot be read.
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

}  // namespace rtmdl
