#include "data/copies.h"

#include "base/hash.h"

#include <fstream>
#include <map>
#include <numeric>
#include <string>
#include <utility>

namespace rtmdl {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kPart = 8192;  // bytes

std::string middle_of(const fs::path& file, std::uintmax_t size) {
  std::string part(static_cast<std::size_t>(std::min<std::uintmax_t>(size, kPart)), '\0');
  std::ifstream in(file, std::ios::binary);
  in.seekg(static_cast<std::streamoff>((size - part.size()) / 2));
  in.read(part.data(), static_cast<std::streamsize>(part.size()));
  part.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, in.gcount())));
  return part;
}

}  // namespace

std::vector<std::size_t> originals_of(std::span<const fs::path> files) {
  std::vector<std::size_t> original(files.size());
  std::iota(original.begin(), original.end(), std::size_t{0});
  std::map<std::uintmax_t, std::vector<std::size_t>> by_size;
  for (std::size_t f = 0; f < files.size(); ++f) {
    std::error_code ec;
    const std::uintmax_t size = fs::file_size(files[f], ec);
    if (!ec) by_size[size].push_back(f);
  }
  for (const auto& [size, alike] : by_size) {
    if (alike.size() < 2) continue;
    std::map<std::string, std::vector<std::size_t>> by_middle;
    for (const std::size_t f : alike) by_middle[sha256(middle_of(files[f], size))].push_back(f);
    for (const auto& [middle, candidates] : by_middle) {
      if (candidates.size() < 2) continue;
      std::map<std::string, std::size_t> first;
      for (const std::size_t f : candidates)
        original[f] = first.try_emplace(size <= kPart ? middle : sha256_of_file(files[f]), f).first->second;
    }
  }
  return original;
}

}  // namespace rtmdl
