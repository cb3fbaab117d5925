#pragma once
/// The files of a source: found, put in natural order ("2.png" before "10.png"), and fingerprinted.

#include "task/config_node.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rtmdl {

/// "frame2" before "frame10"; otherwise by bytes.
[[nodiscard]] bool natural_less(std::string_view a, std::string_view b) noexcept;

/// Ends in one of `extensions` (lower case, with the dot), whatever the case of its own.
[[nodiscard]] bool has_extension(const std::filesystem::path& file, std::span<const std::string_view> extensions);

/// One file, or the files of a folder (not of its sub-folders) that end in one of `extensions` (lower case, with the
/// dot), in natural order. Fails at the node if there are none; `what` says what they should be ("pictures").
[[nodiscard]] std::vector<std::filesystem::path> list_files(const ConfigNode& path,
                                                            std::span<const std::string_view> extensions,
                                                            std::string_view what);
/// The same for a folder that need not hold any.
[[nodiscard]] std::vector<std::filesystem::path> files_in(const ConfigNode& node, const std::filesystem::path& folder,
                                                          std::span<const std::string_view> extensions);
/// The sub-folders of `path` in natural order. Fails at the node if there are none.
[[nodiscard]] std::vector<std::filesystem::path> list_folders(const ConfigNode& path);

/// The lines of the text file that the node names, without what ends them. Fails at the node if it cannot be read.
[[nodiscard]] std::vector<std::string> read_lines(const ConfigNode& file);
/// The same for another file.
[[nodiscard]] std::vector<std::string> read_lines(const ConfigNode& where, const std::filesystem::path& file);

/// Hash over the options as written, the seed, and each file's name, size and modification time.
[[nodiscard]] std::string fingerprint_of(const ConfigNode& data, std::uint64_t seed,
                                         std::span<const std::filesystem::path> files);

}  // namespace rtmdl
