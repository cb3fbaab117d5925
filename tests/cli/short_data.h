#pragma once
/// Parts of real data sets, so that what takes every item of them takes less time.

#include <cstdint>
#include <filesystem>

namespace rtmdl {

/// The first items of Fashion-MNIST, as it is on the disk, into a folder of their own.
void write_short_fashion(const std::filesystem::path& folder, std::uint32_t training, std::uint32_t evaluation);

}  // namespace rtmdl
