#include "data/idx_file.h"

#include <rtmdl/error.h>

#include <array>

#include <fmt/format.h>
#include <zlib.h>

namespace rtmdl {
namespace {
gzFile as_gz(void* handle) { return static_cast<gzFile>(handle); }
}  // namespace

void IdxReader::require(bool condition, const char* message) const {
  if (!condition) bad_input(fmt::format("{}: {}", file_.string(), message));
}

IdxReader::IdxReader(const std::filesystem::path& file) : file_(file), gz_(gzopen(file.c_str(), "rb")) {
  require(gz_ != nullptr, "cannot be read");
  const auto close_and_require = [&](bool condition, const char* message) {
    if (condition) return;
    gzclose(as_gz(gz_));
    require(false, message);
  };
  std::array<std::uint8_t, 4> word{};
  close_and_require(gzread(as_gz(gz_), word.data(), 4) == 4, "is not an IDX file: it ends within the header");
  close_and_require(word[0] == 0 && word[1] == 0 && word[2] == 8 && word[3] >= 1 && word[3] <= 4,
                    "is not an IDX file of unsigned bytes with 1 to 4 dimensions");
  const int rank = word[3];
  for (int d = 0; d < rank; ++d) {
    close_and_require(gzread(as_gz(gz_), word.data(), 4) == 4, "ends within the header");
    const std::size_t n = std::size_t{word[0]} << 24 | std::size_t{word[1]} << 16 | std::size_t{word[2]} << 8 | word[3];
    close_and_require(n >= 1 && n <= (d == 0 ? std::size_t{1} << 31 : std::size_t{16384}),
                      "has a dimension that is out of range");
    dimensions_.push_back(n);
    if (d > 0) item_bytes_ *= n;
    close_and_require(item_bytes_ <= std::size_t{1} << 28, "has items of more than 256 MiB");
  }
}

IdxReader::~IdxReader() { gzclose(as_gz(gz_)); }

void IdxReader::read(std::uint8_t* item) {
  const int wanted = static_cast<int>(item_bytes_);
  require(gzread(as_gz(gz_), item, static_cast<unsigned>(wanted)) == wanted,
          "ends early: the header promises more items than there are");
}

void IdxReader::skip() {
  require(gzseek(as_gz(gz_), static_cast<z_off_t>(item_bytes_), SEEK_CUR) >= 0,
          "ends early: the header promises more items than there are");
}

}  // namespace rtmdl
