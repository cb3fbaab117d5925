#pragma once
/// Pictures from files.

#include <filesystem>
#include <string>

#include <opencv2/core/mat.hpp>

namespace rtmdl {

/// 8-bit BGR; empty if the file cannot be decoded. Colour profiles are left out: models are trained on the plain
/// values, and libpng complains on stderr about many of them. Throws Error(bad_input) if the file cannot be read.
[[nodiscard]] cv::Mat read_picture(const std::filesystem::path& path);

/// A PNG file without its iCCP chunk; any other bytes as they are.
[[nodiscard]] std::string without_colour_profile(std::string bytes);

}  // namespace rtmdl
